"""The inference service's replicas, as one."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit import logs
from servicekit.channels import calling
from servicekit.replicas import Replicas
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls
from services.gateway.errors import ServiceLost, named
from services.gateway.multiplexed import Multiplexed
from services.gateway.routing import preference

T = TypeVar("T")
_log = logs.get(__name__)

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
    away_until: float = 0.0


class Models:
    """Asks the replica that has the thread's prompt already, and another where that one is away or
    full. `addresses`: host:port, unix:path, or dns:///name:port."""

    def __init__(
        self, addresses: Sequence[str], token: Secret | None = None, tls: Tls | None = None
    ) -> None:
        # one that is no longer listed gets no new answers, and is closed when the last has ended
        self._all = Replicas(
            addresses, _opened, lambda replica: not replica.answers.under_way, token=token, tls=tls
        )

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
        return {address: each.channel for address, each in (await self._all.listed()).items()}

    async def aclose(self) -> None:
        """Ends all answers, and closes what was opened."""
        await self._all.aclose()

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
            replicas = await self._all.listed()
            loads = {address: each.answers.under_way for address, each in replicas.items()}
            now = asyncio.get_running_loop().time()
            ranked = [replicas[address] for address in preference(key, loads)]
            for replica in sorted(ranked, key=lambda each: each.away_until > now):
                yield replica

    def _another_may(self, replica: Replica, fault: Exception) -> bool:
        """Whether it is worth asking elsewhere, or here again."""
        if isinstance(fault, ServiceLost):
            _log.warning("replica_away", address=replica.address)
            replica.away_until = asyncio.get_running_loop().time() + _AWAY_S
            return True
        # a busy one stays so for longer than all pauses together
        return isinstance(fault, RemoteFault) and _of_this_one(fault) and len(self._all) > 1


def _of_this_one(fault: RemoteFault) -> bool:
    """It is full; or it has not loaded an adapter yet that others serve already, or was told first
    to let it go."""
    return fault.reason == "TOO_BUSY" or (
        fault.reason == "NOT_FOUND" and fault.fields.get("kind") == "model"
    )


def _opened(address: str, channel: grpc.aio.Channel, stack: AsyncExitStack) -> Replica:
    stub = rpc.InferenceServiceStub(channel)
    answers = Multiplexed(stub)
    stack.push_async_callback(answers.aclose)
    return Replica(address, channel, stub, answers)


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
