"""A throw-away server with things in it that attacks could change, and what it looks like."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from dev.postgres import Postgres
from services.pg_connector.pools import _reset
from services.pg_connector.reading import Reading
from tests.pg_connector import attacks
from tests.pg_connector.bare import reading_on

# Every row of every table of the catalogs and of the database. Whatever changes one of them takes a
# transaction's number, so that `STATE` alone tells of each attack whether this has to be looked at.
_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'm')
  AND c.relname NOT IN ('pg_statistic', 'pg_stat_statements') ORDER BY 1
"""
STATE = """
SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next_transaction,
    (SELECT concat(is_called, last_value) FROM counter) AS counter,
    (SELECT count(*) FROM pg_replication_slots) AS slots,
    (SELECT count(*) FROM pg_prepared_xacts) AS prepared,
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS advisory_locks,
    (SELECT count(*) FROM pg_stat_activity WHERE pid = $1) AS session,
    (SELECT md5(string_agg(concat(name, setting), ',' ORDER BY name)) FROM pg_settings
        WHERE source NOT IN ('session', 'client')) AS settings,
    pg_conf_load_time() AS loaded,
    (SELECT string_agg(concat(stats_reset), ',' ORDER BY datid) FROM pg_stat_database) AS reset,
    pg_current_wal_insert_lsn()::text AS log,
    (SELECT string_agg(f, ',' ORDER BY f) FROM pg_ls_dir('.') f) AS files,
    pg_read_file('postgresql.auto.conf') AS altered
"""


@dataclass
class Cluster:
    """A database, a session that watches, another session, and a folder that the server may write
    to. `role` may read all of it and nothing else."""

    server: Postgres
    name: str
    role: str
    folder: Path
    watcher: Any = None
    other: Any = None
    heard: list[str] = field(default_factory=list)

    def fill(self, sql: str) -> str:
        pid = self.other.get_server_pid()
        return sql.replace("{pid}", str(pid)).replace("{folder}", str(self.folder))

    async def state(self) -> tuple[object, ...]:
        row = await self.watcher.fetchrow(STATE, self.other.get_server_pid())
        written = sorted(path.name for path in self.folder.iterdir())
        return (*row.values(), json.dumps(written), json.dumps(self.heard))

    async def contents(self) -> dict[str, object]:
        tables = [row[0] for row in await self.watcher.fetch(_TABLES)]
        return {
            table: await self.watcher.fetchval(
                f"SELECT sum(hashtextextended(t::text, 0)) FROM {table} t"
            )
            for table in tables
        }

    async def settled(self, before: tuple[object, ...]) -> tuple[object, ...]:
        """The state, looked at again while it is the same: a session takes a moment to end."""
        for _ in range(5):
            if (now := await self.state()) != before:
                break
            await asyncio.sleep(0.02)
        return now

    async def mend(self) -> None:
        """The other session is there, and the folder is empty."""
        if self.other is None or self.other.is_closed() or not await self._answers():
            self.other = await asyncpg.connect(self.server.dsn_of(self.name))
        for path in self.folder.iterdir():
            path.unlink()
        self.heard.clear()

    async def _answers(self) -> bool:
        try:
            return bool(await self.other.fetchval("SELECT true"))
        except (
            *(asyncpg.PostgresError, asyncpg.InterfaceError, OSError),
            asyncpg.InternalClientError,  # what it says while a session ends under its hands
        ):
            return False

    @asynccontextmanager
    async def reading(self, *, plain: bool) -> AsyncIterator[Reading]:
        """A session of the connector's own, with every layer but the guard, reset and closed."""
        who = {"user": self.role, "password": "p"} if plain else {}
        connection = await asyncpg.connect(
            self.server.dsn_of(self.name, **who), statement_cache_size=0
        )
        try:
            async with reading_on(connection, 10.0) as work:
                yield work
            await _reset(connection)
        finally:
            await connection.close()


@asynccontextmanager
async def cluster_in(server: Postgres, folder: Path) -> AsyncIterator[Cluster]:
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    async with AsyncExitStack() as stack:
        name = await stack.enter_async_context(server.database("attacked"))
        await server.execute(attacks.SETUP, database=name)
        role = f"reads_{name}"
        await server.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'p';"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
            database=name,
        )
        await server.execute("ALTER SYSTEM SET autovacuum = off")
        await server.execute("SELECT pg_reload_conf()")
        cluster = Cluster(server, name, role, folder)
        cluster.watcher = await asyncpg.connect(server.dsn_of(name))
        stack.push_async_callback(cluster.watcher.close)
        await cluster.watcher.add_listener(
            "channel", lambda *told: cluster.heard.append(str(told[3]))
        )
        await cluster.mend()
        yield cluster
        await cluster.other.close()
