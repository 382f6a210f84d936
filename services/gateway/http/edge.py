"""The outermost layer, plain ASGI: request id, access log, and errors as envelopes."""

import time

import grpc
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit import context, logs
from servicekit.status import Outcome, outcome
from services.gateway.openai import envelope
from services.gateway.statuses import STATUSES, http_status

SDK_PATIENCE_S = 60.0
_log = logs.get(__name__)


class Json(Response):
    """JSON by orjson; what it does not know is written as text."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


def refused(error: BaseException) -> Json:
    """An error as a response: its status, envelope, and what a client's retries should know."""
    told = outcome(error, STATUSES, context.request_id())
    if not told.known:
        _log.error("request_failed", exc_info=error)
    status = http_status(told.reason, told.code)
    fields = dict(told.fields)
    body = envelope(
        status,
        told.reason,
        told.message,
        remedy=fields.pop("remedy", ""),
        details=fields,
        request_id=context.request_id(),
    )
    return Json(body, status, headers=_headers(told))


def _headers(told: Outcome) -> dict[str, str]:
    """What a client's retries should know. `x-should-retry` is OpenAI's: its SDK heeds it."""
    headers = {}
    if told.code is grpc.StatusCode.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    if told.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(told.retry_after_s)))
        # the SDK waits a minute at most, and asks sooner when it is told to wait longer
        headers["x-should-retry"] = "true" if told.retry_after_s <= SDK_PATIENCE_S else "false"
    elif not told.known:
        # nobody knows what had begun by then
        headers["x-should-retry"] = "false"
    return headers


async def handle(_: Request, error: Exception) -> Response:
    """FastAPI's hook for faults."""
    return refused(error)


class Edge:
    """Around everything else."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        offered = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = context.new_request_id(offered)
        if scope["method"] == "HEAD":
            # as GET; the server leaves the body out, by the scope that it kept
            scope = {**scope, "method": "GET"}
        with context.entered(context.Incoming(request_id=request_id)):
            await _Exchange(request_id, scope, send).run(self._application, receive)


class _Exchange:
    """One request and its response."""

    def __init__(self, request_id: str, scope: Scope, send: Send) -> None:
        self._request_id = request_id
        self._scope = scope
        self._send = send
        self._status = 0

    async def run(self, application: ASGIApp, receive: Receive) -> None:
        began = time.monotonic()
        try:
            await application(self._scope, receive, self._sent)
        except Exception as error:
            if self._status:
                raise
            await refused(error)(self._scope, receive, self._sent)
        finally:
            _log.info(
                "http",
                method=self._scope["method"],
                path=self._scope["path"],
                status=self._status,
                seconds=round(time.monotonic() - began, 4),
            )

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            header = (b"x-request-id", self._request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await self._send(message)
