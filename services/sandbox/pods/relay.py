"""Inside of a pod: calls to connectors, as if these could be reached, made by whoever drives it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import grpc
from google.protobuf.message import Message

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import relay_pb2 as pb
from isobath.sandbox.v1 import relay_pb2_grpc as rpc
from servicekit import logs
from servicekit.channels import calling, streaming
from servicekit.status import InvalidField, RemoteFault, unpacked

NAME = "isobath.sandbox.v1.RelayService"
ALLOW: Mapping[str, frozenset[str]] = dict.fromkeys(
    ("WatchCalls", "CarryCall"), frozenset({"sandbox"})
)
ENDLESS = frozenset({"WatchCalls"})

_log = logs.get(__name__)
# messages of one call that wait on either side
AHEAD = 4
_CARRIED_S = 10.0
_CARRIER_LENGTH = 64
_WAITING = 256
_ANSWER_S, _STORED_S = 30.0, 3600.0
T = TypeVar("T")


def _away() -> RemoteFault:
    return RemoteFault(
        "the way out of the pod is interrupted",
        code=grpc.StatusCode.UNAVAILABLE,
        reason="SERVICE_UNAVAILABLE",
        remedy="Try again shortly.",
        retry_after_s=1.0,
    )


class Call:
    """One that is wanted: its requests as they come, its answers as they arrive."""

    def __init__(self, call_id: str, requests: AsyncIterator[bytes]) -> None:
        self.call_id, self.requests = call_id, requests
        self.answers: asyncio.Queue[bytes | RemoteFault | None] = asyncio.Queue(AHEAD)
        self.taken = asyncio.Event()
        self.given_up = asyncio.Event()

    async def read(self) -> bytes | None:
        """The next message of the answer; None after the last. Raises RemoteFault: the connector's,
        or SERVICE_UNAVAILABLE when nobody carries the call."""
        if self.given_up.is_set():
            raise _away()
        if not self.taken.is_set():
            try:
                async with asyncio.timeout(_CARRIED_S):
                    await self.taken.wait()
            except TimeoutError:
                raise _away() from None
        answer = await self.answers.get()
        if isinstance(answer, RemoteFault):
            raise answer
        return answer

    def lose(self) -> None:
        """Whoever carried it has gone before the end of the answer."""
        if self.answers.full():
            self.answers.get_nowait()
        self.answers.put_nowait(_away())

    def cancel(self) -> bool:
        """Gives it up, as whoever leaves it has to. Safe to call twice."""
        there = not self.given_up.is_set()
        self.given_up.set()
        return there


class Relay:
    """The calls that are wanted, and the carriers that wait for them."""

    def __init__(self) -> None:
        self._carriers: dict[str, asyncio.Queue[pb.WatchCallsResponse]] = {}
        self._wanted: WeakValueDictionary[str, Call] = WeakValueDictionary()

    # -- for the code of the pod

    def call(
        self, wanted: pb.WatchCallsResponse, carrier: str, requests: AsyncIterator[bytes]
    ) -> Call:
        """Has a call made by this carrier, or by any that is there."""
        wanted.call_id = secrets.token_hex(12)
        made = self._wanted[wanted.call_id] = Call(wanted.call_id, requests)
        waiting = self._carriers.get(carrier) or next(iter(self._carriers.values()), None)
        try:
            if waiting is None:
                raise asyncio.QueueFull
            waiting.put_nowait(wanted)
        except asyncio.QueueFull:
            made.cancel()
        return made

    # -- for the carriers

    async def watch(self, carrier: str) -> AsyncIterator[pb.WatchCallsResponse]:
        waiting: asyncio.Queue[pb.WatchCallsResponse] = asyncio.Queue(_WAITING)
        self._carriers[carrier] = waiting
        try:
            while True:
                wanted = await waiting.get()
                call = self._wanted.get(wanted.call_id)
                if call is not None and not call.given_up.is_set():
                    yield wanted
        finally:
            if self._carriers.get(carrier) is waiting:
                del self._carriers[carrier]

    def take(self, call_id: str) -> Call:
        """Each can be taken once."""
        call = self._wanted.get(call_id)
        if call is None or call.taken.is_set() or call.given_up.is_set():
            raise RemoteFault(
                "no such call: it was given up, or is carried already",
                code=grpc.StatusCode.NOT_FOUND,
                reason="NOT_FOUND",
            )
        call.taken.set()
        return call


class RelayServicer(rpc.RelayServiceServicer):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def WatchCalls(
        self, request: pb.WatchCallsRequest, _: Any
    ) -> AsyncIterator[pb.WatchCallsResponse]:
        name = request.carrier
        if not name or len(name) > _CARRIER_LENGTH or "." in name:
            raise InvalidField("carrier", "a carrier's name has 1 to 64 characters, and no dot")
        async with aclosing(self._relay.watch(name)) as calls:  # type: ignore[type-var]
            async for wanted in calls:
                yield wanted

    async def CarryCall(
        self, requests: AsyncIterator[pb.CarryCallRequest], _: Any
    ) -> AsyncIterator[pb.CarryCallResponse]:
        coming = aiter(requests)
        first = await anext(coming, None)
        if first is None or first.WhichOneof("event") != "call_id":
            raise InvalidField("call_id", "the first message is `call_id`")
        call = self._relay.take(first.call_id)
        reading = asyncio.create_task(_take_answers(call, coming))
        given_up = asyncio.create_task(call.given_up.wait())
        try:
            while (message := await _unless(given_up, anext(call.requests, None))) is not None:
                yield pb.CarryCallResponse(message=message)
            if not given_up.done():
                yield pb.CarryCallResponse(half_close=True)
            # answers are taken out of the queue until the last one, or it is given up
            await given_up
        finally:
            for task in (reading, given_up):
                task.cancel()
            await asyncio.gather(reading, given_up, return_exceptions=True)
            if reading.cancelled():
                call.lose()


async def _take_answers(call: Call, coming: AsyncIterator[pb.CarryCallRequest]) -> None:
    try:
        async for each in coming:
            match each.WhichOneof("event"):
                case "message":
                    await call.answers.put(each.message)
                case "ended":
                    code, status = each.ended.code, each.ended.status
                    await call.answers.put(unpacked(code, status) if code else None)
                    return
                case _:
                    raise InvalidField("event", "after `call_id` come messages and `ended`")
        await call.answers.put(_away())
    except (InvalidField, grpc.RpcError) as exc:
        _log.warning("carrier_failed", why=str(exc))
        await call.answers.put(_away())


async def _unless(event: "asyncio.Task[Any]", wanted: Awaitable[T]) -> T | None:
    """None once the event has come."""
    work = asyncio.ensure_future(wanted)
    try:
        await asyncio.wait({work, event}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        if not work.done():
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work


class Relayed:
    """The connectors, as `connectors.Connectors` offers them, at the other end of the relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._notes: dict[str, str] = {}

    async def of_type(self, kind: str) -> Any:
        """Raises RemoteFault: UNSUPPORTED where the driver knows no connector for it."""
        stub = RelayedStub(self._relay, kind)
        if kind not in self._notes:
            told = await calling(stub.Describe(connector.DescribeRequest()))
            self._notes[kind] = told.code_notes
        return stub

    def notes(self, kind: str) -> str:
        return self._notes.get(kind, "")


