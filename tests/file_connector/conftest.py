"""The connector over real gRPC, with the real credential service and real folders."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.protobuf.struct_pb2 import Struct

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from isobath.credentials.v1 import credentials_pb2 as credentials
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.status import RemoteFault, decode
from servicekit.testing import Leaks, no_leaks, open_channel, running
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from services.file_connector.app import mount
from services.file_connector.settings import Settings

__all__ = ["no_leaks"]


@dataclass
class Shelf:
    """A source on a root of its own. `grant` mints; the methods are the contract's calls."""

    stub: rpc.ConnectorServiceStub
    credentials: credentials_rpc.CredentialServiceStub
    # the root, which is the source's folder where its settings name no other
    root: Path
    address: str
    vault: str
    name: str = "ds-files"

    def put(self, path: str, data: bytes | str) -> Path:
        """A file, with its folders."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        return place

    def config(self, **changes: Any) -> Struct:
        config = Struct()
        config.update({"root": "data", "writable_folders": ["**"], **changes})
        return config

    async def keep(self, source_id: str, config: Struct) -> None:
        """As the gateway does, with no secret in it."""
        request = credentials.PutSecretRequest(
            source_id=source_id, owner="me", source_type="local_file", config=config
        )
        await self.credentials.PutSecret(request)

    async def grant(self, *operations: str, **changes: Any) -> str:
        """Other settings make another source."""
        source_id, other = self.name, changes.pop("config", {})
        config = self.config(**other)
        if other:
            source_id = f"{self.name}-{uuid.uuid4().hex[:8]}"
            await self.keep(source_id, config)
        request = credentials.MintGrantRequest(
            owner="me",
            caller="key",
            source_id=source_id,
            source_type="local_file",
            source_version=1,
            config=config,
            operations=operations or ("list", "read", "write", "overwrite"),
            **changes,
        )
        return str((await self.credentials.MintGrant(request)).grant)

    async def check(self, **config: Any) -> pb.CheckResponse:
        grant = await self.grant(config=config)
        told: pb.CheckResponse = await self.stub.Check(pb.CheckRequest(grant=grant))
        return told

    async def browse(self, *, grant: str = "", **request: Any) -> list[str]:
        """The paths on all pages."""
        return [entry.path for entry in await self.entries(grant=grant, **request)]

    async def entries(self, *, grant: str = "", **request: Any) -> list[pb.Entry]:
        grant, found, token = grant or await self.grant(), [], ""
        while True:
            page = await self.stub.Browse(
                pb.BrowseRequest(grant=grant, page_token=token, **request)
            )
            found += page.entries
            token = page.next_page_token
            if not token:
                return found

    async def inspect(self, path: str, *, grant: str = "") -> pb.InspectResponse:
        request = pb.InspectRequest(grant=grant or await self.grant(), path=path)
        told: pb.InspectResponse = await self.stub.Inspect(request)
        return told

    async def table(self, path: str, **request: Any) -> pa.Table:
        """What Fetch gives as Arrow."""
        return arrow(await self.fetch(path, format=pb.FORMAT_ARROW, **request))

    async def query(self, sql: str, *parameters: pb.Parameter, grant: str = "") -> pa.Table:
        selection = pb.Selection(query=pb.Query(sql=sql, parameters=parameters))
        request = pb.FetchRequest(
            grant=grant or await self.grant(), selection=selection, format=pb.FORMAT_ARROW
        )
        return arrow([event async for event in self.stub.Fetch(request)])

    async def preview(self, path: str, rows: int = 10) -> pb.PreviewResponse:
        selection = pb.Selection(path=path)
        request = pb.PreviewRequest(grant=await self.grant(), selection=selection, rows=rows)
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


def joined(events: list[pb.FetchResponse]) -> bytes:
    return b"".join(event.piece for event in events)


def arrow(events: list[pb.FetchResponse]) -> pa.Table:
    with pa.ipc.open_stream(joined(events)) as reader:
        return reader.read_all()


async def fault_of(call: Any) -> RemoteFault:
    """The fault that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return decode(raised.value)


@pytest.fixture
async def shelf(tmp_path: Path, no_leaks: Leaks) -> AsyncIterator[Shelf]:
    """Nothing may be left of any test."""
    async with open_shelf(tmp_path) as made:
        yield made


@asynccontextmanager
async def open_shelf(folder: Path, **changes: Any) -> AsyncIterator[Shelf]:
    root = folder / "root"
    root.mkdir(exist_ok=True)
    allowed = {"roots": (f"data={root}",), "writable_roots": ("data",), **changes}
    async with running(
        (mount_credentials, CredentialSettings(home=folder / "credentials"))
    ) as vault:
        own = Settings(credentials=vault.address, **allowed)
        async with (
            running((mount, own)) as server,
            open_channel(vault) as to_vault,
            open_channel(server) as to_server,
        ):
            made = Shelf(
                rpc.ConnectorServiceStub(to_server),
                credentials_rpc.CredentialServiceStub(to_vault),
                root,
                server.address,
                vault.address,
            )
            await made.keep(made.name, made.config())
            yield made
