"""A run's answer over HTTP, whole or as a stream, however it is rendered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import context
from services.gateway.gateway import Gateway
from services.gateway.http.edge import Json
from services.gateway.live import ENDS
from services.gateway.openai import CANCELLED, failure
from services.gateway.statuses import http_status

# a run whose fetch is done: from here on the response is a stream whatever happens
_BEGUN = frozenset({"block_opened", "block_text", "completed", "cancelled"})
_KEEP_ALIVE = b": keep-alive\n\n"
Batches = AbstractAsyncContextManager[AsyncIterator[Sequence[analyst.Event]]]
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

    def _batches(self, after: int, beat_s: float | None = None) -> Batches:
        batches = self._gateway.runs.batches(self._owner, self._run_id, after, beat_s=beat_s)
        return aclosing(batches)

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._batches(0) as batches:
            events = [event async for batch in batches for event in batch]
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
        held = await self._held()
        if held and held[-1].HasField("failed"):
            await self._refuse(held[-1].failed, scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        opening = b": run " + self._run_id.encode() + b"\n\n"
        await send(_body(opening + self._rendered(held)))
        after = held[-1].sequence if held else 0
        async with self._batches(after, self._gateway.settings.heartbeat_s) as batches:
            async for batch in batches:
                # it waits while the client does not read, and the events wait in the database
                if data := self._rendered(batch) if batch else _KEEP_ALIVE:
                    await send(_body(data))
        last = self._rendering.end
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _held(self) -> list[analyst.Event]:
        """Events up to the first of the model's, the end, or the end of patience."""
        held: list[analyst.Event] = []
        if not self._hold_s:
            return held
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._hold_s), self._batches(0) as batches:
                async for batch in batches:
                    held += batch
                    if any(event.WhichOneof("event") in _BEGUN | ENDS for event in batch):
                        break
        return held

    def _rendered(self, events: Sequence[analyst.Event]) -> bytes:
        """All that came at once as one piece: each send costs a system call."""
        request_id, of = context.request_id(), self._rendering.of
        return b"".join(piece for event in events for piece in of(event, request_id))


def _body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


async def _gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
