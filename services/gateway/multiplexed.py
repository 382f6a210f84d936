"""Many answers of one inference service over one call, as `GenerateMany` has them."""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import count

import grpc

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit import context, tracing
from servicekit.channels import faults, streaming
from servicekit.status import RemoteFault, code_of, has_details, unpacked
from services.gateway.errors import ServiceLost, named

_NAME = "isobath.inference.v1.InferenceService/GenerateMany"


class _Answer:
    """One answer's events as they come, and what ended them if it was not the answer's own end.
    With a queue and a timeout at each event instead, a token costs half as much again."""

    def __init__(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self._came: deque[pb.NumberedEvent | Exception] = deque()
        self._waiting: asyncio.Future[None] | None = None
        late = unpacked(grpc.StatusCode.DEADLINE_EXCEEDED.value[0], b"")
        self._timer = loop.call_at(deadline, self.put, late)

    def put(self, event: pb.NumberedEvent | Exception) -> None:
        self._came.append(event)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next(self) -> pb.NumberedEvent:
        """Raises what ended it."""
        if not self._came:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        event = self._came.popleft()
        if isinstance(event, Exception):
            raise event
        return event

    def close(self) -> None:
        self._timer.cancel()


class Multiplexed:
    """The call opens with the first answer and is opened again when it was lost. Its answers fail
    with `ServiceLost` then."""

    def __init__(self, stub: rpc.InferenceServiceStub) -> None:
        self._stub = stub
        self._numbers = count(1)
        self._answers: dict[int, _Answer] = {}
        # None = no more
        self._sending: asyncio.Queue[pb.GenerateManyRequest | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """Answers that have not ended."""
        return len(self._answers)

    async def generate(
        self, request: pb.GenerateRequest, deadline: float
    ) -> AsyncGenerator[pb.NumberedEvent, None]:
        """Deltas, then one completion; `deadline` on the loop's clock. Closing it cancels the
        answer. Raises `RemoteFault`, `ServiceLost`."""
        self._open()
        number = next(self._numbers)
        answer = self._answers[number] = _Answer(deadline)
        # a generator has no context of its own to make it the current span of
        span = tracing.begin(_NAME, kind=tracing.CLIENT, attributes=tracing.of_rpc(_NAME))
        trace = tracing.headers() if span is tracing.NOTHING else span.headers()
        start = pb.GenerateManyRequest(
            number=number,
            start=request,
            request_id=context.request_id(),
            traceparent=trace.get(tracing.TRACEPARENT, ""),
            tracestate=trace.get(tracing.TRACESTATE, ""),
        )
        self._sending.put_nowait(start)
        try:
            while True:
                event = await answer.next()
                if event.HasField("delta"):
                    yield event
                    continue
                self._answers.pop(number, None)
                if event.HasField("failure"):
                    span.fail(event.failure.reason)
                    raise named("inference", _fault(event.failure))
                yield event
                return
        finally:
            answer.close()
            span.end()
            if self._answers.pop(number, None) is not None:
                cancel = pb.GenerateManyRequest(number=number, cancel=pb.Cancel())
                self._sending.put_nowait(cancel)

    async def aclose(self) -> None:
        """End the call, and with it every answer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _open(self) -> None:
        if self._task is None or self._task.done():
            self._sending = asyncio.Queue()
            # of no call in particular: it has neither the request id nor the deadline of the first
            self._task = asyncio.create_task(self._carry(), context=contextvars.Context())

    async def _carry(self) -> None:
        sending = self._sending
        lost: Exception = ServiceLost("inference")
        try:
            async with streaming(self._stub.GenerateMany(_requests(sending))) as call:
                async for response in faults(call):
                    self._take(response)
        except RemoteFault as fault:
            if not _is_transports(fault):
                lost = named("inference", fault)
        finally:
            # gRPC reads on in a task of its own, which a call that has ended does not stop
            sending.put_nowait(None)
            answers, self._answers = self._answers, {}
            for each in answers.values():
                each.put(lost)

    def _take(self, response: pb.GenerateManyResponse) -> None:
        for event in response.events:
            # of an answer that was cancelled meanwhile there may still be some
            if answer := self._answers.get(event.number):
                answer.put(event)


def _is_transports(fault: RemoteFault) -> bool:
    """Whether the call was cut off: the server's end may come as a cancellation, or as a stream
    that was reset."""
    cut = fault.reason in ("CANCELLED", "INTERNAL")
    return cut and isinstance(fault.__cause__, grpc.RpcError) and not has_details(fault.__cause__)


async def _requests(
    sending: asyncio.Queue[pb.GenerateManyRequest | None],
) -> AsyncIterator[pb.GenerateManyRequest]:
    while (request := await sending.get()) is not None:
        yield request


def _fault(failure: pb.Failure) -> RemoteFault:
    fields = dict(failure.metadata)
    wait = failure.retry_after
    return RemoteFault(
        failure.message,
        code=code_of(failure.code),
        reason=failure.reason,
        remedy=fields.pop("remedy", ""),
        fields=fields,
        retry_after_s=wait.ToTimedelta().total_seconds()
        if failure.HasField("retry_after")
        else None,
    )
