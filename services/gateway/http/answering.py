"""A run's answer over HTTP, whole or as a stream, however it is rendered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import context
from services.gateway.gateway import Gateway
from services.gateway.http.edge import Json
from services.gateway.openai import CANCELLED, failure
from services.gateway.statuses import http_status

# a run whose fetch is done: from here on the response is a stream whatever happens
_BEGUN = frozenset({"block_opened", "block_text", "completed", "cancelled"})
_ENDS = frozenset({"completed", "failed", "cancelled"})
# None: no more events come
Queue = asyncio.Queue[analyst.Event | None]
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    # the run has begun: the SDK must not send the question again by itself
    (b"x-should-retry", b"false"),
]


class Rendering(Protocol):
    """A run in the shapes of one API."""

    # behind the last event
    end: bytes

    def of(self, event: analyst.Event, request_id: str) -> Iterable[bytes]:
        """An event as server-sent events."""

    def whole(self, events: Sequence[analyst.Event]) -> dict[str, Any]:
        """All events of a run that completed, as one object."""


class RunResponse(Response):
    """Renders a run's events; a client that goes away cancels the run, unless it is detached.

    The status waits for the end of the fetch, so that its fault is an HTTP error, but no longer
    than `hold_s`, and with `hold` false not at all: then the stream begins, with comments against
    idle timeouts.
    """

    def __init__(
        self,
        gateway: Gateway,
        owner: str,
        run_id: str,
        rendering: Rendering,
        *,
        stream: bool,
        detach: bool,
        hold: bool = True,
    ) -> None:
        self._gateway = gateway
        self._owner = owner
        self._run_id = run_id
        self._rendering = rendering
        self._stream = stream
        self._detach = detach
        self._hold_s = gateway.settings.hold_s if hold else 0.0
        # of the base class, FastAPI reads only this
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._gateway.runs.attended(self._run_id) as is_last:
            await self._serve(is_last, scope, receive, send)

    async def _serve(
        self, is_last: Callable[[], bool], scope: Scope, receive: Receive, send: Send
    ) -> None:
        serve = self._streamed if self._stream else self._whole
        serving = asyncio.create_task(serve(scope, receive, send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done() and not self._detach and is_last():
                await self._gateway.runs.cancel(self._owner, self._run_id)
            elif serving.done():
                await serving
        finally:
            for task in (serving, leaving):
                task.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)

    def _events(self) -> AsyncIterator[analyst.Event]:
        return self._gateway.runs.watch(self._owner, self._run_id)

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        events = [event async for event in self._events()]
        last = events[-1]
        if last.HasField("completed"):
            await Json(self._rendering.whole(events))(scope, receive, send)
        elif last.HasField("failed"):
            await self._refuse(last.failed, scope, receive, send)
        else:
            await self._refuse(CANCELLED, scope, receive, send)

    async def _refuse(
        self, failed: analyst.RunFailed, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = failure(failed, context.request_id())
        status = http_status(failed.reason, failed.code)
        headers = {"x-should-retry": "false"}
        if after_s := failed.metadata.get("retry_after_s"):
            headers["retry-after"] = str(max(1, round(float(after_s))))
        await Json(body, status, headers=headers)(scope, receive, send)

    async def _streamed(self, scope: Scope, receive: Receive, send: Send) -> None:
        queue: Queue = asyncio.Queue()
        pump = asyncio.create_task(_pumped(self._events(), queue))
        try:
            held = await self._held(queue)
            if held and held[-1].HasField("failed"):
                await self._refuse(held[-1].failed, scope, receive, send)
                return
            start = {"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS}
            await send(start)
            await self._send_all(held, queue, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _held(self, queue: Queue) -> list[analyst.Event]:
        """Events up to the first of the model's, the end, or the end of patience."""
        held: list[analyst.Event] = []
        if not self._hold_s:
            return held
        try:
            async with asyncio.timeout(self._hold_s):
                while event := await queue.get():
                    held.append(event)
                    if event.WhichOneof("event") in _BEGUN | _ENDS:
                        break
        except TimeoutError:
            pass
        return held

    async def _send_all(self, held: list[analyst.Event], queue: Queue, send: Send) -> None:
        await send(_body(b": run " + self._run_id.encode() + b"\n\n"))
        for event in held:
            await self._send(event, send)
        while not (held and held[-1].WhichOneof("event") in _ENDS):
            try:
                async with asyncio.timeout(self._gateway.settings.heartbeat_s):
                    came = await queue.get()
            except TimeoutError:
                await send(_body(b": keep-alive\n\n"))
                continue
            if came is None:
                break
            held = [came]
            await self._send(came, send)
        await send(_body(self._rendering.end))

    async def _send(self, event: analyst.Event, send: Send) -> None:
        for piece in self._rendering.of(event, context.request_id()):
            await send(_body(piece))


def _body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


async def _pumped(events: AsyncIterator[analyst.Event], queue: Queue) -> None:
    try:
        async for event in events:
            queue.put_nowait(event)
    finally:
        queue.put_nowait(None)


async def _gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
