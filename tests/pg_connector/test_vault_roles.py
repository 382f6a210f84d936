"""Sources whose user is made by Vault's database engine: the connector, the credential service and
the double of Vault, whose engine makes and drops roles of the same PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2_grpc as rpc
from isobath.credentials.v1 import credentials_pb2 as credentials_pb
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.channels import calling
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from services.pg_connector.app import mount
from services.pg_connector.describing import CONFIG_SCHEMA
from services.pg_connector.settings import Settings
from tests.credentials import kv_double
from tests.credentials.database_double import Engine, managed
from tests.credentials.kv_double import Kept
from tests.pg_connector.conftest import SHOP, Platform, body

pytestmark = pytest.mark.req("S1", "D2")
QUERY = "SELECT count(*) AS n FROM customers a CROSS JOIN customers b"


@dataclass
class Leased:
    platform: Platform
    engine: Engine
    vault: Kept

    async def put(self, **config: Any) -> None:
        request = credentials_pb.PutSecretRequest(
            source_id="ds-1", owner="owner-1", source_type="postgresql"
        )
        request.config.update({**self.platform.config, **config})
        await calling(self.platform.credentials.PutSecret(request))


@pytest.fixture
async def leased(no_leaks: object, postgres: Postgres, tmp_path: Path) -> AsyncIterator[Leased]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(postgres.database("pgv"))
        await postgres.execute(SHOP, database=database)
        made = await stack.enter_async_context(managed(postgres, database, reads="customers"))
        engine = Engine(made, time.monotonic)
        url, vault = stack.enter_context(kv_double.running(database=engine))
        settings = CredentialSettings(
            home=tmp_path / "home",
            heartbeat_s=0.05,
            key_lead_s=0.0,
            vault_url=url,
            vault_token=Secret(kv_double.TOKEN),
            vault_roles=(f"owner-1:database/analyst@{postgres.host}",),
        )
        kept = await stack.enter_async_context(running((mount_credentials, settings)))
        connector = Settings(credentials=kept.address, connect_attempts=1)
        server = await stack.enter_async_context(running((mount, connector)))
        to_credentials = await stack.enter_async_context(open_channel(kept))
        to_connector = await stack.enter_async_context(open_channel(server))
        config = {
            "host": postgres.host,
            "port": postgres.port,
            "database": database,
            "vault_role": "database/analyst",
        }
        platform = Platform(
            rpc.ConnectorServiceStub(to_connector),
            credentials_rpc.CredentialServiceStub(to_credentials),
            config,
            postgres,
            database,
            server.address,
        )
        one = Leased(platform, engine, vault)
        await one.put()
        yield one


async def test_query_is_answered_as_the_role_that_vault_made(leased: Leased) -> None:
    told = body(await leased.platform.fetch("SELECT current_user::text AS who")).decode()
    (made,) = leased.engine.made
    assert made in told


async def test_deleting_the_source_drops_its_role(leased: Leased) -> None:
    await leased.platform.fetch(QUERY)
    request = credentials_pb.DeleteSecretRequest(source_id="ds-1")
    await leased.platform.credentials.DeleteSecret(request)
    async with asyncio.timeout(20):
        while leased.engine.revoked != leased.engine.made:
            await asyncio.sleep(0.01)


async def test_queries_go_on_while_vault_is_sealed(leased: Leased) -> None:
    await leased.platform.fetch(QUERY)
    leased.vault.sealed = True
    for _ in range(3):
        assert b"10000" in body(await leased.platform.fetch(QUERY))
    assert len(leased.engine.made) == 1


@pytest.mark.parametrize(
    "changes",
    [{"host": "attacker.example"}, {"vault_role": "database/admin"}, {"vault_role": "analyst"}],
    ids=["host", "role", "no mount"],
)
async def test_role_that_the_operator_did_not_allow_is_refused(
    leased: Leased, changes: dict[str, str]
) -> None:
    """Whoever may make a source must not have a role's password sent to a server of his own."""
    with pytest.raises(RemoteFault) as refused:
        await leased.put(**changes)
    assert refused.value.reason == "INVALID_FIELD"
    assert refused.value.fields["field"] == "config.vault_role"
    assert not leased.engine.made


def test_source_has_a_user_or_a_vault_role() -> None:
    place = {"host": "h", "database": "d"}
    jsonschema.validate({**place, "user": "u"}, CONFIG_SCHEMA)
    jsonschema.validate({**place, "vault_role": "database/analyst"}, CONFIG_SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="'user' is a required"):
        jsonschema.validate(place, CONFIG_SCHEMA)
