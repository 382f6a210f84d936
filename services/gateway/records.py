"""Runs as the database keeps them: how they stand, listed, forgotten."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import delete, select

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from services.gateway.errors import Conflict, NotFound
from services.gateway.journal import Journal
from services.gateway.pages import Page, page_size
from services.gateway.store.newest import newest_first, token_behind
from services.gateway.store.tables import EventRow, RunRow


class Records:
    """The rows of all owners' runs."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def require(self, owner: str, run_id: str) -> RunRow:
        """Raises `NotFound`."""
        async with self._database.begin() as session:
            row = await session.get(RunRow, run_id)
        if row is None or row.owner != owner:
            raise NotFound("run", run_id)
        return row

    async def get(self, owner: str, run_id: str) -> analyst.Run:
        """How a run stands. Raises `NotFound`."""
        live = self._journal.going(run_id)
        if live is not None and live.ended:
            await live.settled.wait()
        (run,) = await self._shown([await self.require(owner, run_id)])
        return run

    async def ended(self, owner: str, run_id: str) -> analyst.Run:
        """A run that has ended. Raises `NotFound`, `Conflict`."""
        run = await self.get(owner, run_id)
        if not run.HasField("ended_at"):
            message, remedy = "this run has not ended yet", "Wait for it, or cancel it."
            raise Conflict("run", run_id, message, remedy=remedy)
        return run

    async def request(self, owner: str, run_id: str) -> str:
        """`Plan.request` of a run. Raises `NotFound`."""
        await self.require(owner, run_id)
        async with self._database.begin() as session:
            query = select(RunRow.request_json).where(RunRow.id == run_id)
            return await session.scalar(query) or ""

    async def delete(self, owner: str, run_id: str) -> None:
        """Forget a run that has ended, and its events; its files and what was said stay with its
        thread. Raises `NotFound`, `Conflict`."""
        await self.ended(owner, run_id)
        async with self._database.begin() as session:
            await session.execute(delete(EventRow).where(EventRow.run_id == run_id))
            await session.execute(delete(RunRow).where(RunRow.id == run_id))

    async def page(
        self, owner: str, thread_id: str = "", size: int = 0, token: str = ""
    ) -> Page[analyst.Run]:
        """Runs, newest first."""
        size = page_size(size)
        query = select(RunRow).where(RunRow.owner == owner)
        if thread_id:
            query = query.where(RunRow.thread_id == thread_id)
        query = newest_first(query, RunRow, size, token)
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
        more = token_behind(rows[size - 1]) if len(rows) > size else ""
        return Page(await self._shown(rows[:size]), more)

    async def _shown(self, rows: Sequence[RunRow]) -> list[analyst.Run]:
        going = [row.id for row in rows if row.ended_ms is None]
        last = await self._journal.last_sequences(going)
        return [run_of(row, last.get(row.id)) for row in rows]


def run_of(row: RunRow, last_sequence: int | None = None) -> analyst.Run:
    """As the contract tells it; None = its row says which event was the last."""
    run = analyst.Run(
        run_id=row.id,
        thread_id=row.thread_id,
        model=row.model,
        state=f"RUN_STATE_{row.state.upper()}",
        created_at=moment(row.created_ms),
        last_sequence=row.last_sequence if last_sequence is None else last_sequence,
        usage=analyst.RunUsage.FromString(row.usage),
        error_reason=row.error_reason,
        error_message=row.error_message,
    )
    if row.ended_ms:
        run.ended_at.CopyFrom(moment(row.ended_ms))
    return run


def moment(ms: int) -> Timestamp:
    """Of milliseconds, as the tables keep them."""
    stamp = Timestamp()
    stamp.FromMilliseconds(ms)
    return stamp
