"""The database: an engine, its migrations, and transactions."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Sessions on one engine. `async with database.begin() as session` commits at its end."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session in a transaction; an exception rolls it back."""
        return self._sessions.begin()


def migrate(connection: Connection) -> None:
    """Bring the schema to its newest form."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """An open database with its schema up to date; closed on leaving."""
    engine = _engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
        yield Database(engine)
    finally:
        await engine.dispose()


def _engine(url: str) -> AsyncEngine:
    if not url.startswith("sqlite"):
        return create_async_engine(url)
    # SQLite takes one writer at a time, and tells a transaction that read before another one wrote
    # that it is "locked", without waiting: so transactions queue here, for the one connection
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=60)
    event.listen(engine.sync_engine, "connect", _tune_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    """Take the writer's place at once, in its turn after those of other processes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _tune_sqlite(connection: Any, _: object) -> None:
    # the driver's own implicit BEGIN would be a deferred one
    connection.isolation_level = None
    cursor = connection.cursor()
    # readers beside one writer; a writer waits for its turn instead of failing
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
