"""results.jsonl: a first line that says who was asked, then a line for each answer, as they come.
An evaluation that was interrupted is taken up from it."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isobath.analyst.v1.analyst_pb2 import RunRecord
from isobath_client.records import line
from training.evaluation.results import Result, decoded, encoded

FORMAT = "isobath.evaluation/1"
NAME = "results.jsonl"


class LedgerError(RuntimeError):
    """A folder holds no results that can be read, or those of another evaluation."""


@dataclass(frozen=True)
class Header:
    """Who was asked: the engine, and the model by name; "" = the engine's own. `benchmark`: "" =
    our own questions."""

    engine: str
    model: str = ""
    benchmark: str = ""

    @property
    def name(self) -> str:
        return self.model or self.engine


def read(folder: Path) -> tuple[Header, list[Result]]:
    """All that is there; a last line that was cut off is left out. Raises LedgerError."""
    path = folder / NAME
    try:
        first, *lines = list(_lines(path.read_text()))
    except FileNotFoundError:
        raise LedgerError(
            f"{path} is not there: `python -m training.evaluation run` writes it"
        ) from None
    except ValueError:
        raise LedgerError(f"{path} is empty or holds no results") from None
    if first.pop("format", "") != FORMAT:
        raise LedgerError(f"{path} is not of the format {FORMAT}: ask the questions anew")
    try:
        return Header(**first), [decoded(each) for each in lines]
    except (KeyError, TypeError) as error:
        raise LedgerError(f"{path} holds a line that is no result ({error})") from error


def _lines(text: str) -> Iterator[dict[str, Any]]:
    """Raises ValueError for a line that is no JSON, unless it is the last."""
    # nothing else ends a line: texts may hold the separators of Unicode
    lines = text.removesuffix("\n").split("\n")
    for number, each in enumerate(lines, 1):
        try:
            yield json.loads(each)
        except ValueError:
            if number < len(lines) or number == 1:
                raise


def kept(folder: Path, header: Header, wanted: Mapping[str, Result]) -> list[Result]:
    """What an earlier evaluation of the same has answered already. `wanted`: results without an
    answer, by `key`, of all that is to be asked. Runs that failed are asked anew, and so is what is
    asked otherwise now. Raises LedgerError for another's."""
    if not (folder / NAME).exists():
        return []
    found, results = read(folder)
    if found != header:
        raise LedgerError(
            f"{folder} holds results of {asdict(found)}, and not of {asdict(header)}: "
            "name another folder with --output"
        )
    return [
        each
        for each in results
        if each.failure is None
        and (same := wanted.get(key(each)))
        and same.question == each.question
    ]


def key(result: Result) -> str:
    """Of an attempt at a question."""
    return f"{result.question.id}#{result.attempt}"


@contextmanager
def ledger(
    folder: Path, header: Header, before: Iterable[Result] = ()
) -> Iterator[Callable[[Result], None]]:
    """Write anew, with what is kept; give what writes a line at once."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    part = path.with_suffix(".part")
    lines = [{"format": FORMAT, **asdict(header)}, *(encoded(each) for each in before)]
    part.write_text("".join(map(_line, lines)))
    part.replace(path)
    with path.open("a") as sink:

        def write(result: Result) -> None:
            sink.write(_line(encoded(result)))
            sink.flush()

        yield write


@contextmanager
def records(path: Path, *, more: bool) -> Iterator[Callable[[RunRecord], None]]:
    """Give what writes a line of `isobath.run/1` at once, to a file that only we may read; `more`:
    behind what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if more else os.O_TRUNC)
    with os.fdopen(os.open(path, flags, 0o600), "w") as sink:

        def write(record: RunRecord) -> None:
            sink.write(line(record))
            sink.flush()

        yield write


def _line(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, default=float) + "\n"


def write_scores(results: Iterable[Result], path: Path) -> None:
    """For the data builder: a line for each run, 1.0 where it is right."""
    lines = [
        {"run_id": each.run_id, "score": round(each.verdict.credit, 4)}
        for each in results
        if each.run_id
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(map(_line, lines)))
