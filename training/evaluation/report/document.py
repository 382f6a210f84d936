"""The report of one evaluation as a page: figures, causes, each question with its answers. Pure."""

import html
from collections.abc import Sequence

from training.evaluation.report import charts, frame
from training.evaluation.report.charts import Bar, number
from training.evaluation.results import Program, Result
from training.evaluation.scoring import shown
from training.evaluation.summary import Score, by_question, causes, scores

_FILTER = """<fieldset><legend>Show</legend>
<label><input type="radio" name="shown" checked> all</label>
<label><input type="radio" name="shown" id="only-wrong"> those that are not right</label>
<label><input type="radio" name="shown" id="only-right"> those that are right</label>
</fieldset>"""
_KEY = """<p class="soft key"><i class="right"></i>right<i class="partly"></i>right in part;
the line is the 95 % interval (Wilson) of the share that is right</p>"""
_HISTOGRAM_KEY = (
    """<p class="soft key"><i class="right"></i>right<i class="wrong"></i>not right</p>"""
)
_EXPLAINED = """<p class="soft"><b>Share</b> is the mean over questions of the share of attempts
that are right (pass@1). <b>In part</b> is the share of what was expected that was there.
<b>By chance</b> is the share of answers to other questions that would have passed as well.</p>"""


def written(title: str, results: Sequence[Result]) -> str:
    """The whole page."""
    found = scores(results)
    questions = by_question(results)
    attempts = max((len(each) for each in questions.values()), default=0)
    body = [
        _summary(found[-1], results, attempts),
        "<h2>By part and domain</h2>",
        _figure(_shares(found)),
        _KEY,
        _scores(found),
        _EXPLAINED,
        "<h2>Why answers are not right</h2>",
        _causes(results),
        "<h2>What it took</h2>",
        _distributions(results),
        "<h2>Questions</h2>",
        _FILTER,
        *(_domain(name, of) for name, of in _by_domain(questions).items()),
    ]
    return frame.page(title, "\n".join(body))


# The summary


