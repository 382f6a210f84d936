"""Many answers over one stream: what all of them gave in one tick goes out together."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from isobath.inference.v1 import inference_pb2 as pb
from servicekit import context, logs, tracing
from servicekit.status import Draining, InvalidField, Outcome
from services.inference import wire
from services.inference.models import Delta, Event, Request

_log = logs.get(__name__)
# of an answer's span: the stream itself belongs to nobody's trace
_NAME = "isobath.inference.v1.InferenceService/GenerateMany"

Start = Callable[[Request], AsyncGenerator[Event, None]]
Explain = Callable[[BaseException], Outcome]


class Cancelled(Exception):
    """The caller took the request back."""


class Outbox:
    """Events that wait for the writer. Deltas of one request join while they wait, so that a slow
    reader costs no more messages, and at most the text that the answers may have."""

    def __init__(self) -> None:
        self._events: list[pb.NumberedEvent] = []
        # the open delta of each number, by position in _events
        self._open: dict[int, pb.NumberedEvent] = {}
        self._filled = asyncio.Event()

    def put(self, number: int, event: Event) -> None:
        if isinstance(event, Delta):
            self._put_delta(number, event)
        else:
            self._close(pb.NumberedEvent(number=number, completion=wire.completion(event)))

    def fail(self, number: int, shown: Outcome) -> None:
        self._close(pb.NumberedEvent(number=number, failure=wire.failure(shown)))

    def __bool__(self) -> bool:
        return bool(self._events)

    def wake(self) -> None:
        self._filled.set()

    async def batch(self) -> list[pb.NumberedEvent]:
        """All that came since the last call; empty only after a bare `wake`."""
        await self._filled.wait()
        # the engine's step wakes many answers in one tick: let them all put theirs
        await asyncio.sleep(0)
        self._filled.clear()
        taken, self._events, self._open = self._events, [], {}
        return taken

    def _put_delta(self, number: int, event: Delta) -> None:
        waiting = self._open.get(number)
        if waiting is not None:
            waiting.delta.text += event.text
            waiting.delta.tokens += event.tokens
            return
        entry = pb.NumberedEvent(number=number, delta=wire.delta(event))
        self._open[number] = entry
        self._add(entry)

    def _close(self, entry: pb.NumberedEvent) -> None:
        self._open.pop(entry.number, None)
        self._add(entry)

    def _add(self, entry: pb.NumberedEvent) -> None:
        self._events.append(entry)
        self._filled.set()


class Multiplexer:
    """The answers of one stream. Leaving `responses` cancels and awaits them all. From `draining`
    on it takes no more, and ends when those that run have ended."""

    def __init__(self, start: Start, explain: Explain, draining: asyncio.Event) -> None:
        self._start = start
        self._explain = explain
        self._draining = draining
        self._outbox = Outbox()
        self._answers: dict[int, asyncio.Task[None]] = {}

    async def responses(
        self, requests: AsyncIterator[pb.GenerateManyRequest]
    ) -> AsyncGenerator[pb.GenerateManyResponse, None]:
        """Ends when the caller will send no more and all answers have ended."""
        reader = asyncio.create_task(self._read(requests))
        closing = asyncio.create_task(self._wake_at_drain())
        try:
            while not (reader.done() or self._draining.is_set()) or self._answers or self._outbox:
                if events := await self._outbox.batch():
                    yield pb.GenerateManyResponse(events=events)
                if reader.done():
                    await reader
        finally:
            await _ended((closing, reader, *self._answers.values()))

    async def _wake_at_drain(self) -> None:
        await self._draining.wait()
        self._outbox.wake()

    async def _read(self, requests: AsyncIterator[pb.GenerateManyRequest]) -> None:
        try:
            async for message in requests:
                self._act(message)
        finally:
            self._outbox.wake()

    def _act(self, message: pb.GenerateManyRequest) -> None:
        action = message.WhichOneof("action")
        if action == "cancel":
            # an answer that is unknown here has ended meanwhile
            if answer := self._answers.get(message.number):
                answer.cancel()
        elif action == "start" and self._draining.is_set():
            self._refuse(message.number, Draining("the server is going away"))
        elif action == "start":
            self._begin(message)
        else:
            self._refuse(message.number, InvalidField("action", "neither start nor cancel is set"))

    def _begin(self, message: pb.GenerateManyRequest) -> None:
        number = message.number
        if number in self._answers:
            # a failure under this number could be taken for that of the answer that bears it
            raise InvalidField("number", f"{number} is in use on this stream")
        task = asyncio.create_task(self._answer(message))
        self._answers[number] = task
        task.add_done_callback(lambda done: self._forget(number, done))

    def _forget(self, number: int, task: "asyncio.Task[None]") -> None:
        if self._answers.get(number) is task:
            del self._answers[number]
        if task.cancelled():
            self._refuse(number, Cancelled())
        self._outbox.wake()

    def _refuse(self, number: int, error: Exception) -> None:
        self._outbox.fail(number, self._explain(error))

    async def _answer(self, message: pb.GenerateManyRequest) -> None:
        context.set_request_id(message.request_id)
        if not message.traceparent:
            await self._put_all(message.number, message.start)
            return
        with tracing.entered(wire.trace(message)), tracing.span(_NAME, kind=tracing.SERVER) as span:
            if failed := await self._put_all(message.number, message.start):
                span.fail(failed)

    async def _put_all(self, number: int, start: pb.GenerateRequest) -> str:
        """The reason of its failure, or "" once it has ended."""
        try:
            async with aclosing(self._start(wire.request(start))) as events:
                async for event in events:
                    self._outbox.put(number, event)
        except Exception as exc:
            shown = self._explain(exc)
            if not shown.known:
                _log.error("answer_failed", number=number, exc_info=exc)
            self._outbox.fail(number, shown)
            return shown.reason
        return ""


async def _ended(tasks: "tuple[asyncio.Task[None], ...]") -> None:
    for task in tasks:
        task.cancel()
    waiting: Awaitable[object] = asyncio.gather(*tasks, return_exceptions=True)
    await waiting
