"""The file of records, and beside it what was asked: a generation that was interrupted goes on from
where both agree."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

FORMAT = "isobath.synthetic/1"
_ENDING = ".asked"


class LedgerError(RuntimeError):
    """The file holds what was generated otherwise, or is there already."""


@dataclass(frozen=True)
class Header:
    """What the records are of; a generation that goes on has the same."""

    part: str
    seed: int
    questions: int


@dataclass(frozen=True)
class Asked:
    """Of one schema: its number, how many questions were right, and why others were not, by
    form; `size` of the records behind it, in bytes."""

    number: int
    right: int
    wrong: Mapping[str, str]
    size: int


@dataclass
class Tally:
    """Of all schemas that were asked."""

    numbers: set[int] = field(default_factory=set)
    right: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def asked(self) -> int:
        return self.right + self.wrong.total()

    def add(self, asked: Asked) -> None:
        self.numbers.add(asked.number)
        self.right += asked.right
        self.wrong.update(f"{form}: {cause}" for form, cause in asked.wrong.items())


class Ledger:
    """Made by `opened`."""

    def __init__(self, records: BinaryIO, asked: BinaryIO, before: Iterable[Asked]) -> None:
        self._records, self._asked = records, asked
        self.tally = Tally()
        for each in before:
            self.tally.add(each)

    def add(self, number: int, records: Sequence[str], wrong: Mapping[str, str]) -> None:
        """The records of a schema, first, and then that it was asked."""
        for record in records:
            self._records.write(record.encode())
        self._records.flush()
        asked = Asked(number, len(records), dict(wrong), self._records.tell())
        self._asked.write(_line(asdict(asked)))
        self._asked.flush()
        self.tally.add(asked)


@contextmanager
def opened(path: Path, header: Header, *, resume: bool) -> Iterator[Ledger]:
    """Raises LedgerError."""
    beside = path.with_name(path.name + _ENDING)
    if path.exists() and not resume:
        raise LedgerError(f"{path} is there: name another file, or go on with it by --resume")
    before = _read(beside, header) if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as records, beside.open("wb") as asked:
        # what was written of a schema that was not asked to its end
        records.truncate(before[-1].size if before else 0)
        records.seek(0, 2)
        lines = [{"format": FORMAT, **asdict(header)}, *map(asdict, before)]
        asked.writelines(map(_line, lines))
        asked.flush()
        yield Ledger(records, asked, before)


def _read(path: Path, header: Header) -> list[Asked]:
    if not path.exists():
        raise LedgerError(f"{path} is not there, which tells what was asked")
    lines = path.read_bytes().split(b"\n")
    # the last line may have been cut off
    told = [json.loads(line) for line in lines[:-1]]
    if not told or told[0] != {"format": FORMAT, **asdict(header)}:
        raise LedgerError(f"{path} is of another part, seed or number of questions")
    return [Asked(**each) for each in told[1:]]


def _line(told: Mapping[str, object]) -> bytes:
    return json.dumps(told).encode() + b"\n"
