"""Which questions are asked."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from training.evaluation import apart, seen, several
from training.evaluation.dataset import Domain
from training.evaluation.run import Asked


class Part(StrEnum):
    """`seen`: those that the rules were written with; `apart`: those that were kept from them;
    `several`: those that need Azure and PostgreSQL together, kept from them too."""

    SEEN = "seen"
    APART = "apart"
    SEVERAL = "several"
    ALL = "all"


class Benchmark(StrEnum):
    """Of others, read from where somebody has downloaded them."""

    DABENCH = "dabench"
    DABSTEP = "dabstep"
    CODA = "coda"


class NoQuestions(ValueError):
    """Nothing is left to ask, or the benchmark is not where it is said to be."""


_OWN = {Part.SEEN: seen.DOMAINS, Part.APART: apart.DOMAINS, Part.SEVERAL: several.DOMAINS}


def chosen(
    part: Part,
    domains: Sequence[str],
    ids: Sequence[str],
    benchmark: Benchmark | None,
    folder: Path | None,
) -> list[Asked]:
    """Those that are asked for; none = all. Raises NoQuestions."""
    found = [
        Asked(name, domain, question)
        for name, domain in _own(part, domains)
        for question in domain.questions
        if not ids or question.id in ids
    ]
    if not found:
        raise NoQuestions("no question is of that part, domain and id")
    return found


def _own(part: Part, domains: Sequence[str]) -> list[tuple[str, Domain]]:
    """A domain has the name of its module."""
    makers: list[tuple[str, Callable[[], Domain]]] = [
        (name.value, make)
        for name, of_part in _OWN.items()
        if part in (name, Part.ALL)
        for make in of_part
        if not domains or make.__module__.rpartition(".")[2] in domains
    ]
    return [(name, make()) for name, make in makers]
