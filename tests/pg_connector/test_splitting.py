"""Large scans over several connections on one snapshot."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.channels import streaming
from servicekit.limits import Limiter
from servicekit.status import RemoteFault
from services.pg_connector.errors import PoolBusy, QueryFailed
from services.pg_connector.parallel import Most, merged, split
from services.pg_connector.reading import Reading
from services.pg_connector.splitting import scan_of
from services.pg_connector.streams import Work, prepared
from tests.pg_connector.bare import reading_at
from tests.pg_connector.conftest import Platform, body, limits

pytestmark = pytest.mark.req("P3")
SETUP = """
CREATE TABLE t AS SELECT n AS id, 'row ' || n AS "Na""me", n % 7 = 0 AS odd
FROM generate_series(1, 5000) n;
UPDATE t SET id = id WHERE id % 11 = 0;
DELETE FROM t WHERE id % 13 = 0;
CREATE TABLE child () INHERITS (t);
CREATE TABLE alone AS SELECT * FROM t;
CREATE VIEW v AS SELECT * FROM alone
"""
SPLITTABLE = [
    "SELECT * FROM alone",
    'SELECT id, "Na""me" AS x FROM public.alone AS "a b" WHERE id > 10 OR odd -- all of them',
    "SELECT id::text, 'é' AS é FROM alone WHERE id BETWEEN 5 AND 4000 AND NOT odd /* WHERE */",
    'SELECT a.* FROM ONLY alone a WHERE "Na""me" LIKE \'row 1%\' OR id IN (2, 3)',
]
WHOLE = [
    "TABLE alone",
    "(SELECT id FROM alone)",
    "SELECT count(*) FROM alone",
    "SELECT id FROM alone ORDER BY id",
    "SELECT id FROM alone LIMIT 10",
    "SELECT id FROM alone OFFSET 10",
    "SELECT DISTINCT odd FROM alone",
    "SELECT odd FROM alone GROUP BY odd",
    "SELECT 1 FROM alone HAVING true",
    "SELECT row_number() OVER () FROM alone",
    "SELECT id FROM alone UNION ALL SELECT 1",
    "SELECT a.id FROM alone a, alone b WHERE a.id = b.id",
    "SELECT a.id FROM alone a JOIN alone b USING (id)",
    "SELECT id FROM (SELECT id FROM alone LIMIT 3) x",
    "SELECT id FROM alone WHERE id IN (SELECT 1)",
    "SELECT id FROM alone TABLESAMPLE system (50)",
    "SELECT generate_series(1, 2) FROM alone",
    "WITH a AS (SELECT 1) SELECT id FROM alone",
    "VALUES (1)",
    "SELECT 1",
]


@pytest.fixture
async def dsn(postgres: Postgres) -> AsyncIterator[str]:
    async with postgres.database("split") as name:
        await postgres.execute(SETUP, database=name)
        yield postgres.dsn_of(name)


@asynccontextmanager
async def parts_of(
    dsn: str, sql: str, connections: int = 3, *, rows: int = 0, split_mb: int = 0
) -> AsyncIterator[tuple[Any, list[tuple[Reading, str]]]]:
    async with reading_at(dsn) as work:
        found = await prepared(work, Work(sql))
        most = Most(connections, split_mb, rows)
        async with split(work, sql, lambda s: reading_at(dsn, snapshot=s), most) as parts:
            yield found.over(parts), parts


@pytest.mark.parametrize("sql", SPLITTABLE)
async def test_pieces_give_each_row_once(dsn: str, sql: str) -> None:
    async with Limiter("test", 2) as threads, parts_of(dsn, sql) as (rows, parts):
        assert len(parts) == 3
        connection = await asyncpg.connect(dsn)
        whole = Counter(tuple(row) for row in await connection.fetch(sql))
        # what is written meanwhile is in none of the pieces
        await connection.execute("DELETE FROM alone WHERE id < 100; INSERT INTO alone SELECT 7")
        await connection.close()
        found = Counter[tuple[object, ...]]()
        async for batch in rows.batches(threads):
            found.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        assert found == whole
        counted = list[int]()
        data = b"".join([piece async for piece in rows.csv(done=counted.append)])
        read = list(csv.reader(io.StringIO(data.decode(), newline="")))
        assert counted[-1] == len(read) == whole.total()
        assert Counter(line[0] for line in read) == Counter(str(key[0]) for key in whole.elements())


@pytest.mark.parametrize("sql", WHOLE)
def test_query_whose_rows_depend_on_each_other_is_not_split(sql: str) -> None:
    assert scan_of(sql) is None


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("SELECT id FROM t", {}),
        ("SELECT id FROM v", {}),
        ("SELECT relname FROM pg_class", {"split_mb": 64}),
        ("SELECT id FROM alone", {"split_mb": 1}),
        ("SELECT id FROM alone", {"connections": 1}),
    ],
)
async def test_table_that_may_not_be_split_is_read_whole(dsn: str, sql: str, more: Any) -> None:
    async with parts_of(dsn, sql, **more) as (_, parts):
        assert [sql for _, sql in parts] == [sql]


async def test_bound_below_the_tables_rows_is_not_split(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("ANALYZE alone")
    await connection.close()
    for rows, pieces in ((100, 1), (100_000, 3)):
        async with parts_of(dsn, "SELECT id FROM alone", rows=rows) as (_, parts):
            assert len(parts) == pieces


async def test_right_to_some_columns_only_is_enough(dsn: str, postgres: Postgres) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE ROLE split_reader; GRANT SELECT (id) ON alone TO split_reader")
    try:
        async with reading_at(dsn) as work:
            await work.connection.execute("SET LOCAL ROLE split_reader")
            async with split(work, "SELECT id FROM alone", reading_at, Most(2, 0)) as parts:
                assert len(parts) == 1
    finally:
        await connection.execute("DROP OWNED BY split_reader; DROP ROLE split_reader")
        await connection.close()


async def test_scan_goes_on_alone_where_no_connection_is_free(dsn: str) -> None:
    @asynccontextmanager
    async def none(_: str) -> AsyncIterator[Reading]:
        raise PoolBusy("all in use")
        yield

    async with reading_at(dsn) as work:
        sql = "SELECT id FROM alone"
        async with split(work, sql, none, Most(2, 0)) as parts:
            assert parts == [(work, sql)]


async def test_snapshot_is_taken_as_the_server_gives_it_only(dsn: str) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        async with reading_at(dsn, snapshot="1'; DROP TABLE t; --"):
            pass


async def test_fault_of_one_source_closes_all() -> None:
    closed = list[str]()

    async def source(name: str, fault: bool) -> AsyncGenerator[int, None]:
        try:
            yield 1
            if fault:
                raise QueryFailed("no", sqlstate="22012")
            await asyncio.Event().wait()
        finally:
            closed.append(name)

    with pytest.raises(QueryFailed):
        async with aclosing(merged([source("a", False), source("b", True)])) as values:
            assert [value async for value in values]
    assert sorted(closed) == ["a", "b"]


SLOW = """
CREATE FUNCTION slowly(int, int) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.1); RETURN true; END $$;
CREATE OPERATOR #%# (FUNCTION = slowly, LEFTARG = int, RIGHTARG = int)
"""
RUNNING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND query LIKE 'COPY%#\\%#%'
"""


