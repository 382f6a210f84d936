"""Every revision of the schema, one after the other, with rows in it, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from services.gateway.interrupted import Interrupted
from services.gateway.journal import Journal
from services.gateway.leases import Leases
from services.gateway.news import News
from services.gateway.store.database import MIGRATIONS, opened
from services.gateway.store.tables import ApiKey, FileRow, MessageRow, RunRow, SourceRow, ThreadRow
from tests.gateway.stores import store_url

__all__ = ["store_url"]
pytestmark = pytest.mark.req("K3")
# what the first schema holds; later ones give the columns that they add their defaults
FIRST: dict[str, dict[str, Any]] = {
    "api_keys": {"id": "key-1", "owner": "ada", "sha256": "0" * 64, "created_ms": 1},
    "audit": {
        "at_ms": 1,
        "owner": "ada",
        "caller": "key-1",
        "operation": "fetch",
        "source_id": "ds-1",
        "request_id": "r",
        "detail": "query",
    },
    "files": {
        "id": "file-1",
        "owner": "ada",
        "name": "a.csv",
        "size_bytes": 3,
        "media_type": "text/csv",
        "purpose": "upload",
        "thread_id": "t",
        "run_id": "run-1",
        "created_ms": 1,
    },
    "runs": {
        "id": "run-1",
        "owner": "ada",
        "thread_id": "t",
        "model": "m",
        "state": "working",
        "created_ms": 1,
        "last_sequence": 0,
        "usage": b"",
        "error_reason": "",
        "error_message": "",
    },
    "sources": {
        "id": "ds-1",
        "owner": "ada",
        "name": "sales",
        "type": "double",
        "description": "",
        "config_json": "{}",
        "secrets_set": "[]",
        "version": 1,
        "created_ms": 1,
        "updated_ms": 1,
    },
    "threads": {"id": "t", "owner": "ada", "title": "T", "created_ms": 1, "expires_ms": 2**50},
    "events": {"run_id": "run-1", "sequence": 1},
    "messages": {"thread_id": "t", "role": "user", "content": "How many?", "created_ms": 1},
}
EVENT = analyst.Event(run_id="run-1", sequence=1, notice=analyst.Notice(text="a"))


def config(connection: Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["connection"] = connection
    return made


def revisions() -> list[str]:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    return [each.revision for each in ScriptDirectory.from_config(made).walk_revisions()][::-1]


@pytest_asyncio.fixture
async def engine(store_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(store_url)
    yield made
    await made.dispose()


async def go_to(engine: AsyncEngine, revision: str, *, back: bool = False) -> None:
    act = command.downgrade if back else command.upgrade
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: act(config(sync), revision))
        await connection.commit()


async def fill(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for table, values in FIRST.items():
            row = {**values, "event": EVENT.SerializeToString()} if table == "events" else values
            columns, bound = ", ".join(row), ", ".join(f":{name}" for name in row)
            statement = f"INSERT INTO {table} ({columns}) VALUES ({bound})"
            await connection.execute(text(statement), row)


async def counts(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        return {
            table: int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
            for table in FIRST
        }


async def test_rows_of_the_first_schema_are_there_in_each_later_one(
    engine: AsyncEngine, store_url: str
) -> None:
    first, *later = revisions()
    await go_to(engine, first)
    await fill(engine)
    for revision in later:
        await go_to(engine, revision)
        assert set((await counts(engine)).values()) == {1}, revision
    # and the newest gateway reads them
    async with opened(store_url) as store:
        await read_by_the_newest(store)


async def read_by_the_newest(store: Database) -> None:
    async with store.begin() as session:
        for table in (ApiKey, FileRow, MessageRow, RunRow, SourceRow, ThreadRow):
            assert len((await session.scalars(select(table))).all()) == 1
    leases, news = Leases(store, lambda _: None), News(store)
    journal = Journal(store, leases, news)
    assert await journal.so_far("run-1") == [EVENT]
    # no gateway had it by then
    assert await Interrupted(store).at_start() == 1
    assert [each.sequence for each in await journal.so_far("run-1")] == [1, 2]


async def test_newest_schema_can_be_left_for_each_earlier_one(engine: AsyncEngine) -> None:
    """Of a database that nobody works on; what the newer ones keep is lost."""
    *_, newest = revisions()
    await go_to(engine, newest)
    for revision in revisions()[-2::-1]:
        await go_to(engine, revision, back=True)
    await fill(engine)
    await go_to(engine, newest)
    assert set((await counts(engine)).values()) == {1}


def test_folder_has_one_line_of_revisions() -> None:
    assert revisions() == sorted(revisions())
    assert len({path.name[:4] for path in Path(MIGRATIONS / "versions").glob("0*.py")}) == len(
        revisions()
    )
