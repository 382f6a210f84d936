"""A transaction that only reads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg

from servicekit import logs
from services.pg_connector.faults import Doing
from services.pg_connector.pools import Held

T = TypeVar("T")
_log = logs.get(__name__)
_ROLLBACK_S = 5.0

# The first query of the transaction takes its snapshot: from then on the server refuses to make it
# READ WRITE. The rest is how texts are written, whatever the database or the role say.
_SETUP = """
SELECT pg_catalog.set_config('statement_timeout', $1, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true),
       pg_catalog.set_config('TimeZone', 'UTC', true),
       pg_catalog.set_config('DateStyle', 'ISO, YMD', true),
       pg_catalog.set_config('IntervalStyle', 'postgres', true),
       pg_catalog.set_config('bytea_output', 'hex', true),
       pg_catalog.set_config('extra_float_digits', '1', true),
       pg_catalog.set_config('standard_conforming_strings', 'on', true)
"""


class Reading:
    """What is read in one transaction, by one deadline."""

    def __init__(self, held: Held, timeout_s: float) -> None:
        self.held = held
        self.timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + timeout_s

    @property
    def connection(self) -> Any:
        return self.held.connection

    def doing(self, **more: Any) -> Doing:
        return self.held.place.doing(timeout_s=self.timeout_s, **more)

    async def run(self, work: Awaitable[T], doing: Doing | None = None) -> T:
        """Raises PgFault, RevokedGrant; QueryTimeout once the deadline has passed."""
        left = self._until - self._loop.time()
        return await self.held.run(work, doing or self.doing(), max(left, 0.001))

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """For our own statements."""
        rows: list[Any] = await self.run(self.connection.fetch(sql, *args))
        return rows


@asynccontextmanager
async def reading(held: Held, timeout_s: float) -> AsyncIterator[Reading]:
    """READ ONLY, REPEATABLE READ, snapshot taken; always rolled back. Raises PgFault."""
    transaction = held.connection.transaction(isolation="repeatable_read", readonly=True)
    work = Reading(held, timeout_s)
    await work.run(transaction.start())
    try:
        # the server gives up a little later than we do, should we be unable to tell it
        limit = str(int(timeout_s * 1000) + 1000)
        # a reader that pauses longer than the whole may take has gone
        await work.fetch(_SETUP, limit, str(int(timeout_s * 1000) + 60_000))
        yield work
    finally:
        await _rolled_back(held, transaction)


async def _rolled_back(held: Held, transaction: Any) -> None:
    """A connection that cannot be rolled back is closed: the server then does it by itself."""
    try:
        async with asyncio.timeout(_ROLLBACK_S):
            await transaction.rollback()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
        _log.info("rollback_failed", source=held.place.source, why=type(exc).__name__)
        # one that broke while a COPY was being cancelled has already left the pool by itself
        with suppress(asyncpg.InterfaceError):
            held.connection.terminate()
