"""Events of runs: told at once to those who watch, and written to the database.

One writer brings the events of all runs that go here into the database, in batches; a crash loses
the last `FLUSH_S` at most. Who lags behind, and who asks for a run that has ended or goes with
another gateway, reads from the database.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Mapping, Sequence
from contextlib import aclosing
from contextvars import Context
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import logs
from servicekit.sql import Database
from services.gateway import metrics, news
from services.gateway.event_pages import cut, packed, unpacked
from services.gateway.leases import Leases
from services.gateway.live import ENDS, Live, Reader
from services.gateway.news import News, Waiting
from services.gateway.store.tables import ConversationRow, EventRow, RunRow

FLUSH_S = 0.2
APPROVALS = frozenset({"approval_requested", "approval_decided"})
_READ_ROWS = 16
_NEVER = 2**63 - 1
_EVENTS, _RUNS = EventRow.metadata.tables["events"], RunRow.metadata.tables["runs"]
_log = logs.get(__name__)


class Journal:
    """The events of all runs: of those that go here, and of all others as the database has them."""

    def __init__(self, database: Database, leases: Leases, news: News) -> None:
        self._database = database
        self._leases = leases
        self._news = news
        self._live: dict[str, Live] = {}
        self._writing = asyncio.Lock()
        # a transaction failed, maybe only after it was committed
        self._unsure = False
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def open(self, live: Live) -> Live:
        """Keep a run's events from here on."""
        self._live[live.run_id] = live
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
        same for one event as for a hundred. A run's last events go with its end, see `end`."""
        async with self._writing:
            if self._unsure:
                await self._see_what_is_written()
            found = [(live, live.unwritten()) for live in self._live.values() if not live.ended]
            batches = [(live, batch) for live, batch in found if batch]
            if not batches:
                return
            oldest_s = min(batch[0].at.ToNanoseconds() for _, batch in batches) / 1e9
            self._unsure = True
            ours = await self._write(batches)
            self._unsure = False
            metrics.FLUSH_LAG.observe(max(0.0, time.time() - oldest_s))
            for live, batch in batches:
                if live.run_id in ours:
                    live.wrote(len(batch))
                else:
                    self._leases.lose(live.run_id)

    async def _see_what_is_written(self) -> None:
        written = await self._last_written(list(self._live))
        for run_id, last in written.items():
            if (live := self._live.get(run_id)) and last > live.written:
                live.wrote(last - live.written)
        self._unsure = False

    async def _write(
        self, batches: Sequence[tuple[Live, Sequence[analyst.Event]]]
    ) -> Container[str]:
        """The runs that are still ours: of others nothing is written."""
        ids = {live.run_id for live, _ in batches}
        async with self._database.begin() as session:
            if self._leases.is_shared:
                ids = await self._leases.held(session, ids)
                batches = [(live, batch) for live, batch in batches if live.run_id in ids]
            if batches:
                await self._insert(session, batches)
        return ids

    async def _insert(
        self, session: AsyncSession, batches: Sequence[tuple[Live, Sequence[analyst.Event]]]
    ) -> None:
        pages = [_page(live.run_id, page) for live, batch in batches for page in cut(batch)]
        states = [_state(live) for live, batch in batches if _changes_state(batch)]
        # not the ORM's: it would take as long again for its own bookkeeping
        connection = await session.connection()
        await connection.execute(insert(_EVENTS), pages)
        if states:
            run = update(_RUNS).where(_RUNS.c.id == bindparam("run"))
            await connection.execute(run.values(state=bindparam("now")), states)
        last = {live.run_id: batch[-1].sequence for live, batch in batches}
        await news.tell(self._database, session, last)

    async def end(
        self, live: Live, conversation: ConversationRow | None = None, **values: object
    ) -> None:
        """The run is over: its last events, its conversation where that is kept, how its row
        stands, and the end of its lease, all or nothing. Raises `LeaseLost`."""
        async with self._writing:
            if self._unsure:
                await self._see_what_is_written()
            batch = live.unwritten()
            async with self._database.begin() as session:
                await self._leases.end(session, live.run_id)
                if batch:
                    await self._insert(session, [(live, batch)])
                ended = update(RunRow).where(RunRow.id == live.run_id)
                await session.execute(ended.values(last_sequence=live.told, **values))
                if conversation is not None:
                    session.add(conversation)
            live.wrote(len(batch))
            self._leases.forget(live.run_id)

    async def leave(self, live: Live, leaving: Callable[[AsyncSession], Awaitable[None]]) -> None:
        """All its events so far, and what `leaving` does, all or nothing; then it is another's.
        Raises what `leaving` does."""
        async with self._writing:
            if self._unsure:
                await self._see_what_is_written()
            batch = live.unwritten()
            async with self._database.begin() as session:
                await leaving(session)
                if batch:
                    await self._insert(session, [(live, batch)])
            live.wrote(len(batch))
            self._leases.forget(live.run_id)
            self.forget(live)

    def forget(self, live: Live) -> None:
        """Its events are written, or another gateway's to write: drop them from memory."""
        self._live.pop(live.run_id, None)
        if not live.ended:
            live.move()

    async def watch(self, run_id: str, after: int = 0) -> AsyncGenerator[analyst.Event, None]:
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
        live, reader = self._source(run_id, beat_s)
        over = False
        try:
            while True:
                batch = None if live is None else live.since(after)
                if batch is None:
                    batch = await self._read(run_id, after)
                if batch:
                    yield batch
                    after = batch[-1].sequence
                    over = live is None and batch[-1].WhichOneof("event") in ENDS
                elif over or (live is not None and live.ended):
                    return
                elif live is None and (before := await self._before_the_end(run_id)) is not None:
                    # one more look: what came between the two
                    over, after = True, min(after, before)
                elif not await reader.more():
                    yield ()
                if live.moved if live is not None else run_id in self._live:
                    reader.close()
                    live, reader = self._source(run_id, beat_s)
        finally:
            reader.close()

    def _source(self, run_id: str, beat_s: float | None) -> tuple[Live | None, Reader | Waiting]:
        """Where a run's events come from now, and what tells of the next."""
        live = self._live.get(run_id)
        if live is None:
            return None, self._news.waiting(run_id, beat_s)
        return live, Reader(live, beat_s)

    async def _before_the_end(self, run_id: str) -> int | None:
        """None as long as more may come than the database has; else the last sequence before the
        event that tells of a crash. A client may have seen higher ones that the crash took along,
        and would not be told of the end otherwise."""
        query = select(RunRow.last_sequence, RunRow.state, RunRow.ended_ms)
        async with self._database.begin() as session:
            row = (await session.execute(query.where(RunRow.id == run_id))).one_or_none()
        if row is None:
            return _NEVER
        if row.state == "interrupted":
            return int(row.last_sequence) - 1
        return None if row.ended_ms is None and self._leases.is_shared else _NEVER

    async def so_far(self, run_id: str) -> list[analyst.Event]:
        """What there is of a run's events by now."""
        live = self._live.get(run_id)
        found: list[analyst.Event] = []
        while live is None or len(found) < live.told:
            after = found[-1].sequence if found else 0
            batch = None if live is None else live.since(after)
            batch = batch or await self._read(run_id, after)
            if not batch:
                break  # all of it, or its thread was deleted meanwhile
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
        """Of runs that go: it is written to their rows when they end. Other gateways' lag behind by
        `FLUSH_S`."""
        found = {id: live.told for id in run_ids if (live := self._live.get(id))}
        others = [id for id in run_ids if id not in found]
        return found | await self._last_written(others) if others else found

    async def _last_written(self, run_ids: Sequence[str]) -> dict[str, int]:
        last = func.max(EventRow.sequence)
        query = select(EventRow.run_id, last).where(EventRow.run_id.in_(run_ids))
        async with self._database.begin() as session:
            rows = (await session.execute(query.group_by(EventRow.run_id))).tuples()
            return dict(rows.all())


def _page(run_id: str, events: Sequence[analyst.Event]) -> Mapping[str, Any]:
    last, size = events[-1].sequence, len(events)
    return {"run_id": run_id, "sequence": last, "size": size, "event": packed(events)}


def _changes_state(batch: Sequence[analyst.Event]) -> bool:
    return any(event.WhichOneof("event") in APPROVALS for event in batch)


def _state(live: Live) -> Mapping[str, str]:
    return {"run": live.run_id, "now": "waiting" if live.waiting else "working"}
