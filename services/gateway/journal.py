"""Events of runs: told at once to those who watch, and written to the database.

One writer brings the events of all runs that go into the database, in batches; a crash loses the
last `FLUSH_S` at most. Who lags behind, and who asks for an ended run, reads from the database.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import Context
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import logs
from servicekit.sql import Database
from services.gateway import metrics
from services.gateway.event_pages import cut, packed, unpacked
from services.gateway.live import Live, Reader
from services.gateway.store.tables import EventRow, RunRow, now_ms

FLUSH_S = 0.2
APPROVALS = frozenset({"approval_requested", "approval_decided"})
# states of runs that have not ended
GOING = ("fetching", "working", "waiting")
_READ_ROWS = 16
_EVENTS, _RUNS = EventRow.metadata.tables["events"], RunRow.metadata.tables["runs"]
_log = logs.get(__name__)


class Journal:
    """All runs' events."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._live: dict[str, Live] = {}
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def open(self, run_id: str, owner: str) -> Live:
        """Begin a run's events."""
        live = self._live[run_id] = Live(run_id, owner)
        if self._writer is None or self._writer.done():
            # of no run in particular
            self._writer = asyncio.create_task(self._keep(), name="journal", context=Context())
        return live

    def going(self, run_id: str) -> Live | None:
        """A run whose events are in memory."""
        return self._live.get(run_id)

    @property
    def waiting(self) -> int:
        """Approvals that the runs wait for."""
        return sum(len(live.waiting) for live in self._live.values())

    async def aclose(self) -> None:
        """Write no more. The writer is not cancelled, because that costs a transaction its
        connection."""
        self._closing.set()
        if self._writer is not None:
            await self._writer

    async def _keep(self) -> None:
        """Write events as they come, while a run goes."""
        while self._live and not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._closing.wait()
            try:
                await self.flush()
            except Exception:
                metrics.FLUSH_FAILURES.inc()
                # what is not written stays in memory, for the next time; at its end a run fails
                _log.exception("events_not_written")

    async def flush(self) -> None:
        """Write what is not yet written, of all runs: many go at once, and a transaction costs the
        same for one event as for a hundred."""
        async with self._writing:
            found = [(live, live.unwritten()) for live in self._live.values()]
            batches = [(live, batch) for live, batch in found if batch]
            if not batches:
                return
            oldest_s = min(batch[0].at.ToNanoseconds() for _, batch in batches) / 1e9
            await self._write(batches)
            metrics.FLUSH_LAG.observe(max(0.0, time.time() - oldest_s))
            for live, batch in batches:
                live.wrote(len(batch))

    async def _write(self, batches: Sequence[tuple[Live, Sequence[analyst.Event]]]) -> None:
        pages = [_page(live.run_id, page) for live, batch in batches for page in cut(batch)]
        states = [_state(live) for live, batch in batches if _changes_state(batch)]
        async with self._database.begin() as session:
            # not the ORM's: it would take as long again for its own bookkeeping
            connection = await session.connection()
            await connection.execute(insert(_EVENTS), pages)
            if states:
                run = update(_RUNS).where(_RUNS.c.id == bindparam("run"))
                await connection.execute(run.values(state=bindparam("now")), states)

    async def close(self, live: Live) -> None:
        """The run is over: write the last of its events."""
        if live.written < live.told:
            await self.flush()

    def forget(self, live: Live) -> None:
        """Its events are written: drop them from memory."""
        self._live.pop(live.run_id, None)

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[analyst.Event]:
        """A run's events above `after`: what there was, then what comes."""
        async with aclosing(self.batches(run_id, after)) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def batches(
        self, run_id: str, after: int = 0, *, beat_s: float | None = None
    ) -> AsyncGenerator[Sequence[analyst.Event], None]:
        """The same, as many at a time as there are; an empty batch for each `beat_s` without one.
        What its reader does not take waits in the database."""
        live = self._live.get(run_id)
        if live is None:
            after = min(after, await self._before_interruption(run_id))
        reader = None if live is None else Reader(live, beat_s)
        try:
            while True:
                batch = None if live is None else live.since(after)
                if batch is None:
                    batch = await self._read(run_id, after)
                if batch:
                    yield batch
                    after = batch[-1].sequence
                elif live is None or reader is None or live.ended:
                    return
                elif not await reader.more():
                    yield ()
        finally:
            if reader is not None:
                reader.close()

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
        if live is None:
            return [each async for each in self.watch(run_id)]
        found: list[analyst.Event] = []
        while len(found) < live.told:
            batch = live.since(len(found)) or await self._read(run_id, len(found))
            if not batch:
                break  # its thread was deleted meanwhile
            found += batch
        return found

    async def _read(self, run_id: str, after: int) -> list[analyst.Event]:
        query = (
            select(EventRow.size, EventRow.event)
            .where(EventRow.run_id == run_id, EventRow.sequence > after)
            .order_by(EventRow.sequence)
            .limit(_READ_ROWS)
        )
        async with self._database.begin() as session:
            rows = (await session.execute(query)).all()
        found = (event for size, data in rows for event in unpacked(size, data))
        return [event for event in found if event.sequence > after]

    async def last_sequences(self, run_ids: Sequence[str]) -> dict[str, int]:
        """Of runs that go: it is written to their rows when they end. Other replicas' lag behind by
        `FLUSH_S`."""
        found = {id: live.told for id in run_ids if (live := self._live.get(id))}
        others = [id for id in run_ids if id not in found]
        if not others:
            return found
        last = func.max(EventRow.sequence)
        query = select(EventRow.run_id, last).where(EventRow.run_id.in_(others))
        async with self._database.begin() as session:
            rows = (await session.execute(query.group_by(EventRow.run_id))).tuples()
            return found | dict(rows.all())

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
        session.add(EventRow(run_id=row.id, sequence=event.sequence, event=packed([event])))
        row.state, row.last_sequence, row.ended_ms = "interrupted", event.sequence, now_ms()
        row.error_reason, row.error_message = "RUN_INTERRUPTED", message


def _page(run_id: str, events: Sequence[analyst.Event]) -> Mapping[str, Any]:
    last, size = events[-1].sequence, len(events)
    return {"run_id": run_id, "sequence": last, "size": size, "event": packed(events)}


def _changes_state(batch: Sequence[analyst.Event]) -> bool:
    return any(event.WhichOneof("event") in APPROVALS for event in batch)


def _state(live: Live) -> Mapping[str, str]:
    return {"run": live.run_id, "now": "waiting" if live.waiting else "working"}
