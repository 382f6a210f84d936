"""Statements made of pieces of others: the guard raises nothing but its own errors, lets nothing
through that modifies, and what it lets through has no effect on a real server."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pglast.parser import ParseError, parse_sql_json, scan

from dev.postgres import postgres as start_postgres
from services.pg_connector import guard
from services.pg_connector.errors import QueryFailed, QueryNotReadOnly
from services.pg_connector.resolving import Resolver
from tests.pg_connector import attacks, queries
from tests.pg_connector.cluster import Cluster, cluster_in
from tests.pg_connector.test_guard_effects import traced

REFUSALS = (QueryFailed, QueryNotReadOnly)
MODIFYING = [
    "InsertStmt",
    "UpdateStmt",
    "DeleteStmt",
    "MergeStmt",
    "IntoClause",
    "LockingClause",
    "CopyStmt",
    "CallStmt",
    "DoStmt",
    "TruncateStmt",
    "VariableSetStmt",
    "TransactionStmt",
    "PrepareStmt",
    "ExecuteStmt",
    "CreateStmt",
    "DropStmt",
    "CreateTableAsStmt",
    "NotifyStmt",
    "ListenStmt",
    "LockStmt",
    "VacuumStmt",
]


def tokens_of(sql: str) -> list[str]:
    """By the server's own scanner; the whole where it cannot be scanned."""
    try:
        return [sql[token.start : token.end + 1] for token in scan(sql)]
    except (ParseError, ValueError):
        return [sql]


_BASES = [tokens_of(sql) for sql in (*queries.STATEMENTS, *attacks.STATEMENTS)]
_HARMFUL = sorted({token for sql in attacks.STATEMENTS for token in tokens_of(sql)})
_CALLS = [
    "nextval('counter')",
    "set_config('work_mem', '64kB', false)",
    "pg_notify('channel', 'x')",
    "pg_advisory_lock(1)",
    "(SELECT id FROM victim LIMIT 1 FOR UPDATE)",
    "lo_create(0)",
    "pg_current_xact_id()",
    "(WITH x AS (DELETE FROM victim RETURNING id) SELECT max(id) FROM x)",
]


@st.composite
def statements(draw: st.DrawFn) -> str:
    """A statement of the corpora with some of its tokens changed, left out, doubled or replaced."""
    tokens = list(draw(st.sampled_from(_BASES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(tokens) - 1, 0)))
        new = draw(st.sampled_from(_HARMFUL) | st.sampled_from(_CALLS))
        match draw(st.sampled_from(["replace", "insert", "remove", "splice"])):
            case "replace":
                tokens[at : at + 1] = [new]
            case "insert":
                tokens.insert(at, new)
            case "remove":
                del tokens[at : at + 1]
            case "splice":
                tokens[at:] = draw(st.sampled_from(_BASES))[at:]
    return " ".join(tokens)


@pytest.mark.req("P8")
@settings(max_examples=1500, suppress_health_check=list(HealthCheck))
@given(statements())
def test_nothing_that_modifies_passes(sql: str) -> None:
    try:
        statement = guard.admit(sql)
    except REFUSALS as refusal:
        assert refusal.message
        return
    tree = parse_sql_json(statement.text)
    assert not [kind for kind in MODIFYING if f'"{kind}"' in tree]


@pytest.mark.req("P8")
def test_what_passes_has_no_effect() -> None:
    """As superuser, with all layers."""
    with asyncio.Runner() as runner, TemporaryDirectory(prefix="isobath-fuzzed-") as folder:
        runner.run(_fuzzed(Path(folder)))


async def _fuzzed(folder: Path) -> None:
    folder.chmod(0o711)
    async with (
        start_postgres(folder / "server") as server,
        cluster_in(server, folder / "written") as cluster,
    ):
        await server.execute(queries.SETUP, database=cluster.name)
        before, contents = await cluster.state(), await cluster.contents()
        passed = [sql for sql in _examples() if await _passed(cluster, sql)]
        assert len(passed) > 20
        assert not traced(before, await cluster.settled(before)), passed
        assert await cluster.contents() == contents


def _examples() -> list[str]:
    found: list[str] = []

    @settings(max_examples=600, suppress_health_check=list(HealthCheck))
    @given(statements())
    def collect(sql: str) -> None:
        found.append(sql)

    collect()
    return found


async def _passed(cluster: Cluster, sql: str) -> bool:
    try:
        statement = guard.admit(cluster.fill(sql))
        async with cluster.reading(plain=False) as work:
            await Resolver().require(work, statement, ())
            await work.connection.execute("SET LOCAL statement_timeout = '1s'")
            await (await work.connection.prepare(statement.text)).fetch()
    except REFUSALS:
        return False
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return True
    return True
