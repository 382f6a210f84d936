"""Files that users bring and that runs leave: rows in the database, bytes in a folder."""

import mimetypes
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, delete, select

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.limits import Limiter
from services.gateway.errors import NotFound, TooLarge
from services.gateway.links import Links
from services.gateway.pages import Page, page_size
from services.gateway.store.database import Database
from services.gateway.store.newest import newest_first, token_behind
from services.gateway.store.tables import FileRow, now_ms

PIECE_BYTES = 512 * 1024
UPLOAD, ARTIFACT = "user_data", "assistants_output"


class FileStore:
    """Files of all owners. Bytes lie under the file's id, whatever its name is."""

    def __init__(
        self, database: Database, folder: Path, threads: Limiter, max_bytes: int, links: Links
    ) -> None:
        self._database = database
        self._links = links
        self._folder = folder
        self._threads = threads
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
    ) -> analyst.FileInfo:
        """Keep a file, whole or not at all. Raises `TooLarge`."""
        id = "file-" + secrets.token_hex(12)
        part = self._folder / f"{id}.part"
        try:
            size = await self._write(part, name, chunks)
            await self._threads.run(part.rename, self._folder / id)
        finally:
            await self._threads.run(part.unlink, missing_ok=True)
        row = FileRow(
            id=id,
            owner=owner,
            name=Path(name).name or "file",
            size_bytes=size,
            media_type=media_type or mimetypes.guess_type(name)[0] or "application/octet-stream",
            purpose=purpose,
            thread_id=thread_id,
            run_id=run_id,
            created_ms=now_ms(),
        )
        async with self._database.begin() as session:
            session.add(row)
        return self._info(row)

    async def _write(self, path: Path, name: str, chunks: AsyncIterator[bytes]) -> int:
        size = 0
        with await self._threads.run(path.open, "wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._max_bytes:
                    raise TooLarge(name, self._max_bytes)
                await self._threads.run(file.write, chunk)
        return size

    async def get(self, owner: str, id: str) -> analyst.FileInfo:
        """One file. Raises `NotFound`."""
        return self._info(await self._row(owner, id))

    async def linked(self, id: str, expires: str, signature: str) -> tuple[str, analyst.FileInfo]:
        """The file of a link, and its owner. Raises `Unauthenticated` for a link that is not good
        any more, `NotFound` for a file that is gone."""
        self._links.check(id, expires, signature)
        async with self._database.begin() as session:
            row = await session.get(FileRow, id)
        if row is None:
            raise NotFound("file", id)
        return row.owner, self._info(row)

    async def _row(self, owner: str, id: str) -> FileRow:
        async with self._database.begin() as session:
            row = await session.get(FileRow, id)
        if row is None or row.owner != owner:
            raise NotFound("file", id, field="file_ids")
        return row

    async def open(self, owner: str, id: str) -> AsyncIterator[bytes]:
        """The bytes in pieces. Raises `NotFound` before the first one."""
        await self.get(owner, id)
        return self._read(self._folder / id)

    @asynccontextmanager
    async def reading(self, owner: str, id: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """As `open`, closed on leaving, however far whoever sends the pieces came."""
        await self.get(owner, id)
        file = await self._threads.run((self._folder / id).open, "rb")
        try:
            yield self._pieces(file)
        finally:
            await self._threads.run(file.close)

    async def _pieces(self, file: BinaryIO) -> AsyncIterator[bytes]:
        while piece := await self._threads.run(file.read, PIECE_BYTES):
            yield piece

    async def _read(self, path: Path) -> AsyncIterator[bytes]:
        with await self._threads.run(path.open, "rb") as file:
            async for piece in self._pieces(file):
                yield piece

    async def behind(self, owner: str, id: str) -> str:
        """The token of the page behind a file. Raises `NotFound`."""
        return token_behind(await self._row(owner, id))

    async def page(self, owner: str, size: int = 0, token: str = "") -> Page[analyst.FileInfo]:
        """Files, newest first."""
        size = page_size(size)
        query = select(FileRow).where(FileRow.owner == owner)
        query = newest_first(query, FileRow, size, token)
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
        await self._threads.run((self._folder / id).unlink, missing_ok=True)

    async def delete_of_thread(self, thread_id: str) -> None:
        """Forget what a thread's runs left."""
        query = select(FileRow.id).where(FileRow.thread_id == thread_id)
        async with self._database.begin() as session:
            ids = (await session.scalars(query)).all()
            await session.execute(delete(FileRow).where(FileRow.thread_id == thread_id))
        for id in ids:
            await self._threads.run((self._folder / id).unlink, missing_ok=True)

    def _info(self, row: FileRow) -> analyst.FileInfo:
        created = Timestamp()
        created.FromMilliseconds(row.created_ms)
        return analyst.FileInfo(
            id=row.id,
            name=row.name,
            size_bytes=row.size_bytes,
            media_type=row.media_type,
            purpose=row.purpose,
            created_at=created,
            url=self._links.of(row.id),
            run_id=row.run_id,
        )
