"""Retention, orphans, the database's own upkeep, and migrations: on both databases and both stores."""

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from dev.azurite import Azurite
from dev.postgres import Postgres
from servicekit.sql import Database
from servicekit.sql.locks import alone
from services.gateway.bytestore.place import opened as store_opened
from services.gateway.bytestore.port import ByteStore, Kept
from services.gateway.bytestore.settings import FilesSettings
from services.gateway.store import database
from services.gateway.store.tables import (
    AuditRow,
    Base,
    EventRow,
    FileRow,
    RunRow,
    UsageRow,
    now_ms,
)
from services.gateway.upkeep import cleaning, orphans, retention
from services.gateway.upkeep.cleaning import Cleaner, Report, Wanted
from services.gateway.upkeep.orphans import Row, WrongStore, compared
from services.gateway.upkeep.retention import DAY_MS, day_of, rules
from services.gateway.upkeep.settings import KeepSettings
from tests.gateway.conftest import platform_of
from tests.gateway.places import KINDS, Place, command, place_of, process

pytestmark = [pytest.mark.req("S8", "C5"), pytest.mark.usefixtures("no_leaks")]
LARGEST = 512 * 1024 * 1024


@dataclass(frozen=True)
class State:
    """Open."""

    place: Place
    rows: Database
    store: ByteStore

    def cleaner(self, **keep: Any) -> Cleaner:
        return Cleaner(self.rows, self.store, KeepSettings(**keep))

    async def clean(self, wanted: Wanted | None = None, **keep: Any) -> Report:
        report = await self.cleaner(**keep).clean(wanted or Wanted())
        assert report is not None
        return report

    async def count(self, table: type[Base]) -> int:
        async with self.rows.begin() as session:
            return await session.scalar(select(func.count()).select_from(table)) or 0

    async def add(self, *rows: Base) -> None:
        async with self.rows.begin() as session:
            for row in rows:
                session.add(row)
                await session.flush()

    async def names(self) -> list[str]:
        return [each.name async for each in self.store.kept()]

    async def file(self, age_days: float = 0.0, content: bytes = b"x", **more: Any) -> str:
        id = new_id()
        await self.store.write(id, chunks(content))
        await self.add(file_row(id, age_days, **more))
        return id

    async def is_there(self, id: str) -> bool:
        async with self.rows.begin() as session:
            return await session.get(FileRow, id) is not None


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def new_id() -> str:
    return "file-" + secrets.token_hex(12)


def ago(days: float) -> int:
    return now_ms() - int(days * DAY_MS)


def file_row(id: str, age_days: float = 0.0, **more: Any) -> FileRow:
    known = {"owner": "me", "name": "a", "size_bytes": 1, "media_type": "text/plain"}
    known |= {"purpose": "user_data", "thread_id": "", "run_id": ""}
    return FileRow(id=id, created_ms=ago(age_days), **{**known, **more})


def run_row(id: str, age_days: float | None, thread_id: str = "t") -> RunRow:
    """`age_days` None = it goes."""
    return RunRow(
        id=id,
        owner="me",
        thread_id=thread_id,
        model="m",
        state="working" if age_days is None else "completed",
        idempotency_key=None,
        created_ms=1,
        ended_ms=None if age_days is None else ago(age_days),
        last_sequence=0,
        usage=b"",
        error_reason="",
        error_message="",
    )


def audit_row(age_days: float) -> AuditRow:
    told = dict.fromkeys(("owner", "caller", "operation", "source_id", "request_id", "detail"), "x")
    return AuditRow(at_ms=ago(age_days), **told)


def usage_row(age_days: float) -> UsageRow:
    counts = ["requests", "runs", "prompt_tokens", "completion_tokens", "rows", "bytes", "run_ms"]
    day = day_of(ago(age_days))
    return UsageRow(key_id=secrets.token_hex(4), day=day, owner="me", **dict.fromkeys(counts, 1))


@pytest_asyncio.fixture(params=KINDS)
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> AsyncIterator[Place]:
    async with place_of(request.param, tmp_path / "home", postgres, azurite) as made:
        yield made


