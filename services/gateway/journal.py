"""Events of runs: numbered, told at once to those who watch, and written to the database.

While a run goes its events are in memory and follow into the database in batches; a crash loses
the last `FLUSH_S` at most. An ended run is read from the database.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.store.database import Database
from services.gateway.store.tables import EventRow, RunRow, now_ms

FLUSH_S = 0.1
ENDS = frozenset({"completed", "failed", "cancelled"})
APPROVALS = frozenset({"approval_requested", "approval_decided"})
# states of runs that have not ended
GOING = ("fetching", "working", "waiting")
_READ_ROWS = 500


@dataclass
class Live:
    """A run that goes: its events so far, and a bell that rings at each new one."""

    run_id: str
    events: list[analyst.Event] = field(default_factory=list)
    written: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    # the database says how it ended
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    # approvals that it waits for
    waiting: set[str] = field(default_factory=set)
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """The last event is told."""
        return self.over.is_set()

    def emit(self, **event: Any) -> analyst.Event:
        """Number an event and tell it: `live.emit(notice=analyst.Notice(text="…"))`."""
        made = analyst.Event(run_id=self.run_id, sequence=len(self.events) + 1, **event)
        made.at.GetCurrentTime()
        self.events.append(made)
        kind = made.WhichOneof("event")
        if kind in ENDS:
            self.over.set()
        elif kind == "approval_requested":
            self.waiting.add(made.approval_requested.approval_id)
        elif kind == "approval_decided":
            self.waiting.discard(made.approval_decided.approval_id)
        self._bell.set()
        self._bell = asyncio.Event()
        return made

    async def follow(self, after: int) -> AsyncIterator[analyst.Event]:
        """Events with a sequence above `after`, to the end of the run."""
        while True:
            bell = self._bell
            while after < len(self.events):
                yield self.events[after]
                after += 1
            if self.ended:
                return
            await bell.wait()


class Journal:
    """All runs' events."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._live: dict[str, Live] = {}
        self._writing = asyncio.Lock()

    def open(self, run_id: str) -> Live:
        """Begin a run's events."""
        live = self._live[run_id] = Live(run_id)
        return live

    def going(self, run_id: str) -> Live | None:
        """A run whose events are in memory."""
        return self._live.get(run_id)

    async def keep(self, live: Live) -> None:
        """Write a run's events as they come, until it ended; to be run beside it. It ends by
        itself, because cancelling a transaction costs its connection."""
        while not live.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await live.over.wait()
            await self.flush(live)

    async def flush(self, live: Live) -> None:
        """Write what is not yet written, of all runs: many go at once, and a transaction costs the
        same for one event as for a hundred."""
        if live.written == len(live.events):
            return
        async with self._writing:
            batches = {run.run_id: run.events[run.written :] for run in self._live.values()}
            batches = {run_id: batch for run_id, batch in batches.items() if batch}
            if not batches:
                return
            await self._write(batches)
            for run_id, batch in batches.items():
                self._live[run_id].written += len(batch)

    async def _write(self, batches: dict[str, list[analyst.Event]]) -> None:
        rows = [
            {"run_id": e.run_id, "sequence": e.sequence, "event": e.SerializeToString()}
            for batch in batches.values()
            for e in batch
        ]
        async with self._database.begin() as session:
            await session.execute(insert(EventRow), rows)
            for run_id, batch in batches.items():
                values = {"last_sequence": batch[-1].sequence, **self._stands(run_id, batch)}
                await session.execute(update(RunRow).where(RunRow.id == run_id).values(**values))

    def _stands(self, run_id: str, batch: list[analyst.Event]) -> dict[str, Any]:
        """The run's state, where the batch changes it."""
        if not any(e.WhichOneof("event") in APPROVALS for e in batch):
            return {}
        return {"state": "waiting" if self._live[run_id].waiting else "working"}

    async def close(self, live: Live) -> None:
        """The run is over: write the last of its events."""
        await self.flush(live)

    def forget(self, live: Live) -> None:
        """Its events are written: drop them from memory."""
        self._live.pop(live.run_id, None)

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[analyst.Event]:
        """A run's events above `after`: what there was, then what comes."""
        live = self._live.get(run_id)
        if live is not None:
            async for event in live.follow(after):
                yield event
            return
        after = min(after, await self._before_interruption(run_id))
        while events := await self._read(run_id, after):
            for event in events:
                yield event
            after = events[-1].sequence

    async def _before_interruption(self, run_id: str) -> int:
        """The last sequence before the event that tells of a crash. A client may have seen higher
        ones that the crash took along, and would not be told of the end otherwise."""
        query = select(RunRow.last_sequence).where(
            RunRow.id == run_id, RunRow.state == "interrupted"
        )
        async with self._database.begin() as session:
            last = await session.scalar(query)
        return 2**63 - 1 if last is None else last - 1

    async def so_far(self, run_id: str) -> list[analyst.Event]:
        """What there is of a run's events by now."""
        live = self._live.get(run_id)
        return [*live.events] if live else [each async for each in self.watch(run_id)]

    async def _read(self, run_id: str, after: int) -> list[analyst.Event]:
        query = (
            select(EventRow.event)
            .where(EventRow.run_id == run_id, EventRow.sequence > after)
            .order_by(EventRow.sequence)
            .limit(_READ_ROWS)
        )
        async with self._database.begin() as session:
            return [analyst.Event.FromString(each) for each in await session.scalars(query)]

    async def interrupt_left_over(self) -> int:
        """Give each run that a crash cut off its last event; how many there were."""
        going = select(RunRow).where(RunRow.state.in_(GOING))
        async with self._database.begin() as session:
            rows = (await session.scalars(going)).all()
            for row in rows:
                await self._interrupt(session, row)
        return len(rows)

    async def _interrupt(self, session: Any, row: RunRow) -> None:
        message = "the gateway was restarted while this run was going"
        failed = analyst.RunFailed(
            reason="RUN_INTERRUPTED",
            message=message,
            remedy="Ask again; what had happened is kept.",
            metadata={"run_id": row.id},
            code=10,
        )
        last = await session.scalar(
            select(EventRow.sequence)
            .where(EventRow.run_id == row.id)
            .order_by(EventRow.sequence.desc())
            .limit(1)
        )
        event = analyst.Event(run_id=row.id, sequence=(last or 0) + 1, failed=failed)
        event.at.GetCurrentTime()
        session.add(
            EventRow(run_id=row.id, sequence=event.sequence, event=event.SerializeToString())
        )
        row.state, row.last_sequence, row.ended_ms = "interrupted", event.sequence, now_ms()
        row.error_reason, row.error_message = "RUN_INTERRUPTED", message
