"""Transactions, migrations and signals of a service's own database, on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text

from dev.postgres import Postgres
from servicekit import sql
from servicekit.sql import Database, migrations
from servicekit.sql.signals import MAX_PAYLOAD_BYTES

ENV = """
    from alembic import context
    context.configure(
        connection=context.config.attributes["connection"], transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
    from alembic import op
    revision, down_revision = {own!r}, {before!r}
    def upgrade():
        {body}
"""


def scripts(tmp_path: Path, *bodies: str) -> Path:
    """A folder of migrations, named 1, 2, …, each of which runs a body."""
    folder = tmp_path / "store" / "migrations"
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    (folder / "env.py").write_text(dedent(ENV))
    for number, body in enumerate(bodies, 1):
        before = str(number - 1) if number > 1 else None
        revision = dedent(REVISION).format(own=str(number), before=before, body=body)
        (folder / "versions" / f"{number}.py").write_text(revision)
    return folder


def execute(statement: str) -> str:
    return f"op.execute({statement!r})"


def url_of(postgres: Postgres, name: str) -> str:
    return postgres.dsn_of(name).replace("postgresql://", "postgresql+asyncpg://")


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def url(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"
        return
    async with postgres.database() as name:
        yield url_of(postgres, name)


@pytest_asyncio.fixture
async def pg_url(postgres: Postgres) -> AsyncIterator[str]:
    async with postgres.database() as name:
        yield url_of(postgres, name)


async def count(database: Database, table: str) -> int:
    async with database.begin() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def test_what_raises_leaves_nothing(url: str) -> None:
    async with sql.opened(url) as database:
        async with database.begin() as session:
            await session.execute(text("CREATE TABLE told (word TEXT)"))
        with pytest.raises(KeyError):
            async with database.begin() as session:
                await session.execute(text("INSERT INTO told VALUES ('a')"))
                raise KeyError
        assert await count(database, "told") == 0


# Migrations


@pytest.mark.req("K3")
async def test_many_migrate_at_once_and_one_works(pg_url: str, tmp_path: Path) -> None:
    folder = scripts(
        tmp_path,
        execute(["CREATE TABLE steps (name TEXT)", " SELECT pg_sleep(0.3)"][0]),
        execute("INSERT INTO steps VALUES ('second')"),
    )

    async def one() -> int:
        async with sql.opened(pg_url, folder) as database:
            return await count(database, "steps")

    assert await asyncio.gather(*(one() for _ in range(4))) == [1, 1, 1, 1]


async def test_revision_and_newest_are_told(url: str, tmp_path: Path) -> None:
    folder = scripts(tmp_path, execute("CREATE TABLE a (b TEXT)"))
    assert migrations.newest(folder) == "1"
    async with sql.opened(url) as database:
        assert await migrations.revision(database.engine) == ""
    async with sql.opened(url, folder) as database:
        assert await migrations.revision(database.engine) == "1"


@pytest.mark.req("K3")
async def test_index_is_made_while_others_write(pg_url: str, tmp_path: Path) -> None:
    concurrently = "CREATE INDEX CONCURRENTLY by_word ON told (word)"
    body = f"with op.get_context().autocommit_block(): op.execute({concurrently!r})"
    folder = scripts(tmp_path, execute("CREATE TABLE told (word TEXT)"))
    async with sql.opened(pg_url, folder) as database:
        scripts(tmp_path, execute("CREATE TABLE told (word TEXT)"), body)
        writing = database.begin()
        session = await writing.__aenter__()
        await session.execute(text("INSERT INTO told VALUES ('first')"))
        migrating = asyncio.create_task(_migrated(pg_url, folder))
        waiting = asyncio.create_task(_migrated(pg_url, folder))
        async with database.begin() as other:
            await other.execute(text("INSERT INTO told VALUES ('second')"))
        assert not migrating.done()
        await writing.__aexit__(None, None, None)
        await asyncio.gather(migrating, waiting)
        assert await count(database, "told") == 2


@pytest.mark.req("K3")
async def test_migration_lets_others_pass_while_it_waits_for_a_table(
    pg_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(migrations, "_PAUSE_S", 0.1)
    first = execute("CREATE TABLE told (word TEXT)")
    folder = scripts(tmp_path, first)
    async with sql.opened(pg_url, folder) as database:
        scripts(tmp_path, first, execute("ALTER TABLE told ADD COLUMN at TEXT"))
        reading = database.begin()
        session = await reading.__aenter__()
        await session.execute(text("SELECT * FROM told"))
        migrating = asyncio.create_task(_migrated(pg_url, folder))
        for _ in range(10):
            assert await count(database, "told") == 0
            await asyncio.sleep(0.05)
        assert not migrating.done()
        await reading.__aexit__(None, None, None)
        assert await migrating == "2"


@pytest.mark.req("K3")
async def test_schema_of_a_later_version_is_left_alone(url: str, tmp_path: Path) -> None:
    first = execute("CREATE TABLE told (word TEXT)")
    later = scripts(tmp_path / "later", first, execute("ALTER TABLE told ADD COLUMN at TEXT"))
    assert await _migrated(url, later) == "2"
    assert await _migrated(url, scripts(tmp_path / "earlier", first)) == "2"


async def test_migration_that_fails_is_raised_and_undone(url: str, tmp_path: Path) -> None:
    folder = scripts(tmp_path, execute("CREATE TABLE a (b TEXT)"), execute("SELECT * FROM nowhere"))
    with pytest.raises(Exception, match="nowhere"):
        await _migrated(url, folder)


async def _migrated(url: str, folder: Path) -> str:
    async with sql.opened(url, folder) as database:
        return await migrations.revision(database.engine)


# Signals


async def said(database: Database, channel: str, *payloads: str) -> None:
    async with database.begin() as session:
        for payload in payloads:
            await database.signals.tell(session, channel, payload)


async def test_signal_is_heard_when_its_transaction_commits(url: str) -> None:
    async with sql.opened(url) as database:
        with database.signals.listening("runs") as told:
            assert await anext(told) is None
            with pytest.raises(KeyError):
                async with database.begin() as session:
                    await database.signals.tell(session, "runs", "never")
                    raise KeyError
            await said(database, "others", "elsewhere")
            await said(database, "runs", "one", "two")
            assert [await anext(told), await anext(told)] == ["one", "two"]


async def test_all_who_listen_hear_and_later_ones_begin_by_looking(url: str) -> None:
    async with sql.opened(url) as database:
        with database.signals.listening("runs") as first, database.signals.listening("a") as other:
            assert [await anext(first), await anext(other)] == [None, None]
            with database.signals.listening("runs") as second:
                await said(database, "runs", "x")
                assert await anext(first) == "x"
                heard = [await anext(second)]
                if heard == [None]:
                    heard.append(await anext(second))
                assert "x" in heard


@pytest.mark.req("K3")
async def test_signal_reaches_another_process_over_the_server(pg_url: str) -> None:
    async with sql.opened(pg_url) as here, sql.opened(pg_url) as there:
        with there.signals.listening("runs") as told:
            assert await anext(told) is None
            await said(here, "runs", "run-1")
            assert await anext(told) == "run-1"


@pytest.mark.req("K3")
async def test_listener_whose_connection_broke_is_told_to_look(pg_url: str) -> None:
    async with sql.opened(pg_url) as database:
        with database.signals.listening("runs") as told:
            assert await anext(told) is None
            await _cut_listeners(pg_url)
            assert await anext(told) is None
            await said(database, "runs", "after")
            assert await anext(told) == "after"


async def _cut_listeners(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'"
        )
    finally:
        await connection.close()


async def test_listener_that_lags_far_behind_is_told_to_look(url: str) -> None:
    async with sql.opened(url) as database:
        with database.signals.listening("runs") as told:
            assert await anext(told) is None
            for first in range(0, 4_500, 500):
                await said(database, "runs", *map(str, range(first, first + 500)))
            await said(database, "runs", "last")
            heard = [await anext(told)]
            while heard[-1] != "last":
                heard.append(await anext(told))
            assert None in heard
            assert len(heard) < 4_500


@pytest.mark.parametrize(
    ("channel", "payload"), [("Runs", "x"), ("a-b", "x"), ("", "x"), ("a", "x" * 8_000)]
)
async def test_signal_that_no_server_takes_is_refused(url: str, channel: str, payload: str) -> None:
    async with sql.opened(url) as database, database.begin() as session:
        with pytest.raises(ValueError, match=r"channel|signal"):
            await database.signals.tell(session, channel, payload)
        await database.signals.tell(session, "a", "ü" * (MAX_PAYLOAD_BYTES // 2))
