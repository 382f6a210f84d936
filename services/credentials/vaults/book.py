"""Which leases were made for which sources: kept over restarts, so that a lease can be revoked by a
service that did not make it, and after Vault was away."""

import sqlite3
from datetime import timedelta
from typing import Literal

from services.credentials.clock import Clock
from services.credentials.sealing import Seal
from services.credentials.store import Store

_ADD = "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, 0)"
_EXTEND = "UPDATE leases SET ends_at = ? WHERE lease_id = ?"
_GIVEN_UP = "SELECT lease_id FROM leases WHERE given_up = 1 ORDER BY ends_at"
_PRUNE = "DELETE FROM leases WHERE ends_at <= ?"
_FORGET = "DELETE FROM leases WHERE lease_id = ?"

By = Literal["source_id", "owner", "lease_id"]
_GIVE_UP: dict[By, str] = {
    "source_id": "UPDATE leases SET given_up = 1 WHERE source_id = ?",
    "owner": "UPDATE leases SET given_up = 1 WHERE owner = ?",
    "lease_id": "UPDATE leases SET given_up = 1 WHERE lease_id = ?",
}


class Book:
    """It holds no credentials. `left_s`: for how long a lease still lives, in seconds."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def add(self, lease_id: str, source_id: str, owner: str, left_s: float) -> None:
        await self._run(_ADD, lease_id, source_id, owner, self._at(left_s))

    async def extend(self, lease_id: str, left_s: float) -> None:
        await self._run(_EXTEND, self._at(left_s), lease_id)

    async def give_up(self, by: By, subject: str) -> None:
        """Those are to be revoked."""
        await self._run(_GIVE_UP[by], subject)

    async def given_up(self) -> list[str]:
        """Ids of those that are still to be revoked; the others have ended by themselves."""

        def work(db: sqlite3.Connection, _: Seal) -> list[str]:
            db.execute(_PRUNE, (self._at(0),))
            return [lease_id for (lease_id,) in db.execute(_GIVEN_UP)]

        return await self._store.run(work)

    async def forget(self, lease_id: str) -> None:
        await self._run(_FORGET, lease_id)

    async def _run(self, statement: str, *values: str) -> None:
        await self._store.run(lambda db, _: db.execute(statement, values))

    def _at(self, left_s: float) -> str:
        at = self._clock.now() + timedelta(seconds=left_s)
        return at.isoformat(timespec="microseconds")