@pytest_asyncio.fixture
async def state(place: Place) -> AsyncIterator[State]:
    async with (
        database.opened(place.url) as rows,
        store_opened(place.files, place.home, LARGEST) as store,
    ):
        yield State(place, rows, store)


# Retention


async def test_nothing_that_has_a_thread_goes_unless_it_is_told(state: State) -> None:
    await state.add(run_row("a", 9999), audit_row(9999), usage_row(9999))
    await state.add(EventRow(run_id="a", sequence=1, size=1, event=b"x"))
    await state.file(9999)
    await state.file(9999, purpose="assistants_output", thread_id="t")
    report = await state.clean()
    assert not any(report.removed.values()) and report.lost == ()
    counts = [await state.count(each) for each in (RunRow, EventRow, AuditRow, UsageRow, FileRow)]
    assert counts == [1, 1, 1, 1, 2]


async def test_each_kind_goes_after_its_own_days(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "RUNS_BATCH", 2)
    for id, age, thread in [
        ("old", 8, "t"),
        ("new", 6, "t"),
        ("goes", None, "t"),
        ("plain", 8, ""),
    ]:
        await state.add(run_row(id, age, thread))
        await state.add(*(EventRow(run_id=id, sequence=n, size=1, event=b"x") for n in range(5)))
    for n in range(5):
        await state.add(run_row(f"old{n}", 8))
        await state.add(audit_row(11), audit_row(9), usage_row(13), usage_row(11))
    left = [await state.file(age, purpose="assistants_output") for age in (15, 13)]
    sent = [await state.file(age) for age in (17, 15)]
    report = await state.clean(
        runs_days=7, plain_runs_days=0, audit_days=10, usage_days=12, artifacts_days=14, uploads_days=16
    )  # fmt: skip
    assert report.removed == {
        "runs": 6, "audit": 5, "usage": 5, "artifacts": 1, "uploads": 1, "bytes of no file": 0,
    }  # fmt: skip
    async with state.rows.begin() as session:
        assert set(await session.scalars(select(RunRow.id))) == {"new", "goes", "plain"}
    assert [await state.count(each) for each in (EventRow, AuditRow, UsageRow)] == [15, 5, 5]
    assert await state.names() == sorted([left[1], sent[1]])


async def test_runs_without_a_thread_go_after_a_month(state: State) -> None:
    await state.add(run_row("old", 31, ""), run_row("new", 29, ""), run_row("goes", None, ""))
    assert (await state.clean()).removed["plain runs"] == 1
    assert await state.count(RunRow) == 2


async def test_dry_run_tells_the_same_and_removes_nothing(state: State) -> None:
    await state.add(run_row("old", 8), audit_row(9), audit_row(9))
    await state.file(9)
    await state.store.write(new_id(), chunks(b"x"))
    keep: dict[str, Any] = {
        "runs_days": 7.0,
        "audit_days": 7.0,
        "uploads_days": 7.0,
        "orphans_days": 1 / 24,
    }
    told = await state.clean(Wanted(dry_run=True), **keep)
    assert (await state.count(RunRow), await state.count(AuditRow)) == (1, 2)
    assert len(await state.names()) == 2
    assert (await state.clean(**keep)).removed == told.removed
    assert told.removed["runs"] == 1 and told.removed["audit"] == 2


def test_only_what_is_set_has_a_rule() -> None:
    assert [each.what for each in rules(KeepSettings(), 0)] == ["plain runs"]
    assert day_of(0) == "1970-01-01" and day_of(DAY_MS - 1) == "1970-01-01"


@pytest.mark.parametrize("wrong", [{"runs_days": -1.0}, {"clean_s": -1.0}, {"orphans_days": 0.01}])
def test_settings_that_cannot_be_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expects? 0 or more|an hour or more"):
        KeepSettings(**wrong)


# Orphans


async def test_bytes_of_no_file_go_and_others_things_stay(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "PAGE", 3)
    kept = [await state.file() for _ in range(7)]
    stray = [new_id() for _ in range(7)]
    for name in stray:
        await state.store.write(name, chunks(b"x"))
    await state.store.write("somebody-elses", chunks(b"x"))
    # what came just now may be an upload whose row is not there yet
    young = await state.clean(orphans_days=1.0)
    assert young.removed["bytes of no file"] == 0 and young.foreign == 1
    monkeypatch.setattr(cleaning, "now_ms", lambda: now_ms() + 2 * DAY_MS)
    found = await state.clean()
    assert found.removed["bytes of no file"] == 7 and found.lost == ()
    assert await state.names() == sorted([*kept, "somebody-elses"])


