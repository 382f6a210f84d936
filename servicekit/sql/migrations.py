"""Alembic's migrations, forward only, beside processes that work on the same database."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from servicekit import logs

# what waits for a table's lock makes everybody else wait behind it, so it gives up early, and tries
# again between the others' transactions: for a minute and a half or so
LOCK_TIMEOUT_S = 2
_ATTEMPTS = 30
_PAUSE_S = 1.0
# how often one looks whether another process is done
_LOOK_S = 0.2
# lock_not_available
_TOOK_TOO_LONG = "55P03"
_log = logs.get(__name__)


class SchemaBehind(RuntimeError):
    """Nobody migrated in time."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(
            f"the schema is at {found or 'nothing'}, and nobody has brought it to {wanted}: "
            "run the migrations, or let services do so themselves (SCHEMA_WAIT_S = 0)"
        )


async def migrate(engine: AsyncEngine, folder: Path, to: str = "head") -> None:
    """Bring the schema to its newest form, or up to an earlier one. Several processes may do so at
    once: one works, the others wait and find it done. A form that a later version made stays as it
    is."""
    if engine.dialect.name != "postgresql":
        if await _is_ours(engine, folder):
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade, folder, to)
        return
    async with _alone(engine, f"migrations of {folder.parent.parent.name}"):
        if await _is_ours(engine, folder):
            await _between_others(engine, folder, to)


async def awaited(engine: AsyncEngine, folder: Path, within_s: float) -> None:
    """Until another process has brought the schema to its newest form. Raises `SchemaBehind`."""
    try:
        async with asyncio.timeout(within_s):
            while await is_behind(engine, folder):
                _log.info("schema_is_awaited", newest=newest(folder))
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise SchemaBehind(await revision(engine), newest(folder)) from None


async def is_behind(engine: AsyncEngine, folder: Path) -> bool:
    """Whether it lacks a migration of this version; one of a later version does not."""
    found = await revision(engine)
    return found != newest(folder) and await _is_ours(engine, folder)


async def revision(engine: AsyncEngine) -> str:
    """What the schema's form is called; "" before the first migration."""
    async with engine.connect() as connection:
        return await connection.run_sync(_revision)


def is_known(folder: Path, form: str) -> bool:
    """Whether this version can make the schema's form of that name."""
    try:
        return ScriptDirectory.from_config(config(folder)).get_revision(form) is not None
    except CommandError:
        return False


def newest(folder: Path) -> str:
    """What the newest form is called."""
    return ScriptDirectory.from_config(config(folder)).get_current_head() or ""


def _revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


async def _between_others(engine: AsyncEngine, folder: Path, to: str) -> None:
    for attempt in range(1, _ATTEMPTS):
        try:
            await _upgrade_postgresql(engine, folder, to)
        except DBAPIError as error:
            if _sqlstate(error) != _TOOK_TOO_LONG:
                raise
            _log.warning("migration_waits", attempt=attempt)
            await asyncio.sleep(_PAUSE_S)
        else:
            return
    await _upgrade_postgresql(engine, folder, to)


async def _upgrade_postgresql(engine: AsyncEngine, folder: Path, to: str) -> None:
    # without a transaction around it: each migration has its own, or for an index that is made
    # CONCURRENTLY, none
    async with engine.connect() as connection:
        await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        await connection.commit()
        try:
            await connection.run_sync(_upgrade, folder, to)
        finally:
            # the setting is the session's, so that is not for the pool
            await connection.invalidate()


def _upgrade(connection: Connection, folder: Path, to: str) -> None:
    told = config(folder)
    told.attributes["connection"] = connection
    command.upgrade(told, to)


async def _is_ours(engine: AsyncEngine, folder: Path) -> bool:
    """Not where a later version has been: what it added is in nobody's way."""
    found = await revision(engine)
    if found and not is_known(folder, found):
        _log.warning("schema_is_newer", revision=found)
        return False
    return True


def config(folder: Path) -> Config:
    """Alembic's, for the migrations of that folder."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


@asynccontextmanager
async def _alone(engine: AsyncEngine, name: str) -> AsyncIterator[None]:
    """While this process holds the lock of that name. Who waits for it asks again and again instead
    of waiting in the server: an index that is made CONCURRENTLY would wait for that statement."""
    key = zlib.crc32(name.encode())
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while not await _took(connection, key):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        try:
            yield
        finally:
            # ends the session, and its locks with it
            await connection.invalidate()


async def _took(connection: AsyncConnection, key: int) -> bool:
    return bool(await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")
