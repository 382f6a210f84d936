"""A run that goes: its newest events, in memory, and who waits for the next.

What the database has had for a while is dropped from memory, see `journal`: a run that says much
holds no more than one that says little, and a slow reader no more than a quick one.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from isobath.analyst.v1 import analyst_pb2 as analyst

ENDS = frozenset({"completed", "failed", "cancelled"})
_NS = 1_000_000_000


@dataclass
class Live:
    """`told` counts its events, `written` those that the database has."""

    run_id: str
    owner: str = ""
    told: int = 0
    written: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    # the database says how it ended
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    # no longer this gateway's: what comes is in the database
    moved: bool = False
    # its gateway stops before it has come to where another one could go on
    cut: bool = False
    # approvals that it waits for
    waiting: set[str] = field(default_factory=set)
    # all that is not a block's text: what the report is made from
    steps: list[analyst.Event] = field(default_factory=list)
    # the events above the sequence `_dropped`
    _tail: list[analyst.Event] = field(default_factory=list)
    _dropped: int = 0
    _readers: list["asyncio.Future[bool]"] = field(default_factory=list)

    @classmethod
    def resumed(cls, run_id: str, owner: str, events: Sequence[analyst.Event]) -> "Live":
        """One that another gateway went with so far."""
        last = events[-1].sequence if events else 0
        steps = [event for event in events if not event.HasField("block_text")]
        return cls(run_id, owner, told=last, written=last, steps=steps, _dropped=last)

    def move(self) -> None:
        """It is another's from now on; those who read it are told."""
        self.moved = True
        self._wake()

    @property
    def ended(self) -> bool:
        """The last event is told."""
        return self.over.is_set()

    def emit(self, **event: Any) -> analyst.Event:
        """Number an event and tell it: `live.emit(notice=analyst.Notice(text="…"))`."""
        (kind,) = event
        made = analyst.Event(run_id=self.run_id, sequence=self.told + 1, **event)
        if kind in ENDS:
            self.over.set()
        elif kind == "approval_requested":
            self.waiting.add(made.approval_requested.approval_id)
        elif kind == "approval_decided":
            self.waiting.discard(made.approval_decided.approval_id)
        self.steps.append(made)
        self._tell(made)
        return made

    def text(self, kind: analyst.BlockKind, text: str) -> None:
        """Number and tell a block's text, as most events are: `emit` takes twice as long."""
        made = analyst.Event(run_id=self.run_id, sequence=self.told + 1)
        block = made.block_text
        block.kind, block.text = kind, text
        self._tell(made)

    def _tell(self, made: analyst.Event) -> None:
        made.at.seconds, made.at.nanos = divmod(time.time_ns(), _NS)
        self.told += 1
        self._tail.append(made)
        self._wake()

    def _wake(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(True)

    # Reading

    def since(self, after: int) -> Sequence[analyst.Event] | None:
        """Events with a sequence above `after`; None where some of them are dropped already."""
        return None if after < self._dropped else self._tail[after - self._dropped :]

    def next(self) -> "asyncio.Future[bool]":
        """True with the next event."""
        reader = asyncio.get_running_loop().create_future()
        self._readers.append(reader)
        return reader

    # Writing

    def unwritten(self) -> Sequence[analyst.Event]:
        """Events that the database does not have."""
        return self._tail[self.written - self._dropped :]

    def wrote(self, count: int) -> None:
        """The database has so many more. What it had before that is dropped: readers that keep up
        have read it."""
        del self._tail[: self.written - self._dropped]
        self._dropped = self.written
        self.written += count


class Reader:
    """Waits for one run's events on behalf of one stream. Its only timer is set again when it
    rings, not at each event. To be closed."""

    def __init__(self, live: Live, beat_s: float | None) -> None:
        self._live = live
        self._beat_s = beat_s
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._next: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def more(self) -> bool:
        """True with the next event, False after `beat_s` without one."""
        self._since = self._loop.time()
        self._next = self._live.next()
        if self._timer is None and self._beat_s is not None:
            self._timer = self._loop.call_later(self._beat_s, self._ring, self._beat_s)
        return await self._next

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self, beat_s: float) -> None:
        at = self._since + beat_s
        if self._next is not None and not self._next.done() and at <= self._loop.time():
            self._next.set_result(False)
        self._timer = self._loop.call_at(
            max(at, self._loop.time() + beat_s / 8), self._ring, beat_s
        )
