"""What was taken of bounded grants: kept as long as they live, over restarts."""

import sqlite3
from datetime import datetime

from grants.claims import Grant
from grants.spending import Amount, handing_back, spending, taken
from services.credentials.store import Store

_SELECT = "SELECT rows, bytes FROM spent WHERE grant_id = ?"
_SAVE = "INSERT OR REPLACE INTO spent VALUES (?, ?, ?, ?)"
_PRUNE = "DELETE FROM spent WHERE expires_at < ?"


async def take(store: Store, grant: Grant, wanted: Amount, now: datetime) -> Amount:
    """What may be given now. Raises BeyondGrant."""

    def work(db: sqlite3.Connection, _: object) -> Amount:
        spent = _spent(db, grant)
        took = taken(grant, spent, wanted)
        db.execute(_PRUNE, (_text(now),))
        _save(db, grant, spending(spent, took))
        return took

    return await store.run(work)


async def hand_back(store: Store, grant: Grant, unused: Amount) -> None:
    def work(db: sqlite3.Connection, _: object) -> None:
        _save(db, grant, handing_back(_spent(db, grant), unused))

    await store.run(work)


def _spent(db: sqlite3.Connection, grant: Grant) -> Amount:
    row = db.execute(_SELECT, (grant.grant_id,)).fetchone()
    return Amount(*row) if row else Amount()


def _save(db: sqlite3.Connection, grant: Grant, spent: Amount) -> None:
    db.execute(_SAVE, (grant.grant_id, spent.rows, spent.bytes, _text(grant.expires_at)))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
