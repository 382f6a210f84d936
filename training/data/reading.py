"""Lines of files to records: JSON lines, also compressed with gzip. One line is held at a time."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from training.data import record, upstream
from training.data.record import Fields, Record, RecordError

_GZIP = b"\x1f\x8b"
# a run of 30 programs with their outputs is below a megabyte
MAX_LINE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Bad:
    """A line that could not be read, and why; the reason holds nothing of the line."""

    path: Path
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.reason}"


class UnreadableFile(Exception):
    """A file that cannot be read to its end."""


def records(paths: Sequence[Path]) -> Iterator[Record | Bad]:
    """What each line holds, in order. Raises `UnreadableFile`."""
    for path in paths:
        for number, line in _lines(path):
            try:
                yield decoded(line)
            except RecordError as error:
                yield Bad(path, number, str(error))


def decoded(line: bytes) -> Record:
    """The record of a line, a run's or in upstream's form. Raises `RecordError`."""
    value = _json(line)
    return upstream.parsed(value) if upstream.is_upstream(value) else record.parsed(value)


def scores(path: Path) -> Mapping[str, float]:
    """Scores by run from JSON lines of {"run_id", "score"}; the last one of a run counts.
    Raises `UnreadableFile`: a score that is lost would let a bad run in."""
    found: dict[str, float] = {}
    for number, line in _lines(path):
        try:
            value = _json(line)
            found[Fields(value).text("run_id", needed=True)] = _score(value)
        except RecordError as error:
            raise UnreadableFile(f"{path}:{number}: {error}") from None
    return found


def _score(value: object) -> float:
    score = value.get("score") if isinstance(value, dict) else None
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise RecordError("score has to be a number")
    return float(score)


def _json(line: bytes) -> object:
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"the line is longer than {MAX_LINE_BYTES // 1024 // 1024} MB")
    try:
        return json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise RecordError("the line is no JSON") from None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, numbered from 1; of an overlong one, its beginning."""
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            # gzip's type has no base in common with that of plain files
            file = cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if packed else plain
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    if (rest := file.readline(MAX_LINE_BYTES)).endswith(b"\n") or not rest:
                        break
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}") from error
