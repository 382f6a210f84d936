"""The database: migrations, transactions at once, events across a crash."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from services.gateway.journal import Journal
from services.gateway.live import Live
from services.gateway.store.newest import newest_first, token_behind
from services.gateway.store.tables import Base, LeaseRow, RunRow
from tests.gateway.stores import Part, add, lease_is_over, run_row, store, store_url

__all__ = ["store", "store_url"]


async def test_migrations_make_what_the_tables_say(store: Database) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)

    async with store.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_many_readers_that_write_wait_for_each_other(store: Database) -> None:
    await add(store, run_row("run"))

    async def count() -> None:
        async with store.begin() as session:
            row = await session.get(RunRow, "run", with_for_update=True)
            assert row is not None
            await asyncio.sleep(0)
            row.last_sequence += 1

    await asyncio.gather(*(count() for _ in range(50)))
    async with store.begin() as session:
        assert await session.scalar(select(RunRow.last_sequence)) == 50


async def test_transaction_that_fails_leaves_nothing(store: Database) -> None:
    with pytest.raises(RuntimeError):
        async with store.begin() as session:
            session.add(run_row("run"))
            await session.flush()
            raise RuntimeError
    async with store.begin() as session:
        assert (await session.scalars(select(RunRow))).all() == []


async def test_pages_hold_rows_of_one_millisecond_once(store: Database) -> None:
    await add(store, *(run_row(f"run-{n}", created_ms=7 + n // 4) for n in range(10)))
    seen: list[str] = []
    token = ""
    while True:
        async with store.begin() as session:
            query = newest_first(select(RunRow), RunRow, 3, token)
            rows = (await session.scalars(query)).all()
        seen += [row.id for row in rows[:3]]
        if len(rows) <= 3:
            break
        token = token_behind(rows[2])
    assert sorted(seen) == [f"run-{n}" for n in range(10)]
    assert seen[0] == "run-8"


def notice(live: Live, text: str) -> None:
    live.emit(notice=analyst.Notice(text=text))


@pytest.mark.req("C8")
async def test_events_are_told_at_once_and_kept(store: Database) -> None:
    part = Part(store)
    journal, lives = part.journal, [await part.begun(f"run-{n}") for n in range(3)]
    for live in lives:
        notice(live, "a")
    watching = asyncio.create_task(_all(journal, "run-1", 0))
    await asyncio.sleep(0)
    await journal.flush()
    assert [live.written for live in lives] == [1, 1, 1]
    notice(lives[1], "b")
    lives[1].emit(completed=analyst.RunCompleted(answer="c"))
    assert [event.sequence for event in await watching] == [1, 2, 3]
    await part.end(lives[1])
    read = await _all(journal, "run-1", 1)
    assert [event.sequence for event in read] == [2, 3]
    assert read[-1].completed.answer == "c"
    async with store.begin() as session:
        row = await session.get(RunRow, "run-1")
        assert row is not None and (row.state, row.last_sequence) == ("completed", 3)
        assert sorted(await session.scalars(select(LeaseRow.run_id))) == ["run-0", "run-2"]
    await journal.aclose()


async def _all(journal: Journal, run_id: str, after: int) -> list[analyst.Event]:
    return [event async for event in journal.watch(run_id, after)]


@pytest.mark.req("C8", "S8")
async def test_run_cut_off_by_a_crash_gets_its_last_event(store: Database) -> None:
    await add(store, run_row("whole", state="completed"))
    before = Part(store)
    live = await before.begun("cut", "thread")
    notice(live, "a")
    await before.journal.flush()
    await lease_is_over(store)
    after = Part(store)
    assert await after.interrupted.at_start() == 1
    events = await _all(after.journal, "cut", 0)
    assert [event.sequence for event in events] == [1, 2]
    assert events[1].failed.reason == "RUN_INTERRUPTED"
    assert await after.interrupted.at_start() == 0
    # what a client saw and the crash took along does not hide the end
    for seen in (1, 2, 40):
        assert [e.sequence for e in await _all(after.journal, "cut", seen)] == [2]
    assert await _all(after.journal, "whole", 40) == []
    # the thread is free
    await after.begun("next", "thread")
    for part in (before, after):
        await part.journal.aclose()
