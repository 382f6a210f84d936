"""A model server that speaks OpenAI's chat protocol over a socket.

It stands in for a server with a GPU, reached through the real client. It keeps what it was asked, streams a
scripted answer chunk by chunk, stops at the request's stop strings as the real ones do (swallowing them),
fails as told, and notices when its reader goes away. It does not imitate: sampling, tokenizing (usage is
scripted), validation of the request, rate limits by tokens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Failure = Callable[[web.Request], Any]


@dataclass
class ModelServer:
    """`script`: the chunks of the next answers, text or a delta. `failures`: what the next requests
    meet instead."""

    script: list[Any] = field(default_factory=lambda: ["<Ana", "lyze>a</Analyze>"])
    finish: str = "stop"
    stop_reason: object = None
    tells_stop_reason: bool = False
    heeds_stops: bool = True
    tells_usage: bool = True
    # after so many chunks the answer waits until `go_on`
    hold_after: int | None = None
    # after so many chunks the connection breaks
    break_after: int | None = None
    failures: list[Failure] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    reader_gone: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        if self.failures:
            answer = self.failures.pop(0)(request)
            assert isinstance(answer, web.Response)
            return answer
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._stream(request, response)
        except (asyncio.CancelledError, ConnectionError):
            self.reader_gone.set()
            raise
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        shown, stopped = self._shown()
        for number, text in enumerate(shown):
            if number == self.break_after:
                assert request.transport
                request.transport.abort()
                return
            if number == self.hold_after:
                self.held.set()
                await self.go_on.wait()
            delta = text if isinstance(text, dict) else {"content": text}
            await self._send(response, {"delta": delta, "finish_reason": None})
        last: dict[str, Any] = {"delta": {}, "finish_reason": "stop" if stopped else self.finish}
        if self.tells_stop_reason:
            last["stop_reason"] = stopped or self.stop_reason
        await self._send(response, last)
        if self.tells_usage:
            usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
                     "prompt_tokens_details": {"cached_tokens": 5}}  # fmt: skip
            await self._send(response, None, usage)
        await response.write(b"data: [DONE]\n\n")

    def _shown(self) -> tuple[list[str], str]:
        """The script up to the first stop of the request, and that stop."""
        stops = self.asked[-1].get("stop") or [] if self.heeds_stops else []
        text = "".join(piece for piece in self.script if isinstance(piece, str))
        found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
        if not found:
            return self.script, ""
        at, stop = min(found)
        shown = []
        for piece in self.script:
            shown.append(piece[:at])
            at -= len(shown[-1])
        return [piece for piece in shown if piece], stop

    async def _send(self, response: web.StreamResponse, choice: Any, usage: Any = None) -> None:
        choices = [] if choice is None else [{"index": 0, **choice}]
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                 "choices": choices, **({"usage": usage} if usage else {})}  # fmt: skip
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def refuses(status: int, message: str = "no", **headers: str) -> Failure:
    body = {"error": {"message": message, "type": "x", "code": None, "param": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.json_response(body, status=status, headers=named)


def drops(request: web.Request) -> web.Response:
    assert request.transport
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving(server: ModelServer | None = None) -> AsyncIterator[ModelServer]:
    server = server or ModelServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
