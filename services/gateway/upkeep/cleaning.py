"""One clearing: retention, orphans, and what the database wants afterwards; and again and again."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge
from sqlalchemy import text

from servicekit import logs
from servicekit.metrics import REGISTRY
from servicekit.sql import Database
from servicekit.sql.locks import alone
from servicekit.sql.sqlite import tidied
from services.gateway.bytestore.port import ByteStore
from services.gateway.store.tables import now_ms
from services.gateway.upkeep.orphans import Orphans
from services.gateway.upkeep.retention import DAY_MS, Retention, Rule, rules
from services.gateway.upkeep.settings import KeepSettings

# the store is listed whole, so not each time
ORPHANS_EVERY = 24
# after fewer, PostgreSQL's own statistics are good enough
MANY_ROWS = 10_000
LOCK = "clearing of the gateway"
CLEARED = Counter(
    "isobath_gateway_cleared",
    "What clearing removed: rows, or bytes that belonged to no file.",
    ("what",),
    registry=REGISTRY,
)
CLEARED_AT = Gauge(
    "isobath_gateway_cleared_at_seconds",
    "When this gateway's last clearing ended well, in Unix time.",
    registry=REGISTRY,
)
LOST = Gauge(
    "isobath_gateway_files_without_bytes",
    "Files whose bytes are not in the store, as this gateway last saw it.",
    registry=REGISTRY,
)
_log = logs.get(__name__)


@dataclass(frozen=True)
class Wanted:
    """How to clear. `force` = also where the store looks like another database's."""

    orphans: bool = True
    dry_run: bool = False
    forget_lost: bool = False
    force: bool = False
    # SQLite: give all free space back, while nobody else writes
    vacuum: bool = False


@dataclass(frozen=True)
class Report:
    """What was removed, or would be, by its name. `lost` = files that have no bytes."""

    removed: Mapping[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    foreign: int = 0


class Cleaner:
    """Of one database and its store of bytes."""

    def __init__(self, database: Database, store: ByteStore, keep: KeepSettings) -> None:
        self._database = database
        self._keep = keep
        self._retention = Retention(database, store)
        self._orphans = Orphans(database, store)

    async def clean(self, wanted: Wanted) -> Report | None:
        """None = another process is at it. Raises `WrongStore`, `FilesLost`; what was removed until
        then stays so."""
        async with alone(self._database, LOCK) as is_alone:
            if not is_alone:
                return None
            report = await self._cleaned(wanted)
        CLEARED_AT.set(time.time())
        return report

    async def _cleaned(self, wanted: Wanted) -> Report:
        removed: dict[str, int] = {}
        for rule in rules(self._keep, now_ms()):
            removed[rule.what] = await self._apply(rule, wanted)
        report = Report(removed)
        if wanted.orphans:
            report = await self._without_orphans(removed, wanted)
        if not wanted.dry_run:
            for what, count in report.removed.items():
                CLEARED.labels(what).inc(count)
            await self._settle(sum(removed.values()), wanted)
        return report

    async def _apply(self, rule: Rule, wanted: Wanted) -> int:
        if wanted.dry_run:
            return await self._retention.count(rule)
        return await self._retention.apply(rule)

    async def _without_orphans(self, removed: Mapping[str, int], wanted: Wanted) -> Report:
        found = await self._orphans.find(now_ms() - int(self._keep.orphans_days * DAY_MS))
        LOST.set(len(found.lost))
        if not wanted.force:
            found.require_plausible()
        orphans, forgotten = len(found.orphans), len(found.lost) if wanted.forget_lost else 0
        if not wanted.dry_run:
            orphans = await self._orphans.remove(found.orphans)
            forgotten = await self._orphans.forget(found.lost) if wanted.forget_lost else 0
        lost = () if wanted.forget_lost else tuple(found.lost)
        counts = {"bytes of no file": orphans}
        if wanted.forget_lost:
            counts["files without bytes"] = forgotten
        return Report({**removed, **counts}, lost, found.foreign)

    async def _settle(self, rows: int, wanted: Wanted) -> None:
        """What the database does better by itself once it is told."""
        if not self._database.is_postgresql:
            await tidied(self._database.engine, whole=wanted.vacuum)
        elif rows > MANY_ROWS or wanted.vacuum:
            await self._analyze()

    async def _analyze(self) -> None:
        async with self._database.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in ("runs", "events", "files", "usage", "audit"):
                await connection.execute(text(f"ANALYZE {table}"))


@asynccontextmanager
async def cleaning(cleaner: Cleaner, every_s: float) -> AsyncIterator[None]:
    """Clear beside everything else; what fails is logged, and tried again the next time."""
    if not every_s:
        yield
        return
    task = asyncio.create_task(_again(cleaner, every_s), name="clearing")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _again(cleaner: Cleaner, every_s: float) -> None:
    turn = 0
    while True:
        await asyncio.sleep(every_s)
        try:
            report = await cleaner.clean(Wanted(orphans=turn % ORPHANS_EVERY == 0))
        except Exception as failed:
            _log.warning("clearing_failed", error=str(failed) or type(failed).__name__)
            continue
        if report is not None:
            _log.info("cleared", **{k.replace(" ", "_"): n for k, n in report.removed.items() if n})
            if report.lost:
                _log.error("files_without_bytes", count=len(report.lost), first=report.lost[0])
        turn += 1
