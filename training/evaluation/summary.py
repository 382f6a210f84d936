"""What came of an evaluation, in figures: pure."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.evaluation.intervals import Interval, pass_at_1
from training.evaluation.results import Result
from training.evaluation.scoring import Given, by_chance

# questions of a domain, of which each is held against the answers to all others
_FOR_CHANCE = 100


@dataclass(frozen=True)
class Score:
    """Of a part of the questions. `right` of `attempts` were; `share` is the mean of the questions'
    shares, `credit` the same with what is right in part. `spread`: the lowest and the highest share
    of one round of attempts. `chance`: of answers to other questions of the domain."""

    part: str
    asked: int
    attempts: int
    right: int
    share: float
    interval: Interval
    spread: Interval
    credit: float
    chance: float
    median_s: float
    median_rounds: float
    median_tokens: float
    failed_programs: int
    fetched_bytes: int
    fetched_rows: int


def scores(results: Sequence[Result]) -> list[Score]:
    """Each domain, each part, and all."""
    domains = _grouped((each.domain, each) for each in results)
    parts = _grouped((each.part, each) for each in results)
    return [_score(name, found) for name, found in {**domains, **parts, "all": results}.items()]


def by_question(results: Iterable[Result]) -> dict[str, list[Result]]:
    """All attempts at each question, by its id, in order."""
    found = _grouped((each.question.id, each) for each in results)
    return {name: sorted(each, key=lambda r: r.attempt) for name, each in found.items()}


def causes(results: Iterable[Result]) -> list[tuple[str, int]]:
    """How many attempts are not right for which cause, most first."""
    return Counter(each.cause for each in results if not each.right).most_common()


def _grouped(pairs: Iterable[tuple[str, Result]]) -> dict[str, list[Result]]:
    found = defaultdict[str, list[Result]](list)
    for name, result in pairs:
        found[name].append(result)
    return dict(found)


def _score(part: str, results: Sequence[Result]) -> Score:
    questions = by_question(results)
    share, interval = pass_at_1([[each.right for each in found] for found in questions.values()])
    rounds = [pass_at_1([[each.right] for each in found])[0] for found in _attempts(results)]
    return Score(
        part=part,
        asked=len(questions),
        attempts=len(results),
        right=sum(each.right for each in results),
        share=share,
        interval=interval,
        spread=Interval(min(rounds, default=0.0), max(rounds, default=0.0)),
        credit=_mean(_mean(r.verdict.credit for r in found) for found in questions.values()),
        chance=_chance(results),
        median_s=_median(each.used.seconds for each in results),
        median_rounds=_median(each.used.rounds for each in results),
        median_tokens=_median(each.used.tokens for each in results),
        failed_programs=sum(each.failed_programs for each in results),
        fetched_bytes=sum(each.used.fetched_bytes for each in results),
        fetched_rows=sum(each.used.fetched_rows for each in results),
    )


def _attempts(results: Iterable[Result]) -> list[list[Result]]:
    return list(_grouped((str(each.attempt), each) for each in results).values())


def _chance(results: Sequence[Result]) -> float:
    """Of the first attempts."""
    domains = _grouped((each.domain, each) for each in results if each.attempt == 1)
    return _mean(
        by_chance([r.question for r in some], [Given(r.answer) for r in some])
        for some in (found[:_FOR_CHANCE] for found in domains.values())
    )


def _mean(values: Iterable[float]) -> float:
    told = list(values)
    return statistics.mean(told) if told else 0.0


def _median(values: Iterable[float]) -> float:
    told = list(values)
    return statistics.median(told) if told else 0.0


# As text


def table(found: Sequence[Score]) -> str:
    """Markdown."""
    lines = [
        "| part | right | share | 95 % | in part | by chance | median s | rounds | tokens "
        "| failed programs |",
        "| --- " * 10 + "|",
    ]
    lines += [_row(each) for each in found]
    return "\n".join(lines)


def _row(score: Score) -> str:
    of = f"{score.right} of {score.attempts}"
    between = f"{score.interval.low:.0%}–{score.interval.high:.0%}"
    return (
        f"| {score.part} | {of} | {score.share:.0%} | {between} | {score.credit:.0%} "
        f"| {score.chance:.1%} | {score.median_s:.1f} | {score.median_rounds:g} "
        f"| {score.median_tokens:,.0f} | {score.failed_programs} |"
    )


def causes_listed(results: Iterable[Result]) -> str:
    """Markdown."""
    return "\n".join(f"- {cause}: {count}" for cause, count in causes(results))


def spread_told(score: Score, attempts: int) -> str:
    """Of several attempts at each question; empty for one."""
    if attempts < 2:
        return ""
    low, high = score.spread.low, score.spread.high
    return (
        f"pass@1 over {attempts} attempts at each question: {score.share:.1%} "
        f"({score.interval.low:.1%} to {score.interval.high:.1%}); one round of attempts had "
        f"{low:.1%} to {high:.1%}"
    )
