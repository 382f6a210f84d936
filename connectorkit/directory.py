"""Connectors, by the type of source that each says it serves: several of a type are replicas."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit import logs
from servicekit.channels import calling, channel
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls

_log = logs.get(__name__)
_DESCRIBE_S = 5.0
# those that did not answer are asked again at most so often, while their type is served by others
_AGAIN_S = 5.0
# what a connector may be asked twice: it reads, or its effect is the same
REPEATABLE = frozenset(
    {"Describe", "Check", "Browse", "Inspect", "Preview", "Profile", "Fetch", "Disconnect"}
)


@dataclass(frozen=True)
class Connector:
    """All replicas that serve a type, and what they say of it."""

    described: pb.DescribeResponse
    channel: grpc.aio.Channel
    stub: rpc.ConnectorServiceStub


class Directory:
    """`async with Directory(addresses, token, tls) as connectors`. One that is away now is asked
    again when its type is wanted, or later on when others serve it."""

    def __init__(self, listed: Iterable[str], token: Secret | None, tls: Tls | None = None) -> None:
        self._listed, self._token, self._tls = tuple(listed), token, tls
        self._stack = AsyncExitStack()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._described: dict[str, pb.DescribeResponse] = {}
        self._connectors: dict[tuple[str, ...], Connector] = {}
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")

    async def __aenter__(self) -> Self:
        for address in self._listed:
            self._channels[address] = await self._opened(address)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._stack.aclose()

    @property
    def channels(self) -> Mapping[str, grpc.aio.Channel]:
        """To each, as it is listed."""
        return self._channels

    @property
    def complete(self) -> bool:
        """Whether every one has said what it serves."""
        return len(self._described) == len(self._channels)

    def known(self) -> list[pb.DescribeResponse]:
        """What is served, one of each type; those that are away are left out until they answer."""
        by_type = {each.type: each for each in reversed(list(self._described.values()))}
        return [by_type[kind] for kind in sorted(by_type)]

    async def ask(self) -> None:
        """Has those that are not known say what they serve; everybody who waits asks at once."""
        if self.complete:
            return
        await asyncio.shield(self._ask_now())

    async def of_type(self, kind: str) -> Connector | None:
        """None where no connector that answers serves the type."""
        if not (listed := self._serving(kind)):
            await self.ask()
            listed = self._serving(kind)
        elif not self.complete and self._asked_at + _AGAIN_S <= asyncio.get_running_loop().time():
            self._ask_now()
        return await self._connector(listed) if listed else None

    def _serving(self, kind: str) -> tuple[str, ...]:
        found = self._described
        return tuple(each for each in self._listed if each in found and found[each].type == kind)

    def _ask_now(self) -> "asyncio.Task[None]":
        if self._asking is None or self._asking.done():
            self._asked_at = asyncio.get_running_loop().time()
            self._asking = asyncio.create_task(self._ask_all(), name="ask connectors")
        return self._asking

    async def _connector(self, listed: tuple[str, ...]) -> Connector:
        found = self._connectors.get(listed)
        if found is None:
            one = len(listed) == 1
            opened = self._channels[listed[0]] if one else await self._opened(",".join(listed))
            described = self._described[listed[0]]
            found = Connector(described, opened, rpc.ConnectorServiceStub(opened))
            found = self._connectors.setdefault(listed, found)
        return found

    async def _ask_all(self) -> None:
        unknown = [each for each in self._listed if each not in self._described]
        await asyncio.gather(*(self._ask(address) for address in unknown))

    async def _ask(self, address: str) -> None:
        stub = rpc.ConnectorServiceStub(self._channels[address])
        try:
            told = await calling(stub.Describe(pb.DescribeRequest(), timeout=_DESCRIBE_S))
        except RemoteFault as exc:
            _log.warning("connector_away", address=address, why=str(exc))
            return
        self._described[address] = told
        _log.info("connector", address=address, type=told.type)

    async def _opened(self, listed: str) -> grpc.aio.Channel:
        return await self._stack.enter_async_context(
            channel(listed, token=self._token, tls=self._tls, repeatable=REPEATABLE)
        )
