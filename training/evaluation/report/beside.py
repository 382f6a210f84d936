"""A comparison as Markdown and as a page, with both answers beside each other: pure."""

import html
from collections.abc import Sequence

from training.evaluation.comparison import (
    MEASURES,
    Comparison,
    Pair,
    Ratio,
    credit,
    left_out,
    share,
    verdict,
)
from training.evaluation.report import charts, frame
from training.evaluation.report.charts import Bar
from training.evaluation.report.document import mark, outcome
from training.evaluation.results import Result
from training.evaluation.scoring import shown
from training.evaluation.summary import causes

_OF = ("all questions", "question in the middle")


def title(comparison: Comparison) -> str:
    first, second = comparison.names
    return f"{second} beside {first}"


def markdown(comparison: Comparison) -> str:
    """The figures, and which questions were won and lost."""
    first, second = comparison.names
    parts = [
        f"# {title(comparison)}",
        verdict(comparison),
        _table(["part", *_head(comparison.names)], _rows(comparison)),
        _table([f"{second} for 1 of {first}", *_OF], _ratios(comparison)),
        _table(["cause", first, second], _causes(comparison)),
        *(_listed(f"{name} by {second}", of) for name, of in _groups(comparison)),
        "\n".join(f"- {each}" for each in left_out(comparison)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(names: tuple[str, str]) -> list[str]:
    return [*names, "difference", "95 %", "won", "lost", "p"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _listed(name: str, pairs: Sequence[Pair]) -> str:
    lines = [
        f"- {each.id}: {_told(each.before)} → {_told(each.after)}; "
        f"{each.before[0].question.headline}"
        for each in pairs
    ]
    return "\n".join([f"## {name}: {len(pairs)}", "", *lines]) if pairs else ""


def _told(attempts: Sequence[Result]) -> str:
    if len(attempts) > 1:
        return f"{sum(each.right for each in attempts)} of {len(attempts)}"
    return "right" if attempts[0].right else attempts[0].cause


def _groups(comparison: Comparison) -> list[tuple[str, list[Pair]]]:
    alike = comparison.alike
    return [
        ("lost", comparison.lost),
        ("won", comparison.won),
        ("not right either way", [each for each in alike if share(each.after) < 1]),
        ("right either way", [each for each in alike if share(each.after) == 1]),
    ]


def _rows(comparison: Comparison) -> list[list[str]]:
    return [_row(name, each) for name, each in _parts(comparison)]


def _parts(comparison: Comparison) -> list[tuple[str, Comparison]]:
    domains = [(name, comparison.of_domain(name)) for name in comparison.domains]
    return [*domains, ("all", comparison)]


def _row(name: str, of: Comparison) -> list[str]:
    (one, other), interval = of.shares, of.interval
    return [
        name,
        f"{one:.0%}",
        f"{other:.0%}",
        f"{of.difference:+.1%}",
        f"{interval.low:+.0%} to {interval.high:+.0%}",
        str(len(of.won)),
        str(len(of.lost)),
        f"{of.p:.3g}",
    ]


def _ratios(comparison: Comparison) -> list[list[str]]:
    return [[name, *_ratio(comparison.ratio(took))] for name, took in MEASURES.items()]


def _ratio(ratio: Ratio) -> list[str]:
    return ["–" if each is None else f"× {each:.2f}" for each in (ratio.total, ratio.median)]


def _causes(comparison: Comparison) -> list[list[str]]:
    before = dict(causes(each for pair in comparison.pairs for each in pair.before))
    after = dict(causes(each for pair in comparison.pairs for each in pair.after))
    return [
        [cause, str(before.get(cause, 0)), str(after.get(cause, 0))]
        for cause in dict.fromkeys([*before, *after])
    ]


# The page


def page(comparison: Comparison) -> str:
    first, second = (html.escape(name) for name in comparison.names)
    head = ["part", *_head((first, second))]
    for_one = f"{comparison.names[1]} for 1 of {comparison.names[0]}"
    body = [
        f"<p>{html.escape(verdict(comparison))}</p>",
        *(f'<p class="soft">Does not count, {html.escape(e)}</p>' for e in left_out(comparison)),
        _cards(comparison),
        "<h2>By domain</h2>",
        _bars(comparison),
        frame.table(head, _escaped(_rows(comparison)), caption="The share that is right"),
        _explained(comparison),
        "<h2>What it took</h2>",
        frame.table(["", *_OF], _ratios(comparison), caption=for_one),
        "<h2>Why answers are not right</h2>",
        frame.table(["cause", first, second], _escaped(_causes(comparison)), caption="Attempts"),
        *(_group(f"{name} by {second}", of, comparison) for name, of in _groups(comparison) if of),
    ]
    return frame.page(title(comparison), "\n".join(body))


def _escaped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[html.escape(cell) for cell in row] for row in rows]


def _cards(comparison: Comparison) -> str:
    (one, other), (partly, partly_other) = comparison.shares, comparison.credits
    interval = comparison.interval
    cards = [
        frame.card(f"{one:.0%}", comparison.names[0], f"in part: {partly:.0%}"),
        frame.card(f"{other:.0%}", comparison.names[1], f"in part: {partly_other:.0%}"),
        frame.card(
            f"{100 * comparison.difference:+.1f}",
            "points",
            f"95 %: {100 * interval.low:+.0f} to {100 * interval.high:+.0f}",
        ),
        frame.card(f"{len(comparison.won)} : {len(comparison.lost)}", "won : lost"),
        frame.card(f"{comparison.p:.3g}", "p", "McNemar, exact"),
        frame.card(str(len(comparison.pairs)), "questions of both"),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _bars(comparison: Comparison) -> str:
    first, second = comparison.names
    rows = []
    for name, of in _parts(comparison):
        one, other = of.shares
        rows.append(Bar(name, one, f"{one:.0%}", kind="first"))
        rows.append(Bar("", other, f"{other:.0%}", kind="second"))
    drawn = charts.bars(f"The share that is right, of {first} and of {second}, by domain", rows)
    names = f'<i class="first"></i>{html.escape(first)}<i class="second"></i>{html.escape(second)}'
    return f'<p class="key">{names}</p><figure>{drawn}</figure>'


def _explained(comparison: Comparison) -> str:
    return (
        '<p class="soft">The interval of the difference is drawn from the pairs (bootstrap). '
        "<b>p</b> is how often as uneven a split of the questions that the two answer differently "
        "would come about if neither were better.</p>"
    )


def _group(name: str, pairs: Sequence[Pair], comparison: Comparison) -> str:
    return f"<h2>{name}: {len(pairs)}</h2>" + "".join(_pair(each, comparison) for each in pairs)


def _pair(pair: Pair, comparison: Comparison) -> str:
    question = pair.before[0].question
    expected = "; ".join(map(shown, question.expects)) or "to be told that the data cannot tell"
    marks = f"{''.join(map(mark, pair.before))} → {''.join(map(mark, pair.after))}"
    sides = "".join(
        _side(name, attempts)
        for name, attempts in zip(comparison.names, (pair.before, pair.after), strict=True)
    )
    return (
        f'<details class="question"><summary>{marks} '
        f'<span class="id">{html.escape(pair.id)}</span> '
        f'<span class="asked">{html.escape(question.headline)}</span></summary>'
        f"<div><dl><dt>expected</dt><dd>{html.escape(expected)}</dd></dl>"
        f'<div class="two">{sides}</div></div></details>'
    )


def _side(name: str, attempts: Sequence[Result]) -> str:
    inner = "".join(outcome(each) for each in attempts)
    partly = f' <span class="soft">{credit(attempts):.0%} in part</span>'
    return f"<div><h4>{html.escape(name)}{partly}</h4>{inner}</div>"
