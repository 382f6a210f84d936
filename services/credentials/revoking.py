"""What is revoked: kept over restarts, and told to everybody who watches."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime, timedelta

from grants.revocations import KEPT_FOR, Kind, Revocation, Revocations
from servicekit import logs
from servicekit.sql.signals import MAX_PAYLOAD_BYTES
from services.credentials.clock import Clock
from services.credentials.errors import StoreAway, WatcherTooSlow
from services.credentials.hearing import hearing
from services.credentials.sealing import Seal
from services.credentials.store import Db, Store

_log = logs.get(__name__)
_UPSERT = (
    "INSERT INTO revocations VALUES (?, ?, ?) ON CONFLICT (kind, subject) DO UPDATE SET at = "
    "CASE WHEN excluded.at > revocations.at THEN excluded.at ELSE revocations.at END"
)
_SINCE = "SELECT kind, subject, at FROM revocations WHERE at > ?"
_OF = "SELECT kind, subject, at FROM revocations WHERE kind = ? AND subject = ?"
_CHANNEL = "revocations"
# how often one looks for what another replica revoked, beside what is told
_LOOK_S = 1.0
# a transaction that revokes takes its time at its beginning, and may be seen so much later
_OVERLAP = timedelta(seconds=60)
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


Heard = Callable[[Revocation], Awaitable[None]]


class Ledger:
    """The list of revocations of this service, and of its other replicas."""

    def __init__(self, store: Store, revocations: Revocations, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock
        self._watchers: set[Watcher] = set()
        self._looked_to = max((one.at for one in revocations), default=None)
        self.revocations = revocations
        # told of what another replica revoked, once
        self.on_heard: Heard | None = None

    async def add(self, revocation: Revocation) -> None:
        """Kept first and told then, so that what was told holds after a crash as well. Where others
        revoke and mint too, its time is that of the store."""

        def work(db: Db, _: Seal) -> Revocation:
            at = revocation.at
            if self._clock is not None and self._store.signals is not None:
                at = self._clock.now()
            made = Revocation(revocation.kind, revocation.subject, at)
            _write(db, made)
            db.tell(_CHANNEL, _payload(made))
            return made

        self._take([await self._store.run(work)])

    async def refresh(self, subjects: Iterable[tuple[Kind, str]]) -> None:
        """What other replicas have revoked of these until now."""
        if self._store.signals is None:
            return

        def work(db: Db, _: Seal) -> list[Revocation]:
            found = (db.execute(_OF, subject).fetchone() for subject in wanted)
            return [_revocation(*row) for row in found if row is not None]

        wanted = sorted({(kind, subject) for kind, subject in subjects if subject})
        await self._hear(await self._store.run(work))

    async def follow(self) -> None:
        """Hears what other replicas revoke, until it is cancelled. Alone there is nothing."""
        if self._store.signals is None:
            return
        async with aclosing(hearing(self._store.signals, _CHANNEL, _LOOK_S)) as told:
            async for payload in told:
                try:
                    await (self._hear([_parsed(payload)]) if payload else self._look())
                except StoreAway as exc:
                    _log.warning("revocations_not_read", why=str(exc))

    async def _look(self) -> None:
        since = _text(self._looked_to - _OVERLAP) if self._looked_to is not None else ""

        def work(db: Db, _: Seal) -> list[Revocation]:
            return [_revocation(*row) for row in db.execute(_SINCE, (since,))]

        await self._hear(await self._store.run(work))

    async def _hear(self, told: Iterable[Revocation]) -> None:
        for one in self._take(told):
            if self.on_heard is not None:
                await self.on_heard(one)

    def _take(self, told: Iterable[Revocation]) -> list[Revocation]:
        """Those that were not known. They hold here before anybody is told."""
        news = [one for one in told if not self.revocations.knows(one)]
        if not news:
            return news
        latest = max(one.at for one in news)
        self.revocations = self.revocations.adding(news).prune(latest)
        self._looked_to = max(latest, self._looked_to or latest)
        if self._clock is not None:
            self._clock.passed(latest)
        for watcher in self._watchers:
            for one in news:
                watcher.tell(one)
        return news

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


async def load(store: Store, now: datetime, clock: Clock | None = None) -> Ledger:
    def read(db: Db, _: Seal) -> Revocations:
        oldest = _text(now - KEPT_FOR)
        db.execute("DELETE FROM revocations WHERE at <= ?", (oldest,))
        rows = db.execute("SELECT kind, subject, at FROM revocations").fetchall()
        return Revocations().adding(_revocation(*row) for row in rows)

    return Ledger(store, await store.run(read), clock)


def _write(db: Db, revocation: Revocation) -> None:
    db.execute(_UPSERT, (revocation.kind, revocation.subject, _text(revocation.at)))


def _revocation(kind: Kind, subject: str, at: str) -> Revocation:
    return Revocation(kind, subject, datetime.fromisoformat(at))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def _payload(one: Revocation) -> str:
    """Empty where it is too long: then one looks."""
    told = json.dumps([one.kind, one.subject, _text(one.at)])
    return told if len(told) <= MAX_PAYLOAD_BYTES else ""


def _parsed(payload: str) -> Revocation:
    kind, subject, at = json.loads(payload)
    return _revocation(kind, subject, at)