async def test_rest_of_a_killed_write_goes(tmp_path: Path) -> None:
    """A folder's; blocks that were not committed Azure forgets by itself."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"
    async with database.opened(url) as rows, store_opened(FilesSettings(), tmp_path, 1) as store:
        old, young = (tmp_path / "files" / f"{new_id()}.part" for _ in range(2))
        for part in (old, young):
            part.write_bytes(b"torn")
        os.utime(old, (time.time() - 2 * 86400,) * 2)
        report = await Cleaner(rows, store, KeepSettings()).clean(Wanted())
        assert report is not None and report.removed["bytes of no file"] == 1
        assert young.exists() and not old.exists()


async def test_upload_that_goes_on_is_left_alone(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes may be whole before its row is there; and its row come while orphans are sought."""
    monkeypatch.setattr(cleaning, "now_ms", lambda: now_ms() + 2 * DAY_MS)
    id = new_id()
    await state.store.write(id, chunks(b"x"))
    seek = orphans.Orphans(state.rows, state.store)
    found = await seek.find(now_ms() + DAY_MS)
    assert found.orphans == [id]
    await state.add(file_row(id))
    assert await seek.remove(found.orphans) == 0
    assert await state.names() == [id]


async def test_files_without_bytes_are_told_and_go_only_when_asked(state: State) -> None:
    lost, young, kept = await state.file(2), await state.file(0), await state.file(2)
    for id in (lost, young):
        await state.store.delete(id)
    assert (await state.clean()).lost == (lost,)
    assert await state.is_there(lost)
    report = await state.clean(Wanted(forget_lost=True))
    assert report.removed["files without bytes"] == 1 and report.lost == ()
    assert not await state.is_there(lost)
    assert await state.is_there(young) and await state.is_there(kept)


async def test_store_of_another_database_is_left_alone(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "FEW", 3)
    monkeypatch.setattr(cleaning, "now_ms", lambda: now_ms() + 2 * DAY_MS)
    await state.file()
    for _ in range(4):
        await state.store.write(new_id(), chunks(b"x"))
    with pytest.raises(WrongStore, match="4 of 5 names in the store belong to no file") as wrong:
        await state.clean()
    assert "clean --force" in wrong.value.remedy
    assert len(await state.names()) == 5
    assert (await state.clean(Wanted(force=True))).removed["bytes of no file"] == 4


NAMES = st.lists(st.integers(0, 40), unique=True).map(
    lambda numbers: [f"file-{n:024x}" for n in sorted(numbers)]
)


@given(NAMES, NAMES, st.sets(st.integers(0, 40)))
def test_comparison_finds_just_what_is_on_one_side(
    kept: list[str], rows: list[str], young: set[int]
) -> None:
    def at(name: str) -> int:
        return 10 if int(name[5:], 16) in young else 1

    async def both() -> orphans.Compared:
        async def left() -> AsyncIterator[Kept]:
            for name in kept:
                yield Kept(name, 1, at(name))

        async def right() -> AsyncIterator[Row]:
            for name in rows:
                yield Row(name, at(name))

        return await compared(left(), right(), before_ms=5)

    found = asyncio.run(both())
    assert found.orphans == [n for n in kept if n not in set(rows) and at(n) == 1]
    assert found.lost == [n for n in rows if n not in set(kept) and at(n) == 1]
    assert found.seen == len(kept)


@pytest.mark.parametrize(("kept", "rows"), [([2, 1], []), ([2, 2], []), ([9], [2, 1])])
async def test_lists_out_of_order_are_not_believed(kept: list[int], rows: list[int]) -> None:
    async def left() -> AsyncIterator[Kept]:
        for n in kept:
            yield Kept(f"file-{n:024x}", 1, 1)

    async def right() -> AsyncIterator[Row]:
        for n in rows:
            yield Row(f"file-{n:024x}", 1)

    with pytest.raises(ValueError, match="in order"):
        await compared(left(), right(), before_ms=5)


