"""From a backup into a new place, whichever database and store that has."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import delete

from servicekit import archives
from servicekit.archives import Archive
from servicekit.sql import Database, copies, migrations
from servicekit.status import Fault
from services.gateway.access.hash_keys import KEY_FILE, read_key
from services.gateway.access.keys import hash_key
from services.gateway.bytestore import place
from services.gateway.bytestore.port import ByteStore
from services.gateway.gateway import database_url, folder
from services.gateway.settings import Settings
from services.gateway.store import database
from services.gateway.store.tables import FileRow
from services.gateway.upkeep.backup import FILES, KEY, Made, fingerprint


class RestoreRefused(Fault):
    """Base of what stands in the way; nothing was changed then."""


class NotThisService(RestoreRefused):
    remedy = "Restore it with the service that it is of."

    def __init__(self, archive: Archive) -> None:
        super().__init__(f"{archive.folder} is no backup of a gateway")


class BackupIsNewer(RestoreRefused):
    remedy = "Restore it with the version that made it, or a later one."

    def __init__(self, revision: str) -> None:
        super().__init__(f"the backup's schema {revision} is of a later version than this one")


class NotEmpty(RestoreRefused):
    remedy = "Name a new database and a new store: a restore never overwrites."

    def __init__(self, what: str) -> None:
        super().__init__(f"there is something in the {what} already")


class KeyDiffers(RestoreRefused):
    """API keys would not be valid any more."""

    def __init__(self, *, is_kept: bool) -> None:
        super().__init__("the backup's API keys are hashed under another key than this gateway's")
        self.remedy = (
            "Set ISOBATH_GATEWAY_KEY_HASH_FILE to a copy of the backup's file key_hash."
            if is_kept
            else "Set ISOBATH_GATEWAY_KEY_HASH to what it was where the backup was made."
        )


async def check(source: Path) -> Archive:
    """Whether a backup is whole, and is what was written. Raises `ArchiveUnusable`,
    `RestoreRefused`."""
    archive = await asyncio.to_thread(archives.found, source)
    if archive.told.get("what") != "gateway":
        raise NotThisService(archive)
    await asyncio.to_thread(archive.verify)
    if not migrations.is_known(database.MIGRATIONS, archive.told["revision"]):
        raise BackupIsNewer(archive.told["revision"])
    return archive


async def restore(settings: Settings, source: Path) -> Made:
    """Files, then all rows in one transaction, then what was migrated since. One that was cut off
    may be repeated. Raises `ArchiveUnusable`, `RestoreRefused`, `FilesLost`."""
    archive = await check(source)
    revision = archive.told["revision"]
    home = folder(settings.home)
    _require_key(archive, settings, home)
    async with (
        database.unmigrated(database_url(settings)) as rows,
        place.opened(settings.files, home, settings.upload_bytes) as store,
    ):
        await _require_empty(rows, store, archive)
        await migrations.migrate(rows.engine, database.MIGRATIONS, revision)
        made = await _files(archive, store)
        async with rows.engine.begin() as connection:
            await copies.loaded(connection, archive, archive.told["tables"])
        _keep_key(archive, settings, home)
        await migrations.migrate(rows.engine, database.MIGRATIONS)
        await _forget_deleted(rows, archive)
    made.rows = sum(table["rows"] for table in archive.told["tables"].values())
    made.lost = archive.told["lost"]
    return made


def _require_key(archive: Archive, settings: Settings, home: Path) -> None:
    is_kept = KEY in archive.entries
    if settings.key_hash is None and not (home / KEY_FILE).exists():
        if not is_kept:
            raise KeyDiffers(is_kept=False)
        return
    if fingerprint(hash_key(settings.key_hash, home)) != archive.told[KEY]:
        raise KeyDiffers(is_kept=is_kept)


def _keep_key(archive: Archive, settings: Settings, home: Path) -> None:
    """In a home that has none of its own, and is told none."""
    path = home / KEY_FILE
    if settings.key_hash is None and not path.exists():
        key = read_key((archive.folder / KEY).read_text())
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(key)


async def _require_empty(rows: Database, store: ByteStore, archive: Archive) -> None:
    found = await migrations.revision(rows.engine)
    async with rows.engine.connect() as connection:
        is_empty = await copies.are_empty(connection)
    # a schema without rows is what a restore leaves that was cut off
    if not is_empty or found not in ("", archive.told["revision"]):
        raise NotEmpty("database")
    if not archive.told["has_files"]:
        return
    async for each in store.kept():
        if f"{FILES}/{each.name.removesuffix('.part')}" not in archive.entries:
            raise NotEmpty("store of files")


async def _files(archive: Archive, store: ByteStore) -> Made:
    made = Made()
    for name, entry in archive.entries.items():
        if name.startswith(f"{FILES}/"):
            id = name.removeprefix(f"{FILES}/")
            # of a restore that was cut off
            await store.delete(id)
            await store.write(id, _pieces(archive, name))
            made.files += 1
            made.size_bytes += entry.size_bytes
    return made


async def _pieces(archive: Archive, name: str) -> AsyncIterator[bytes]:
    pieces = archive.read(name)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


async def _forget_deleted(rows: Database, archive: Archive) -> None:
    """Files that were deleted while the backup was made, between their rows and their bytes."""
    ids: list[str] = archive.told["deleted"]
    async with rows.begin() as session:
        for at in range(0, len(ids), 500):
            await session.execute(delete(FileRow).where(FileRow.id.in_(ids[at : at + 500])))
