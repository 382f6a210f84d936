"""The database: an engine, and transactions."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from servicekit.sql.migrations import awaited, migrate
from servicekit.sql.signals import Local, Notified, Signals
from servicekit.sql.sqlite import INCREMENTAL
from servicekit.sql.traced import trace

# of one process at once; PostgreSQL has 100 for everybody unless it is told otherwise
CONNECTIONS = 10


class Database:
    """Sessions on one engine. `async with database.begin() as session` commits at its end."""

    def __init__(self, engine: AsyncEngine, signals: Signals) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        # what processes on the same database tell each other
        self.signals = signals

    @property
    def is_postgresql(self) -> bool:
        """Otherwise it is SQLite, which is one process's own."""
        return is_postgresql(self._engine)

    @property
    def engine(self) -> AsyncEngine:
        """For what goes around a transaction."""
        return self._engine

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session in a transaction; an exception rolls it back."""
        return self._sessions.begin()


@asynccontextmanager
async def opened(
    url: str,
    migrations: Path | None = None,
    *,
    connections: int = CONNECTIONS,
    schema_wait_s: float = 0.0,
) -> AsyncIterator[Database]:
    """An open database; closed on leaving. With `migrations`, a folder of Alembic's, its schema is
    brought up to date, by one process at a time; or where another one does that, waited for, for
    `schema_wait_s`. Raises `SchemaBehind`."""
    engine = _engine(url, connections)
    trace(engine)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        if migrations is not None and schema_wait_s:
            await awaited(engine, migrations, schema_wait_s)
        elif migrations is not None:
            await migrate(engine, migrations)
        signals: Signals = Local()
        if is_postgresql(engine):
            signals = await stack.enter_async_context(Notified(_arguments(engine)))
        yield Database(engine, signals)


def is_postgresql(engine: AsyncEngine) -> bool:
    return engine.dialect.name == "postgresql"


def _arguments(engine: AsyncEngine) -> dict[str, Any]:
    """What asyncpg connects with."""
    _, arguments = engine.dialect.create_connect_args(engine.url)
    return {key: value for key, value in arguments.items() if not key.startswith("prepared_")}


def _engine(url: str, connections: int) -> AsyncEngine:
    if not url.startswith("sqlite"):
        # a server that was restarted meanwhile costs nobody a transaction
        return create_async_engine(
            url, pool_size=connections, max_overflow=0, pool_timeout=60, pool_pre_ping=True
        )
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
    # of a new database: what is deleted can be given back to the disk, see `sqlite.tidied`. Before
    # the first page is written, as the next statement does
    cursor.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
    # readers beside one writer; a writer waits for its turn instead of failing
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