# One at a time


@pytest.mark.req("K3")
async def test_of_several_gateways_one_clears_at_a_time(state: State) -> None:
    if not state.rows.is_postgresql:
        async with alone(state.rows, "x") as first, alone(state.rows, "x") as second:
            assert first and second  # SQLite has no second gateway
        return
    async with (
        database.opened(state.place.url) as other,
        alone(other, cleaning.LOCK) as first,
        alone(state.rows, "another name") as elsewhere,
    ):
        assert first and elsewhere
        assert await state.cleaner().clean(Wanted()) is None
        code, out = await command(state.place, "clean")
        assert (code, out) == (0, "another process is clearing; nothing was done\n")
    assert await state.cleaner().clean(Wanted()) is not None


async def test_gateway_clears_by_itself_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cleaning.CLEARED.labels("bytes of no file")._value.get()
    files = tmp_path / "gateway" / "files"
    files.mkdir(parents=True)
    old = files / new_id()
    old.write_bytes(b"x")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    async with platform_of(tmp_path, keep=KeepSettings(clean_s=0.05)) as platform:
        made = await platform.http.post("/v1/files", files={"file": ("a", b"a")})
        async with asyncio.timeout(30):
            while old.exists():
                await asyncio.sleep(0.02)
        assert [each.name for each in files.iterdir()] == [made.json()["id"]]
    assert cleaning.CLEARED.labels("bytes of no file")._value.get() == before + 1
    assert cleaning.CLEARED_AT._value.get() > 0


async def test_clearing_that_fails_is_tried_again(
    state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = asyncio.Event()
    cleaner, clean, calls = state.cleaner(), Cleaner.clean, 0

    async def failing(self: Cleaner, wanted: Wanted) -> Report | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not now")
        assert wanted.orphans
        tried.set()
        return await clean(self, wanted)

    monkeypatch.setattr(Cleaner, "clean", failing)
    async with cleaning.cleaning(cleaner, 0.01):
        await asyncio.wait_for(tried.wait(), 30)
    async with cleaning.cleaning(cleaner, 0):
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "clearing"]


# The database's own upkeep


