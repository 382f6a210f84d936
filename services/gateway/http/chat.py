"""POST /v1/chat/completions: a run, as a stream of chunks or as one completion."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.gateway import Gateway
from services.gateway.http.answering import RunResponse
from services.gateway.http.asking import authenticated, body_of, flag, held, mapping
from services.gateway.openai import Chunks, completion
from services.gateway.plan import plan
from services.gateway.text_events import TextEvents


def routes(gateway: Gateway) -> APIRouter:
    """The chat route."""
    router = APIRouter(tags=["chat"])

    @router.post("/v1/chat/completions", response_class=Response)
    async def chat_completions(request: Request) -> Response:
        """Ask a question of data sources, and get the answer: whole, or as a stream of chunks."""
        caller = await authenticated(gateway, request)
        body = await body_of(request)
        asked = plan(body, request.headers, gateway.settings.bounds)
        options = mapping(body, "stream_options")
        stream, detach, hold = flag(body, "stream"), flag(body, "detach"), held(body)
        include_usage = flag(options, "include_usage")
        run_id = await gateway.runs.start(caller, asked)
        model = asked.model or gateway.settings.agent_model
        rendering = _Completions(run_id, model, include_usage=include_usage)
        return RunResponse(
            gateway, caller.owner, run_id, rendering, stream=stream, detach=detach, hold=hold
        )

    return router


class _Completions:
    """A run as a chat completion."""

    end = b"data: [DONE]\n\n"

    def __init__(self, run_id: str, model: str, *, include_usage: bool) -> None:
        self._run_id, self._model, self._created = run_id, model, int(time.time())
        self._chunks = Chunks(run_id, model, created=self._created, include_usage=include_usage)
        self._text = TextEvents(lambda event: b"".join(self._messages(event, "")))

    def of(self, event: analyst.Event, request_id: str) -> Iterable[bytes]:
        if event.HasField("block_text"):
            return (self._text.of(event),)
        return self._messages(event, request_id)

    def _messages(self, event: analyst.Event, request_id: str) -> Iterable[bytes]:
        for chunk in self._chunks.of(event, request_id):
            yield b"data: " + orjson.dumps(chunk) + b"\n\n"

    def whole(self, events: Sequence[analyst.Event]) -> dict[str, Any]:
        return completion(self._run_id, self._model, events, created=self._created)
