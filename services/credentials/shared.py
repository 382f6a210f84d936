"""The store on PostgreSQL, which several replicas of the service share.

What `Store.run` is given runs in a transaction that sees what others have committed. Where two of a
kind must not cross, they name a lock. Every transaction holds the seal's lock shared, and a change
of the key holds it alone: so nothing is sealed under a key that is being forgotten."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from servicekit.secrets import Secret
from servicekit.sql import Database, Signals
from servicekit.sql import opened as database_opened
from services.credentials.clock import Clock
from services.credentials.errors import StoreAway, StoreDamaged, StoreUnusable
from services.credentials.keys import KeysOf
from services.credentials.sealing import Seal
from services.credentials.store import LID, SEALED, Row, Work

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
# the locks of this service in its database
_AREA = zlib.crc32(b"isobath credentials") - 2**31
_SEAL = 0
_SET_LID = (
    "INSERT INTO lid VALUES ('store', ?) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed"
)
_KEEP = "INSERT INTO keys VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET content = excluded.content"


class _Rows:
    def __init__(self, result: CursorResult[Any]) -> None:
        self._result = result
        self.rowcount = result.rowcount

    def fetchone(self) -> Row | None:
        found = self._result.fetchone()
        return None if found is None else tuple(found)

    def fetchall(self) -> list[Row]:
        return [tuple(row) for row in self._result.fetchall()]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.fetchall())


class _Connected:
    """A connection as work knows it: values stand for question marks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.told: list[tuple[str, str]] = []

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> _Rows:
        return _Rows(self._connection.exec_driver_sql(_numbered(statement), tuple(values)))

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object:
        if every := [tuple(row) for row in rows]:
            self._connection.exec_driver_sql(_numbered(statement), every)
        return None

    def tell(self, channel: str, payload: str) -> None:
        self.told.append((channel, payload))


class _Drawer:
    """What an embedded store has in files beside it, as the database has it."""

    def __init__(self, contents: dict[str, bytes], *, is_new: bool) -> None:
        self._contents, self._is_new = contents, is_new
        self.changed: dict[str, bytes] = {}

    def kept(self, name: str) -> bytes | None:
        return self._contents.get(name)

    def keep(self, name: str, content: bytes) -> None:
        self._contents[name] = self.changed[name] = content

    def require_new(self, name: str) -> None:
        if not self._is_new:
            raise StoreUnusable(
                f"the database has a store, but not its {name}: set KEY, PASSPHRASE or "
                "VAULT_TRANSIT_KEY to what it was made with"
            )


class SharedStore:
    """See services.credentials.store.Store."""

    def __init__(self, database: Database, keys_of: KeysOf, clock: Clock) -> None:
        self._database, self._keys_of, self._clock = database, keys_of, clock
        # the record that shows which key seals now, and the seal by that key
        self._lid = b""
        self._seal: Seal | None = None
        self._keys: tuple[Secret, ...] = ()

    @property
    def signals(self) -> Signals | None:
        return self._database.signals

    async def run(self, work: Work[T], lock: str = "", *, snapshot: bool = False) -> T:
        """`snapshot`: all that it reads is of one moment."""
        with _telling():
            async with self._database.begin() as session:
                if snapshot:
                    await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                await _lock(session, lock)
                seal = await self._current(session)
                connection = await session.connection()

                def working(on: Connection) -> tuple[T, list[tuple[str, str]]]:
                    db = _Connected(on)
                    return work(db, seal), db.told

                done, told = await connection.run_sync(working)
                for channel, payload in told:
                    assert self.signals is not None
                    await self.signals.tell(session, channel, payload)
                return done

    @asynccontextmanager
    async def alone(self, lock: str) -> AsyncIterator[None]:
        """While no other replica is in a block of that name."""
        with _telling():
            async with self._database.begin() as session:
                await session.execute(
                    text("SELECT pg_advisory_xact_lock(:area, :lock)"),
                    {"area": _AREA, "lock": _number(f"alone {lock}")},
                )
                yield

    async def reseal(self) -> int:
        with _telling():
            async with self._database.begin() as session:
                await _lock_seal(session)
                drawer = await _drawer(session)
                keys = self._keys_of(drawer)
                seal = Seal(await asyncio.to_thread(keys.begin))
                counts = [await _renew(session, seal, *table) for table in SEALED]
                held = await asyncio.to_thread(keys.finish)
                await _put_back(session, drawer)
        # which key that made the first is told by the lid, to all replicas alike
        self._keys, self._lid = held, b""
        return counts[1]

    async def open(self) -> None:
        """At the start, when the database may be new. Raises StoreUnusable."""
        async with self._database.begin() as session:
            await _lock_seal(session)
            lid, _ = await _read_lid(session)
            drawer = await _drawer(session, is_new=lid is None)
            self._keys = await asyncio.to_thread(self._keys_of(drawer).held)
            if lid is None:
                made = Seal(self._keys).close(LID, 1)
                connection = await session.connection()
                await connection.exec_driver_sql(_numbered(_SET_LID), (made,))
            await _put_back(session, drawer)
            try:
                await self._current(session)
            except StoreDamaged as exc:
                raise StoreUnusable("the key given does not open the store") from exc

    async def _current(self, session: AsyncSession) -> Seal:
        """The seal by the key that the lid is under, which is not always the first: all replicas
        seal under the same one, until one of them has sealed everything under another."""
        lid, now = await _read_lid(session)
        self._clock.heard(now)
        if lid is None:
            raise StoreDamaged("the store's lid")
        if lid == self._lid and self._seal is not None:
            return self._seal
        ordered = _ordered(self._keys, lid)
        if ordered is None:
            drawer = await _drawer(session)
            self._keys = await asyncio.to_thread(self._keys_of(drawer).held)
            ordered = _ordered(self._keys, lid)
        if ordered is None:
            raise StoreDamaged("the store's lid")
        self._lid, self._seal = lid, Seal(ordered)
        return self._seal


