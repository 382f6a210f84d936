"""Each layer behind the guard, by itself with the others off: the guard is in none of these."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from dev.postgres import Postgres
from servicekit.status import RemoteFault
from services.pg_connector import guard
from services.pg_connector.errors import QueryTimeout
from services.pg_connector.pools import _reset
from tests.pg_connector.bare import reading_at
from tests.pg_connector.conftest import Platform, body, limits

pytestmark = pytest.mark.req("P8")
SETUP = "CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE SEQUENCE s"
WRITES = [
    "DELETE FROM t",
    "WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x",
    "SELECT nextval('s')",
    "SELECT lo_create(0)",
    "CREATE TABLE u (id int)",
    "SELECT * INTO u FROM t",
    "TRUNCATE t",
    "SELECT * FROM t FOR UPDATE",
    "DO $$ BEGIN DELETE FROM t; END $$",
]


@pytest.fixture
async def dsn(postgres: Postgres) -> AsyncIterator[str]:
    async with postgres.database("layers") as name:
        await postgres.execute(SETUP, database=name)
        yield postgres.dsn_of(name)


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("sql", WRITES)
async def test_read_only_alone_stops_writes(dsn: str, sql: str) -> None:
    """As superuser, through the simple protocol, and committed after it."""
    async with session(dsn) as connection:
        await connection.execute("BEGIN READ ONLY")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute(sql)
        await connection.execute("COMMIT")
        assert await connection.fetchval("SELECT count(*) FROM t") == 1


async def test_read_only_can_be_undone_before_the_snapshot_is_taken_and_not_after(dsn: str) -> None:
    undo = "SET TRANSACTION READ WRITE"
    async with session(dsn) as connection:
        await connection.execute("BEGIN READ ONLY")
        await connection.execute(undo)
        await connection.execute("DELETE FROM t; ROLLBACK")
    async with reading_at(dsn) as work:
        with pytest.raises(asyncpg.ActiveSQLTransactionError):
            await work.connection.execute(undo)
    async with reading_at(dsn) as work:
        with pytest.raises(asyncpg.ActiveSQLTransactionError):
            await work.connection.fetchval(
                "SELECT set_config('transaction_read_only', 'off', false)"
            )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; DELETE FROM t",
        "COMMIT; DELETE FROM t",
        "SELECT 1) TO STDOUT; DELETE FROM t; COPY (SELECT 1",
        "SELECT ';'; DELETE FROM t",
    ],
)
async def test_extended_protocol_alone_takes_one_statement(dsn: str, sql: str) -> None:
    """In a session that may write, and without a transaction."""
    async with session(dsn) as connection:
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.prepare(sql)
        assert await connection.fetchval("SELECT count(*) FROM t") == 1


async def test_rollback_alone_leaves_nothing_of_what_was_written(dsn: str) -> None:
    async with session(dsn) as watcher, session(dsn) as connection:
        heard: list[object] = []
        await watcher.add_listener("c", lambda *told: heard.append(told))
        await connection.execute("BEGIN")
        for sql in ("DELETE FROM t", "SELECT lo_create(7)", "NOTIFY c", "CREATE TABLE u ()"):
            await connection.execute(sql)
        await connection.execute("ROLLBACK")
        left = "SELECT count(*), to_regclass('u'), (SELECT count(*) FROM pg_largeobject_metadata)"
        assert tuple(await watcher.fetchrow(f"{left} FROM t")) == (1, None, 0)
        assert not heard


async def test_reset_alone_leaves_nothing_of_a_session(dsn: str) -> None:
    async with session(dsn) as connection:
        pid = connection.get_server_pid()
        for sql in (
            "CREATE TEMP TABLE left_over (id int)",
            "PREPARE p AS SELECT 1",
            "SET work_mem = '64kB'; SET search_path = evil; SET ROLE pg_monitor",
            "RESET ROLE; LISTEN c",
            "SELECT pg_advisory_lock(7)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SET ROLE pg_monitor",
        ):
            await connection.execute(sql)
        await _reset(connection)
        assert connection.get_server_pid() == pid
        left = await connection.fetchrow("""
            SELECT (SELECT count(*) FROM pg_class WHERE relname = 'left_over'),
                   (SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'),
                   (SELECT count(*) FROM pg_cursors WHERE name = 'c'),
                   (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
                   (SELECT count(*) FROM pg_listening_channels()),
                   current_user::text, current_setting('work_mem'), current_setting('search_path')
        """)
        assert tuple(left) == (0, 0, 0, 0, 0, "postgres", "4MB", '"$user", public')


async def test_server_itself_ends_a_statement_after_its_time(dsn: str) -> None:
    """Our own deadline is not in this: the connection is used directly."""
    async with reading_at(dsn, timeout_s=0.1) as work:
        with pytest.raises(asyncpg.QueryCanceledError, match="statement timeout"):
            await work.connection.fetch("SELECT pg_sleep(60)")
    async with reading_at(dsn, timeout_s=0.2) as work:
        with pytest.raises(QueryTimeout):
            await work.fetch("SELECT count(*) FROM generate_series(1, 1000000000000)")


async def test_server_does_not_wait_for_locks_nor_for_a_reader_that_is_gone(dsn: str) -> None:
    async with session(dsn) as other:
        await other.execute("BEGIN; LOCK TABLE t")
        async with reading_at(dsn, lock_timeout_s=0.05) as work:
            with pytest.raises(asyncpg.LockNotAvailableError):
                await work.connection.fetch("SELECT * FROM t")
    async with reading_at(dsn, timeout_s=3) as work:
        told = await work.connection.fetchval("SHOW idle_in_transaction_session_timeout")
        assert told == "63s"


_SORTS = "SELECT count(*) FROM (SELECT g FROM generate_series(1, 300000) g ORDER BY g DESC) x"


async def test_memory_and_disk_are_bounded_where_the_role_may_set_that(
    dsn: str, platform: Platform
) -> None:
    async with reading_at(dsn, work_mem_kb=64, temp_files_kb=1024) as work:
        assert await work.connection.fetchval("SHOW work_mem") == "64kB"
        with pytest.raises(asyncpg.ConfigurationLimitExceededError, match="temp_file_limit"):
            await work.connection.fetch(_SORTS)
    async with reading_at(dsn, work_mem_kb=1 << 20) as work:
        assert await work.connection.fetchval("SHOW work_mem") == "4MB"
    reads = platform.postgres.dsn_of(
        platform.database, user=platform.config["user"], password="a-Planted-secret-7"
    )
    async with reading_at(reads, work_mem_kb=64, temp_files_kb=1024) as work:
        assert await work.connection.fetchval("SHOW temp_file_limit") == "-1"
        assert await work.connection.fetchval(_SORTS) == 300_000


async def test_names_are_found_in_the_server_first_and_in_temporary_objects_last(dsn: str) -> None:
    async with session(dsn) as connection:
        await connection.execute(
            "CREATE SCHEMA evil; CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql"
            " AS 'SELECT ''evil'''; CREATE TABLE evil.t AS SELECT 3 AS id;"
            "ALTER ROLE postgres IN DATABASE " + dsn.rpartition("/")[2] + " SET search_path ="
            " evil, pg_catalog, public"
        )
    try:
        async with session(dsn) as connection:
            assert await connection.fetchval("SELECT lower('A')") == "evil"
        async with reading_at(dsn) as work:
            assert await work.connection.fetchval("SELECT lower('A')") == "a"
            assert await work.connection.fetchval("SELECT id FROM t") == 3
            assert await work.connection.fetchval("SHOW search_path") == "evil, public, pg_temp"
    finally:
        async with session(dsn) as connection:
            await connection.execute(
                f"ALTER ROLE postgres IN DATABASE {dsn.rpartition('/')[2]} RESET search_path"
            )


async def test_rows_and_bytes_are_cut_whatever_the_query_makes(platform: Platform) -> None:
    endless = "SELECT generate_series(1, 1000000000) AS g"
    events = await platform.fetch(endless, limits=limits(max_rows=3))
    assert body(events) == b"g\n1\n2\n3\n"
    events = await platform.fetch(endless, limits=limits(max_bytes=10))
    assert len(body(events)) <= 10
    # in FROM the server makes all of it before the first row
    with pytest.raises(RemoteFault) as caught:
        await platform.fetch(
            "SELECT g FROM generate_series(1, 1000000000) g", limits=limits(seconds=0.3)
        )
    assert caught.value.reason == "QUERY_TIMEOUT"
    assert not await platform.activity("1000000000")


def _everything(sql: str) -> guard.Statement:
    return guard.Statement(sql, True, ())


@pytest.mark.parametrize("as_superuser", [False, True], ids=["reader", "superuser"])
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
        "COMMIT; DELETE FROM orders",
        "SELECT 1) TO STDOUT; DELETE FROM orders; COPY (SELECT 1",
        "SELECT 1 AS a) AS q(c0)) TO STDOUT; DELETE FROM orders; --",
        "WITH x AS (DELETE FROM orders RETURNING 1) SELECT * FROM x",
        "SET TRANSACTION READ WRITE",
        "SELECT lo_create(0) AS a",
    ],
)
async def test_service_without_its_guard_changes_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, sql: str, *, as_superuser: bool
) -> None:
    monkeypatch.setattr(guard, "admit", _everything)
    grant = await platform.grant()
    if as_superuser:
        await platform.put(platform.postgres.password, "ds-root")
        config = {"user": platform.postgres.user}
        grant = await platform.grant(source_id="ds-root", config=config)
    with pytest.raises(RemoteFault):
        await platform.fetch(sql, grant=grant)
    monkeypatch.undo()
    assert body(await platform.fetch("SELECT count(*) AS n FROM orders")) == b"n\n10000\n"
