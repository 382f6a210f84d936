"""What was taken of bounded grants: kept as long as they live, over restarts."""

from datetime import datetime

from grants.claims import Grant
from grants.spending import Amount, handing_back, spending, taken
from services.credentials.store import Db, Store

_SELECT = "SELECT rows, bytes FROM spent WHERE grant_id = ?"
_SAVE = (
    "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (grant_id) DO UPDATE SET "
    "rows = excluded.rows, bytes = excluded.bytes, expires_at = excluded.expires_at"
)
_PRUNE = "DELETE FROM spent WHERE expires_at < ?"


async def take(store: Store, grant: Grant, wanted: Amount, now: datetime) -> Amount:
    """What may be given now. Raises BeyondGrant."""

    def work(db: Db, _: object) -> Amount:
        spent = _spent(db, grant)
        took = taken(grant, spent, wanted)
        db.execute(_PRUNE, (_text(now),))
        _save(db, grant, spending(spent, took))
        return took

    return await store.run(work, _lock(grant))


async def hand_back(store: Store, grant: Grant, unused: Amount) -> None:
    def work(db: Db, _: object) -> None:
        _save(db, grant, handing_back(_spent(db, grant), unused))

    await store.run(work, _lock(grant))


def _lock(grant: Grant) -> str:
    return f"spent {grant.grant_id}"


def _spent(db: Db, grant: Grant) -> Amount:
    row = db.execute(_SELECT, (grant.grant_id,)).fetchone()
    return Amount(*row) if row else Amount()


def _save(db: Db, grant: Grant, spent: Amount) -> None:
    db.execute(_SAVE, (grant.grant_id, spent.rows, spent.bytes, _text(grant.expires_at)))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