async def test_sqlite_gives_space_back(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with (
        database.opened(f"sqlite+aiosqlite:///{path}") as rows,
        store_opened(FilesSettings(), tmp_path, 1) as store,
    ):
        state = State(Place("", FilesSettings(), tmp_path, {}), rows, store)
        await state.add(run_row("old", 31, ""))
        await state.add(
            *(EventRow(run_id="old", sequence=n, size=1, event=bytes(100_000)) for n in range(50))
        )
        async with rows.engine.connect() as connection:
            assert await connection.scalar(text("PRAGMA auto_vacuum")) == 2
        await state.clean()
        assert path.stat().st_size < 1_000_000
        assert path.with_name("gateway.db-wal").stat().st_size == 0


async def test_sqlite_of_an_earlier_version_is_made_to_give_space_back(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with sqlite3.connect(path) as plain:
        plain.execute("CREATE TABLE other (x)")
        plain.execute("PRAGMA journal_mode=WAL")
    plain.close()
    async with (
        database.opened(f"sqlite+aiosqlite:///{path}") as rows,
        store_opened(FilesSettings(), tmp_path, 1) as store,
    ):
        cleaner = Cleaner(rows, store, KeepSettings())
        modes = []
        for vacuum in (False, True):
            await cleaner.clean(Wanted(vacuum=vacuum))
            async with rows.engine.connect() as connection:
                modes.append(await connection.scalar(text("PRAGMA auto_vacuum")))
    assert modes == [0, 2]


async def test_postgresql_vacuums_events_early_and_looks_at_what_was_removed(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "MANY_ROWS", 0)
    async with postgres.database() as name:
        url = postgres.dsn_of(name).replace("postgresql://", "postgresql+asyncpg://")
        async with (
            database.opened(url) as rows,
            store_opened(FilesSettings(), tmp_path, 1) as store,
        ):
            state = State(Place("", FilesSettings(), tmp_path, {}), rows, store)
            await state.add(*(run_row(f"r{n}", 31, "") for n in range(3)))
            await state.clean()
            connection = await asyncpg.connect(postgres.dsn_of(name))
            try:
                options = await connection.fetchval(
                    "SELECT reloptions FROM pg_class WHERE relname = 'events'"
                )
                assert "autovacuum_vacuum_scale_factor=0.02" in options
                # -1 before the first ANALYZE
                looked_at = await connection.fetchval(
                    "SELECT reltuples FROM pg_class WHERE relname = 'runs'"
                )
                assert looked_at == 0
            finally:
                await connection.close()


# Commands


async def test_clean_command_tells_what_it_did(place: Place) -> None:
    async with (
        database.opened(place.url) as rows,
        store_opened(place.files, place.home, LARGEST) as store,
    ):
        state = State(place, rows, store)
        await state.add(run_row("old", 31, ""), audit_row(8))
        lost = await state.file(2)
        await state.store.delete(lost)
    code, out = await command(place, "clean", "--dry-run", KEEP_AUDIT_DAYS="7")
    assert code == 3
    assert "plain runs: 1 would be removed\naudit: 1 would be removed\n" in out
    code, out, err = await process(place, "clean", "--vacuum", KEEP_AUDIT_DAYS="7")
    assert (code, err) == (3, "")
    assert "plain runs: 1 removed\naudit: 1 removed\nbytes of no file: 0 removed\n" in out
    assert f"files without bytes: 1; --forget-lost removes them\n  {lost}\n" in out
    code, out = await command(place, "clean", "--forget-lost")
    assert code == 0 and "files without bytes: 1 removed" in out
    code, out = await command(place, "clean", "--no-orphans")
    assert (code, out) == (0, "plain runs: 0 removed\n")


@pytest.mark.req("S6")
async def test_command_that_cannot_work_says_why(place: Place, tmp_path: Path) -> None:
    code, err = await command(place, "clean", KEEP_RUNS_DAYS="-1")
    assert code == 2 and "expect 0 or more" in err
    code, err = await command(place, "clean", FILES_URL="https://acct.blob.core.windows.net/")
    assert code == 2 and "FILES_" in err
    url = "postgresql+asyncpg://me:planted-password@127.0.0.1:1/none"
    code, err = await command(place, "clean", DATABASE_URL=url, KEY_HASH="x")
    assert code == 1 and "planted" not in err and "127.0.0.1" in err
    blocked = tmp_path / "no-folder"
    blocked.touch()
    code, err = await command(
        place,
        "migrate",
        HOME=str(blocked / "home"),
        DATABASE_URL="",
        FILES_URL="",
        FILES_ACCOUNT_KEY="",
    )
    assert code == 1 and "no-folder" in err


async def test_migrate_command_says_from_where_to_where(place: Place) -> None:
    newest = database.newest()
    code, out = await command(place, "migrate", "--check")
    assert (code, out) == (3, f"the schema is at nothing, this version's is {newest}\n")
    code, out, _ = await process(place, "migrate")
    assert (code, out) == (0, f"the schema was at nothing, and is at {newest} now\n")
    code, out = await command(place, "migrate", "--check")
    assert (code, out) == (0, f"the schema is at {newest}, this version's is {newest}\n")
    code, out = await command(place, "migrate")
    assert (code, out) == (0, f"the schema is at {newest} already\n")


@pytest.mark.req("K3")
async def test_gateway_waits_for_the_job_that_migrates(place: Place) -> None:
    began = asyncio.Event()

    async def waiting() -> int:
        began.set()
        async with database.opened(place.url, 60.0) as rows, rows.begin() as session:
            return await session.scalar(select(func.count()).select_from(RunRow)) or 0

    task = asyncio.create_task(waiting())
    await began.wait()
    await asyncio.sleep(0.3)
    assert not task.done()
    assert (await command(place, "migrate"))[0] == 0
    assert await task == 0


@pytest.mark.req("K3", "S6")
async def test_gateway_that_waits_in_vain_says_for_what(place: Place) -> None:
    code, err = await command(place, "clean", SCHEMA_WAIT_S="0.2")
    assert code == 1 and "the schema is at nothing, and nobody has brought it to" in err
