"""The database engine of the double of Vault: it makes and drops real roles of a real PostgreSQL.

A lease lives for `ttl_s`, is renewed up to `max_ttl_s` after it was made, and ends with the token
that it was made with; then, or when it is revoked, its role is dropped and its sessions are ended,
as the revocation statements of docs/vault.md have it. It does not imitate: the engine's own
configuration (connection, statements, rotation of its root password), static roles, lease counts.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

_REVOKE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {text}",
    "DROP OWNED BY {name}",
    "DROP ROLE {name}",
)


@dataclass
class Lease:
    name: str
    token: str
    ends_at: float
    last_at: float


@dataclass
class Engine:
    """`dsn`: of a role that may make others. `member`: the role whose rights they get."""

    dsn: str
    member: str
    clock: Callable[[], float]
    role: str = "analyst"
    ttl_s: float = 60.0
    max_ttl_s: float = 180.0
    broken: bool = False
    leases: dict[str, Lease] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    renewed: int = 0

    def credentials(self, role: str, token: str) -> tuple[int, Any]:
        if role != self.role:
            return 400, {"errors": [f"unknown role: {role}"]}
        if self.broken:
            return 500, {"errors": ["1 error occurred: failed to connect to the database"]}
        name, password = f"v-token-{role}-{uuid.uuid4().hex[:20]}", uuid.uuid4().hex
        self._execute(
            "CREATE ROLE {name} LOGIN PASSWORD {password} IN ROLE {member}",
            name=sql.Identifier(name),
            password=sql.Literal(password),
            member=sql.Identifier(self.member),
        )
        lease_id = f"database/creds/{role}/{uuid.uuid4().hex}"
        now = self.clock()
        self.leases[lease_id] = Lease(name, token, now + self.ttl_s, now + self.max_ttl_s)
        self.made.append(name)
        return 200, {
            "lease_id": lease_id,
            "lease_duration": self.ttl_s,
            "renewable": True,
            "data": {"username": name, "password": password},
        }

    def renew(self, lease_id: str, increment: float) -> tuple[int, Any]:
        lease = self.leases.get(lease_id)
        if lease is None:
            return 400, {"errors": ["lease not found"]}
        now = self.clock()
        lease.ends_at = min(now + (increment or self.ttl_s), lease.last_at)
        self.renewed += 1
        left = lease.ends_at - now
        return 200, {"lease_id": lease_id, "lease_duration": left, "renewable": True}

    def revoke(self, lease_id: str) -> tuple[int, Any]:
        lease = self.leases.pop(lease_id, None)
        if lease is not None:
            self._drop(lease)
        return 204, None

    def expire(self, lives: Callable[[str], bool]) -> None:
        """Ends what is over; `lives` says whether a token still does."""
        now = self.clock()
        for lease_id, lease in tuple(self.leases.items()):
            if lease.ends_at <= now or not lives(lease.token):
                self._drop(self.leases.pop(lease_id))

    def drop_all(self) -> None:
        self.expire(lambda _: False)

    def _drop(self, lease: Lease) -> None:
        name, text = sql.Identifier(lease.name), sql.Literal(lease.name)
        for statement in _REVOKE:
            self._execute(statement, name=name, text=text)
        self.revoked.append(lease.name)

    def _execute(self, statement: str, **parts: sql.Composable) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(**parts))
