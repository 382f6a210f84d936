"""Connections to sources: a bounded pool for each (source, version), a bounded number of pools."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg

from connectorkit.access import Gate
from connectorkit.refusals import RevokedGrant
from grants.claims import Grant
from servicekit import logs
from servicekit.shares import share
from services.pg_connector import metrics
from services.pg_connector.connecting import connect
from services.pg_connector.errors import AuthenticationFailed, QueryTimeout
from services.pg_connector.faults import Doing, translating
from services.pg_connector.places import Place, place_of
from services.pg_connector.securing import Login, login_of
from services.pg_connector.settings import Settings
from services.pg_connector.traced import statement
from services.pg_connector.turns import Turns

T = TypeVar("T")
_log = logs.get(__name__)
# A reset or a close of a healthy connection takes far less.
_RELEASE_S = 5.0
# Whether a connection that nobody used for so long still lives is asked first.
_RESTED_S = 1.0
_ANSWER_S = 2.0
_NOBODY = Login()


@dataclass(frozen=True)
class _Key:
    owner: str
    source_id: str
    version: int
    place: Place

    def precedes(self, other: "_Key") -> bool:
        """Whether the source was changed since."""
        same = (self.owner, self.source_id) == (other.owner, other.source_id)
        return same and self.version < other.version


@dataclass(eq=False)
class _Pool:
    """Connections that one login made. A later login of the same source has a pool of its own, and
    this one is closed when its last statement has ended."""

    place: Place
    login: Login = _NOBODY
    source_id: str = ""
    connections: "asyncpg.Pool[Any] | None" = None
    users: int = 0
    last_used: float = 0.0
    revoked: bool = False
    retired: bool = False
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def opened(self) -> "asyncpg.Pool[Any]":
        assert self.connections is not None
        return self.connections


class Held:
    """One connection, lent to one call."""

    def __init__(self, pool: _Pool, connection: Any) -> None:
        self.connection = connection
        self._pool = pool

    @property
    def place(self) -> Place:
        return self._pool.place

    async def run(self, work: Awaitable[T], doing: Doing, timeout_s: float | None = None) -> T:
        """Awaits what is done on the connection. Cancelling it stops the statement at the server,
        and so does a revocation of the source: RevokedGrant. Raises PgFault."""
        task = asyncio.current_task()
        assert task is not None
        try:
            with self._noted(task):
                async with asyncio.timeout(timeout_s):
                    with translating(doing):
                        return await work
        except TimeoutError as exc:
            raise QueryTimeout(doing.timeout_s) from exc
        except asyncio.CancelledError as exc:
            if not self._pool.revoked:
                raise
            task.uncancel()
            raise RevokedGrant("the source was withdrawn while it was read") from exc
        except Exception as exc:
            if self._pool.revoked:
                raise RevokedGrant("the source was withdrawn while it was read") from exc
            raise

    def _noted(self, task: "asyncio.Task[Any]") -> "_Noted":
        return _Noted(self._pool, task)


class _Noted:
    """Within it the pool may cancel the task."""

    def __init__(self, pool: _Pool, task: "asyncio.Task[Any]") -> None:
        self._pool, self._task = pool, task

    def __enter__(self) -> None:
        self._pool.tasks.add(self._task)

    def __exit__(self, *_: object) -> None:
        self._pool.tasks.discard(self._task)


class Pools:
    """`async with Pools(gate, settings) as pools: async with pools.held(grant) as held: …`"""

    def __init__(
        self, gate: Gate, settings: Settings, clock: Callable[[], float] | None = None
    ) -> None:
        self._gate, self._settings = gate, settings
        self._clock = clock or asyncio.get_running_loop().time
        self._turns = Turns(
            settings.pool_size, settings.connections, timeout_s=settings.acquire_timeout_s
        )
        self._pools: dict[_Key, _Pool] = {}
        self._retired: set[_Pool] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        metrics.tell_pools(
            pools=lambda: len(self._pools),
            used=lambda: sum(size - idle for size, idle in self._sizes()),
            idle=lambda: sum(idle for _, idle in self._sizes()),
            most=settings.connections,
        )

    async def __aenter__(self) -> Self:
        self._gate.on_close(self._revoke)
        sweeping = asyncio.create_task(self._sweep(), name="close idle pools")
        self._stack.push_async_callback(self._close_all)
        self._stack.push_async_callback(_stopped, sweeping)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def share(self, replicas: int) -> None:
        """How many replicas the limits are for. Connections that are above this one's share are
        closed, those that nobody uses at once, and the others when they come back."""
        each = share(self._settings.pool_size, replicas)
        self._turns.resize(each, share(self._settings.connections, replicas))
        for pool in self._pools.values():
            task = asyncio.create_task(self._shrink(pool), name="shrink pool")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _shrink(self, pool: _Pool) -> None:
        opened = pool.connections
        while opened and opened.get_idle_size() and opened.get_size() > self._turns.each:
            await self._closed(await opened.acquire())

    async def _closed(self, connection: Any) -> None:
        """One that is closed comes back to its pool by itself."""
        try:
            await connection.close(timeout=_RELEASE_S)
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection.terminate()

    @property
    def opened(self) -> int:
        """Sources with a pool."""
        return len(self._pools)

    def _sizes(self) -> list[tuple[int, int]]:
        """Connections of each pool, and how many of them are idle."""
        every = (*tuple(self._pools.values()), *tuple(self._retired))
        opened = (pool.connections for pool in every if pool.connections is not None)
        return [(each.get_size(), each.get_idle_size()) for each in opened]

    @asynccontextmanager
    async def held(self, grant: Grant, *, spare: bool = False) -> AsyncIterator[Held]:
        """A connection for one call: fresh or reset, and reset again or closed on leaving. `spare`
        = only one that nobody waits for, at once.

        Raises PoolBusy, SourceFault, and what gate.secrets raises.
        """
        place = place_of(grant.config)
        key = _Key(grant.owner, grant.source_id, grant.source_version, place)
        async with self._turns.turn(key, place.source, spare=spare):
            pool, connection = await self._entered(key, grant)
            try:
                yield Held(pool, connection)
            finally:
                try:
                    await self._release(pool, connection)
                finally:
                    self._left(pool)

    async def _entered(self, key: _Key, grant: Grant) -> tuple[_Pool, Any]:
        """A login that is refused may have been replaced since it was redeemed."""
        fields = await self._gate.secrets(grant)
        try:
            return await self._lent(key, login_of(fields))
        except AuthenticationFailed:
            others = await self._gate.other_secrets(grant, fields)
            if others == fields:
                raise
            return await self._lent(key, login_of(others))

    async def _lent(self, key: _Key, login: Login) -> tuple[_Pool, Any]:
        pool = self._pool(key, login)
        pool.users += 1
        try:
            if pool.connections is None:
                pool.connections = self._new(pool)
            with translating(pool.place.doing()):
                await pool.opened()
                return pool, await self._awake(pool)
        except BaseException:
            self._left(pool)
            raise

    async def _awake(self, pool: _Pool) -> Any:
        """What rested may have died unheard, with its server or by a firewall: then others, too."""
        rested = self._clock() - pool.last_used >= _RESTED_S
        connection = await pool.opened().acquire()
        try:
            if not rested or await _answers(connection):
                return connection
        except BaseException:
            connection.terminate()
            raise
        connection.terminate()
        await pool.opened().expire_connections()
        return await pool.opened().acquire()

    def _left(self, pool: _Pool) -> None:
        pool.users -= 1
        pool.last_used = self._clock()
        if pool.retired and not pool.users:
            self._close_soon(pool)
        self._make_room()

    async def _release(self, pool: _Pool, connection: Any) -> None:
        """A connection that does not come clean is closed; nobody's answer depends on that."""
        if pool.opened().get_size() > self._turns.each:
            # the share has shrunk while it was lent
            await self._closed(connection)
            return
        try:
            await pool.opened().release(connection, timeout=_RELEASE_S)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
            _log.info("connection_dropped", source=pool.place.source, why=type(exc).__name__)

    def _pool(self, key: _Key, login: Login) -> _Pool:
        pool = self._pools.get(key)
        if pool is not None and pool.login == login:
            return pool
        for old in [each for each in self._pools if each == key or each.precedes(key)]:
            self._retire(old)
        place = key.place.entered_by(login.user)
        pool = _Pool(place, login, key.source_id, last_used=self._clock())
        self._pools[key] = pool
        return pool

    def _retire(self, key: _Key) -> None:
        pool = self._pools.pop(key)
        pool.retired = True
        self._retired.add(pool)
        if not pool.users:
            self._close_soon(pool)

    def _new(self, pool: _Pool) -> "asyncpg.Pool[Any]":
        async def connected(*_: Any, **given: Any) -> Any:
            with statement(pool.place, "CONNECT"):
                return await connect(pool.place, pool.login, self._settings, **given)

        return asyncpg.create_pool(
            min_size=0,
            max_size=self._settings.pool_size,
            max_inactive_connection_lifetime=self._settings.idle_s,
            connect=connected,
            reset=_left if pool.place.pgbouncer else _reset,
        )

    def _make_room(self) -> None:
        """Of more sources than are kept open those go first that rested longest."""
        idle = [key for key, pool in self._pools.items() if not pool.users]
        idle.sort(key=lambda key: self._pools[key].last_used)
        for key in idle[: max(0, len(self._pools) - self._settings.pools)]:
            self._retire(key)

    async def close(self, source_id: str) -> int:
        """Closes the unused connections of a source; those in use are closed when they come back.
        How many were closed at once."""
        pools = self._of(source_id)
        closed = sum(pool.opened().get_idle_size() for pool in pools if pool.connections)
        for key in [key for key in self._pools if key.source_id == source_id]:
            self._retire(key)
        for pool in pools:
            if pool.connections and pool.users:
                await pool.connections.expire_connections()
        await asyncio.gather(*self._closing)
        return closed

    async def _revoke(self, source_id: str) -> None:
        """Stops what runs on the source's connections, and closes them all."""
        pools = self._of(source_id)
        for key in [key for key in self._pools if key.source_id == source_id]:
            del self._pools[key]
        for pool in pools:
            pool.revoked = True
            for task in tuple(pool.tasks):
                task.cancel()
            await self._close(pool)
            _log.info("pool_revoked", source_id=source_id)

    def _of(self, source_id: str) -> list[_Pool]:
        every = (*self._pools.values(), *self._retired)
        return [pool for pool in every if pool.source_id == source_id]

    def _close_soon(self, pool: _Pool) -> None:
        """In the background: whoever used it last must not wait, nor leave it open if he goes."""
        task = asyncio.create_task(self._close(pool), name="close pool")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, pool: _Pool) -> None:
        self._retired.discard(pool)
        if pool.connections is None:
            return
        try:
            async with asyncio.timeout(_RELEASE_S):
                await pool.connections.close()
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            pool.connections.terminate()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(self._settings.idle_s, 30.0))
            oldest = self._clock() - self._settings.idle_s
            for key, pool in tuple(self._pools.items()):
                if not pool.users and pool.last_used < oldest:
                    self._retire(key)

    async def _close_all(self) -> None:
        for pool in (*self._pools.values(), *self._retired):
            await self._close(pool)
        self._pools.clear()
        await asyncio.gather(*self._closing)


async def _answers(connection: Any) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_S):
            # an empty statement makes asyncpg fail
            await connection.execute("SELECT 1")
    except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


async def _reset(connection: Any) -> None:
    """Nothing that one call left is there for the next: settings, cursors, temporary tables."""
    await connection.execute("DISCARD ALL")


async def _left(_: Any) -> None:
    """Behind a pooler the transaction was all there was."""


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
