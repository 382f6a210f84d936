"""What stands before the gateways: hands each connection to the next one that is ready.

It balances connections and reads nothing of them, as a Service of Kubernetes or a cloud's network
balancer does; no session sticks to a gateway.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import httpx

LOOK_EVERY_S = 0.25
LOOK_S = 2.0
_CONNECT_S = 2.0
_PIECE_BYTES = 64 * 1024
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Target:
    """A gateway's two ports."""

    http: int
    grpc: int


class Balancer:
    """Made by `balancing`."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._ready = set(targets)
        self._next = 0
        self._passing: set[asyncio.Task[None]] = set()

    async def look(self, client: httpx.AsyncClient) -> None:
        """Ask each target, now and then, whether it is ready."""
        while True:
            await asyncio.gather(*(self._look(client, each) for each in self._targets))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, client: httpx.AsyncClient, target: Target) -> None:
        try:
            answer = await client.get(f"http://{HOST}:{target.http}/readyz")
            ready = answer.is_success
        except httpx.TransportError:
            ready = False
        (self._ready.add if ready else self._ready.discard)(target)

    async def take_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._pass(reader, writer, [each.http for each in self._in_turn()])

    async def take_grpc(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._pass(reader, writer, [each.grpc for each in self._in_turn()])

    def _in_turn(self) -> list[Target]:
        """Those that are ready, each time another one first; all, where none is."""
        targets = [each for each in self._targets if each in self._ready] or list(self._targets)
        self._next += 1
        first = self._next % len(targets)
        return [*targets[first:], *targets[:first]]

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ports: Sequence[int]
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            async with AsyncExitStack() as stack:
                stack.callback(writer.close)
                for port in ports:
                    with suppress(OSError, TimeoutError):
                        async with asyncio.timeout(_CONNECT_S):
                            there, back = await asyncio.open_connection(HOST, port)
                        stack.callback(back.close)
                        await _both(_pipe(reader, back), _pipe(there, writer))
                        break
        except asyncio.CancelledError:
            # the balancer ends, and this is the end of its task
            pass
        finally:
            self._passing.discard(task)

    async def end(self) -> None:
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)


async def _both(*pipes: "asyncio._CoroutineLike[None]") -> None:
    async with asyncio.TaskGroup() as group:
        for each in pipes:
            group.create_task(each)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until its reader ends; a broken connection is an end."""
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@asynccontextmanager
async def balancing(targets: Sequence[Target], at: Target) -> AsyncIterator[Balancer]:
    """Listen at both ports of `at`; on leaving every connection is closed."""
    balancer = Balancer(targets)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=LOOK_S, trust_env=False))
        stack.push_async_callback(balancer.end)
        for take, port in ((balancer.take_http, at.http), (balancer.take_grpc, at.grpc)):
            server = await asyncio.start_server(take, HOST, port)
            stack.callback(server.close)
        looking = asyncio.create_task(balancer.look(client), name="balancer")
        stack.callback(looking.cancel)
        yield balancer
