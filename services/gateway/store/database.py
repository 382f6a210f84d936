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
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _tune_sqlite)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
        yield Database(engine)
    finally:
        await engine.dispose()


def _tune_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # readers beside one writer; a writer waits for its turn instead of failing
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
