"""Files that users bring and that runs leave: rows in the database, bytes in their store."""

import mimetypes
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, Select, delete, or_, select

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import logs
from servicekit.sql import Database
from services.gateway.bytestore.port import ByteStore, Gone, Piece
from services.gateway.errors import NotFound, TooLarge
from services.gateway.links import Links
from services.gateway.pages import Page, page_size
from services.gateway.store.newest import Dated, newest_first, token_behind
from services.gateway.store.tables import FileRow, now_ms

PIECE_BYTES = 512 * 1024
FORGET_BATCH = 500
_log = logs.get(__name__)
UPLOAD, ARTIFACT = "user_data", "assistants_output"
Order = Callable[[Select[Any], type[Dated], int, str], Select[Any]]


class FileStore:
    """Files of all owners. Bytes lie under the file's id, whatever its name is."""

    def __init__(self, database: Database, store: ByteStore, max_bytes: int, links: Links) -> None:
        self._database = database
        self._links = links
        self._bytes = store
        self._max_bytes = max_bytes

    async def put(
        self,
        owner: str,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        purpose: str = UPLOAD,
        media_type: str = "",
        thread_id: str = "",
        run_id: str = "",
        lifetime_s: int | None = None,
    ) -> analyst.FileInfo:
        """Keep a file, whole or not at all; for `lifetime_s`, or until it is deleted. Raises
        `TooLarge`."""
        id = "file-" + secrets.token_hex(12)
        async with aclosing(self._bounded(name, chunks)) as bounded:
            size = await self._bytes.write(id, bounded)
        created = now_ms()
        row = FileRow(
            id=id,
            owner=owner,
            name=Path(name).name or "file",
            size_bytes=size,
            media_type=media_type or mimetypes.guess_type(name)[0] or "application/octet-stream",
            purpose=purpose,
            thread_id=thread_id,
            run_id=run_id,
            created_ms=created,
            expires_ms=None if lifetime_s is None else created + lifetime_s * 1000,
        )
        async with self._database.begin() as session:
            session.add(row)
        return self._info(row)

    async def _bounded(
        self, name: str, chunks: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLarge(name, self._max_bytes)
            yield chunk

    async def get(self, owner: str, id: str, *, field: str = "") -> analyst.FileInfo:
        """One file; `field` named it. Raises `NotFound`."""
        return self._info(await self._row(owner, id, field))

    async def linked(self, id: str, expires: str, signature: str) -> tuple[str, analyst.FileInfo]:
        """The file of a link, and its owner. Raises `Unauthenticated` for a link that is not good
        any more, `NotFound` for a file that is gone."""
        self._links.check(id, expires, signature)
        async with self._database.begin() as session:
            row = await session.get(FileRow, id)
        if row is None or _is_over(row):
            raise NotFound("file", id)
        return row.owner, self._info(row)

    async def _row(self, owner: str, id: str, field: str = "") -> FileRow:
        async with self._database.begin() as session:
            row = await session.get(FileRow, id)
        if row is None or row.owner != owner or _is_over(row):
            raise NotFound("file", id, field=field)
        return row

    async def open(self, owner: str, id: str, piece: Piece | None = None) -> AsyncIterator[bytes]:
        """The bytes, or those of one piece of it, some at a time. Raises `NotFound` before the
        first ones."""
        info = await self.get(owner, id)
        pieces = self._read(id, piece or Piece(0, info.size_bytes))
        first = await anext(pieces, b"")

        async def all_of_them() -> AsyncIterator[bytes]:
            async with aclosing(pieces):
                yield first
                async for each in pieces:
                    yield each

        return all_of_them()

    @asynccontextmanager
    async def reading(self, owner: str, id: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """As `open`, closed on leaving, however far whoever sends the pieces came."""
        info = await self.get(owner, id)
        async with aclosing(self._read(id, Piece(0, info.size_bytes))) as pieces:
            yield pieces

    async def _read(self, id: str, piece: Piece) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._bytes.read(id, piece)) as pieces:
                async for each in pieces:
                    yield each
        except Gone as gone:
            _log.error("file_has_no_bytes", file=id)
            remedy = (
                "Its bytes are gone from the store: upload it again, or run again what made it."
            )
            raise NotFound("file", id, remedy=remedy) from gone

    async def whole(self, owner: str, ids: Iterable[str]) -> dict[str, bytes]:
        """Files that are small, by id; those that were deleted since are left out."""
        found: dict[str, bytes] = {}
        for id in ids:
            with suppress(NotFound):
                async with self.reading(owner, id) as pieces:
                    found[id] = b"".join([piece async for piece in pieces])
        return found

    async def behind(self, owner: str, id: str) -> str:
        """The token of the page behind a file. Raises `NotFound`."""
        return token_behind(await self._row(owner, id))

    async def page(
        self,
        owner: str,
        size: int = 0,
        token: str = "",
        *,
        purpose: str = "",
        order: Order = newest_first,
    ) -> Page[analyst.FileInfo]:
        """Files in an order, of one purpose or of all."""
        size = page_size(size)
        query = select(FileRow).where(FileRow.owner == owner, _lives())
        if purpose:
            query = query.where(FileRow.purpose == purpose)
        query = order(query, FileRow, size, token)
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
        more = token_behind(rows[size - 1]) if len(rows) > size else ""
        return Page([self._info(row) for row in rows[:size]], more)

    async def of_run(self, run_id: str) -> list[analyst.FileInfo]:
        """What a run left, oldest first."""
        return await self._left_by(FileRow.run_id == run_id)

    async def of_thread(self, thread_id: str) -> list[analyst.FileInfo]:
        """What a thread's runs left, oldest first."""
        return await self._left_by(FileRow.thread_id == thread_id)

    async def _left_by(self, whose: ColumnElement[bool]) -> list[analyst.FileInfo]:
        query = select(FileRow).where(whose).order_by(FileRow.created_ms)
        async with self._database.begin() as session:
            return [self._info(row) for row in await session.scalars(query)]

    async def delete(self, owner: str, id: str) -> None:
        """Forget a file. Raises `NotFound`."""
        await self.get(owner, id)
        async with self._database.begin() as session:
            await session.execute(delete(FileRow).where(FileRow.id == id))
        await self._bytes.delete(id)

    async def delete_of_thread(self, thread_id: str) -> None:
        """Forget what a thread's runs left."""
        await self._forget(FileRow.thread_id == thread_id)

    async def expire(self) -> int:
        """Forget the files whose time is over; how many there were."""
        return await self._forget(~_lives())

    async def _forget(self, which: ColumnElement[bool]) -> int:
        return await forget(self._database, self._bytes, which)

    def _info(self, row: FileRow) -> analyst.FileInfo:
        created = Timestamp()
        created.FromMilliseconds(row.created_ms)
        expires = Timestamp()
        expires.FromMilliseconds(row.expires_ms or 0)
        return analyst.FileInfo(
            id=row.id,
            name=row.name,
            size_bytes=row.size_bytes,
            media_type=row.media_type,
            purpose=row.purpose,
            created_at=created,
            url=self._links.of(row.id),
            run_id=row.run_id,
            expires_at=expires if row.expires_ms else None,
        )


async def forget(database: Database, store: ByteStore, which: ColumnElement[bool]) -> int:
    """Remove files, some at a time; how many there were. Bytes that are left because the store
    failed belong to no file any more, and go when the store is next held against the table."""
    forgotten = 0
    while True:
        async with database.begin() as session:
            query = select(FileRow.id).where(which).limit(FORGET_BATCH)
            ids = (await session.scalars(query)).all()
            await session.execute(delete(FileRow).where(FileRow.id.in_(ids)))
        for id in ids:
            await store.delete(id)
        forgotten += len(ids)
        if len(ids) < FORGET_BATCH:
            return forgotten


def _is_over(row: FileRow) -> bool:
    return row.expires_ms is not None and row.expires_ms <= now_ms()


def _lives() -> ColumnElement[bool]:
    return or_(FileRow.expires_ms.is_(None), FileRow.expires_ms > now_ms())
