"""Runs that passed, kept in a file while all are looked at: only where each lies is in memory."""

import json
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from training.data.conversation import dumped
from training.data.private import create
from training.data.record import Feedback, Message, Record


class Spool:
    """Append records, then read any of them again. A context manager; the file goes with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = create(path)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink()

    def add(self, record: Record) -> int:
        """Where it lies, for `read`."""
        place = self._file.seek(0, 2)
        self._file.write(_packed(record) + b"\n")
        return place

    def read(self, place: int) -> Record:
        """The record that `add` put there; only what a data set needs of it."""
        self._file.seek(place)
        return _unpacked(self._file.readline())


def _packed(record: Record) -> bytes:
    messages = [(each.role, each.content, each.masked) for each in record.messages]
    last = record.verdict
    verdict = (last.rating, last.correction) if last else None
    return dumped((record.run_id, messages, record.given, record.rounds, verdict)).encode()


def _unpacked(line: bytes) -> Record:
    run_id, messages, given, rounds, verdict = json.loads(line)
    return Record(
        run_id=run_id,
        messages=tuple(
            Message(role, content, tuple((start, end) for start, end in masked))
            for role, content, masked in messages
        ),
        given=given,
        rounds=rounds,
        feedback=(Feedback(rating=verdict[0], correction=verdict[1]),) if verdict else (),
    )
