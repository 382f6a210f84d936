"""Runs that nobody goes with any more: each is told its end, once."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import logs
from servicekit.sql import Database
from services.gateway import conversations, news
from services.gateway.errors import RunInterrupted
from services.gateway.event_pages import packed
from services.gateway.handover import read
from services.gateway.record import Transcript
from services.gateway.store.shared import clock_ms
from services.gateway.store.tables import EventRow, LeaseRow, RunRow, SourceRow, now_ms

# states of runs that have not ended
GOING = ("fetching", "working", "waiting")
# runs of gateways that knew no leases are over by then, whatever became of their gateway
_LONGEST_MS = 24 * 3600 * 1000
_AT_ONCE = 50
_log = logs.get(__name__)


class Interrupted:
    """Looks for such runs, beside other gateways that do the same. What a gateway left with one for
    another to go on from is its conversation, if these are kept."""

    def __init__(self, database: Database, *, keep_conversations: bool = True) -> None:
        self._database = database
        self._keeps = keep_conversations

    async def at_start(self) -> int:
        """What another process left; how many there were. In SQLite that is all that goes."""
        if self._database.is_postgresql:
            return len(await self._of_older_gateways()) + len(await self.sweep())
        async with self._database.begin() as session:
            await session.execute(delete(LeaseRow))
            going = (await session.scalars(select(RunRow).where(RunRow.state.in_(GOING)))).all()
            for row in going:
                await interrupt(session, row)
        return len(going)

    async def sweep(self) -> list[str]:
        """The runs whose lease has ended; whoever comes first tells them their end."""
        ended: list[str] = []
        while found := await self._swept():
            ended += found
        return ended

    async def _swept(self) -> list[str]:
        over = (
            select(LeaseRow)
            .where(LeaseRow.ends_ms < clock_ms())
            .order_by(LeaseRow.ends_ms)
            .limit(_AT_ONCE)
            .options(undefer(LeaseRow.checkpoint))
            .with_for_update(skip_locked=True)
        )
        async with self._database.begin() as session:
            leases = (await session.scalars(over)).all()
            found = [lease.run_id for lease in leases]
            for lease in leases:
                row = await session.get(RunRow, lease.run_id)
                if row is not None and row.state in GOING:
                    await interrupt(session, row)
                    if self._keeps:
                        await _keep(session, lease)
            await session.execute(delete(LeaseRow).where(LeaseRow.run_id.in_(found)))
            await news.tell(self._database, session, dict.fromkeys(found, 0))
        _told(found)
        return found

    async def _of_older_gateways(self) -> list[str]:
        leased = select(LeaseRow.run_id).where(LeaseRow.run_id == RunRow.id).exists()
        old = (RunRow.state.in_(GOING), RunRow.created_ms < now_ms() - _LONGEST_MS, ~leased)
        query = select(RunRow).where(*old).with_for_update(skip_locked=True)
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
            for row in rows:
                await interrupt(session, row)
        found = [row.id for row in rows]
        _told(found)
        return found


async def _keep(session: AsyncSession, lease: LeaseRow) -> None:
    at = None if lease.checkpoint is None else read(lease)
    if at is None or at.progress is None:
        return
    ids = [each.id for each in at.sources]
    query = select(SourceRow.name, SourceRow.type).where(SourceRow.id.in_(ids))
    sources = (await session.execute(query.order_by(SourceRow.name))).tuples().all()
    question = at.plan.messages[-1].content
    transcript = Transcript(question, sources, at.progress.messages)
    cut = at.progress.learned.told
    session.add(conversations.row_of(lease.run_id, transcript, ended_by="", cut=cut))


def _told(run_ids: Sequence[str]) -> None:
    for id in run_ids:
        _log.warning("run_interrupted", run_id=id)


def failure(run_id: str) -> analyst.RunFailed:
    """What a run is told that its gateway left."""
    told = RunInterrupted(run_id)
    return analyst.RunFailed(
        reason="RUN_INTERRUPTED",
        message=str(told),
        remedy=told.remedy,
        metadata=told.metadata(),
        code=10,
    )


async def interrupt(session: AsyncSession, row: RunRow) -> None:
    """Its last event, and how it stands."""
    last = await session.scalar(
        select(EventRow.sequence)
        .where(EventRow.run_id == row.id)
        .order_by(EventRow.sequence.desc())
        .limit(1)
    )
    event = analyst.Event(run_id=row.id, sequence=(last or 0) + 1, failed=failure(row.id))
    event.at.GetCurrentTime()
    session.add(EventRow(run_id=row.id, sequence=event.sequence, event=packed([event])))
    row.state, row.last_sequence, row.ended_ms = "interrupted", event.sequence, now_ms()
    row.error_reason, row.error_message = "RUN_INTERRUPTED", event.failed.message
