"""Conversations of runs that have ended, as the database keeps them: to be read again, for training
above all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from services.gateway.errors import NotKept
from services.gateway.record import MAX_BYTES, Transcript, line, record
from services.gateway.records import Records, moment, run_of
from services.gateway.store.tables import ConversationRow, FeedbackRow, RunRow

_STATES = {
    "completed": ("completed",),
    "failed": ("failed", "interrupted"),
    "cancelled": ("cancelled",),
}
STATES = tuple(_STATES)
_TOO_LARGE = f"its texts are more than {MAX_BYTES:,} bytes"
_NOBODY = "its gateway stopped under it, or keeps none"


def row_of(run_id: str, transcript: Transcript, *, ended_by: str, cut: bool) -> ConversationRow:
    """As the table keeps it. Takes some milliseconds for each MB."""
    return ConversationRow(
        run_id=run_id,
        ended_by=ended_by,
        cut=cut,
        size_bytes=transcript.size_bytes,
        content=transcript.packed(),
    )


class Conversations:
    """Of one owner's runs, for that owner."""

    def __init__(self, database: Database, records: Records) -> None:
        self._database = database
        self._records = records

    async def get(self, owner: str, run_id: str) -> analyst.RunRecord:
        """Of a run that has ended. Raises `NotFound`, `NotKept`, `Conflict`."""
        run = await self._records.ended(owner, run_id)
        async with self._database.begin() as session:
            row = await session.get(ConversationRow, run_id)
            said = await _feedback(session, [run_id])
        if row is None or row.content is None:
            raise NotKept(run_id, _NOBODY if row is None else _TOO_LARGE)
        return await asyncio.to_thread(_record, run, row, said.get(run_id, ()))


# Of all owners, for who runs the gateway


@dataclass(frozen=True)
class Which:
    """Runs that have ended; empty and None = all. `since_ms`: begun then or later."""

    since_ms: int | None = None
    owner: str = ""
    model: str = ""
    state: str = ""

    def condition(self) -> ColumnElement[bool]:
        """What holds of their rows."""
        wanted: list[ColumnElement[bool]] = [RunRow.ended_ms.is_not(None)]
        if self.since_ms is not None:
            wanted.append(RunRow.created_ms >= self.since_ms)
        if self.owner:
            wanted.append(RunRow.owner == self.owner)
        if self.model:
            wanted.append(RunRow.model == self.model)
        if self.state:
            wanted.append(RunRow.state.in_(_STATES[self.state]))
        return and_(*wanted)


@dataclass(frozen=True)
class Found:
    """Runs of which a conversation is kept, oldest first, and how many others there are: whose
    conversation is larger than is kept, and of which there is none."""

    run_ids: Sequence[str]
    too_large: int
    missing: int


async def find(database: Database, which: Which) -> Found:
    """Their ids: some 80 bytes of memory for each run."""
    kept = select(RunRow.id).join(ConversationRow, ConversationRow.run_id == RunRow.id)
    kept = kept.where(which.condition())
    whole = kept.where(ConversationRow.content.is_not(None))
    async with database.begin() as session:
        ids = (await session.scalars(whole.order_by(RunRow.created_ms, RunRow.id))).all()
        any_size = await _count(session, kept)
        runs = await _count(session, select(RunRow.id).where(which.condition()))
    return Found(ids, too_large=any_size - len(ids), missing=runs - any_size)


async def _count(session: AsyncSession, query: Select[Any]) -> int:
    return await session.scalar(select(func.count()).select_from(query.subquery())) or 0


async def lines(database: Database, run_ids: Sequence[str]) -> list[bytes]:
    """Their records, in that order; one that was deleted meanwhile is left out."""
    query = select(RunRow, ConversationRow).join(
        ConversationRow, ConversationRow.run_id == RunRow.id
    )
    async with database.begin() as session:
        rows = (await session.execute(query.where(RunRow.id.in_(run_ids)))).tuples().all()
        said = await _feedback(session, run_ids)
    found = {run.id: (run, row) for run, row in rows}
    whole = [found[id] for id in run_ids if id in found]
    return await asyncio.to_thread(
        lambda: [line(_record(run_of(run), row, said.get(run.id, ()))) for run, row in whole]
    )


async def _feedback(
    session: AsyncSession, run_ids: Sequence[str]
) -> dict[str, list[analyst.Feedback]]:
    query = select(FeedbackRow).where(FeedbackRow.run_id.in_(run_ids))
    found: dict[str, list[analyst.Feedback]] = {}
    for row in await session.scalars(query.order_by(FeedbackRow.created_ms, FeedbackRow.caller)):
        found.setdefault(row.run_id, []).append(feedback_of(row))
    return found


def feedback_of(row: FeedbackRow) -> analyst.Feedback:
    """As the contract tells it."""
    return analyst.Feedback(
        rating=row.rating,
        comment=row.comment,
        correction=row.correction,
        created_at=moment(row.created_ms),
    )


def _record(
    run: analyst.Run, row: ConversationRow, feedback: Sequence[analyst.Feedback]
) -> analyst.RunRecord:
    transcript = Transcript.unpacked(row.content or b"")
    return record(run, transcript, feedback, ended_by=row.ended_by, cut=row.cut)
