"""A small service with every kind of call, for the tests of the server around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from servicekit import context
from servicekit.channels import channel
from servicekit.interceptors import ANYONE
from servicekit.server import Server
from servicekit.status import Fault, Status

NAME = "isobath.test.Probe"


class ProbeFault(Fault):
    remedy = "Ask for something else."


class Narrow(ProbeFault):
    def __init__(self) -> None:
        super().__init__("too narrow", "detail for the log only", retry_after_s=1.5)

    def metadata(self) -> dict[str, str]:
        return {"field": "width"}


class Narrower(Narrow):
    pass


class Unmapped(Fault):
    pass


STATUSES = {
    ProbeFault: Status(grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT"),
    Narrow: Status(grpc.StatusCode.OUT_OF_RANGE, "TOO_LARGE"),
    KeyError: Status(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
}


class BadMetadata(ProbeFault):
    def metadata(self) -> dict[str, str]:
        raise RuntimeError("the error is broken itself")


RAISES: Mapping[bytes, Callable[[], Exception]] = {
    b"base": lambda: ProbeFault("no way"),
    b"narrow": Narrow,
    b"narrower": Narrower,
    b"unmapped": lambda: Unmapped("a text that nobody vouched for"),
    b"foreign": lambda: KeyError("internal-detail"),
    b"unknown": lambda: ValueError("internal-detail"),
    b"broken": lambda: BadMetadata("internal-detail"),
    b"long": lambda: ProbeFault("ü" * 50_000, remedy="é" * 50_000),
}


@dataclass
class Probe:
    """`peer` is the address of the next hop, for calls with b"hop"."""

    peer: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    next_hop: Any = None

    async def unary(self, request: bytes, _: Any) -> bytes:
        if request in RAISES:
            raise RAISES[request]()
        return await self._ask(request)

    async def server_stream(self, request: bytes, servicer_context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        try:
            if request in RAISES:
                raise RAISES[request]()
            yield await self._ask(request)
        finally:
            self.ended.set()

    async def writes_itself(self, request: bytes, servicer_context: Any) -> None:
        await servicer_context.write(b"written")
        await servicer_context.write(request)

    async def client_stream(self, requests: AsyncIterator[bytes], _: Any) -> bytes:
        parts = [part async for part in requests]
        for part in parts:
            if part in RAISES:
                raise RAISES[part]()
        return b"".join(parts)

    async def both(self, requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for part in requests:
            if part in RAISES:
                raise RAISES[part]()
            yield await self._ask(part)

    async def aborts(self, _: bytes, servicer_context: Any) -> bytes:
        await servicer_context.abort(grpc.StatusCode.DATA_LOSS, "own words")
        raise AssertionError

    async def _ask(self, request: bytes) -> bytes:
        if request == b"hop":
            method: Any = self.next_hop.unary_unary(f"/{NAME}/Unary")
            answer: bytes = await method(b"context")
            return answer
        if request == b"context":
            left = context.remaining_s(-1)
            return f"{context.request_id()} {context.caller()} {left}".encode()
        if request == b"wait":
            await self._wait()
        return request

    async def _wait(self) -> None:
        self.started.set()
        try:
            await self.finish.wait()
        finally:
            self.ended.set()


def handlers(probe: Probe) -> grpc.GenericRpcHandler:  # type: ignore[type-arg]
    return grpc.method_handlers_generic_handler(
        NAME,
        {
            "Unary": grpc.unary_unary_rpc_method_handler(probe.unary),
            "ServerStream": grpc.unary_stream_rpc_method_handler(probe.server_stream),
            "WritesItself": grpc.unary_stream_rpc_method_handler(probe.writes_itself),
            "ClientStream": grpc.stream_unary_rpc_method_handler(probe.client_stream),
            "Both": grpc.stream_stream_rpc_method_handler(probe.both),
            "Watch": grpc.unary_stream_rpc_method_handler(probe.server_stream),
            "Aborts": grpc.unary_unary_rpc_method_handler(probe.aborts),
        },
    )


@asynccontextmanager
async def mount(server: Server, probe: Probe) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if probe.peer:
            probe.next_hop = await stack.enter_async_context(channel(probe.peer))
        server.register(
            NAME,
            lambda s: s.add_generic_rpc_handlers((handlers(probe),)),
            statuses=STATUSES,
            allow={"Unary": frozenset({ANYONE}), "Aborts": frozenset({"gateway"})},
            endless=frozenset({"Watch"}),
        )
        yield


def method(opened: Any, name: str) -> Any:
    """A bound call of the probe by its name; the kind is that of its handler."""
    kinds = {
        "Unary": opened.unary_unary,
        "Aborts": opened.unary_unary,
        "ServerStream": opened.unary_stream,
        "WritesItself": opened.unary_stream,
        "Watch": opened.unary_stream,
        "ClientStream": opened.stream_unary,
        "Both": opened.stream_stream,
    }
    return kinds[name](f"/{NAME}/{name}")
