"""The other services, as the gateway calls them."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from connectorkit.directory import Connector, Directory
from isobath.connector.v1 import connector_pb2 as connector
from isobath.connector.v1 import connector_pb2_grpc as connector_stubs
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_stubs
from servicekit import logs
from servicekit.channels import calling, channel, faults, streaming
from servicekit.secrets import Secret
from servicekit.status import RemoteFault, Unsupported
from servicekit.tls import Tls
from services.gateway import models, sandboxes
from services.gateway.errors import ServiceLost, named
from services.gateway.models import Models
from services.gateway.placement import Placing
from services.gateway.sandboxes import Sandboxes

T = TypeVar("T")
_log = logs.get(__name__)

# a service that restarts is back within some seconds: 0.1 + 0.3 + 0.9 s, and up to half again
_RETRIES = 3
# of the credential service: what may be processed twice
_REPEATABLE = frozenset(
    {"DescribeSecret", "DeleteSecret", "MintGrant", "RevokeGrant", "ListDeclaredSources"}
)


async def call(service: str, awaitable: Awaitable[T]) -> T:
    """Await one answer; raises `RemoteFault`, or `ServiceLost` when the service is away."""
    try:
        return await calling(awaitable)
    except RemoteFault as fault:
        raise named(service, fault) from fault


async def retried(service: str, start: Callable[[], Awaitable[T]]) -> T:
    """`call` of something that is safe to repeat, again while the service is away."""
    for attempt in range(_RETRIES):
        try:
            return await call(service, start())
        except ServiceLost:
            _log.warning("service_away", service_called=service, attempt=attempt)
            await asyncio.sleep(0.1 * 3**attempt * random.uniform(1.0, 1.5))  # noqa: S311
    return await call(service, start())


@asynccontextmanager
async def stream(service: str, call: Any) -> AsyncIterator[AsyncIterator[Any]]:
    """A call's messages, with faults as `call` gives them; leaving cancels it."""
    async with streaming(call) as opened:
        yield _named_faults(service, faults(opened))


async def _named_faults(service: str, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        async for message in messages:
            yield message
    except RemoteFault as fault:
        raise named(service, fault) from fault


class Connectors:
    """Connectors by the type of source that each says it serves."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def types(self) -> list[connector.DescribeResponse]:
        """What is served now; a connector that is away is left out until it answers."""
        await self._directory.ask()
        return self._directory.known()

    async def describe(self, type: str) -> connector.DescribeResponse:
        """What the connector of this type says. Raises `Unsupported`, `ServiceLost`."""
        return (await self._of(type)).described

    async def stub(self, type: str) -> connector_stubs.ConnectorServiceStub:
        """The connector of this type. Raises `Unsupported`, `ServiceLost`."""
        return (await self._of(type)).stub

    async def _of(self, type: str) -> Connector:
        found = await self._directory.of_type(type)
        if found is not None:
            return found
        if not self._directory.complete:
            raise ServiceLost(f"{type} connector")
        served = ", ".join(each.type for each in self._directory.known())
        raise Unsupported(
            f"there is no connector for the type {type!r}", ability=type, remedy=f"Use {served}."
        )


@dataclass(frozen=True)
class Services:
    """All that the gateway calls."""

    credentials: credentials_stubs.CredentialServiceStub
    connectors: Connectors
    sandbox: Sandboxes
    models: Models
    others: dict[str, grpc.aio.Channel]

    async def channels(self) -> dict[str, grpc.aio.Channel]:
        """To every service, by a name for people."""
        return {
            **self.others,
            **_told("sandbox", await self.sandbox.channels()),
            **_told("inference", await self.models.channels()),
        }


def _told(service: str, replicas: Mapping[str, grpc.aio.Channel]) -> dict[str, grpc.aio.Channel]:
    alone = len(replicas) < 2
    return {(service if alone else f"{service} {at}"): each for at, each in replicas.items()}


@asynccontextmanager
async def connected(
    *,
    credentials: str,
    connectors: Sequence[str],
    sandbox: Sequence[str],
    inference: Sequence[str],
    placing: Placing,
    token: Secret | None,
    tls: Tls | None = None,
) -> AsyncIterator[Services]:
    """Channels to all services, closed on leaving. Connecting happens with the first calls."""
    async with AsyncExitStack() as stack:

        async def opened(address: str) -> grpc.aio.Channel:
            return await stack.enter_async_context(
                channel(address, token=token, tls=tls, repeatable=_REPEATABLE)
            )

        channels = {"credentials": await opened(credentials)}
        data = await stack.enter_async_context(Directory(connectors, token, tls))
        yield Services(
            credentials=credentials_stubs.CredentialServiceStub(channels["credentials"]),
            connectors=Connectors(data),
            sandbox=await stack.enter_async_context(
                sandboxes.reaching(sandbox, placing, token, tls)
            ),
            models=await stack.enter_async_context(models.reaching(inference, token, tls)),
            others={**channels, **{f"connector {a}": c for a, c in data.channels.items()}},
        )
