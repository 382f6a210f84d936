"""Which questions are asked."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from training.evaluation import apart, seen, several
from training.evaluation.benchmarks import coda, dabench, dabstep
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
    CODA_HARD = "coda-hard"


class NoQuestions(ValueError):
    """Nothing is left to ask, or it is not said where the benchmark lies."""


_OWN = {Part.SEEN: seen.DOMAINS, Part.APART: apart.DOMAINS, Part.SEVERAL: several.DOMAINS}


def chosen(
    part: Part,
    domains: Sequence[str],
    ids: Sequence[str],
    benchmark: Benchmark | None,
    folder: Path | None,
) -> list[Asked]:
    """Those that are asked for; none = all. Raises NoQuestions and BenchmarkError."""
    if (benchmark is None) != (folder is None):
        raise NoQuestions("--benchmark and --folder go together: which one, and where it lies")
    if benchmark is not None and folder is not None:
        read = [(benchmark.value, each) for each in _of(benchmark, folder, domains)]
    else:
        read = _own(part, domains)
    found = [
        Asked(name, domain, question)
        for name, domain in read
        if not domains or domain.name in domains
        for question in domain.questions
        if not ids or question.id in ids
    ]
    if not found:
        raise NoQuestions("no question is of that part, domain and id")
    return found


def _of(benchmark: Benchmark, folder: Path, domains: Sequence[str]) -> list[Domain]:
    match benchmark:
        case Benchmark.DABENCH:
            return dabench.read(folder)
        case Benchmark.DABSTEP:
            return dabstep.read(folder)
        case Benchmark.CODA | Benchmark.CODA_HARD:
            return coda.read(folder, domains, hard=benchmark is Benchmark.CODA_HARD)


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
