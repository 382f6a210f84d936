"""Which leases were made for which sources: kept over restarts, so that a lease can be revoked by a
service that did not make it, and after Vault was away."""

from datetime import timedelta
from typing import Literal

from services.credentials.clock import Clock
from services.credentials.sealing import Seal
from services.credentials.store import Db, Store

# given_up: 0 = in use, 1 = to be revoked, 2 = one replica is at that
_ADD = (
    "INSERT INTO leases VALUES (?, ?, ?, ?, 0) ON CONFLICT (lease_id) DO UPDATE SET "
    "source_id = excluded.source_id, owner = excluded.owner, ends_at = excluded.ends_at, "
    "given_up = 0"
)
_CLAIM = "UPDATE leases SET given_up = 2 WHERE lease_id = ? AND given_up = 1"
_LEAVE = "UPDATE leases SET given_up = 1 WHERE lease_id = ? AND given_up = 2"
_LEAVE_ALL = "UPDATE leases SET given_up = 1 WHERE given_up = 2"
_EXTEND = "UPDATE leases SET ends_at = ? WHERE lease_id = ?"
_GIVEN_UP = "SELECT lease_id FROM leases WHERE given_up = 1 ORDER BY ends_at"
_PRUNE = "DELETE FROM leases WHERE ends_at <= ?"
_FORGET = "DELETE FROM leases WHERE lease_id = ?"

By = Literal["source_id", "owner", "lease_id"]
_GIVE_UP: dict[By, str] = {
    "source_id": "UPDATE leases SET given_up = 1 WHERE source_id = ? AND given_up = 0",
    "owner": "UPDATE leases SET given_up = 1 WHERE owner = ? AND given_up = 0",
    "lease_id": "UPDATE leases SET given_up = 1 WHERE lease_id = ? AND given_up = 0",
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

        def work(db: Db, _: Seal) -> list[str]:
            db.execute(_PRUNE, (self._at(0),))
            return [lease_id for (lease_id,) in db.execute(_GIVEN_UP)]

        return await self._store.run(work)

    async def claim(self, lease_id: str) -> bool:
        """Whether it is ours to revoke now: of several replicas, one does."""
        claimed = await self._store.run(lambda db, _: db.execute(_CLAIM, (lease_id,)).rowcount)
        return claimed == 1

    async def leave(self, lease_id: str) -> None:
        """It could not be revoked, and is to be tried again by whoever comes to it."""
        await self._run(_LEAVE, lease_id)

    async def leave_all(self) -> None:
        """At the start: whoever had claimed some may have ended over it."""
        await self._run(_LEAVE_ALL)

    async def forget(self, lease_id: str) -> None:
        await self._run(_FORGET, lease_id)

    async def _run(self, statement: str, *values: str) -> None:
        await self._store.run(lambda db, _: db.execute(statement, values))

    def _at(self, left_s: float) -> str:
        at = self._clock.now() + timedelta(seconds=left_s)
        return at.isoformat(timespec="microseconds")
