"""What the readers of benchmarks share: rows of a file, and the words that ask for a form."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from training.evaluation.benchmarks.rules import MARK

_KINDS = (".jsonl", ".json", ".parquet")
LAST_LINE = (
    f"End the report with one line that begins with “{MARK}” and holds, behind it, nothing but the "
    "answer, in the form that the guidelines ask for."
)


class BenchmarkError(ValueError):
    """A folder does not hold the benchmark as its authors publish it; says what is missing."""


def found(places: Iterable[Path], what: str) -> Path:
    """The first that is there. Raises BenchmarkError."""
    tried = list(places)
    for place in tried:
        if place.exists():
            return place
    raise BenchmarkError(f"{what} is not there: looked for {', '.join(map(str, tried))}")


def rows(path: Path, needed: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Of JSON lines, a JSON array, or Parquet; each has what is needed. Raises BenchmarkError."""
    wanted = set(needed)
    for number, row in enumerate(_read(path), 1):
        if not isinstance(row, Mapping):
            raise BenchmarkError(f"{path}: row {number} is no object")
        if missing := sorted(wanted - row.keys()):
            raise BenchmarkError(f"{path}: row {number} has no {', '.join(missing)}")
        yield row


def any_kind(folder: Path, stem: str) -> list[Path]:
    """The places where a file of rows may lie, whatever it is written as."""
    return [folder / f"{stem}{kind}" for kind in _KINDS]


def _read(path: Path) -> list[Any]:
    try:
        if path.suffix == ".parquet":
            return list(pd.read_parquet(path).to_dict("records"))
        text = path.read_text()
        if path.suffix == ".json":
            return list(json.loads(text))
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, TypeError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from error


def text(*paragraphs: str) -> str:
    """One question, of those paragraphs that say something."""
    return "\n\n".join(each.strip() for each in paragraphs if each.strip())


def grouped(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """In the order of their first."""
    told: dict[str, list[Any]] = {}
    for name, each in pairs:
        told.setdefault(name, []).append(each)
    return told
