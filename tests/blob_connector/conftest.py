"""The connector over real gRPC, with the real credential service and the real Azurite."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from isobath.credentials.v1 import credentials_pb2 as credentials
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.status import RemoteFault, decode
from servicekit.testing import open_channel, running
from services.blob_connector.app import mount
from services.blob_connector.settings import Settings
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from tests.parts import Azurite


@dataclass
class Lake:
    """A source on a container of its own. `grant` mints; the methods are the contract's calls."""

    stub: rpc.ConnectorServiceStub
    credentials: credentials_rpc.CredentialServiceStub
    azurite: Azurite
    container: Any
    name: str = "ds-lake"

    async def secret(self, **fields: str) -> None:
        request = credentials.PutSecretRequest(
            source_id=self.name,
            owner="me",
            fields=fields,
            clear=[w for w in WAYS if w not in fields],
        )
        await self.credentials.PutSecret(request)

    async def grant(self, *operations: str, version: int = 1, **changes: Any) -> str:
        config = Struct()
        config.update(
            {
                "account_url": self.azurite.account_url,
                "container": self.container.container_name,
                **changes.pop("config", {}),
            }
        )
        request = credentials.MintGrantRequest(
            owner="me",
            caller="key",
            source_id=self.name,
            source_type="azure_blob",
            source_version=version,
            config=config,
            operations=operations or ("list", "read", "write"),
            **changes,
        )
        return str((await self.credentials.MintGrant(request)).grant)

    async def fetch(self, path: str, **request: Any) -> list[pb.FetchResponse]:
        grant = request.pop("grant", None) or await self.grant()
        selection = pb.Selection(path=path)
        call = self.stub.Fetch(pb.FetchRequest(grant=grant, selection=selection, **request))
        return [event async for event in call]


WAYS = ("connection_string", "account_key", "sas_token")


def joined(events: list[pb.FetchResponse]) -> bytes:
    return b"".join(event.piece for event in events)


async def fault_of(call: Any) -> RemoteFault:
    """The fault that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return decode(raised.value)


@pytest.fixture
async def lake(azurite: Azurite, tmp_path: Path) -> AsyncIterator[Lake]:
    settings = CredentialSettings(home=tmp_path / "credentials")
    async with running((mount_credentials, settings)) as vault:
        own = Settings(credentials=vault.address, range_bytes=256 * 1024, retries=2)
        async with (
            running((mount, own)) as server,
            open_channel(vault) as to_vault,
            open_channel(server) as to_server,
            azurite.container() as container,
        ):
            made = Lake(
                rpc.ConnectorServiceStub(to_server),
                credentials_rpc.CredentialServiceStub(to_vault),
                azurite,
                container,
            )
            await made.secret(account_key=azurite.key)
            yield made
