"""The connector over real gRPC, with the real credential service and the real Azurite."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.protobuf.struct_pb2 import Struct

from dev.azurite import Azurite
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from isobath.credentials.v1 import credentials_pb2 as credentials
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.status import RemoteFault, decode
from servicekit.testing import Leaks, no_leaks, open_channel, running
from services.blob_connector.app import mount
from services.blob_connector.settings import Settings
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from tests.blob_connector.proxy import Proxy, proxying


@dataclass
class Lake:
    """A source on a container of its own. `grant` mints; the methods are the contract's calls."""

    stub: rpc.ConnectorServiceStub
    credentials: credentials_rpc.CredentialServiceStub
    azurite: Azurite
    container: Any
    address: str
    vault: str
    name: str = "ds-lake"
    fields: dict[str, str] = field(default_factory=dict)

    async def secret(
        self, *, source_id: str = "", config: Struct | None = None, **fields: str
    ) -> None:
        self.fields = fields or self.fields
        request = credentials.PutSecretRequest(
            source_id=source_id or self.name,
            owner="me",
            fields=self.fields,
            clear=[w for w in WAYS if w not in self.fields],
            source_type="azure_blob",
            config=config or self.config(),
        )
        await self.credentials.PutSecret(request)

    def config(self, **changes: Any) -> Struct:
        config = Struct()
        config.update(
            {
                "account_url": self.azurite.account_url,
                "container": self.container.container_name,
                "write_prefixes": ["**"],
                **changes,
            }
        )
        return config

    async def grant(self, *operations: str, version: int = 1, **changes: Any) -> str:
        """Other settings make another source, for a secret is bound to its settings."""
        source_id, config = self.name, self.config(**changes.get("config", {}))
        if changes.pop("config", {}):
            source_id = f"{self.name}-{uuid.uuid4().hex[:8]}"
            await self.secret(source_id=source_id, config=config)
        request = credentials.MintGrantRequest(
            owner="me",
            caller="key",
            source_id=source_id,
            source_type="azure_blob",
            source_version=version,
            config=config,
            operations=operations or ("list", "read", "write", "overwrite"),
            **changes,
        )
        return str((await self.credentials.MintGrant(request)).grant)

    def through(self, proxy: Proxy) -> dict[str, str]:
        """Settings of this source, by way of a proxy."""
        return {"account_url": f"http://127.0.0.1:{proxy.port}/{self.azurite.account}"}

    async def browse(self, *, grant: str = "", **request: Any) -> list[str]:
        """The paths on all pages."""
        grant, names, token = grant or await self.grant(), [], ""
        while True:
            page = await self.stub.Browse(
                pb.BrowseRequest(grant=grant, page_token=token, **request)
            )
            names += [entry.path for entry in page.entries]
            token = page.next_page_token
            if not token:
                return names

    async def inspect(self, path: str, *, grant: str = "") -> pb.InspectResponse:
        grant = grant or await self.grant()
        told: pb.InspectResponse = await self.stub.Inspect(
            pb.InspectRequest(grant=grant, path=path)
        )
        return told

    async def table(self, path: str, **request: Any) -> pa.Table:
        """What Fetch gives as Arrow."""
        events = await self.fetch(path, format=pb.FORMAT_ARROW, **request)
        with pa.ipc.open_stream(joined(events)) as reader:
            return reader.read_all()

    async def preview(self, path: str, rows: int = 10, *, grant: str = "") -> pb.PreviewResponse:
        selection = pb.Selection(path=path)
        request = pb.PreviewRequest(
            grant=grant or await self.grant(), selection=selection, rows=rows
        )
        told: pb.PreviewResponse = await self.stub.Preview(request)
        return told

    async def store(
        self, path: str, *pieces: bytes, grant: str = "", **start: Any
    ) -> pb.StoreResponse:
        begin = pb.StoreStart(grant=grant or await self.grant(), path=path, **start)
        requests = [pb.StoreRequest(start=begin), *(pb.StoreRequest(piece=each) for each in pieces)]
        told: pb.StoreResponse = await self.stub.Store(iter(requests))
        return told

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


__all__ = ["no_leaks"]


@pytest.fixture
async def lake(azurite: Azurite, tmp_path: Path, no_leaks: Leaks) -> AsyncIterator[Lake]:
    """With small ranges, so that small blobs take several. Nothing may be left of any test."""
    async with open_lake(azurite, tmp_path, range_bytes=256 * 1024, retries=2) as made:
        yield made


@pytest.fixture
async def proxy(azurite: Azurite) -> AsyncIterator[Proxy]:
    async with proxying(azurite.port) as made:
        yield made


@asynccontextmanager
async def open_lake(
    azurite: Azurite, folder: Path, *, lease_s: float = 300.0, **changes: Any
) -> AsyncIterator[Lake]:
    settings = CredentialSettings(home=folder / "credentials", lease_s=lease_s)
    async with running((mount_credentials, settings)) as vault:
        own = Settings(credentials=vault.address, **changes)
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
                server.address,
                vault.address,
            )
            await made.secret(account_key=azurite.key)
            yield made
