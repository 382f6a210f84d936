"""Secrets in the service's own store, encrypted."""

from datetime import datetime

from servicekit.secrets import Secret
from services.credentials.errors import SecretNotFound
from services.credentials.sealing import Seal
from services.credentials.store import Db, Store
from services.credentials.vaults.port import Change, Description, Record, changed

_SELECT = "SELECT owner, version, updated_at, sealed FROM secrets WHERE source_id = ?"
_UPSERT = (
    "INSERT INTO secrets VALUES (?, ?, ?, ?, ?) ON CONFLICT (source_id) DO UPDATE SET "
    "owner = excluded.owner, version = excluded.version, updated_at = excluded.updated_at, "
    "sealed = excluded.sealed"
)
_DELETE = "DELETE FROM secrets WHERE source_id = ?"


class EmbeddedVault:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, change: Change, now: datetime) -> Description:
        record = await self._store.run(
            lambda db, seal: _put(db, seal, change, now), f"secret {change.source_id}"
        )
        return record.description

    async def get(self, source_id: str) -> Record:
        return await self._store.run(lambda db, seal: _get(db, seal, source_id))

    async def describe(self, source_id: str) -> Description:
        return (await self.get(source_id)).description

    async def delete(self, source_id: str) -> bool:
        def delete(db: Db, _: Seal) -> bool:
            return db.execute(_DELETE, (source_id,)).rowcount > 0

        return await self._store.run(delete, f"secret {source_id}")


def _put(db: Db, seal: Seal, change: Change, now: datetime) -> Record:
    held = _find(db, seal, change.source_id)
    record = changed(held, change, now)
    if record is not held:
        _write(db, seal, record)
    return record


def _get(db: Db, seal: Seal, source_id: str) -> Record:
    record = _find(db, seal, source_id)
    if record is None:
        raise SecretNotFound(source_id)
    return record


def _find(db: Db, seal: Seal, source_id: str) -> Record | None:
    row = db.execute(_SELECT, (source_id,)).fetchone()
    if row is None:
        return None
    owner, version, updated_at, sealed = row
    # Older records are their fields alone: they are redeemed once they were stored with a binding.
    kept = seal.open(_name(source_id, owner, version), sealed)
    fields, binding = (
        (kept["fields"], kept["binding"]) if isinstance(kept.get("fields"), dict) else (kept, "")
    )
    secrets = {name: Secret(value) for name, value in fields.items()}
    at = datetime.fromisoformat(updated_at)
    return Record(source_id, owner, version, secrets, at, binding)


def _write(db: Db, seal: Seal, record: Record) -> None:
    fields = {name: value.reveal() for name, value in record.fields.items()}
    kept = {"fields": fields, "binding": record.binding}
    sealed = seal.close(_name(record.source_id, record.owner, record.version), kept)
    at = record.updated_at.isoformat()
    db.execute(_UPSERT, (record.source_id, record.owner, record.version, at, sealed))


def _name(source_id: str, owner: str, version: int) -> tuple[str, str, str, int]:
    return ("secret", source_id, owner, version)
