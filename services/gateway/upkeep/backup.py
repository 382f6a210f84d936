"""A backup: rows of one moment, the bytes of their files, and what API keys are hashed under."""

import asyncio
import hmac
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from servicekit import archives
from servicekit.archives import Archive
from servicekit.sql import Database, copies, migrations
from servicekit.status import Fault
from services.gateway.access.hash_keys import written_key
from services.gateway.access.keys import hash_key
from services.gateway.bytestore import place
from services.gateway.bytestore.port import ByteStore, Gone, Piece
from services.gateway.gateway import database_url
from services.gateway.settings import Settings
from services.gateway.store import database
from services.gateway.store.tables import FileRow
from services.gateway.upkeep.snapshot import snapshot

FILES_AHEAD = 4
KEY = "key_hash"
FILES = "files"


@dataclass
class Made:
    """What a backup holds. `lost` = files whose bytes were gone; `deleted` = that were deleted
    while it was made."""

    rows: int = 0
    files: int = 0
    size_bytes: int = 0
    lost: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


class NothingThere(Fault):
    """No gateway has been here."""

    remedy = "Set DATABASE_URL, or HOME, as the gateway has it."

    def __init__(self) -> None:
        super().__init__("there is no gateway's database where the settings say")


def fingerprint(key: bytes) -> str:
    """Tells whether another key is the same, and nothing else of it."""
    return hmac.digest(key, b"isobath backup", "sha256").hex()[:32]


async def make(settings: Settings, folder: Path, *, with_files: bool) -> Made:
    """Into an empty folder. Raises `ArchiveTaken`, `FilesLost`."""
    archive = await asyncio.to_thread(archives.created, folder)
    url = database_url(settings)
    made = Made()
    async with database.unmigrated(url) as rows:
        if not (revision := await migrations.revision(rows.engine)):
            raise NothingThere
        async with snapshot(url, folder) as connection:
            tables = await copies.written(connection, archive)
            query = select(FileRow.id, FileRow.size_bytes)
            files = [(id, size) for id, size in (await connection.execute(query)).all()]
        made.rows = sum(table["rows"] for table in tables.values())
        if with_files:
            async with place.opened(settings.files, settings.home, settings.upload_bytes) as store:
                await _Copying(archive, store, rows, made).all(files)
    told = {
        "what": "gateway",
        "revision": revision,
        "tables": tables,
        "has_files": with_files,
        "lost": made.lost,
        "deleted": made.deleted,
        KEY: await asyncio.to_thread(_key, settings, archive),
    }
    await asyncio.to_thread(archive.seal, told)
    return made


def _key(settings: Settings, archive: Archive) -> str:
    """Its fingerprint; the key itself is kept where it is not set, but lies in the home."""
    key = hash_key(settings.key_hash, settings.home)
    if settings.key_hash is None:
        with archive.adding(KEY) as sink:
            sink.write(written_key(key).encode())
    return fingerprint(key)


@dataclass
class _Copying:
    archive: Archive
    store: ByteStore
    rows: Database
    made: Made

    async def all(self, files: Sequence[tuple[str, int]]) -> None:
        turns = asyncio.Semaphore(FILES_AHEAD)

        async def one(id: str, size: int) -> None:
            async with turns:
                await self._one(id, size)

        try:
            for at in range(0, len(files), 1000):
                async with asyncio.TaskGroup() as group:
                    for id, size in files[at : at + 1000]:
                        group.create_task(one(id, size))
        except ExceptionGroup as several:
            # the store failed, most likely for each of them
            raise several.exceptions[0] from several

    async def _one(self, id: str, size: int) -> None:
        try:
            with self.archive.adding(f"{FILES}/{id}") as sink:
                async with aclosing(self.store.read(id, Piece(0, size))) as pieces:
                    async for piece in pieces:
                        await asyncio.to_thread(sink.write, piece)
        except Gone:
            (self.archive.folder / FILES / id).unlink()
            await self._note_gone(id)
            return
        self.made.files += 1
        self.made.size_bytes += size

    async def _note_gone(self, id: str) -> None:
        """A file's row goes before its bytes do."""
        async with self.rows.begin() as session:
            is_there = await session.get(FileRow, id) is not None
        (self.made.lost if is_there else self.made.deleted).append(id)