def _summary(score: Score, results: Sequence[Result], attempts: int) -> str:
    interval, spread = score.interval, score.spread
    tokens = sum(each.used.tokens for each in results)
    estimated = " (words: the engine has no tokenizer)" if results[0].used.estimated else ""
    programs = sum(len(each.programs) for each in results)
    rounds = f"one round of attempts: {spread.low:.0%} to {spread.high:.0%}"
    cards = [
        frame.card(
            f"{score.share:.0%}", "right", f"95 %: {interval.low:.0%} to {interval.high:.0%}"
        ),
        frame.card(f"{score.credit:.0%}", "right in part", f"by chance: {score.chance:.1%}"),
        frame.card(f"{score.right} of {score.attempts}", "answers", rounds if attempts > 1 else ""),
        frame.card(
            f"{score.median_s:.1f} s", "an answer", f"median; {score.median_rounds:g} rounds"
        ),
        frame.card(number(tokens), "tokens", f"median {score.median_tokens:,.0f}{estimated}"),
        frame.card(f"{score.failed_programs} of {programs}", "programs failed"),
        frame.card(_size(score.fetched_bytes), "fetched", f"{score.fetched_rows:,} rows"),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _size(count: int) -> str:
    return f"{number(count)}B".replace("kB", " kB").replace("MB", " MB").replace("GB", " GB")


def _shares(found: Sequence[Score]) -> str:
    rows = [
        Bar(
            each.part,
            each.share,
            f"{each.share:.0%} of {each.asked}",
            interval=each.interval,
            behind=each.credit,
        )
        for each in found
    ]
    told = "; ".join(f"{each.part} {each.share:.0%}" for each in found)
    return charts.bars(f"The share that is right: {told}", rows)


def _scores(found: Sequence[Score]) -> str:
    head = [
        "part", "right", "share", "95 %", "in part", "by chance", "median s", "rounds", "tokens",
        "failed programs", "fetched",
    ]  # fmt: skip
    rows = [
        [
            html.escape(each.part),
            f"{each.right} of {each.attempts}",
            f"{each.share:.0%}",
            f"{each.interval.low:.0%}–{each.interval.high:.0%}",
            f"{each.credit:.0%}",
            f"{each.chance:.1%}",
            f"{each.median_s:.1f}",
            f"{each.median_rounds:g}",
            f"{each.median_tokens:,.0f}",
            str(each.failed_programs),
            _size(each.fetched_bytes),
        ]
        for each in found
    ]
    return frame.table(head, rows, caption="The same in figures")


def _causes(results: Sequence[Result]) -> str:
    counted = causes(results)
    if not counted:
        return "<p>All answers are right.</p>"
    wrong = sum(count for _, count in counted)
    rows = [
        Bar(cause, count / wrong, f"{count} of {wrong}", kind="wrong") for cause, count in counted
    ]
    told = "; ".join(f"{cause}: {count}" for cause, count in counted)
    return _figure(charts.bars(f"Answers that are not right, by cause: {told}", rows))


def _distributions(results: Sequence[Result]) -> str:
    drawn = []
    for name in ("rounds", "tokens", "seconds"):
        right = [float(getattr(each.used, name)) for each in results if each.right]
        wrong = [float(getattr(each.used, name)) for each in results if not each.right]
        told = f"How many answers took how many {name}"
        drawn.append(_figure(charts.histogram(told, right, wrong, name), told))
    return f'{_HISTOGRAM_KEY}<div class="three">{"".join(drawn)}</div>'


def _figure(drawing: str, caption: str = "") -> str:
    told = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{drawing}{told}</figure>"


# The questions


def _by_domain(questions: dict[str, list[Result]]) -> dict[str, list[list[Result]]]:
    found: dict[str, list[list[Result]]] = {}
    for attempts in questions.values():
        found.setdefault(f"{attempts[0].domain} ({attempts[0].part})", []).append(attempts)
    return found


def _domain(name: str, questions: Sequence[Sequence[Result]]) -> str:
    return f"<h3>{html.escape(name)}</h3>" + "".join(_question(each) for each in questions)


def _question(attempts: Sequence[Result]) -> str:
    question = attempts[0].question
    right = all(each.right for each in attempts)
    expected = "; ".join(shown(each) for each in question.expects)
    facts = [
        ("question", html.escape(question.text).replace("\n", "<br>")),
        ("data", "<br>".join(f"<code>{html.escape(each)}</code>" for each in question.data)),
        ("expected", html.escape(expected or "to be told that the data cannot tell")),
    ]
    body = "".join(_attempt(each, len(attempts)) for each in attempts)
    return (
        f'<details class="question is-{"right" if right else "wrong"}">'
        f'<summary>{_marks(attempts)} <span class="id">{html.escape(question.id)}</span> '
        f'<span class="asked">{html.escape(question.headline)}</span></summary>'
        f"<div>{_facts(facts)}{body}</div></details>"
    )


def _marks(attempts: Sequence[Result]) -> str:
    return "".join(mark(each) for each in attempts)


def mark(result: Result) -> str:
    """A sign, and for those who hear it a word."""
    sign, word = ("✓", "right") if result.right else ("✗", "not right")
    kind = "right" if result.right else "wrong"
    return f'<span class="mark {kind}" role="img" aria-label="{word}" title="{word}">{sign}</span>'


def _attempt(result: Result, attempts: int) -> str:
    heading = f"<h4>{mark(result)} attempt {result.attempt}</h4>" if attempts > 1 else ""
    return heading + outcome(result)


def outcome(result: Result) -> str:
    """What came of it, what it took, its answer, and its programs folded."""
    used = result.used
    facts = [] if result.right else [("cause", html.escape(result.cause))]
    if result.verdict.lacks:
        facts.append(("lacks", html.escape("; ".join(result.verdict.lacks))))
        facts.append(("right in part", f"{result.verdict.credit:.0%}"))
    if result.failure:
        facts.append(("failure", html.escape(result.failure.message)))
    facts.append(
        (
            "took",
            f"{used.seconds:.1f} s, {used.rounds} rounds, {used.prompt_tokens:,} + "
            f"{used.completion_tokens:,} tokens, {_size(used.fetched_bytes)} fetched",
        )
    )
    if result.run_id:
        facts.append(("run", f"<code>{html.escape(result.run_id)}</code>"))
    answer = frame.markdown(result.answer) if result.answer else "<p>no answer</p>"
    return f'{_facts(facts)}<div class="answer">{answer}</div>{_programs(result.programs)}'


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in facts)}</dl>"


def _programs(programs: Sequence[Program]) -> str:
    if not programs:
        return ""
    failed = sum(each.outcome != "ok" for each in programs)
    said = f"{len(programs)} programs" if len(programs) > 1 else "1 program"
    inner = "".join(_program(each) for each in programs)
    told = f"{said}, {failed} failed" if failed else said
    return f"<details><summary>{told}</summary><div>{inner}</div></details>"


def _program(program: Program) -> str:
    error = f": {html.escape(program.error)}" if program.error else ""
    return (
        f'<p class="soft">round {program.round}: {html.escape(program.outcome)}{error}</p>'
        f"<pre><code>{html.escape(program.code.strip())}</code></pre>"
    )