class RelayedStub:
    """What the sandbox calls of a connector's stub, for sources of one type."""

    def __init__(self, relay: Relay, kind: str) -> None:
        self._relay, self._kind = relay, kind
        self.Describe = self._one("Describe", connector.DescribeResponse)
        self.Browse = self._one("Browse", connector.BrowseResponse)
        self.Inspect = self._one("Inspect", connector.InspectResponse)

    def _one(self, method: str, kind: Any) -> Callable[..., Awaitable[Any]]:
        async def call(request: Message, timeout: float = _ANSWER_S) -> Any:
            sent = _once(request.SerializeToString())
            carrier = _carrier(getattr(request, "grant", ""))
            return await self._answer(method, kind, carrier, sent, timeout)

        return call

    def Fetch(self, request: connector.FetchRequest) -> "_Stream":
        sent = _once(request.SerializeToString())
        call = self._call("Fetch", _carrier(request.grant), sent, None)
        return _Stream(call, connector.FetchResponse)

    async def Store(
        self, requests: AsyncIterator[connector.StoreRequest], timeout: float = _STORED_S
    ) -> Any:
        first = await anext(requests)
        carrier = _carrier(first.start.grant)

        async def sent() -> AsyncIterator[bytes]:
            yield first.SerializeToString()
            async for request in requests:
                yield request.SerializeToString()

        return await self._answer("Store", connector.StoreResponse, carrier, sent(), timeout)

    async def _answer(
        self, method: str, kind: Any, carrier: str, sent: AsyncIterator[bytes], timeout_s: float
    ) -> Any:
        async with streaming(self._call(method, carrier, sent, timeout_s)) as call:
            message = await call.read()
        if message is None:
            raise _away()
        return kind.FromString(message)

    def _call(
        self, method: str, carrier: str, sent: AsyncIterator[bytes], timeout_s: float | None
    ) -> Call:
        wanted = pb.WatchCallsResponse(source_type=self._kind, method=method)
        if timeout_s is not None:
            wanted.timeout.FromMilliseconds(int(timeout_s * 1000))
        return self._relay.call(wanted, carrier, sent)


class _Stream:
    """A call whose answer is a stream: to iterate over, once, and to cancel."""

    def __init__(self, call: Call, kind: Any) -> None:
        self._call, self._kind = call, kind

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> Any:
        message = await self._call.read()
        if message is None:
            raise StopAsyncIteration
        return self._kind.FromString(message)

    def cancel(self) -> bool:
        return self._call.cancel()


async def _once(message: bytes) -> AsyncIterator[bytes]:
    yield message


def _carrier(grant: str) -> str:
    return grant.partition(".")[0]
