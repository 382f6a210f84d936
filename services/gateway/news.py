"""Events of runs that other gateways go with: told that there are some, by a signal with each
writing, and read from the database by those who watch.

A signal may be lost; so all runs that are watched here are looked at now and then too, by one
query.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from servicekit.sql import Database
from servicekit.sql.signals import MAX_PAYLOAD_BYTES
from services.gateway.store.tables import EventRow, RunRow

CHANNEL = "gateway_run_news"
LOOK_S = 2.0
_AT_ONCE = 500


async def tell(database: Database, session: AsyncSession, last: Mapping[str, int]) -> None:
    """In the transaction that writes events of these runs: run id -> the last one's sequence, 0
    where that is not to be told. SQLite is nobody else's."""
    if not database.is_postgresql:
        return
    for payload in payloads(last):
        await database.signals.tell(session, CHANNEL, payload)


def payloads(last: Mapping[str, int]) -> Sequence[str]:
    """As few as hold them."""
    found, now = list[str](), ""
    for run_id, sequence in last.items():
        word = f"{run_id}:{sequence}"
        if now and len(now) + 1 + len(word) > MAX_PAYLOAD_BYTES:
            found.append(now)
            now = ""
        now = f"{now} {word}" if now else word
    return [*found, now] if now else found


class Waiting:
    """One stream's wait for the news of a run. To be closed."""

    def __init__(self, watched: "_Watched", news: "News", beat_s: float | None) -> None:
        self._watched, self._news, self._beat_s = watched, news, beat_s
        self.heard = asyncio.Event()

    async def more(self) -> bool:
        """True when there may be news since the last time, False after `beat_s` without."""
        try:
            async with asyncio.timeout(self._beat_s):
                await self.heard.wait()
        except TimeoutError:
            return False
        # before its caller reads: what comes while it reads is news again
        self.heard.clear()
        return True

    def close(self) -> None:
        self._news.leave(self._watched, self)


@dataclass
class _Watched:
    run_id: str
    waiting: set[Waiting]
    # last sequence and whether it has ended, as it was seen last
    seen: tuple[int, bool] = (-1, False)

    def wake(self) -> None:
        for each in self.waiting:
            each.heard.set()


class News:
    """What this gateway's watchers of others' runs wait for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watched: dict[str, _Watched] = {}

    def waiting(self, run_id: str, beat_s: float | None = None) -> Waiting:
        """From now on nothing of the run is missed."""
        watched = self._watched.setdefault(run_id, _Watched(run_id, set()))
        waiting = Waiting(watched, self, beat_s)
        watched.waiting.add(waiting)
        return waiting

    def leave(self, watched: _Watched, waiting: Waiting) -> None:
        watched.waiting.discard(waiting)
        if not watched.waiting and self._watched.get(watched.run_id) is watched:
            del self._watched[watched.run_id]

    @property
    def watched(self) -> int:
        """How many runs are."""
        return len(self._watched)

    async def follow(self) -> None:
        """Hear signals, until it is cancelled."""
        with self._database.signals.listening(CHANNEL) as told:
            async for payload in told:
                self.hear(payload)

    def hear(self, payload: str | None) -> None:
        """A signal; None: some were missed."""
        if payload is None:
            for each in self._watched.values():
                each.wake()
            return
        for word in payload.split():
            run_id, _, last = word.partition(":")
            if watched := self._watched.get(run_id):
                watched.seen = (max(watched.seen[0], int(last)), watched.seen[1])
                watched.wake()

    async def look(self) -> None:
        """At all that is watched, for what signals did not tell."""
        ids = list(self._watched)
        for start in range(0, len(ids), _AT_ONCE):
            await self._look(ids[start : start + _AT_ONCE])

    async def _look(self, ids: Sequence[str]) -> None:
        # for each run the end of the index, not all of its events
        last = select(func.max(EventRow.sequence)).where(EventRow.run_id == RunRow.id)
        query = select(RunRow.id, RunRow.ended_ms, last.scalar_subquery())
        async with self._database.begin() as session:
            rows = await session.execute(query.where(RunRow.id.in_(ids)))
            now = {id: (last or 0, ended is not None) for id, ended, last in rows}
        for id in ids:
            if (watched := self._watched.get(id)) is None:
                continue
            # a run that is not there any more was deleted
            found = now.get(id, (watched.seen[0], True))
            if found != watched.seen:
                watched.seen = found
                watched.wake()
