"""The inference service's replicas, as one."""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit import logs
from servicekit.addresses import split_host_port
from servicekit.channels import calling, channel
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls
from services.gateway.errors import ServiceLost, named
from services.gateway.multiplexed import Multiplexed
from services.gateway.routing import preference

T = TypeVar("T")
_log = logs.get(__name__)

# before a name of which each address is a replica, as a headless Service of Kubernetes has it
DNS = "dns:///"
_LOOK_UP_S = 10.0
# a replica that did not answer is asked last for so long
_AWAY_S = 5.0
# between rounds of asking every replica, and up to half again: one that restarts is back by then
_PAUSES_S = (0.0, 0.1, 0.3, 0.9)


@dataclass
class Replica:
    """One inference service, and the call that carries its answers."""

    address: str
    channel: grpc.aio.Channel
    stub: rpc.InferenceServiceStub
    answers: Multiplexed
    stack: AsyncExitStack
    away_until: float = 0.0


class Models:
    """Asks the replica that has the thread's prompt already, and another where that one is away or
    full. `addresses`: host:port, unix:path, or dns:///name:port."""

    def __init__(
        self, addresses: Sequence[str], token: Secret | None = None, tls: Tls | None = None
    ) -> None:
        self._addresses = addresses
        self._token, self._tls = token, tls
        self._replicas: dict[str, Replica] = {}
        # no longer listed: they get no new answers, and are closed when the last has ended
        self._leaving: list[Replica] = []
        self._looked_up = float("-inf")
        self._looking = asyncio.Lock()

    async def generate(
        self, request: pb.GenerateRequest, *, key: str, seconds: float
    ) -> AsyncGenerator[pb.NumberedEvent, None]:
        """Deltas, then one completion. What a replica refuses because it is full, or was lost
        before its first delta, goes to another. `key`: what keeps to one replica. Raises
        `RemoteFault`, `ServiceLost`."""
        deadline = asyncio.get_running_loop().time() + seconds
        begun, failed = False, None
        async with aclosing(self._candidates(key)) as replicas:
            async for replica in replicas:
                try:
                    async with aclosing(replica.answers.generate(request, deadline)) as events:
                        async for event in events:
                            begun = True
                            yield event
                    return
                except (ServiceLost, RemoteFault) as fault:
                    if begun or not self._another_may(replica, fault):
                        raise
                    failed = fault
        raise failed or ServiceLost("inference")

    async def list_models(self) -> Sequence[pb.Model]:
        """What is served, the default first. Raises `RemoteFault`, `ServiceLost`."""
        request = pb.ListModelsRequest()
        listed: pb.ListModelsResponse = await self._asked(lambda stub: stub.ListModels(request))
        return listed.models

    async def count_tokens(self, request: pb.CountTokensRequest) -> pb.CountTokensResponse:
        """Raises `RemoteFault`, `ServiceLost`."""
        return await self._asked(lambda stub: stub.CountTokens(request))

    async def channels(self) -> dict[str, grpc.aio.Channel]:
        """To each replica, by address."""
        await self._look_up()
        return {each.address: each.channel for each in self._replicas.values()}

    async def aclose(self) -> None:
        """Ends all answers, and closes what was opened."""
        left = [*self._replicas.values(), *self._leaving]
        await asyncio.gather(*(each.stack.aclose() for each in left))

    async def _asked(self, ask: Callable[[rpc.InferenceServiceStub], Awaitable[T]]) -> T:
        failed: Exception = ServiceLost("inference")
        async with aclosing(self._candidates("")) as replicas:
            async for replica in replicas:
                try:
                    return await calling(ask(replica.stub))
                except RemoteFault as fault:
                    failed = named("inference", fault)
                    if not self._another_may(replica, failed):
                        raise failed from fault
        raise failed

    async def _candidates(self, key: str) -> AsyncGenerator[Replica, None]:
        """Replicas to ask, one after the other, and all again after a pause."""
        for pause_s in _PAUSES_S:
            await asyncio.sleep(pause_s * random.uniform(1.0, 1.5))  # noqa: S311
            await self._look_up()
            loads = {each.address: each.answers.under_way for each in self._replicas.values()}
            now = asyncio.get_running_loop().time()
            ranked = [self._replicas[address] for address in preference(key, loads)]
            for replica in sorted(ranked, key=lambda each: each.away_until > now):
                yield replica

    def _another_may(self, replica: Replica, fault: Exception) -> bool:
        """Whether it is worth asking elsewhere, or here again."""
        if isinstance(fault, ServiceLost):
            _log.warning("replica_away", address=replica.address)
            replica.away_until = asyncio.get_running_loop().time() + _AWAY_S
            return True
        # a busy one stays so for longer than all pauses together
        full = isinstance(fault, RemoteFault) and fault.reason == "TOO_BUSY"
        return full and len(self._replicas) > 1

    # Which replicas there are

    async def _look_up(self) -> None:
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked_up < _LOOK_UP_S:
                return
            found = {at: name for each in self._addresses for at, name in await _found(each)}
            if found:
                await self._change_to(found)
                self._looked_up = now

    async def _change_to(self, found: dict[str, str]) -> None:
        for address in [each for each in self._replicas if each not in found]:
            self._leaving.append(self._replicas.pop(address))
        for address, name in found.items():
            if address not in self._replicas:
                self._replicas[address] = await self._opened(address, name)
        for replica in [each for each in self._leaving if not each.answers.under_way]:
            self._leaving.remove(replica)
            await replica.stack.aclose()

    async def _opened(self, address: str, name: str) -> Replica:
        stack = AsyncExitStack()
        opened = await stack.enter_async_context(
            channel(address, token=self._token, tls=self._tls, tls_name=name)
        )
        stub = rpc.InferenceServiceStub(opened)
        answers = Multiplexed(stub)
        stack.push_async_callback(answers.aclose)
        return Replica(address, opened, stub, answers, stack)


async def _found(address: str) -> list[tuple[str, str]]:
    """Addresses to dial, each with the name in its certificate where the address has none."""
    if not address.startswith(DNS):
        return [(address, "")]
    name, port = split_host_port(address.removeprefix(DNS))
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        _log.warning("name_not_found", name=name, error=str(exc))
        return []
    hosts = sorted({str(info[4][0]) for info in infos})
    return [(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", name) for host in hosts]


@asynccontextmanager
async def reaching(
    addresses: Sequence[str], token: Secret | None, tls: Tls | None
) -> AsyncIterator[Models]:
    """The replicas at these addresses, closed on leaving; the first call connects."""
    models = Models(addresses, token, tls)
    try:
        yield models
    finally:
        await models.aclose()
