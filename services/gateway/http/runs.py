"""/v1/runs and /v1/threads."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField
from services.gateway import exports, record
from services.gateway.gateway import Gateway
from services.gateway.http.asking import authenticated, body_of, number, word
from services.gateway.http.edge import Json
from services.gateway.http.sources import listing
from services.gateway.openai import event_json, files_json, usage_json
from services.gateway.plan import plan
from services.gateway.text_events import TextEvents

_EXPORTERS = {"notebook": exports.notebook, "html": exports.page}


def routes(gateway: Gateway) -> APIRouter:
    """Runs and threads."""
    router = APIRouter(tags=["runs"])

    @router.get("/v1/runs")
    async def runs(request: Request) -> Json:
        """Runs, newest first."""
        caller = await authenticated(gateway, request)
        size, token = number(request, "page_size"), word(request, "page_token")
        page = await gateway.runs.page(caller.owner, word(request, "thread_id"), size, token)
        return Json(listing([run_json(each) for each in page.items], page.next_page_token))

    @router.post("/v1/runs", status_code=202)
    async def start(request: Request) -> Json:
        """Ask as chat does, and get the run at once: it goes on by itself."""
        caller = await authenticated(gateway, request)
        asked = plan(await body_of(request), request.headers, gateway.settings.bounds)
        id = await gateway.runs.start(caller, asked)
        run = run_json(await gateway.runs.get(caller.owner, id))
        return Json(run, 202, headers={"location": f"/v1/runs/{id}"})

    @router.get("/v1/runs/{id}")
    async def run(request: Request, id: str) -> Json:
        """How a run stands."""
        caller = await authenticated(gateway, request)
        return Json(run_json(await gateway.runs.get(caller.owner, id)))

    @router.post("/v1/runs/{id}/cancel")
    async def cancel(request: Request, id: str) -> Json:
        """Stop a run: the model, the program and the query end within a second."""
        caller = await authenticated(gateway, request)
        return Json(run_json(await gateway.runs.cancel(caller.owner, id)))

    @router.get("/v1/runs/{id}/export")
    async def export(request: Request, id: str) -> Response:
        """A run that has ended, as a notebook that replays it, or as one page: `format`."""
        caller = await authenticated(gateway, request)
        make = _EXPORTERS.get(word(request, "format") or "notebook")
        if make is None:
            raise InvalidField("format", f"format is one of {', '.join(_EXPORTERS)}")
        document = await gateway.runs.export(caller.owner, id, make)
        headers = {"content-disposition": f'attachment; filename="{document.name}"'}
        return Response(document.content, media_type=document.media_type, headers=headers)

    @router.get("/v1/runs/{id}/conversation")
    async def conversation(request: Request, id: str) -> Json:
        """What the model saw and wrote in a run that has ended: a record for training."""
        caller = await authenticated(gateway, request)
        return Json(record.as_json(await gateway.runs.conversation(caller.owner, id)))

    @router.get("/v1/runs/{id}/events")
    async def events(request: Request, id: str) -> Response:
        """A run's events as server-sent events, from Last-Event-ID on."""
        caller = await authenticated(gateway, request)
        await gateway.runs.get(caller.owner, id)
        batches = gateway.runs.batches(
            caller.owner, id, _after(request), beat_s=gateway.settings.heartbeat_s
        )
        return StreamingResponse(_sse(batches), media_type="text/event-stream")

    @router.get("/v1/threads")
    async def threads(request: Request) -> Json:
        """Threads, newest first."""
        caller = await authenticated(gateway, request)
        size, token = number(request, "page_size"), word(request, "page_token")
        page = await gateway.threads.page(caller.owner, size, token)
        return Json(listing([thread_json(each) for each in page.items], page.next_page_token))

    @router.get("/v1/threads/{id}")
    async def thread(request: Request, id: str) -> Json:
        """A thread and what was said in it."""
        caller = await authenticated(gateway, request)
        found, said = await gateway.threads.get(caller.owner, id)
        messages = [{"role": each.role, "content": each.content} for each in said]
        files = files_json(await gateway.files.of_thread(id))
        return Json({**thread_json(found), "messages": messages, "files": files})

    @router.delete("/v1/threads/{id}")
    async def delete(request: Request, id: str) -> Json:
        """Delete a thread with its workspace, runs and artifacts."""
        caller = await authenticated(gateway, request)
        await gateway.threads.delete(caller.owner, id)
        return Json({"id": id, "object": "thread", "deleted": True})

    return router


def run_json(run: analyst.Run) -> dict[str, Any]:
    """A run as HTTP shows it."""
    error = {"reason": run.error_reason, "message": run.error_message}
    return {
        "id": run.run_id,
        "object": "run",
        "thread_id": run.thread_id,
        "model": run.model,
        "status": analyst.RunState.Name(run.state).removeprefix("RUN_STATE_").lower(),
        "created_at": run.created_at.seconds,
        "ended_at": run.ended_at.seconds or None,
        "last_sequence": run.last_sequence,
        "usage": usage_json(run.usage),
        "error": error if run.error_reason else None,
    }


def thread_json(thread: analyst.Thread) -> dict[str, Any]:
    """A thread as HTTP shows it."""
    return {
        "id": thread.thread_id,
        "object": "thread",
        "title": thread.title,
        "created_at": thread.created_at.seconds,
        "expires_at": thread.expires_at.seconds,
    }


def _after(request: Request) -> int:
    text = request.headers.get("last-event-id") or word(request, "after") or "0"
    if not text.isdecimal():
        raise InvalidField("last-event-id", "Last-Event-ID must be a sequence number")
    return int(text)


async def _sse(batches: AsyncGenerator[Sequence[analyst.Event], None]) -> AsyncIterator[bytes]:
    """Events, and comments between them where nothing happens for long."""
    quick = TextEvents(_message)
    async with aclosing(batches):
        async for batch in batches:
            yield b"".join(map(quick.of, batch)) if batch else b": keep-alive\n\n"


def _message(event: analyst.Event) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.sequence, orjson.dumps(event_json(event)))