async def test_leaving_stops_every_connection_at_the_server(dsn: str) -> None:
    watcher = await asyncpg.connect(dsn)
    await watcher.execute(SLOW)
    sql = "SELECT id FROM alone WHERE id #%# 1"
    async with parts_of(dsn, sql) as (rows, _):
        async with aclosing(rows.csv(done=lambda _: None)) as pieces:
            reading = asyncio.ensure_future(anext(pieces))
            while await watcher.fetchval(RUNNING) < 3:
                await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.wait([reading])
        while await watcher.fetchval(RUNNING):
            await asyncio.sleep(0.01)
    await watcher.close()


@pytest.mark.parametrize("platform", [{"scan_split_mb": 0}], indirect=True)
@pytest.mark.req("P9")
async def test_split_fetch_is_exact_bounded_and_cancelled(platform: Platform) -> None:
    whole = body(await platform.fetch("SELECT * FROM orders ORDER BY id"))
    for format in (pb.FORMAT_CSV, pb.FORMAT_UNSPECIFIED):
        events = await platform.fetch("orders", format=format)
        assert sorted(body(events).splitlines()) == sorted(whole.splitlines())
        assert events[-2].summary.rows == 10_000
    events = await platform.fetch("orders", limits=limits(max_rows=9_999))
    assert events[-2].summary.truncated_by == "row limit of 9999"
    assert body(events).count(b"\n") == 10_000
    with pytest.raises(RemoteFault) as caught:
        await platform.fetch("SELECT 1 / (id - 9000) AS x FROM orders")
    assert caught.value.fields["sqlstate"] == "22012"
    request = await platform.request("SELECT o.* FROM orders o WHERE o.id > 0")
    async with streaming(platform.stub.Fetch(request)) as call:
        assert (await call.read()).WhichOneof("event") == "header"
    while await platform.activity("COPY (SELECT"):
        await asyncio.sleep(0.02)
    assert len(await platform.fetch("orders")) > 3
