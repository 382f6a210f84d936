"""Gateways' databases: one suite for both kinds, and several gateways' parts on one of them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import update

from dev.postgres import Postgres
from servicekit.sql import Database
from services.gateway.callers import Caller
from services.gateway.interrupted import Interrupted
from services.gateway.journal import Journal
from services.gateway.leases import Leases
from services.gateway.live import Live
from services.gateway.news import News
from services.gateway.store.database import opened
from services.gateway.store.tables import LeaseRow, RunRow

ADA = Caller("ada", "key-ada")


def url_of(postgres: Postgres, name: str) -> str:
    return postgres.dsn_of(name).replace("postgresql://", "postgresql+asyncpg://")


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"
        return
    async with postgres.database() as name:
        yield url_of(postgres, name)


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Database]:
    async with opened(store_url) as database:
        yield database


@pytest_asyncio.fixture
async def shared(postgres: Postgres) -> AsyncIterator[Database]:
    """A PostgreSQL, for what only several gateways do."""
    async with postgres.database() as name, opened(url_of(postgres, name)) as database:
        yield database


def run_row(id: str, created_ms: int = 1, state: str = "working") -> RunRow:
    return RunRow(
        id=id,
        owner="ada",
        thread_id="",
        model="m",
        state=state,
        idempotency_key=None,
        created_ms=created_ms,
        ended_ms=None if state in ("fetching", "working", "waiting") else created_ms + 1,
        last_sequence=0,
        usage=b"",
        error_reason="",
        error_message="",
    )


async def add(store: Database, *rows: RunRow) -> None:
    async with store.begin() as session:
        session.add_all(rows)


async def lease_is_over(store: Database) -> None:
    """As if nobody had renewed any for as long as they last."""
    async with store.begin() as session:
        await session.execute(update(LeaseRow).values(ends_ms=0))


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Part:
    """What one gateway keeps of its runs, without the rest of it."""

    store: Database
    clock: Clock = field(default_factory=Clock)
    lost: list[str] = field(default_factory=list)
    when_lost: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.leases = Leases(self.store, self._lost, lease_s=15.0, clock=self.clock)
        self.news = News(self.store)
        self.journal = Journal(self.store, self.leases, self.news)
        self.interrupted = Interrupted(self.store)

    def _lost(self, run_id: str) -> None:
        self.lost.append(run_id)
        if live := self.journal.going(run_id):
            self.journal.forget(live)

    async def begun(self, run_id: str, thread_id: str = "", caller: Caller = ADA) -> Live:
        """A run that goes here."""
        since = self.leases.now()
        async with self.store.begin() as session:
            session.add(run_row(run_id))
            await session.flush()
            await self.leases.take(session, caller, run_id, thread_id)
        self.leases.hold(run_id, since)
        return self.journal.open(Live(run_id, caller.owner))

    async def end(self, live: Live) -> None:
        """It has told its end."""
        await self.journal.end(live, state="completed", ended_ms=2)
        live.settled.set()
        self.journal.forget(live)
