"""What the service keeps, and where: by itself a SQLite file, worked on by one thread."""

import asyncio
import os
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

from servicekit.limits import Limiter
from servicekit.sql import Signals
from services.credentials.errors import StoreDamaged, StoreUnusable
from services.credentials.home import Home
from services.credentials.keys import Keys, OwnKeys
from services.credentials.sealing import Seal

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lid (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS secrets (
    source_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS signing_keys (
    key_id TEXT PRIMARY KEY,
    active_from TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS revocations (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT;
CREATE TABLE IF NOT EXISTS spent (
    grant_id TEXT PRIMARY KEY,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS declared (
    source_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS leases (
    lease_id TEXT PRIMARY KEY,
    source_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    given_up INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY, line TEXT NOT NULL) STRICT;
"""
# table and primary key of all that is sealed
SEALED = (("lid", "name"), ("secrets", "source_id"), ("signing_keys", "key_id"))
LID = ("lid", "store")

Row = tuple[Any, ...]


class Rows(Protocol):
    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Row | None: ...
    def fetchall(self) -> list[Row]: ...
    def __iter__(self) -> Iterator[Row]: ...


class Db(Protocol):
    """A connection within a transaction. Statements are what SQLite and PostgreSQL both take, with
    question marks for values."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows: ...
    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object: ...
    def tell(self, channel: str, payload: str) -> None:
        """The other replicas, when this is committed."""


Work = Callable[[Db, Seal], T]


class Store(Protocol):
    """Work is given as `fn(db, seal)` and runs in one transaction: all of it or nothing."""

    @property
    def signals(self) -> Signals | None:
        """What other replicas tell; None where there are none."""

    async def run(self, work: Work[T], lock: str = "") -> T:
        """No two works under one lock run at once. Raises StoreAway."""

    def alone(self, lock: str) -> AbstractAsyncContextManager[None]:
        """While nobody else is in a block of that name; works in it have their own transactions."""

    async def reseal(self) -> int:
        """Encrypts everything under a new key, or under the first of those that were configured.
        Returns how many secrets that were."""


class FileDb:
    """SQLite's own connection; there is nobody else to tell."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self.executemany = connection.executemany

    def tell(self, channel: str, payload: str) -> None:
        """Of what this one process did it knows."""


class FileStore:
    """Every work has the file for itself, whatever its lock."""

    signals: Signals | None = None

    def __init__(
        self,
        threads: Limiter,
        connection: sqlite3.Connection,
        seal: Seal,
        keys: Keys,
    ) -> None:
        self._threads = threads
        self._connection = connection
        self._seal = seal
        self._keys = keys
        self._alone: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, work: Work[T], lock: str = "") -> T:
        return await self._threads.run(self._run, work)

    def alone(self, lock: str) -> AbstractAsyncContextManager[None]:
        return self._alone[lock]

    async def reseal(self) -> int:
        """Encrypts everything under a new key, or under the first of those that were configured.
        Returns how many secrets that were."""
        return await self._threads.run(self._reseal)

    def _run(self, work: Work[T]) -> T:
        with _transaction(self._connection) as connection:
            return work(FileDb(connection), self._seal)

    def _reseal(self) -> int:
        count = self._renew_all(Seal(self._keys.begin()))
        self._seal = Seal(self._keys.finish())
        return count

    def _renew_all(self, seal: Seal) -> int:
        with _transaction(self._connection) as connection:
            counts = [_renew(connection, seal, *table) for table in SEALED]
        self._seal = seal
        return counts[1]


@asynccontextmanager
async def opened(home: Home, keys: Keys | None = None) -> AsyncIterator[FileStore]:
    """The store of a folder, made when it is not there, with a key of its own when none is given.
    Raises StoreUnusable."""
    keys = keys or OwnKeys(home)
    async with Limiter("credentials-store", 1) as threads:
        await threads.run(home.prepare)
        with home.held():
            seal = Seal(await threads.run(keys.held))
            connection = await threads.run(_connect, home, seal)
            try:
                yield FileStore(threads, connection, seal, keys)
            finally:
                await threads.run(connection.close)


def _connect(home: Home, seal: Seal) -> sqlite3.Connection:
    # SQLite gives its journals the mode of the file, so the file is made first, closed to others.
    os.close(os.open(home.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        connection = sqlite3.connect(home.database, isolation_level=None)
    except sqlite3.Error as exc:
        raise StoreUnusable(f"{home.database} cannot be opened: {exc}") from exc
    try:
        _prepare(connection, home, seal)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, home: Home, seal: Seal) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(_SCHEMA)
        with _transaction(connection):
            _require_right_key(connection, seal)
    except StoreDamaged as exc:
        raise StoreUnusable(f"the key given does not open {home.database}") from exc
    except sqlite3.Error as exc:
        raise StoreUnusable(f"{home.database} is no store of this service: {exc}") from exc


def _require_right_key(connection: sqlite3.Connection, seal: Seal) -> None:
    row = connection.execute("SELECT sealed FROM lid WHERE name = 'store'").fetchone()
    if row is None:
        connection.execute("INSERT INTO lid VALUES ('store', ?)", (seal.close(LID, 1),))
    else:
        seal.open(LID, row[0])


def _renew(connection: sqlite3.Connection, seal: Seal, table: str, key: str) -> int:
    rows = connection.execute(f"SELECT {key}, sealed FROM {table}").fetchall()  # noqa: S608
    connection.executemany(
        f"UPDATE {table} SET sealed = ? WHERE {key} = ?",  # noqa: S608
        [(seal.renew(sealed), name) for name, sealed in rows],
    )
    return len(rows)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
