"""Requests a minute, counted by one gateway, or by all that share a database."""

import time
from collections.abc import Callable
from typing import Protocol

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.expression import ColumnElement

from servicekit.sql import Database
from services.gateway.access.quotas import Bucket
from services.gateway.store.shared import clock_ms
from services.gateway.store.tables import BucketRow

_MINUTE_MS = 60_000.0


class Buckets(Protocol):
    """A token bucket for each caller that has such a quota."""

    async def take(self, key_id: str, per_minute: int) -> float:
        """One request more: 0.0, or the seconds until it may come."""

    async def forget(self) -> None:
        """Those that are full: they are as good as new ones."""


class Own:
    """Of one gateway alone, in its memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    async def take(self, key_id: str, per_minute: int) -> float:
        bucket = self._buckets.get(key_id)
        if bucket is None or bucket.size != per_minute:
            bucket = self._buckets[key_id] = Bucket(per_minute, self._clock())
        return bucket.take(self._clock())

    async def forget(self) -> None:
        now_s = self._clock()
        full = [key_id for key_id, bucket in self._buckets.items() if bucket.is_full(now_s)]
        for key_id in full:
            del self._buckets[key_id]


class Shared:
    """Of all gateways on one PostgreSQL, by one statement for a request. What is kept of a bucket
    is when it will be full again: each request moves that on by its share of a minute, and may come
    while it is not more than a minute ahead. `now` is the database's clock, in ms."""

    def __init__(self, database: Database, now: ColumnElement[int] | None = None) -> None:
        self._database = database
        self._now = clock_ms() if now is None else now

    async def take(self, key_id: str, per_minute: int) -> float:
        one_ms = _MINUTE_MS / per_minute
        more = func.greatest(BucketRow.full_ms, self._now) + one_ms
        taken = insert(BucketRow).values(key_id=key_id, full_ms=self._now + one_ms)
        taken = taken.on_conflict_do_update(
            index_elements=[BucketRow.key_id],
            set_={"full_ms": more},
            # what a few requests leave of a minute is no whole number
            where=more <= self._now + _MINUTE_MS + 1e-3,
        )
        async with self._database.begin() as session:
            if await session.scalar(taken.returning(BucketRow.key_id)) is not None:
                return 0.0
            late = select(BucketRow.full_ms + one_ms - self._now - _MINUTE_MS)
            wait_ms = await session.scalar(late.where(BucketRow.key_id == key_id))
        return max(1.0, wait_ms or 0.0) / 1000

    async def forget(self) -> None:
        async with self._database.begin() as session:
            await session.execute(delete(BucketRow).where(BucketRow.full_ms < self._now))


def buckets_of(database: Database) -> Buckets:
    """Shared where there may be other gateways."""
    return Shared(database) if database.is_postgresql else Own()
