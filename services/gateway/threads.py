"""Threads: a workspace, and what was said in it; gone after their time."""

import re
import secrets
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import delete, select, update

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from servicekit.status import InvalidField
from services.gateway.clients import Services
from services.gateway.errors import NotFound
from services.gateway.files import FileStore
from services.gateway.pages import Page, page_size
from services.gateway.plan import Plan
from services.gateway.store.newest import newest_first, token_behind
from services.gateway.store.tables import EventRow, MessageRow, RunRow, ThreadRow, now_ms

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
TITLE_CHARS = 80
# the longest that the removal of a hundred threads takes
_REMOVING_MS = 10 * 60 * 1000


class Threads:
    """All owners' threads. A thread lives `ttl_s` beyond its last run."""

    def __init__(
        self, database: Database, services: Services, files: FileStore, ttl_s: float
    ) -> None:
        self._database = database
        self._services = services
        self._files = files
        self._ttl_ms = int(ttl_s * 1000)

    async def take(self, owner: str, plan: Plan) -> str:
        """The thread that a plan names, or a new one; its time begins anew.

        A name that nobody has makes a thread of that name. Raises `NotFound` for another's.
        """
        id = plan.thread_id or "thread-" + secrets.token_hex(12)
        if not ID.fullmatch(id):
            raise InvalidField("thread_id", "thread_id takes 1 to 60 letters, digits, - and _")
        expires = now_ms() + self._ttl_ms
        async with self._database.begin() as session:
            row = await session.get(ThreadRow, id)
            if row is not None and row.owner != owner:
                raise NotFound("thread", id, field="thread_id")
            if row is not None:
                row.expires_ms = expires
                return id
            title = plan.messages[-1].content.strip().splitlines()[0][:TITLE_CHARS]
            session.add(
                ThreadRow(id=id, owner=owner, title=title, created_ms=now_ms(), expires_ms=expires)
            )
        return id

    async def forget(self, id: str) -> None:
        """Of a new thread that no run came to use: it has no workspace yet."""
        async with self._database.begin() as session:
            await session.execute(delete(ThreadRow).where(ThreadRow.id == id))

    async def said(self, thread_id: str, question: str, answer: str) -> None:
        """Keep what was asked and answered."""
        async with self._database.begin() as session:
            for role, content in (("user", question), ("assistant", answer)):
                session.add(
                    MessageRow(thread_id=thread_id, role=role, content=content, created_ms=now_ms())
                )

    async def get(
        self, owner: str, id: str
    ) -> tuple[analyst.Thread, Sequence[analyst.ChatMessage]]:
        """A thread and its messages, oldest first. Raises `NotFound`."""
        row = await self._row(owner, id)
        query = select(MessageRow).where(MessageRow.thread_id == id).order_by(MessageRow.number)
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
        said = [analyst.ChatMessage(role=each.role, content=each.content) for each in rows]
        return _thread(row), said

    async def page(self, owner: str, size: int = 0, token: str = "") -> Page[analyst.Thread]:
        """Threads, newest first."""
        size = page_size(size)
        query = select(ThreadRow).where(ThreadRow.owner == owner)
        query = newest_first(query, ThreadRow, size, token)
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
        more = token_behind(rows[size - 1]) if len(rows) > size else ""
        return Page([_thread(row) for row in rows[:size]], more)

    async def delete(self, owner: str, id: str) -> None:
        """Remove a thread, its workspace, runs and artifacts. Raises `NotFound`."""
        row = await self._row(owner, id)
        await self._remove(row)

    async def expire(self) -> int:
        """Remove the threads whose time is over; how many there were."""
        over = select(ThreadRow.id).where(ThreadRow.expires_ms < now_ms()).limit(100)
        mine = over.with_for_update(skip_locked=True).scalar_subquery()
        # another gateway leaves them alone, and takes them up should this one fail
        taken = update(ThreadRow).where(ThreadRow.id.in_(mine))
        taken = taken.values(expires_ms=now_ms() + _REMOVING_MS)
        async with self._database.begin() as session:
            rows = (await session.scalars(taken.returning(ThreadRow))).all()
        for row in rows:
            await self._remove(row)
        return len(rows)

    async def _remove(self, row: ThreadRow) -> None:
        await self._services.sandbox.remove(row.owner, row.id)
        await self._files.delete_of_thread(row.id)
        runs = select(RunRow.id).where(RunRow.thread_id == row.id)
        async with self._database.begin() as session:
            await session.execute(delete(EventRow).where(EventRow.run_id.in_(runs)))
            await session.execute(delete(RunRow).where(RunRow.thread_id == row.id))
            await session.execute(delete(MessageRow).where(MessageRow.thread_id == row.id))
            await session.execute(delete(ThreadRow).where(ThreadRow.id == row.id))

    async def _row(self, owner: str, id: str) -> ThreadRow:
        async with self._database.begin() as session:
            row = await session.get(ThreadRow, id)
        if row is None or row.owner != owner:
            raise NotFound("thread", id)
        return row


def _thread(row: ThreadRow) -> analyst.Thread:
    created, expires = Timestamp(), Timestamp()
    created.FromMilliseconds(row.created_ms)
    expires.FromMilliseconds(row.expires_ms)
    return analyst.Thread(thread_id=row.id, title=row.title, created_at=created, expires_at=expires)
