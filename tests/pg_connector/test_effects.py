"""That attacks change nothing, seen on a real cluster as its superuser; and that nothing which may
change one is missing in the list of denied functions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from dev.postgres import Postgres
from services.pg_connector import guard
from services.pg_connector.allowed import ALLOWED
from services.pg_connector.denied import is_denied
from services.pg_connector.errors import QueryFailed, QueryNotReadOnly
from tests.pg_connector import attacks, queries

# What a cluster is, as far as the attacks could change it.
FINGERPRINT = """
SELECT
    (SELECT string_agg(concat(relname, relkind, relfilenode), ',' ORDER BY oid) FROM pg_class
        WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)) relations,
    (SELECT md5(string_agg(v::text, ',' ORDER BY id)) FROM victim v) AS rows,
    (SELECT md5(string_agg(attname, ',' ORDER BY attnum)) FROM pg_attribute
        WHERE attrelid = 'victim'::regclass) AS columns,
    (SELECT concat(is_called, last_value) FROM counter) AS counter,
    (SELECT string_agg(concat(oid, ':', md5(lo_get(oid))), ',' ORDER BY oid)
        FROM pg_largeobject_metadata) AS large_objects,
    (SELECT string_agg(concat(rolname, c.setconfig), ',' ORDER BY rolname)
        FROM pg_roles r LEFT JOIN pg_db_role_setting c ON c.setrole = r.oid) AS roles,
    (SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database) AS databases,
    (SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)') AS schemas,
    (SELECT count(*) FROM pg_extension) AS extensions,
    (SELECT count(*) FROM pg_proc) AS functions,
    (SELECT count(*) FROM pg_replication_slots) AS slots,
    (SELECT count(*) FROM pg_replication_origin) AS origins,
    (SELECT count(*) FROM pg_prepared_xacts) AS prepared,
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS advisory_locks,
    (SELECT count(*) FROM pg_stat_activity WHERE pid = $1) AS session,
    (SELECT md5(string_agg(concat(name, setting), ',' ORDER BY name)) FROM pg_settings
        WHERE source NOT IN ('session', 'client')) AS settings,
    (SELECT obj_description('victim'::regclass)) AS comment
"""


@dataclass
class Cluster:
    """A throw-away database, another session in it, and a folder that the server may write to."""

    server: Postgres
    name: str
    watcher: asyncpg.Connection
    other_pid: int
    folder: Path

    async def fingerprint(self) -> tuple[object, ...]:
        rows = await self.watcher.fetch(FINGERPRINT, self.other_pid)
        return (*rows[0].values(), sorted(path.name for path in self.folder.iterdir()))

    async def changed(self, before: tuple[object, ...]) -> bool:
        """Whether it is different within some seconds: a session takes a moment to end."""
        for _ in range(100):
            if await self.fingerprint() != before:
                return True
            await asyncio.sleep(0.05)
        return False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncpg.Connection]:
        """A session of its own, in a READ ONLY transaction whose snapshot is taken."""
        connection = await asyncpg.connect(self.server.dsn_of(self.name))
        try:
            await connection.execute("BEGIN READ ONLY")
            await connection.fetchval("SELECT 1")
            yield connection
        finally:
            await connection.close()

    def fill(self, sql: str) -> str:
        return sql.replace("{pid}", str(self.other_pid)).replace("{folder}", str(self.folder))


@pytest.fixture
async def cluster(postgres: Postgres) -> AsyncIterator[Cluster]:
    with TemporaryDirectory(prefix="isobath-attacked-") as folder:
        Path(folder).chmod(0o777)
        async with postgres.database() as name:
            await postgres.execute(attacks.SETUP, database=name)
            watcher = await asyncpg.connect(postgres.dsn_of(name))
            other = await asyncpg.connect(postgres.dsn_of(name))
            try:
                pid = other.get_server_pid()
                yield Cluster(postgres, name, watcher, pid, Path(folder))
            finally:
                await other.close()
                await watcher.close()


@pytest.mark.req("P8")
async def test_attacks_leave_the_cluster_as_it_was(cluster: Cluster) -> None:
    before = await cluster.fingerprint()
    for sql in attacks.STATEMENTS:
        filled = cluster.fill(sql)
        try:
            statement = guard.admit(filled)
        except (QueryFailed, QueryNotReadOnly):
            continue
        async with cluster.reading() as connection:
            await connection.fetch(statement.text)
        assert await cluster.fingerprint() == before, sql
    assert await cluster.fingerprint() == before


@pytest.mark.req("P8")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_terminate_backend({pid})",
        "SELECT ({pid}).pg_terminate_backend",
        "SELECT x.pg_terminate_backend FROM abs({pid}) x",
        "COPY (SELECT 1) TO PROGRAM 'touch {folder}/touched'",
        "COPY (SELECT 1) TO '{folder}/copied'",
        "DO $$ BEGIN COMMIT; DELETE FROM victim; END $$",
    ],
)
async def test_server_alone_would_not_hold(cluster: Cluster, sql: str) -> None:
    """Each of these passes a READ ONLY transaction, and leaves a trace that the fingerprint sees:
    the guard is needed, and the test above can fail."""
    before = await cluster.fingerprint()
    with pytest.raises(QueryNotReadOnly):
        guard.admit(cluster.fill(sql))
    async with cluster.reading() as connection:
        try:
            await connection.execute(cluster.fill(sql))
        except asyncpg.PostgresError as exc:
            assert "invalid transaction termination" in str(exc)
            return
    assert await cluster.changed(before)


@pytest.mark.req("P8")
async def test_every_volatile_function_is_denied_or_known_as_harmless(postgres: Postgres) -> None:
    async with postgres.database() as name:
        connection = await asyncpg.connect(postgres.dsn_of(name))
        try:
            rows = await connection.fetch(
                "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND prokind = 'f' "
                "AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)"
            )
        finally:
            await connection.close()
    unknown = {row["proname"] for row in rows if not is_denied(row["proname"])} - ALLOWED
    assert not unknown


@pytest.mark.req("P8")
async def test_no_operator_or_cast_calls_a_denied_function(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        rows = await connection.fetch(
            "SELECT p.proname FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode "
            "UNION SELECT p.proname FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc "
            "UNION SELECT p.proname FROM pg_aggregate a JOIN pg_proc p "
            "ON p.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn) "
            "UNION SELECT p.proname FROM pg_type t JOIN pg_proc p "
            "ON p.oid IN (t.typinput, t.typoutput, t.typmodin)"
        )
    finally:
        await connection.close()
    assert not [row["proname"] for row in rows if is_denied(row["proname"])]


async def test_analytical_queries_run_in_a_reading_transaction(postgres: Postgres) -> None:
    async with postgres.database() as name:
        await postgres.execute(queries.SETUP, database=name)
        connection = await asyncpg.connect(postgres.dsn_of(name))
        try:
            for sql in queries.STATEMENTS:
                async with connection.transaction(readonly=True):
                    await connection.execute(guard.admit(sql).text)
        finally:
            await connection.close()
