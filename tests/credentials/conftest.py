from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit import logs
from servicekit.secrets import Secret
from servicekit.server import ServerSettings
from servicekit.testing import no_leaks, open_channel, running
from services.credentials.app import mount
from services.credentials.settings import Settings

__all__ = ["no_leaks"]


@dataclass
class Service:
    """Starts the service on a folder; more than once, to see what is left after a restart."""

    settings: Settings
    server_settings: ServerSettings = field(default_factory=lambda: ServerSettings(drain_s=1.0))

    @asynccontextmanager
    async def started(self, **changes: Any) -> AsyncIterator[rpc.CredentialServiceStub]:
        settings = replace(self.settings, **changes)
        async with (
            running((mount, settings), server_settings=self.server_settings) as server,
            open_channel(server, token=self.token) as channel,
        ):
            self.address = server.address
            yield rpc.CredentialServiceStub(channel)

    token: Secret | None = None
    address: str = ""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def service(home: Path) -> Service:
    return Service(Settings(home=home))


@pytest.fixture
def told() -> Iterator[StringIO]:
    """What is logged, at every level."""
    stream = StringIO()
    logs.configure("credentials", level="DEBUG", stream=stream)
    yield stream
    logs.configure("")


@pytest.fixture
async def stub(service: Service) -> AsyncIterator[rpc.CredentialServiceStub]:
    async with service.started() as stub:
        yield stub


def mint_request(**changes: Any) -> pb.MintGrantRequest:
    config = changes.pop("config", {"host": "db", "port": 5432})
    fields = {
        "owner": "owner-1",
        "caller": "key-1",
        "source_id": "ds-1",
        "source_type": "postgresql",
        "source_version": 1,
        "operations": ["list", "read"],
        "run_id": "run-1",
    }
    request = pb.MintGrantRequest(**{**fields, **changes})
    request.config.update(config)
    return request


def put_request(**changes: Any) -> pb.PutSecretRequest:
    config = changes.pop("config", {"host": "db", "port": 5432})
    fields = {
        "source_id": "ds-1",
        "owner": "owner-1",
        "fields": {"password": "pass-word-1"},
        "source_type": "postgresql",
    }
    request = pb.PutSecretRequest(**{**fields, **changes})
    request.config.update(config)
    return request
