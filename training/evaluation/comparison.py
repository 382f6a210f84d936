"""Two evaluations of the same questions, side by side: pure."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from training.evaluation.intervals import Interval, bootstrap, mcnemar
from training.evaluation.results import Result
from training.evaluation.summary import by_question

Attempts = Sequence[Result]


@dataclass(frozen=True)
class Pair:
    """The attempts of both at one question."""

    before: Attempts
    after: Attempts

    @property
    def id(self) -> str:
        return self.before[0].question.id

    @property
    def domain(self) -> str:
        return self.before[0].domain

    @property
    def gain(self) -> float:
        """By how much the share of attempts that are right is higher."""
        return share(self.after) - share(self.before)

    @property
    def credit_gain(self) -> float:
        return credit(self.after) - credit(self.before)


@dataclass(frozen=True)
class Ratio:
    """What the second takes for one of the first: of all questions, and of the one in the middle;
    None where the first took nothing."""

    total: float | None
    median: float | None


@dataclass(frozen=True)
class Comparison:
    """`names`: of the first and the second. `only_before`, `only_after`: questions that the other
    was not asked. `changed`: those that were asked in other words or expect something else. None of
    these count."""

    names: tuple[str, str]
    pairs: tuple[Pair, ...]
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @cached_property
    def shares(self) -> tuple[float, float]:
        return _mean(share(p.before) for p in self.pairs), _mean(share(p.after) for p in self.pairs)

    @cached_property
    def credits(self) -> tuple[float, float]:
        return _mean(credit(p.before) for p in self.pairs), _mean(
            credit(p.after) for p in self.pairs
        )

    @property
    def difference(self) -> float:
        return self.shares[1] - self.shares[0]

    @cached_property
    def interval(self) -> Interval:
        """Of the difference: pairs are drawn anew."""
        return bootstrap([each.gain for each in self.pairs])

    @property
    def won(self) -> list[Pair]:
        """What the second answers better."""
        return [each for each in self.pairs if each.gain > 0]

    @property
    def lost(self) -> list[Pair]:
        return [each for each in self.pairs if each.gain < 0]

    @property
    def alike(self) -> list[Pair]:
        return [each for each in self.pairs if each.gain == 0]

    @property
    def p(self) -> float:
        """McNemar's, exact and two-sided, over questions; with several attempts it is the sign test
        of their shares."""
        return mcnemar(len(self.won), len(self.lost))

    def ratio(self, took: Callable[[Result], float]) -> Ratio:
        """Of what `took` tells of each attempt."""
        pairs = [
            (_mean(map(took, each.before)), _mean(map(took, each.after))) for each in self.pairs
        ]
        before, after = sum(one for one, _ in pairs), sum(other for _, other in pairs)
        each = [other / one for one, other in pairs if one]
        return Ratio(after / before if before else None, statistics.median(each) if each else None)

    def of_domain(self, domain: str) -> "Comparison":
        return Comparison(self.names, tuple(each for each in self.pairs if each.domain == domain))

    @property
    def domains(self) -> list[str]:
        return list(dict.fromkeys(each.domain for each in self.pairs))


MEASURES: Mapping[str, Callable[[Result], float]] = {
    "tokens read": lambda each: each.used.prompt_tokens,
    "tokens written": lambda each: each.used.completion_tokens,
    "seconds": lambda each: each.used.seconds,
    "rounds": lambda each: each.used.rounds,
    "programs": lambda each: len(each.programs),
    "programs that failed": lambda each: each.failed_programs,
}


def compared(
    names: tuple[str, str], before: Iterable[Result], after: Iterable[Result]
) -> Comparison:
    """Lay the answers to the same questions side by side."""
    one, other = by_question(before), by_question(after)
    both = [id for id in one if id in other]
    same = [id for id in both if one[id][0].question == other[id][0].question]
    return Comparison(
        names=names,
        pairs=tuple(Pair(one[id], other[id]) for id in same),
        only_before=tuple(id for id in one if id not in other),
        only_after=tuple(id for id in other if id not in one),
        changed=tuple(id for id in both if id not in same),
    )


def share(attempts: Attempts) -> float:
    """Of the attempts that are right."""
    return _mean(each.right for each in attempts)


def credit(attempts: Attempts) -> float:
    return _mean(each.verdict.credit for each in attempts)


def verdict(comparison: Comparison) -> str:
    """In words: which is better, as far as can be told."""
    first, second = comparison.names
    if not comparison.pairs:
        return "The two have no question in common."
    if comparison.p >= 0.05:
        return (
            f"No difference between {first} and {second} can be told from "
            f"{len(comparison.pairs)} questions (p = {comparison.p:.3g})."
        )
    better, worse = (second, first) if comparison.difference > 0 else (first, second)
    return f"{better} answers more than {worse} does (p = {comparison.p:.3g})."


def left_out(comparison: Comparison) -> list[str]:
    """What does not count, and why; a line each."""
    first, second = comparison.names
    reasons = (
        (comparison.only_before, f"only {first} was asked"),
        (comparison.only_after, f"only {second} was asked"),
        (comparison.changed, "the two were asked differently"),
    )
    return [f"{why}: {', '.join(ids)}" for ids, why in reasons if ids]


def _mean(values: Iterable[float]) -> float:
    told = list(values)
    return statistics.mean(told) if told else 0.0
