"""What is revoked: kept over restarts, and told to everybody who watches."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import datetime

from grants.revocations import KEPT_FOR, Revocation, Revocations
from services.credentials.errors import WatcherTooSlow
from services.credentials.sealing import Seal
from services.credentials.store import Store

_UPSERT = (
    "INSERT INTO revocations VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)"
)
# all so far, one more, or nothing yet
News = Revocations | Revocation | None

# A watcher that lags by more than this reads the whole list anew, which is shorter.
_UNREAD = 1024


class Watcher:
    """One who is told of revocations, as long as it reads them."""

    def __init__(self) -> None:
        self._unread: asyncio.Queue[Revocation] = asyncio.Queue(_UNREAD)
        self._late = False

    def tell(self, revocation: Revocation) -> None:
        try:
            self._unread.put_nowait(revocation)
        except asyncio.QueueFull:
            self._late = True

    async def next(self, timeout_s: float) -> Revocation | None:
        """None when there was none for so long. Raises WatcherTooSlow."""
        if self._late:
            raise WatcherTooSlow
        try:
            async with asyncio.timeout(timeout_s):
                return await self._unread.get()
        except TimeoutError:
            return None


class Ledger:
    """The list of revocations of this service."""

    def __init__(self, store: Store, revocations: Revocations) -> None:
        self._store = store
        self._watchers: set[Watcher] = set()
        self.revocations = revocations

    async def add(self, revocation: Revocation) -> None:
        """Kept first and told then, so that what was told holds after a crash as well."""
        await self._store.run(lambda db, _: _write(db, revocation))
        self.revocations = self.revocations.adding([revocation]).prune(revocation.at)
        for watcher in self._watchers:
            watcher.tell(revocation)

    @contextmanager
    def watched(self) -> Iterator[tuple[Revocations, Watcher]]:
        """What is revoked so far, and a watcher that is told of all that comes."""
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield self.revocations, watcher
        finally:
            self._watchers.discard(watcher)

    async def watch(
        self, heartbeat_s: float
    ) -> AsyncGenerator[Revocations | Revocation | None, None]:
        """First all so far, then each as it comes; None as a heartbeat. Raises WatcherTooSlow."""
        with self.watched() as (so_far, watcher):
            yield so_far
            while True:
                yield await watcher.next(heartbeat_s)


async def load(store: Store, now: datetime) -> Ledger:
    def read(db: sqlite3.Connection, _: Seal) -> Revocations:
        oldest = (now - KEPT_FOR).isoformat(timespec="microseconds")
        db.execute("DELETE FROM revocations WHERE at <= ?", (oldest,))
        rows = db.execute("SELECT kind, subject, at FROM revocations").fetchall()
        return Revocations().adding(
            Revocation(kind, subject, datetime.fromisoformat(at)) for kind, subject, at in rows
        )

    return Ledger(store, await store.run(read))


def _write(db: sqlite3.Connection, revocation: Revocation) -> None:
    at = revocation.at.isoformat(timespec="microseconds")
    db.execute(_UPSERT, (revocation.kind, revocation.subject, at))
