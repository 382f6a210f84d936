"""The database engine of the double of Vault: it makes and drops real roles of a real PostgreSQL.

A lease lives for `ttl_s`, is renewed up to `max_ttl_s` after it was made, and ends with the token
that it was made with; then, or when it is revoked, its role is dropped and its sessions are ended,
with the statements that docs/vault.md has for Vault. It does not imitate: the engine's own
configuration (connection, statements, rotation of its root password), static roles, lease counts.
"""

import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from dev.postgres import Postgres

PAGE = Path(__file__).resolve().parents[2] / "docs/vault.md"
_PASSWORD = "change me"


def _documented(file: str) -> str:
    """What the page has written into a file, for Vault."""
    found = re.search(rf"cat > {file} <<'SQL'\n(.*?)    SQL\n", PAGE.read_text(), re.DOTALL)
    assert found, file
    return found[1]


@asynccontextmanager
async def managed(postgres: Postgres, database: str, *, reads: str = "") -> AsyncIterator["Made"]:
    """The roles that the page has made in PostgreSQL; `reads`: a table for the users."""
    name = uuid.uuid4().hex[:8]
    made = Made(f"readers_{name}", f"vault_{name}", postgres, database)
    grant = f"GRANT SELECT ON {reads} TO {made.member};" if reads else ""
    await postgres.execute(
        f"CREATE ROLE {made.member} NOLOGIN; {grant}"
        f"CREATE ROLE {made.manager} LOGIN CREATEROLE PASSWORD '{_PASSWORD}';"
        f"GRANT {made.member} TO {made.manager} WITH ADMIN OPTION;"
        f"GRANT pg_signal_backend TO {made.manager};",
        database=database,
    )
    try:
        yield made
    finally:
        await postgres.execute(
            f"DROP OWNED BY {made.member}, {made.manager};"
            f"DROP ROLE {made.manager}; DROP ROLE {made.member};",
            database=database,
        )


@dataclass(frozen=True)
class Made:
    member: str
    manager: str
    postgres: Postgres
    database: str

    @property
    def dsn(self) -> str:
        return self.postgres.dsn_of(self.database, user=self.manager, password=_PASSWORD)


@dataclass
class Lease:
    name: str
    token: str
    ends_at: float
    last_at: float


@dataclass
class Engine:
    made_in: Made
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
        self._execute(_documented("create.sql"), name, password, self.ttl_s)
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
        # Vault's own statement, where the role has none
        alter = "ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'"
        self._execute(alter, lease.name, "", left)
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
        self._execute(_documented("revoke.sql"), lease.name)
        self.revoked.append(lease.name)

    def _execute(
        self, statements: str, name: str, password: str = "", lives_s: float = 0.0
    ) -> None:
        """All in one transaction, as Vault does."""
        ends_at = datetime.now(UTC) + timedelta(seconds=lives_s)
        values = {"name": name, "password": password, "expiration": f"{ends_at:%F %T%z}"}
        text = statements.replace("IN ROLE readers", f"IN ROLE {self.made_in.member}")
        for key, value in values.items():
            text = text.replace("{{" + key + "}}", value)
        with psycopg.connect(self.made_in.dsn) as connection:
            connection.execute(text.encode())
