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
from services.pg_connector.connecting import connect
from services.pg_connector.errors import PoolBusy, QueryTimeout
from services.pg_connector.faults import Doing, translating
from services.pg_connector.places import Place, place_of
from services.pg_connector.securing import Login, login_of
from services.pg_connector.settings import Settings

T = TypeVar("T")
_log = logs.get(__name__)
# A reset or a close of a healthy connection takes far less.
_RELEASE_S = 5.0
_NOBODY = Login()


@dataclass(frozen=True)
class _Key:
    owner: str
    source_id: str
    version: int
    place: Place


@dataclass(eq=False)
class _Pool:
    place: Place
    login: Login = _NOBODY
    connections: "asyncpg.Pool[Any] | None" = None
    users: int = 0
    last_used: float = 0.0
    revoked: bool = False
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def opened(self) -> "asyncpg.Pool[Any]":
        assert self.connections is not None
        return self.connections

    @property
    def free(self) -> int:
        """Connections that nobody uses, open or not."""
        connections = self.opened()
        used = connections.get_size() - connections.get_idle_size()
        return int(connections.get_max_size() - used)


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
        self._pools: dict[_Key, _Pool] = {}
        self._stack = AsyncExitStack()

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

    @property
    def opened(self) -> int:
        """Sources with a pool."""
        return len(self._pools)

    @asynccontextmanager
    async def held(self, grant: Grant, *, spare: bool = False) -> AsyncIterator[Held]:
        """A connection for one call: fresh or reset, and reset again or closed on leaving. `spare`
        = only one that nobody waits for, at once.

        Raises PoolBusy, SourceFault, and what gate.secrets raises.
        """
        place = place_of(grant.config)
        login = login_of(await self._gate.secrets(grant))
        pool = await self._pool(_Key(grant.owner, grant.source_id, grant.source_version, place))
        pool.login = login
        if spare and not pool.free:
            raise PoolBusy(f"all connections to {place.source} are in use")
        pool.users += 1
        try:
            connection = await self._acquire(pool)
            try:
                yield Held(pool, connection)
            finally:
                await self._release(pool, connection)
        finally:
            pool.users -= 1
            pool.last_used = self._clock()

    async def _acquire(self, pool: _Pool) -> Any:
        with translating(pool.place.doing()):
            try:
                async with asyncio.timeout(self._settings.acquire_timeout_s) as waiting:
                    return await pool.opened().acquire()
            except TimeoutError as exc:
                if not waiting.expired():
                    raise
                raise PoolBusy(f"all connections to {pool.place.source} are in use") from exc

    async def _release(self, pool: _Pool, connection: Any) -> None:
        """A connection that does not come clean is closed; nobody's answer depends on that."""
        try:
            await pool.opened().release(connection, timeout=_RELEASE_S)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
            _log.info("connection_dropped", source=pool.place.source, why=type(exc).__name__)

    async def _pool(self, key: _Key) -> _Pool:
        pool = self._pools.get(key)
        if pool is not None:
            return pool
        await self._make_room()
        pool = self._pools.setdefault(key, _Pool(key.place, last_used=self._clock()))
        if pool.connections is None:
            pool.connections = self._new(pool)
            await pool.connections
        return pool

    def _new(self, pool: _Pool) -> "asyncpg.Pool[Any]":
        async def connected(*_: Any, **given: Any) -> Any:
            return await connect(pool.place, pool.login, self._settings, **given)

        return asyncpg.create_pool(
            min_size=0,
            max_size=self._settings.pool_size,
            max_inactive_connection_lifetime=self._settings.idle_s,
            connect=connected,
            reset=_left if pool.place.pgbouncer else _reset,
        )

    async def _make_room(self) -> None:
        if len(self._pools) < self._settings.pools:
            return
        idle = [key for key, pool in self._pools.items() if not pool.users]
        if not idle:
            raise PoolBusy("connections to too many sources are in use")
        await self._close(min(idle, key=lambda key: self._pools[key].last_used))

    async def close(self, source_id: str) -> int:
        """Closes the unused connections of a source; those in use are closed when they come back.
        How many were closed at once."""
        closed = 0
        for key in [key for key in self._pools if key.source_id == source_id]:
            pool = self._pools[key]
            closed += pool.opened().get_idle_size()
            if pool.users:
                await pool.opened().expire_connections()
            else:
                await self._close(key)
        return closed

    async def _revoke(self, source_id: str) -> None:
        """Stops what runs on the source's connections, and closes them all."""
        for key in [key for key in self._pools if key.source_id == source_id]:
            self._pools[key].revoked = True
            for task in tuple(self._pools[key].tasks):
                task.cancel()
            await self._close(key)
            _log.info("pool_revoked", source_id=source_id)

    async def _close(self, key: _Key) -> None:
        pool = self._pools.pop(key, None)
        if pool is None or pool.connections is None:
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
                    await self._close(key)

    async def _close_all(self) -> None:
        for key in tuple(self._pools):
            await self._close(key)


async def _reset(connection: Any) -> None:
    """Nothing that one call left is there for the next: settings, cursors, temporary tables."""
    await connection.execute("DISCARD ALL")


async def _left(_: Any) -> None:
    """Behind a pooler the transaction was all there was."""


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
