"""What of an answer is right where the whole is not: form, programs, their columns. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from training.evaluation.results import Result


@dataclass(frozen=True)
class Marks:
    """Of so many `runs`, shares. `right`; `credit`: with what is right in part; `answered`: the run
    ended with an answer; `profiled`: its first program ran; `ran`: of all programs, those that ran;
    `columns`: of the columns that the question names, those in the last program of several."""

    runs: int
    right: float
    credit: float
    answered: float
    programs: int
    profiled: float
    ran: float
    columns: float


def marks(results: Sequence[Result], named: Mapping[str, Set[str]]) -> Marks:
    """`named`: columns that a question names, by its id."""
    programs = [each for result in results for each in result.programs]
    columns = [_found(each, named[each.question.id]) for each in results]
    return Marks(
        runs=len(results),
        right=_mean(each.right for each in results),
        credit=_mean(each.verdict.credit for each in results),
        answered=_mean(each.finish == "answer" and bool(each.answer.strip()) for each in results),
        programs=len(programs),
        profiled=_mean(bool(r.programs) and r.programs[0].outcome == "ok" for r in results),
        ran=_mean(each.outcome == "ok" for each in programs),
        columns=_mean(each for each in columns if each is not None),
    )


def _found(result: Result, named: Set[str]) -> float | None:
    """None where the question names none. The first program looks at all columns, whatever is
    asked."""
    if not named:
        return None
    last = result.programs[-1].code if len(result.programs) > 1 else ""
    return _mean(re.search(rf"\b{re.escape(each)}\b", last) is not None for each in named)


def _mean(values: Iterable[float]) -> float:
    told = [float(each) for each in values]
    return round(sum(told) / len(told), 4) if told else 0.0
