"""/v1/responses: a run in the shapes of OpenAI's Responses API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField
from services.gateway.callers import Caller
from services.gateway.errors import NotFound
from services.gateway.gateway import Gateway
from services.gateway.http.answering import RunResponse
from services.gateway.http.asking import authenticated, body_of, flag, held, number, word
from services.gateway.http.edge import Json
from services.gateway.plan import plan
from services.gateway.responses.kept import echoed, input_items, kept, told
from services.gateway.responses.rendering import Responding
from services.gateway.responses.request import chat_body, run_id_of

# as many as OpenAI gives, and at most
ITEMS, MAX_ITEMS = 20, 100


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["responses"])
    base = "/v1/responses"

    @router.post(base, response_class=Response)
    async def create(request: Request) -> Response:
        """Ask a question, as OpenAI's Responses API does; with `background` the run goes on by
        itself."""
        caller = await authenticated(gateway, request)
        body = await body_of(request)
        stream, background, hold = flag(body, "stream"), flag(body, "background"), held(body)
        chat = chat_body(body)
        if body.get("previous_response_id") is not None:
            chat["thread_id"] = await _thread_behind(gateway, caller, body)
        asked = plan(chat, request.headers, gateway.settings.bounds)
        run_id = await gateway.runs.start(caller, replace(asked, request=kept(body)))
        run = await gateway.runs.get(caller.owner, run_id)
        rendering = _Responses(gateway, run, echoed=echoed(body))
        if background and not stream:
            return Json(rendering.now(await gateway.runs.so_far(caller.owner, run.run_id)))
        return RunResponse(
            gateway, caller.owner, run_id, rendering, stream=stream, detach=background, hold=hold
        )

    @router.get(base + "/{id}", response_class=Response)
    async def retrieve(request: Request, id: str) -> Response:
        """How a response stands; with `stream=true` its events, behind `starting_after`."""
        caller = await authenticated(gateway, request)
        run = await _run(gateway, caller, id)
        after = number(request, "starting_after", -1)
        asked_with = await gateway.runs.request(caller.owner, run.run_id)
        rendering = _Responses(gateway, run, after=after, echoed=told(asked_with, "")[1])
        if word(request, "stream") == "true":
            return RunResponse(
                gateway, caller.owner, run.run_id, rendering, stream=True, detach=True
            )
        return Json(rendering.now(await gateway.runs.so_far(caller.owner, run.run_id)))

    @router.post(base + "/{id}/cancel")
    async def cancel(request: Request, id: str) -> Json:
        """Stop a response: the model, the program and the query."""
        caller = await authenticated(gateway, request)
        run = await _run(gateway, caller, id)
        run = await gateway.runs.cancel(caller.owner, run.run_id)
        asked_with = await gateway.runs.request(caller.owner, run.run_id)
        rendering = _Responses(gateway, run, echoed=told(asked_with, "")[1])
        return Json(rendering.now(await gateway.runs.so_far(caller.owner, run.run_id)))

    @router.get(base + "/{id}/input_items")
    async def items(request: Request, id: str) -> Json:
        """What a response was asked with, the last first unless `order` says otherwise."""
        caller = await authenticated(gateway, request)
        run = await _run(gateway, caller, id)
        asked_with = await gateway.runs.request(caller.owner, run.run_id)
        events = await gateway.runs.so_far(caller.owner, run.run_id)
        question = next((each.started.question for each in events if each.HasField("started")), "")
        found = input_items(told(asked_with, question)[0], run.run_id)
        return Json(_page(request, found))

    @router.delete(base + "/{id}")
    async def delete(request: Request, id: str) -> Json:
        """Forget a response that has ended. Its files, and what was said, stay with its thread."""
        caller = await authenticated(gateway, request)
        run = await _run(gateway, caller, id)
        await gateway.runs.delete(caller.owner, run.run_id)
        return Json({"id": id, "object": "response", "deleted": True})

    return router


class _Responses:
    """A run as a response. `after`: the sequence number that the client has already."""

    end = b""

    def __init__(
        self,
        gateway: Gateway,
        run: analyst.Run,
        *,
        echoed: Mapping[str, Any] | None = None,
        after: int = -1,
    ) -> None:
        self._after = after
        self._responding = Responding(
            run.run_id,
            run.model or gateway.settings.agent_model,
            created=run.created_at.seconds,
            echoed=echoed,
        )

    def of(self, event: analyst.Event, request_id: str) -> Iterable[bytes]:
        for each in self._responding.of(event):
            if each["sequence_number"] > self._after:
                yield b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps(each))

    def whole(self, events: Sequence[analyst.Event]) -> dict[str, Any]:
        return self.now(events)

    def now(self, events: Sequence[analyst.Event]) -> dict[str, Any]:
        """As it stands after these events."""
        for event in events:
            self._responding.of(event)
        return self._responding.response


def _page(request: Request, items: list[dict[str, Any]]) -> dict[str, Any]:
    """A page as OpenAI pages: behind an id, in either order. Raises `InvalidField`, `NotFound`."""
    order, after = word(request, "order") or "desc", word(request, "after")
    if order not in ("asc", "desc"):
        raise InvalidField("order", "order is one of asc, desc")
    size = number(request, "limit", ITEMS)
    if not 1 <= size <= MAX_ITEMS:
        raise InvalidField("limit", f"limit must be from 1 to {MAX_ITEMS}")
    ordered = items if order == "asc" else items[::-1]
    ids = [each["id"] for each in ordered]
    if after and after not in ids:
        raise NotFound("item", after, field="after")
    first = ids.index(after) + 1 if after else 0
    page = ordered[first : first + size]
    return {
        "object": "list",
        "data": page,
        "has_more": first + size < len(ordered),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


async def _run(gateway: Gateway, caller: Caller, id: str) -> analyst.Run:
    try:
        return await gateway.runs.get(caller.owner, run_id_of(id))
    except (InvalidField, NotFound) as none:
        raise NotFound("response", id) from none


async def _thread_behind(gateway: Gateway, caller: Caller, body: Mapping[str, Any]) -> str:
    """The thread that the earlier response belongs to. Raises `InvalidField`, `NotFound`."""
    field = "previous_response_id"
    given = body[field]
    try:
        run = await gateway.runs.get(caller.owner, run_id_of(given, field))
    except NotFound as none:
        raise NotFound("response", given, field=field) from none
    if body.get("thread_id") not in (None, run.thread_id):
        raise InvalidField("thread_id", "thread_id is not the thread of previous_response_id")
    return run.thread_id
