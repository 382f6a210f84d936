"""A transaction that only reads."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from servicekit import logs
from services.pg_connector.faults import Doing
from services.pg_connector.pools import Held
from services.pg_connector.traced import statement

T = TypeVar("T")
_log = logs.get(__name__)
_ROLLBACK_S = 5.0

# The first query of the transaction takes its snapshot: from then on the server refuses to make it
# READ WRITE. Names are found where the role's own search path finds them now, behind the server's
# own and before temporary ones. The rest is how texts are written, whatever the database or the
# role say.
_SETUP = """
SELECT pg_catalog.set_config('statement_timeout', $1, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true),
       pg_catalog.set_config('lock_timeout', $3, true),
       pg_catalog.set_config('work_mem', pg_catalog.text(least($4::bigint,
           pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem')) / 1024)), true),
       CASE WHEN {allowed} AND (pg_catalog.current_setting('temp_file_limit') = '-1' OR
           pg_catalog.pg_size_bytes(pg_catalog.current_setting('temp_file_limit')) / 1024
             > $5::bigint)
       THEN pg_catalog.set_config('temp_file_limit', pg_catalog.text($5::bigint), true) END,
       pg_catalog.set_config('search_path', (
           SELECT coalesce(pg_catalog.string_agg(pg_catalog.quote_ident(s), ', ' ORDER BY i), '')
           FROM ROWS FROM (pg_catalog.unnest(pg_catalog.current_schemas(false) || 'pg_temp'::name))
             WITH ORDINALITY AS p(s, i)
           WHERE s <> 'pg_catalog' AND s !~ '^pg_temp_'), true),
       pg_catalog.set_config('TimeZone', 'UTC', true),
       pg_catalog.set_config('DateStyle', 'ISO, YMD', true),
       pg_catalog.set_config('IntervalStyle', 'postgres', true),
       pg_catalog.set_config('bytea_output', 'hex', true),
       pg_catalog.set_config('extra_float_digits', '1', true),
       pg_catalog.set_config('standard_conforming_strings', 'on', true)
"""
# temp_file_limit is for superusers, and since version 15 for whom they grant it.
_SUPERUSER = "pg_catalog.current_setting('is_superuser') = 'on'"
_GRANTED = "pg_catalog.has_parameter_privilege('temp_file_limit', 'SET')"
_PARAMETERS_GRANTED_SINCE = 15
_SNAPSHOT = re.compile(r"[0-9A-F-]+")


@dataclass(frozen=True)
class Share:
    """What one transaction may take of the server. The server's own bounds hold where they are
    lower; that of temporary files can only be set by a role that may."""

    lock_timeout_s: float = 10.0
    work_mem_kb: int = 64 * 1024
    temp_files_kb: int = 10 * 1024 * 1024


_SHARE = Share()


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
        with statement(self.held.place, sql.split(None, 1)[0]):
            rows: list[Any] = await self.run(self.connection.fetch(sql, *args))
        return rows


@asynccontextmanager
async def reading(
    held: Held, timeout_s: float, share: Share = _SHARE, *, snapshot: str = ""
) -> AsyncIterator[Reading]:
    """READ ONLY, REPEATABLE READ, snapshot taken, or that one which another transaction exported;
    always rolled back. Raises PgFault."""
    transaction = held.connection.transaction(isolation="repeatable_read", readonly=True)
    work = Reading(held, timeout_s)
    with statement(held.place, "BEGIN"):
        await work.run(transaction.start())
    try:
        if snapshot:
            await work.run(held.connection.execute(_same(snapshot)))
        await work.fetch(_setup(held), *_settings(timeout_s, share))
        yield work
    finally:
        await _rolled_back(held, transaction)


def _same(snapshot: str) -> str:
    """The statement takes no parameter."""
    if not _SNAPSHOT.fullmatch(snapshot):
        raise ValueError("a snapshot of another form than the server gives")
    return f"SET TRANSACTION SNAPSHOT '{snapshot}'"


def _setup(held: Held) -> str:
    granted = held.connection.get_server_version().major >= _PARAMETERS_GRANTED_SINCE
    return _SETUP.format(allowed=_GRANTED if granted else _SUPERUSER)


def _settings(timeout_s: float, share: Share) -> tuple[str, str, str, int, int]:
    milliseconds = int(timeout_s * 1000)
    return (
        # the server gives up a little later than we do, should we be unable to tell it
        str(milliseconds + 1000),
        # a reader that pauses longer than the whole may take has gone
        str(milliseconds + 60_000),
        str(min(milliseconds, int(share.lock_timeout_s * 1000))),
        share.work_mem_kb,
        share.temp_files_kb,
    )


async def _rolled_back(held: Held, transaction: Any) -> None:
    """A connection that cannot be rolled back is closed: the server then does it by itself."""
    try:
        async with asyncio.timeout(_ROLLBACK_S):
            if held.place.pgbouncer:
                await held.connection.execute(held.connection.ending())
            # behind a pooler it only tells the client library, and the server finds nothing to do
            await transaction.rollback()
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        # a COPY that was cancelled may not have ended yet
        asyncpg.InternalClientError,
        OSError,
    ) as exc:
        _log.info("rollback_failed", source=held.place.source, why=type(exc).__name__)
        # one that broke while a COPY was being cancelled has already left the pool by itself
        with suppress(asyncpg.InterfaceError):
            held.connection.terminate()
