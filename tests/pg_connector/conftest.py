"""The connector beside the real credential service, on a real database with a few tables."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from isobath.credentials.v1 import credentials_pb2 as credentials_pb
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.channels import calling, faults
from servicekit.testing import no_leaks, open_channel, running
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from services.pg_connector.app import mount
from services.pg_connector.settings import Settings

__all__ = ["no_leaks"]

PASSWORD = "a-Planted-secret-7"
SHOP = """
CREATE TABLE customers (
    id integer PRIMARY KEY, name text NOT NULL, region text NOT NULL,
    joined date NOT NULL DEFAULT '2025-01-01');
COMMENT ON TABLE customers IS 'who buys';
COMMENT ON COLUMN customers.region IS 'where they live';
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers (id),
    amount numeric(12,2) NOT NULL CHECK (amount >= 0), note text, at timestamptz NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer_id, at);
CREATE VIEW big_orders AS SELECT id, amount FROM orders WHERE amount > 50;
CREATE SCHEMA "Odd Name";
CREATE TABLE "Odd Name"."Table.1" ("a ""b" integer);
CREATE TABLE secrets (id integer);
INSERT INTO customers SELECT g, 'customer ' || g, (ARRAY['Nordvik','Sund'])[1 + g % 2]
    FROM generate_series(1, 100) g;
INSERT INTO orders SELECT g, 1 + g % 100, g / 100.0, CASE g % 3 WHEN 0 THEN '' WHEN 1 THEN 'x,"y"'
    END, timestamptz '2026-01-01 00:00+00' + g * interval '1 minute'
    FROM generate_series(1, 10000) g;
"""


@dataclass
class Platform:
    stub: rpc.ConnectorServiceStub
    credentials: credentials_rpc.CredentialServiceStub
    config: dict[str, Any]
    postgres: Postgres
    database: str
    # where the connector listens
    address: str

    passwords: dict[str, str] = field(default_factory=dict)

    async def put(
        self,
        password: str = PASSWORD,
        source_id: str = "ds-1",
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self.passwords[source_id] = password
        request = credentials_pb.PutSecretRequest(
            source_id=source_id,
            owner="owner-1",
            fields={"password": password, **(secrets or {})},
            source_type="postgresql",
        )
        request.config.update({**self.config, **(config or {})})
        await self.credentials.PutSecret(request)

    async def grant(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> str:
        """Other settings make another source, for a secret is bound to its settings."""
        if config:
            source_id = changes.get("source_id", "ds-1")
            changes["source_id"] = f"{source_id}-{uuid.uuid4().hex[:8]}"
            await self.put(self.passwords[source_id], changes["source_id"], config, secrets)
        request = credentials_pb.MintGrantRequest(
            **{
                "owner": "owner-1",
                "source_id": "ds-1",
                "source_type": "postgresql",
                "source_version": 1,
                "operations": ["list", "read"],
                "run_id": "run-1",
                **changes,
            }
        )
        request.config.update({**self.config, **(config or {})})
        return str((await self.credentials.MintGrant(request)).grant)

    async def fetch(self, what: str, *, grant: str = "", **fields: Any) -> list[pb.FetchResponse]:
        """A query when it has a space, else a path. Raises RemoteFault."""
        request = await self.request(what, grant=grant, **fields)
        return [event async for event in faults(self.stub.Fetch(request))]

    async def request(self, what: str, *, grant: str = "", **fields: Any) -> pb.FetchRequest:
        parameters = fields.pop("parameters", [])
        selection = (
            pb.Selection(query=pb.Query(sql=what, parameters=parameters))
            if " " in what
            else pb.Selection(path=what)
        )
        return pb.FetchRequest(grant=grant or await self.grant(), selection=selection, **fields)

    async def call(self, method: str, request: Any) -> Any:
        return await calling(getattr(self.stub, method)(request))

    async def revoke(self, source_id: str = "ds-1") -> None:
        await self.credentials.RevokeGrant(
            credentials_pb.RevokeGrantRequest(source_id=source_id, cause="test")
        )

    async def activity(self, text: str) -> int:
        """Backends in this database that run a statement with the text in it."""
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
                    " AND state = 'active' AND query LIKE '%' || $2 || '%'",
                    self.database,
                    text,
                )
            )
        finally:
            await connection.close()


def body(events: list[pb.FetchResponse]) -> bytes:
    return b"".join(event.piece for event in events)


def limits(**fields: Any) -> pb.Limits:
    seconds = fields.pop("seconds", None)
    timeout = None if seconds is None else Duration()
    if timeout is not None:
        timeout.FromNanoseconds(int(seconds * 1e9))
    return pb.Limits(**fields, timeout=timeout)


@pytest.fixture
async def platform(
    no_leaks: object, postgres: Postgres, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Platform]:
    """A parameter = settings of the connector."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(postgres.database("pgc"))
        role = f"reader_{database}"
        await postgres.execute(SHOP, database=database)
        await postgres.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}';"
            f"GRANT SELECT ON customers, orders, big_orders TO {role};"
            f'GRANT USAGE ON SCHEMA "Odd Name" TO {role};'
            f'GRANT SELECT ON "Odd Name"."Table.1" TO {role};',
            database=database,
        )
        stack.push_async_callback(_drop, postgres, database, role)
        home = CredentialSettings(home=tmp_path / "home", heartbeat_s=0.05, key_lead_s=0.0)
        kept = await stack.enter_async_context(running((mount_credentials, home)))
        settings = Settings(
            credentials=kept.address, connect_attempts=1, **getattr(request, "param", {})
        )
        server = await stack.enter_async_context(running((mount, settings)))
        to_credentials = await stack.enter_async_context(open_channel(kept))
        to_connector = await stack.enter_async_context(open_channel(server))
        platform = Platform(
            rpc.ConnectorServiceStub(to_connector),
            credentials_rpc.CredentialServiceStub(to_credentials),
            {"host": postgres.host, "port": postgres.port, "database": database, "user": role},
            postgres,
            database,
            server.address,
        )
        await platform.put()
        yield platform


async def _drop(postgres: Postgres, database: str, role: str) -> None:
    await postgres.execute(f"DROP OWNED BY {role}", database=database)
    await postgres.execute(f"DROP ROLE {role}")
