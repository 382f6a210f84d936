"""The outermost layer, plain ASGI: request id, access log, and errors as envelopes."""

import time
from collections.abc import Mapping

import grpc
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit import context, logs, tracing
from servicekit.status import Outcome, outcome
from services.gateway import metrics
from services.gateway.openai import envelope
from services.gateway.statuses import STATUSES, http_status

SDK_PATIENCE_S = 60.0
# asked by machines every few seconds: not worth a line of the log
PROBES = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
_PARENT, _STATE = tracing.TRACEPARENT.encode(), tracing.TRACESTATE.encode()
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
        headers = dict(scope["headers"])
        offered = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = context.new_request_id(offered)
        if scope["method"] == "HEAD":
            # as GET; the server leaves the body out, by the scope that it kept
            scope = {**scope, "method": "GET"}
        exchange = _Exchange(request_id, scope, send)
        with context.entered(context.Incoming(request_id=request_id)):
            if scope["path"] in PROBES or not (tracing.is_on() or _PARENT in headers):
                await exchange.run(self._application, receive)
                return
            with (
                tracing.entered(_trace(headers)),
                tracing.span(scope["method"], kind=tracing.SERVER) as span,
            ):
                await exchange.run(self._application, receive, span)


def _trace(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    found = {_PARENT: tracing.TRACEPARENT, _STATE: tracing.TRACESTATE}
    return {
        ours: headers[name].decode("latin-1") for name, ours in found.items() if name in headers
    }


class _Exchange:
    """One request and its response."""

    def __init__(self, request_id: str, scope: Scope, send: Send) -> None:
        self._request_id = request_id
        self._scope = scope
        self._send = send
        self._status = 0
        self._began = time.monotonic()
        self._first_byte_s: float | None = None

    async def run(
        self, application: ASGIApp, receive: Receive, span: tracing.Marked = tracing.NOTHING
    ) -> None:
        metrics.HTTP_RUNNING.inc()
        try:
            await application(self._scope, receive, self._sent)
        except Exception as error:
            if self._status:
                raise
            await refused(error)(self._scope, receive, self._sent)
        finally:
            metrics.HTTP_RUNNING.dec()
            if span is not tracing.NOTHING:
                self._mark(span)
            self._record(time.monotonic() - self._began)

    def _record(self, seconds: float) -> None:
        method, route = metrics.method_label(self._scope["method"]), self._route
        metrics.HTTP.labels(method, route, str(self._status)).inc()
        metrics.HTTP_SECONDS.labels(method, route).observe(seconds)
        if self._first_byte_s is not None:
            metrics.HTTP_FIRST_BYTE.labels(method, route).observe(self._first_byte_s)
        tell = _log.debug if route in PROBES else _log.info
        tell(
            "http",
            method=self._scope["method"],
            path=self._scope["path"],
            status=self._status,
            seconds=round(seconds, 4),
        )

    def _mark(self, span: tracing.Marked) -> None:
        method, route = metrics.method_label(self._scope["method"]), self._route
        span.rename(f"{method} {route}")
        told = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": self._status,
            # without the query, where a link has its signature
            "url.path": self._scope["path"],
            "url.scheme": self._scope["scheme"],
            "isobath.request_id": self._request_id,
        }
        span.tell(told)
        if self._status >= 500:
            span.fail(str(self._status))

    @property
    def _route(self) -> str:
        """Its template: what stands in a path's braces are ids, and never a label."""
        return getattr(self._scope.get("route"), "path", metrics.OTHER)

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            header = (b"x-request-id", self._request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), header]}
        elif self._first_byte_s is None:
            self._first_byte_s = time.monotonic() - self._began
        await self._send(message)
