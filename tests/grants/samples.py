"""Grants to try things on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from grants.claims import Grant
from grants.tokens import SigningKey

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_001, tzinfo=UTC)
KEY = SigningKey("key-1", Ed25519PrivateKey.from_private_bytes(b"1" * 32))
KEYS = {KEY.key_id: KEY.private.public_key()}

GRANT = Grant(
    grant_id="grant-1",
    owner="owner-1",
    caller="caller-1",
    source_id="ds-1",
    source_type="postgresql",
    source_version=3,
    config={"host": "db", "port": 5432, "schemas": ["public"], "sslmode": None},
    operations=frozenset({"list", "read"}),
    max_rows=10_000,
    run_id="run-1",
    thread_id="thread-1",
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=10),
)


def grant(**changes: Any) -> Grant:
    return replace(GRANT, **changes)


def scoped(*scopes: str) -> Grant:
    return replace(GRANT, scopes=scopes)
