"""One channel to all replicas of a service: each call goes to one that is ready.

gRPC's own balancing does not do: it takes one name for all certificates, looks a name up again only
when a connection broke, and cannot be told of a list of names. What is gRPC's own here is each
replica's channel, which watches the replica's health, so that one that drains gets no new calls.

A call that was certainly not processed is made again elsewhere, whatever it is; one that may have
been is made again only where its method is named as repeatable, and a stream only before its first
message."""

import asyncio
import json
import math
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc

from servicekit import context, logs
from servicekit.names import Names
from servicekit.status import has_details

_log = logs.get(__name__)

# Each replica's channel tells its health as its state: ready is SERVING.
WATCHING = (
    "grpc.service_config",
    json.dumps(
        {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
    ),
)
# a call waits so long for a replica when none is ready: one that restarts alone is back by then
READY_S = 3.0
_LOOK_S = 0.02
_TRIES = 5
_PAUSE_S = 0.05
# gRPC's texts for a call that found no connection to go over: it was never sent
_UNSENT = ("connections to all backends failing", "failed to connect to all addresses")
# how a call may be cut off beside: a server at the end of its drain cancels what runs
_CUT_OFF = (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
_READY = grpc.ChannelConnectivity.READY
_EOF = grpc.aio.EOF  # type: ignore[attr-defined]

# address, name in its certificate -> a channel to it, WATCHING
Open = Callable[[str, str], grpc.aio.Channel]
Make = Callable[[grpc.aio.Channel], Callable[..., Any]]


@dataclass(eq=False)
class _Replica:
    address: str
    channel: grpc.aio.Channel
    under_way: int = 0

    def begin(self, made: Make, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        call = made(self.channel)(*arguments, **options)
        self.under_way += 1
        call.add_done_callback(self._ended)
        return call

    def _ended(self, _: object) -> None:
        self.under_way -= 1


class Balanced(grpc.aio.Channel):
    """`listed`: host:port, unix:path or dns:///name:port. `repeatable`: names of methods that may
    be processed twice."""

    def __init__(
        self,
        listed: Iterable[str],
        opened: Open,
        *,
        default_timeout_s: float,
        repeatable: Collection[str] = (),
        ready_s: float = READY_S,
    ) -> None:
        self._names = Names(listed)
        self._opened = opened
        self._default_s = default_timeout_s
        self._repeatable = frozenset(repeatable)
        self._ready_s = ready_s
        self._replicas: dict[str, _Replica] = {}
        # no longer listed: closed when their last call has ended
        self._left: list[_Replica] = []
        self._turn = count(random.randrange(1024))  # noqa: S311

    # Calls

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._single(args[0], lambda to: to.unary_unary(*args, **kwargs), self._may(args[0]))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._single(args[0], lambda to: to.stream_unary(*args, **kwargs), None)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        may = self._may(args[0])
        return self._stream(args[0], lambda to: to.unary_stream(*args, **kwargs), may)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._stream(args[0], lambda to: to.stream_stream(*args, **kwargs), None)

    def _may(self, path: str) -> bool:
        return path.rpartition("/")[2] in self._repeatable

    def _single(self, path: str, made: Make, may: bool | None) -> Callable[..., Any]:
        def call(*args: Any, timeout: float | None = None, **options: Any) -> Any:
            attempts = _Attempts(self, path, made, may, _ends_at(timeout, self._default_s))
            return asyncio.ensure_future(attempts.answer(args, options))

        return call

    def _stream(self, path: str, made: Make, may: bool | None) -> Callable[..., Any]:
        def call(*args: Any, timeout: float | None = None, **options: Any) -> Any:
            attempts = _Attempts(self, path, made, may, _ends_at(timeout, math.inf))
            return _Stream(attempts, args, options)

        return call

    # Which replica

    async def ready(self, ends_at: float, avoid: _Replica | None = None) -> _Replica:
        """The one with the least calls of those that are ready; they take turns where that is
        equal. Waits for one. Raises AioRpcError with UNAVAILABLE."""
        loop = asyncio.get_running_loop()
        until = min(ends_at, loop.time() + self._ready_s)
        while True:
            await self._look_up(anew=avoid is not None)
            found = [each for each in self._replicas.values() if each is not avoid and _is_up(each)]
            if found:
                turn = next(self._turn)
                found = found[turn % len(found) :] + found[: turn % len(found)]
                return min(found, key=lambda each: each.under_way)
            if loop.time() >= until:
                raise _nobody(self._replicas)
            avoid = None
            await asyncio.sleep(_LOOK_S)

    async def _look_up(self, anew: bool) -> None:
        places = await self._names.places(anew=anew)
        for address in [each for each in self._replicas if each not in places]:
            self._left.append(self._replicas.pop(address))
        for address, name in places.items():
            if address not in self._replicas:
                self._replicas[address] = _Replica(address, self._opened(address, name))
        for replica in [each for each in self._left if not each.under_way]:
            self._left.remove(replica)
            await replica.channel.close(None)

    # The rest of a channel

    async def __aenter__(self) -> "Balanced":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        every = [*self._replicas.values(), *self._left]
        self._replicas, self._left = {}, []
        await asyncio.gather(*(each.channel.close(grace) for each in every))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        states = [each.channel.get_state(try_to_connect) for each in self._replicas.values()]
        if _READY in states or not states:
            return _READY if states else grpc.ChannelConnectivity.IDLE
        return states[0]

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        while self.get_state(try_to_connect=True) is last_observed_state:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    async def channel_ready(self) -> None:
        while True:
            try:
                await self.ready(math.inf)
                return
            except grpc.aio.AioRpcError:
                continue


class _Attempts:
    """One call, made until one is answered. `may`: whether it may be processed twice; None: its
    requests can be sent once only."""

    def __init__(
        self, replicas: Balanced, path: str, made: Make, may: bool | None, ends_at: float
    ) -> None:
        self._replicas, self._path, self._made = replicas, path, made
        self._may, self._ends_at = may, ends_at
        self._failed: _Replica | None = None
        self._tries = 0

    async def answer(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        while True:
            call, replica = await self.begin(arguments, options)
            try:
                return await call
            except grpc.aio.AioRpcError as exc:
                if not self.again(exc, replica):
                    raise

    async def begin(
        self, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[Any, _Replica]:
        if self._tries:
            await asyncio.sleep(_PAUSE_S * 2 ** (self._tries - 1) * random.random())  # noqa: S311
        replica = await self._replicas.ready(self._ends_at, self._failed)
        left = self._ends_at - asyncio.get_running_loop().time()
        timeout = None if math.isinf(left) else max(0.0, left)
        return replica.begin(self._made, arguments, {**options, "timeout": timeout}), replica

    def again(self, failure: grpc.aio.AioRpcError, replica: _Replica) -> bool:
        self._tries += 1
        self._failed = replica
        if self._tries >= _TRIES or not _may_repeat(failure, self._may):
            return False
        _log.warning("replica_away", address=replica.address, method=self._path)
        return True


class _Stream:
    """The messages of a call, which begins with the first that is asked for."""

    def __init__(
        self, attempts: _Attempts, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._attempts, self._arguments, self._options = attempts, arguments, options
        self._call: Any = None
        self._begun = self._cancelled = False

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> Any:
        message = await self.read()
        if message is _EOF:
            raise StopAsyncIteration
        return message

    async def read(self) -> Any:
        """The next message, or grpc.aio.EOF."""
        if self._begun:
            return await self._call.read()
        while True:
            if self._cancelled:
                raise asyncio.CancelledError
            self._call, replica = await self._attempts.begin(self._arguments, self._options)
            try:
                message = await self._call.read()
            except grpc.aio.AioRpcError as exc:
                if not self._attempts.again(exc, replica):
                    self._begun = True
                    raise
                continue
            self._begun = True
            return message

    def cancel(self) -> bool:
        self._cancelled = True
        return self._call is not None and bool(self._call.cancel())

    def done(self) -> bool:
        return self._cancelled or (self._call is not None and bool(self._call.done()))


def _ends_at(timeout: float | None, default_s: float) -> float:
    wanted = default_s if timeout is None else timeout
    return asyncio.get_running_loop().time() + min(wanted, context.remaining_s(math.inf))


def _is_up(replica: _Replica) -> bool:
    return replica.channel.get_state(try_to_connect=True) is _READY


def _may_repeat(failure: grpc.aio.AioRpcError, may: bool | None) -> bool:
    """What the service itself answered stands; what the transport tells may be tried again."""
    if may is None or has_details(failure):
        return False
    if failure.code() is grpc.StatusCode.UNAVAILABLE:
        return may or (failure.details() or "").startswith(_UNSENT)
    return may and failure.code() in _CUT_OFF


def _nobody(replicas: Iterable[str]) -> grpc.aio.AioRpcError:
    listed = ", ".join(sorted(replicas)) or "none is listed"
    why, nothing = f"no replica is ready: {listed}", grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, why, why)
