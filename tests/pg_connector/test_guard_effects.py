"""That attacks change nothing, seen on a real cluster as its superuser and as a plain role; and what
stops each of them behind the guard."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import ANY

import asyncpg
import pytest

from connectorkit.bounds import Bounds
from connectorkit.fetching import table_header
from dev.postgres import Postgres
from dev.postgres import postgres as start_postgres
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.pg_connector import guard
from services.pg_connector.allowed import ALLOWED
from services.pg_connector.denied import is_denied
from services.pg_connector.errors import QueryFailed, QueryNotReadOnly
from services.pg_connector.resolving import Resolver
from services.pg_connector.sending import sent
from services.pg_connector.streams import Work, prepared
from tests.pg_connector import attacks, queries
from tests.pg_connector.bare import reading_at
from tests.pg_connector.cluster import Cluster, cluster_in

# What the server does by itself moves the end of its log, too.
_LOG = 9


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """On a server of its own: attacks reach all databases of one."""
    with TemporaryDirectory(prefix="isobath-attacked-") as folder:
        Path(folder).chmod(0o711)
        async with (
            start_postgres(Path(folder) / "server") as server,
            cluster_in(server, Path(folder) / "written") as cluster,
        ):
            yield cluster


def traced(before: tuple[object, ...], now: tuple[object, ...]) -> bool:
    return before[:_LOG] + before[_LOG + 1 :] != now[:_LOG] + now[_LOG + 1 :]


@pytest.mark.req("P8")
@pytest.mark.parametrize("plain", [False, True], ids=["superuser", "reader"])
async def test_attacks_leave_the_cluster_as_it_was(cluster: Cluster, *, plain: bool) -> None:
    before, contents = await cluster.state(), await cluster.contents()
    for sql in attacks.STATEMENTS:
        try:
            statement = guard.admit(cluster.fill(sql))
            async with cluster.reading(plain=plain) as work:
                await Resolver().require(work, statement, ())
                await (await work.connection.prepare(statement.text)).fetch()
        except (QueryFailed, QueryNotReadOnly) as refusal:
            assert refusal.message and (refusal.remedy or refusal.position)
    assert not traced(before, await cluster.settled(before))
    assert await cluster.contents() == contents


@pytest.mark.req("P8")
async def test_behind_the_guard_the_layers_stop_all_but_those_that_are_known(
    cluster: Cluster,
) -> None:
    """With the guard off: each attack by itself, in the connector's own transaction, then ROLLBACK
    and DISCARD ALL."""
    contents = await cluster.contents()
    outlived: dict[bool, set[str]] = {False: set(), True: set()}
    for sql in attacks.STATEMENTS:
        for plain, found in outlived.items():
            if await _has_effect(cluster, sql, plain=plain):
                found.add(sql)
            await cluster.mend()
    expected = {sql for group in attacks.OUTLIVE.values() for sql in group}
    assert outlived == {False: expected, True: set(attacks.OUTLIVE_AS_READER)}
    after = await cluster.contents()
    # relpages and reltuples, which ANALYZE writes in place
    assert {name for name in after if after[name] != contents.get(name)} <= {"pg_class"}


async def _has_effect(cluster: Cluster, sql: str, *, plain: bool) -> bool:
    before = await cluster.state()
    try:
        async with cluster.reading(plain=plain) as work:
            await (await work.connection.prepare(cluster.fill(sql))).fetch()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeError, ValueError):
        pass
    else:
        told = sql in attacks.UNSEEN
        assert not (told and plain), f"a reader may not run {sql}"
    late = "{pid}" in sql or "otify" in sql.lower()
    return traced(before, await (cluster.settled(before) if late else cluster.state()))


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


@pytest.mark.req("P8")
async def test_analytical_queries_run_as_a_reader_and_give_what_they_should(
    postgres: Postgres,
) -> None:
    async with postgres.database() as name:
        await postgres.execute(queries.SETUP, database=name)
        await postgres.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'p';"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
            database=name,
        )
        dsn = postgres.dsn_of(name, user=name, password="p")
        try:
            for sql in queries.STATEMENTS:
                assert await answered(dsn, sql) == queries.ANSWERS.get(sql, ANY), sql
        finally:
            await postgres.execute(f"DROP OWNED BY {name}; DROP ROLE {name}", database=name)
    assert set(queries.ANSWERS) <= set(queries.STATEMENTS)


async def answered(dsn: str, sql: str) -> str:
    """As the service would: guard, catalog, transaction, COPY or cursor. Without the header line."""
    threads = Limiter("test", 1)
    async with reading_at(dsn) as work:
        statement = guard.admit(sql)
        await Resolver().require(work, statement, ())
        rows = await prepared(work, Work(statement.text, is_query=statement.is_query))
        header = table_header("query", rows.schema, pb.FORMAT_CSV)
        events = sent(rows, header=header, limits=Bounds(), threads=threads)
        async with aclosing(events) as coming:
            pieces = [event.piece async for event in coming]
        return b"".join(pieces).partition(b"\n")[2].decode()
