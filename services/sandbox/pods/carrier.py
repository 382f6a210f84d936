"""Outside of a pod: makes the calls that it wants made. Grants stay here, the pod has handles."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import relay_pb2 as pb
from isobath.sandbox.v1 import relay_pb2_grpc as rpc
from servicekit import context, logs
from servicekit.channels import faults, streaming
from servicekit.status import Fault, RemoteFault, encode, outcome, packed
from services.sandbox.approvals import Wish, wished
from services.sandbox.connectors import Connectors
from services.sandbox.errors import NotApproved
from services.sandbox.pods.relay import AHEAD
from services.sandbox.servicer import STATUSES

_log = logs.get(__name__)
_AGAIN_S = 0.2
_REQUESTS: Mapping[str, Callable[[bytes], Any]] = {
    "Describe": connector.DescribeRequest.FromString,
    "Browse": connector.BrowseRequest.FromString,
    "Inspect": connector.InspectRequest.FromString,
    "Preview": connector.PreviewRequest.FromString,
    "Fetch": connector.FetchRequest.FromString,
    "Store": connector.StoreRequest.FromString,
}


@dataclass(frozen=True)
class Held:
    """A grant, and what needs an approval each time under it, by pb.GuardedOperation."""

    grant: str
    source: str
    source_id: str
    guarded: frozenset[int] = frozenset()


class Carrier:
    """Of one pod. `run` serves until it is cancelled."""

    def __init__(self, name: str, stub: rpc.RelayServiceStub, connectors: Connectors) -> None:
        self._name, self._stub, self._connectors = name, stub, connectors
        self._grants: dict[str, Held] = {}
        # each for one call
        self._approved: Counter[Wish] = Counter()
        self._carried: dict[asyncio.Task[None], str] = {}

    def handle(self, held: Held) -> str:
        """What stands for a grant inside of the pod. "" stays that."""
        if not held.grant:
            return ""
        handle = f"{self._name}.{secrets.token_hex(16)}"
        self._grants[handle] = held
        return handle

    def approve(self, wish: Wish) -> None:
        """One call that does this goes through, whatever becomes of the pod."""
        self._approved[wish] += 1

    def forget_approvals(self) -> None:
        """What was approved and not done may not be done any more."""
        self._approved.clear()

    async def forget(self, handles: Iterable[str]) -> None:
        """They open nothing any more, and what they opened is closed."""
        gone = set(handles)
        for handle in gone:
            self._grants.pop(handle, None)
        await _ended([task for task, handle in self._carried.items() if handle in gone])

    async def run(self) -> None:
        try:
            while True:
                try:
                    request = pb.WatchCallsRequest(carrier=self._name)
                    async with streaming(self._stub.WatchCalls(request)) as watch:
                        async for wanted in faults(watch):
                            self._begin(wanted)
                except RemoteFault as exc:
                    _log.warning("pod_away", why=str(exc))
                await asyncio.sleep(_AGAIN_S)
        finally:
            await _ended(list(self._carried))

    def _begin(self, wanted: pb.WatchCallsResponse) -> None:
        task = asyncio.create_task(self._carry(wanted), name=f"carried {wanted.method}")
        self._carried[task] = ""
        task.add_done_callback(self._carried.pop)

    async def _carry(self, wanted: pb.WatchCallsResponse) -> None:
        asked: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
        told: asyncio.Queue[pb.CarryCallRequest | None] = asyncio.Queue(AHEAD)
        own = asyncio.current_task()
        assert own is not None
        try:
            async with streaming(self._stub.CarryCall(_all_of(wanted.call_id, told))) as carried:
                work = asyncio.create_task(self._make(wanted, asked, told, own))
                try:
                    async for event in faults(carried):
                        piece = event.WhichOneof("event") == "message"
                        await _put(asked, event.message if piece else None, unless=work)
                finally:
                    # the pod has the end of it, or gave it up
                    await _ended([work])
        except RemoteFault as exc:
            _log.info("call_given_up", method=wanted.method, why=str(exc))

    async def _make(
        self,
        wanted: pb.WatchCallsResponse,
        asked: "asyncio.Queue[bytes | None]",
        told: "asyncio.Queue[pb.CarryCallRequest | None]",
        own: "asyncio.Task[None]",
    ) -> None:
        end = pb.CallEnd()
        try:
            first, self._carried[own] = self._granted(wanted.method, await asked.get() or b"")
            method = await self._connectors.carrying(wanted.source_type, wanted.method)
            call = method(_pieces(first, asked), timeout=_seconds(wanted))
            async with streaming(call):
                async for message in call:
                    await told.put(pb.CarryCallRequest(message=message))
        except grpc.RpcError as exc:
            code, status = packed(exc)
            end = pb.CallEnd(code=code, status=status)
        except Fault as exc:
            shown = outcome(exc, STATUSES, context.request_id())
            status = encode(shown, context.request_id()).SerializeToString()
            end = pb.CallEnd(code=shown.code.value[0], status=status)
        await told.put(pb.CarryCallRequest(ended=end))
        await told.put(None)

    def _granted(self, method: str, message: bytes) -> tuple[bytes, str]:
        """The request with the grant in its handle's place, and the handle. Raises RemoteFault for
        a handle that was not given, and for what the pod may not call; NotApproved."""
        parse = _REQUESTS.get(method)
        if parse is None:
            raise _refused(f"a pod may not call {method[:40]}")
        request = parse(message)
        if method == "Describe":
            return message, ""
        holds = request.start if method == "Store" else request
        handle = holds.grant
        if handle not in self._grants:
            _log.warning("access_refused", operation=method, reason="no such handle")
            raise _refused("the source was taken away from this session")
        held = self._grants[handle]
        if method in ("Fetch", "Store"):
            self._require_approved(held, wished(held.source_id, request))
        holds.grant = held.grant
        return request.SerializeToString(), handle

    def _require_approved(self, held: Held, wish: Wish | None) -> None:
        """The pod has asked for it already: this holds it to that. Raises NotApproved."""
        if wish is None or wish.operation not in held.guarded:
            return
        if not self._approved[wish]:
            _log.warning("access_refused", operation="guarded", reason="not approved")
            kind = "query" if wish.query else "write"
            raise NotApproved(held.source, kind, "nobody was asked")
        self._approved[wish] -= 1


def _refused(message: str) -> RemoteFault:
    return RemoteFault(message, code=grpc.StatusCode.PERMISSION_DENIED, reason="GRANT_REVOKED")


def _seconds(wanted: pb.WatchCallsResponse) -> float | None:
    if not wanted.HasField("timeout"):
        return None
    return float(wanted.timeout.ToMilliseconds()) / 1000


async def _all_of(
    call_id: str, told: "asyncio.Queue[pb.CarryCallRequest | None]"
) -> AsyncIterator[pb.CarryCallRequest]:
    yield pb.CarryCallRequest(call_id=call_id)
    while (each := await told.get()) is not None:
        yield each


async def _pieces(first: bytes, asked: "asyncio.Queue[bytes | None]") -> AsyncIterator[bytes]:
    yield first
    while (each := await asked.get()) is not None:
        yield each


async def _put(
    queue: "asyncio.Queue[bytes | None]", each: bytes | None, *, unless: "asyncio.Task[None]"
) -> None:
    """Into the queue, or nowhere when who reads it has ended."""
    if not queue.full():
        queue.put_nowait(each)
        return
    putting = asyncio.ensure_future(queue.put(each))
    try:
        await asyncio.wait({putting, unless}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        putting.cancel()


async def _ended(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