@asynccontextmanager
async def opened(url: Secret, keys_of: KeysOf, clock: Clock) -> AsyncIterator[SharedStore]:
    """The store in a database, made when it is not there. Raises StoreUnusable."""
    async with AsyncExitStack() as stack:
        try:
            database = await stack.enter_async_context(database_opened(url.reveal(), MIGRATIONS))
            store = SharedStore(database, keys_of, clock)
            await store.open()
        except (SQLAlchemyError, OSError) as exc:
            raise StoreUnusable(f"DATABASE_URL: the database cannot be used: {_why(exc)}") from exc
        yield store


@asynccontextmanager
async def reading(url: Secret, keys_of: KeysOf) -> AsyncIterator[SharedStore]:
    """One that is there, to look into beside the running services. Raises StoreUnusable."""
    try:
        async with database_opened(url.reveal(), connections=1) as database:
            yield SharedStore(database, keys_of, Clock())
    except (SQLAlchemyError, OSError, StoreAway) as exc:
        raise StoreUnusable(f"DATABASE_URL: the database cannot be read: {_why(exc)}") from exc


async def _lock(session: AsyncSession, lock: str) -> None:
    """The locks come before anything is looked at, for what is seen is of the time before that."""
    wanted = {"area": _AREA, "seal": _SEAL}
    query = "SELECT pg_advisory_xact_lock_shared(:area, :seal)"
    if lock:
        query += ", pg_advisory_xact_lock(:area, :lock)"
        wanted["lock"] = _number(lock)
    await session.execute(text(query), wanted)


async def _lock_seal(session: AsyncSession) -> None:
    await session.execute(
        text("SELECT pg_advisory_xact_lock(:area, :seal)"), {"area": _AREA, "seal": _SEAL}
    )


def _number(lock: str) -> int:
    """Of four bytes, as PostgreSQL's locks have them; two that fall together wait for each other
    now and then."""
    return zlib.crc32(lock.encode()) - 2**31


async def _read_lid(session: AsyncSession) -> tuple[bytes | None, datetime]:
    query = "SELECT (SELECT sealed FROM lid WHERE name = 'store'), clock_timestamp()"
    found: Any = (await session.execute(text(query))).one()
    lid, now = found
    return None if lid is None else bytes(lid), now


async def _drawer(session: AsyncSession, *, is_new: bool = False) -> _Drawer:
    rows = (await session.execute(text("SELECT name, content FROM keys"))).all()
    return _Drawer({name: bytes(content) for name, content in rows}, is_new=is_new)


async def _put_back(session: AsyncSession, drawer: _Drawer) -> None:
    connection = await session.connection()
    for kept in drawer.changed.items():
        await connection.exec_driver_sql(_numbered(_KEEP), kept)


async def _renew(session: AsyncSession, seal: Seal, table: str, key: str) -> int:
    connection = await session.connection()
    found = await connection.exec_driver_sql(f"SELECT {key}, sealed FROM {table}")  # noqa: S608
    rows: Any = found.fetchall()
    renewed = await asyncio.to_thread(
        lambda: [(seal.renew(bytes(sealed)), name) for name, sealed in rows]
    )
    if renewed:
        update = f"UPDATE {table} SET sealed = $1 WHERE {key} = $2"  # noqa: S608
        await connection.exec_driver_sql(update, renewed)
    return len(rows)


def _ordered(keys: Sequence[Secret], lid: bytes) -> list[Secret] | None:
    """The keys, the one that the lid is under first; None where none of them opens it."""
    for key in keys:
        try:
            Seal([key]).open(LID, lid)
        except StoreDamaged:
            continue
        return [key, *(other for other in keys if other is not key)]
    return None


def _numbered(statement: str) -> str:
    """$1, $2 … for question marks; none of our statements has one of its own."""
    numbers = iter(range(1, statement.count("?") + 1))
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement)


@contextmanager
def _telling() -> Iterator[None]:
    """A database that is away is a fault that passes; all else is ours."""
    try:
        yield
    except DBAPIError as exc:
        if exc.connection_invalidated or _is_away(exc):
            raise StoreAway(_why(exc)) from exc
        raise
    except (PoolTimeout, OSError) as exc:
        raise StoreAway(_why(exc)) from exc


def _is_away(exc: DBAPIError) -> bool:
    """Connection, resources, operator intervention: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
    state = str(getattr(exc.orig, "sqlstate", "") or "")
    return state[:2] in ("08", "53", "57") or state == "25006"


def _why(exc: BaseException) -> str:
    origin = getattr(exc, "orig", None) or exc
    return type(origin).__name__
