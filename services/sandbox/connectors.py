"""The connectors by address; which type of source each serves, it says itself."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, Self

import grpc

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit import context, logs
from servicekit.channels import calling, channel
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls
from services.sandbox.errors import UnknownSourceType

SERVICE = "isobath.connector.v1.ConnectorService"
_log = logs.get(__name__)
_DESCRIBE_S = 5.0


class Reaching(Protocol):
    """A way to the connectors."""

    async def of_type(self, kind: str) -> Any:
        """The stub of the one that serves sources of this type. Raises UnknownSourceType."""

    def notes(self, kind: str) -> str:
        """What it says to those who write code."""


class Connectors:
    """`async with Connectors(addresses, token) as connectors`. One that is away now is asked again
    when its type is wanted."""

    def __init__(
        self, addresses: tuple[str, ...], token: Secret | None, tls: Tls | None = None
    ) -> None:
        self._addresses, self._token, self._tls = addresses, token, tls
        self._stack = AsyncExitStack()
        self._stubs: dict[str, rpc.ConnectorServiceStub] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._by_type: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        for address in self._addresses:
            opened = await self._stack.enter_async_context(
                channel(address, token=self._token, tls=self._tls)
            )
            self._channels[address] = opened
            self._stubs[address] = rpc.ConnectorServiceStub(opened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def of_type(self, kind: str) -> rpc.ConnectorServiceStub:
        """Raises UnknownSourceType."""
        if kind not in self._by_type:
            async with self._asking:
                await self._ask_unknown(kind)
        if kind not in self._by_type:
            raise UnknownSourceType(kind)
        return self._stubs[self._by_type[kind]]

    async def carrying(self, kind: str, method: str) -> Any:
        """A call of that method as bytes, however many messages go either way. Raises
        UnknownSourceType."""
        await self.of_type(kind)
        opened: Any = self._channels[self._by_type[kind]]
        return opened.stream_stream(f"/{SERVICE}/{method}")

    def notes(self, kind: str) -> str:
        return self._notes.get(kind, "")

    async def _ask_unknown(self, kind: str) -> None:
        if kind in self._by_type:
            return
        unknown = set(self._stubs) - set(self._by_type.values())
        await asyncio.gather(*(self._ask(address) for address in sorted(unknown)))

    async def _ask(self, address: str) -> None:
        call = self._stubs[address].Describe(pb.DescribeRequest(), timeout=_DESCRIBE_S)
        try:
            told = await calling(call)
        except RemoteFault as exc:
            _log.warning("connector_away", address=address, why=str(exc))
            return
        self._by_type[told.type] = address
        self._notes[told.type] = told.code_notes
        _log.info("connector", address=address, type=told.type, request=context.request_id())
