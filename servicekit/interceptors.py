"""Around every call that a server takes: request id, identity, log line, metrics, errors to status.

One gRPC interceptor does it all, and puts no layer of its own on a stream's messages: a
pass-through generator per concern would cost more than the message."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, NoReturn

import grpc

from servicekit import context, logs, metrics, tracing
from servicekit.callers import Callers
from servicekit.status import (
    DETAILS_KEY,
    NO_STATUSES,
    REQUEST_ID_KEY,
    CallerNotAllowed,
    Draining,
    StatusTable,
    encode,
    outcome,
)

_log = logs.get(__name__)

Behaviour = Callable[[Any, Any], Any]
Body = Callable[[], Awaitable[Any]]
Serializer = Callable[[Any], bytes]
Serializers = Mapping[str, Serializer]
NO_SERIALIZERS: Serializers = MappingProxyType({})
ANYONE = "*"
Refused = Callable[[str], Awaitable[None]]
# method name -> identities
Allow = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one service on this server."""

    statuses: StatusTable = field(default_factory=lambda: NO_STATUSES)
    # method name -> identities, where a method that is not named is nobody's; None = any identity
    # may call any
    allow: Allow | None = None
    # told of each method that a caller was refused, before the caller is
    refused: Refused | None = None
    # open to those without a token too: health, reflection
    public: bool = False
    # streams without an end of their own, which must not hold the drain up
    endless: frozenset[str] = frozenset()
    # a call that carries no trace begins one: where clients come in
    begins_traces: bool = False
    # methods whose answers become bytes otherwise than by protobuf's own
    serializers: Serializers = field(default_factory=lambda: NO_SERIALIZERS)


_NO_RULES = Rules()


class Pipeline(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._rules: dict[str, Rules] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._endless: set[asyncio.Task[Any]] = set()
        self._draining = False

    def govern(self, full_name: str, rules: Rules) -> None:
        self._rules[full_name] = rules

    def drain(self) -> None:
        """From here on endless streams end with UNAVAILABLE, those that run and those that come."""
        self._draining = True
        for task in tuple(self._endless):
            task.cancel()

    async def idle(self, timeout_s: float) -> bool:
        """Waits until no handler runs, cleanup included; tells whether that came to be."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=timeout_s)
        return not self._running

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        path = handler_call_details.method
        service, _, method = path.lstrip("/").rpartition("/")
        rules = self._rules.get(service, _NO_RULES)
        serializer = rules.serializers.get(method, handler.response_serializer)
        return _wrapped(handler, serializer, partial(self._serve, path))

    async def _serve(self, path: str, servicer_context: Any, body: Body) -> Any:
        service, _, method = path.lstrip("/").rpartition("/")
        call = _Call(path, method, self._rules.get(service, _NO_RULES), servicer_context)
        with (
            context.entered(call.incoming()),
            metrics.RUNNING.labels(path).track_inprogress(),
            call.traced() as span,
        ):
            task = asyncio.current_task()
            assert task is not None
            self._enter(call, task)
            try:
                return await self._answer(call, task, body)
            finally:
                self._running.discard(task)
                self._endless.discard(task)
                call.mark(span)
                # when the answer is on its way: telling the log takes as long as a small call
                asyncio.get_running_loop().call_soon(call.record)

    def _enter(self, call: "_Call", task: "asyncio.Task[Any]") -> None:
        self._running.add(task)
        if call.method in call.rules.endless:
            self._endless.add(task)

    async def _answer(self, call: "_Call", task: "asyncio.Task[Any]", body: Body) -> Any:
        try:
            await self._admit(call, task)
            answer = await body()
            call.close()
            return answer
        except asyncio.CancelledError:
            if not (self._draining and task in self._endless) or call.gone():
                call.code = call.cancelled_as()
                raise
            task.uncancel()
            await call.fail(Draining("the server is going away"))
        except grpc.aio.AbortError:
            raise
        except Exception as exc:
            if call.gone():
                # what fails because nobody listens any more is no error of ours
                call.code = call.cancelled_as()
                raise asyncio.CancelledError from exc
            await call.fail(exc)

    async def _admit(self, call: "_Call", task: "asyncio.Task[Any]") -> None:
        if self._draining and task in self._endless:
            raise Draining("the server is going away")
        if call.rules.public:
            return
        identity = self._callers.identify(call.header("authorization"), call.peer)
        context.set_caller(identity)
        if call.rules.allow is None or identity == context.LOCAL:
            return
        allowed = call.rules.allow.get(call.method, frozenset())
        if ANYONE not in allowed and identity not in allowed:
            if call.rules.refused is not None:
                await call.rules.refused(call.method)
            raise CallerNotAllowed(identity, call.method)


class _Call:
    """One call on its way through, and what is told of it."""

    __slots__ = (
        *("_context", "_headers", "_started"),
        *("code", "method", "path", "reason", "rules"),
    )

    def __init__(self, path: str, method: str, rules: Rules, servicer_context: Any) -> None:
        self.path, self.method, self.rules = path, method, rules
        self.code: grpc.StatusCode | None = None
        self.reason = ""
        self._context = servicer_context
        self._headers = dict(servicer_context.invocation_metadata() or ())
        self._started = time.monotonic()

    def header(self, name: str) -> str:
        value = self._headers.get(name, "")
        return value if isinstance(value, str) else ""

    def peer(self) -> Mapping[str, Sequence[bytes]]:
        """What the connection's handshake has shown."""
        return self._context.auth_context()  # type: ignore[no-any-return]

    def incoming(self) -> context.Incoming:
        remaining = self._context.time_remaining()
        bounded = remaining is not None and math.isfinite(remaining)
        return context.Incoming(
            request_id=context.new_request_id(self.header(REQUEST_ID_KEY)),
            deadline=asyncio.get_running_loop().time() + remaining if bounded else math.inf,
        )

    @contextmanager
    def traced(self) -> Iterator[tracing.Marked]:
        """Within the caller's trace, or a new one where clients come in."""
        known = tracing.TRACEPARENT in self._headers
        if not known and not (self.rules.begins_traces and tracing.is_on()):
            yield tracing.NOTHING
            return
        with (
            tracing.entered(self._headers),
            tracing.span(
                self.path[1:], kind=tracing.SERVER, attributes=tracing.of_rpc(self.path)
            ) as span,
        ):
            yield span

    def mark(self, span: tracing.Marked) -> None:
        """Its end: what is no fault of the server's is none in the span of a server."""
        code = self._ended_as()
        span.tell({"rpc.response.status_code": code.name, "isobath.caller": context.caller()})
        if code in _SERVER_FAULTS:
            span.fail(self.reason or code.name)
        elif self.reason:
            span.tell({"isobath.reason": self.reason})
        # gRPC's own way out of an abort is an exception
        span.settle()

    def _ended_as(self) -> grpc.StatusCode:
        return self.code or _code_of(self._context.code())

    def gone(self) -> bool:
        return bool(self._context.cancelled())

    def cancelled_as(self) -> grpc.StatusCode:
        late = context.remaining_s(math.inf) <= 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED

    def close(self) -> None:
        """Adds the request id to what the servicer itself wants to trail."""
        self._context.set_trailing_metadata(self._trailing())

    def _trailing(self, *more: tuple[str, str | bytes]) -> tuple[tuple[str, str | bytes], ...]:
        own = tuple(self._context.trailing_metadata() or ())
        return (*own, (REQUEST_ID_KEY, context.request_id()), *more)

    async def fail(self, error: Exception) -> NoReturn:
        """Tells the caller what is safe, and the log the rest."""
        try:
            shown = outcome(error, self.rules.statuses, context.request_id())
        except Exception as broken:
            broken.__context__ = error
            shown = outcome(broken, NO_STATUSES, context.request_id())
            error = broken
        self.code, self.reason = shown.code, shown.reason
        if shown.known:
            _log.info("rpc_refused", method=self.path, reason=shown.reason, why=str(error))
        else:
            _log.error("rpc_failed", method=self.path, exc_info=error)
        status = encode(shown, context.request_id())
        trailing = self._trailing((DETAILS_KEY, status.SerializeToString()))
        await self._context.abort(shown.code, status.message, trailing)
        raise AssertionError("abort returned")

    def record(self) -> None:
        code = self._ended_as().name
        seconds = time.monotonic() - self._started
        metrics.HANDLED.labels(self.path, code).inc()
        metrics.SECONDS.labels(self.path).observe(seconds)
        tell = _log.debug if self.rules.public else _log.info
        tell(
            "rpc",
            method=self.path,
            code=code,
            seconds=round(seconds, 6),
            peer=self._context.peer(),
            caller=context.caller(),
        )


# as the semantic conventions have it
_SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def _code_of(code: Any) -> grpc.StatusCode:
    """gRPC gives back what the servicer set: a StatusCode, its number, or nothing for OK."""
    if isinstance(code, grpc.StatusCode):
        return code
    return _BY_NUMBER.get(code or 0, grpc.StatusCode.UNKNOWN)


Serve = Callable[[Any, Body], Awaitable[Any]]


def _wrapped(handler: Any, serializer: Serializer, serve: Serve) -> Any:
    kind = (handler.request_streaming, handler.response_streaming)
    make, behaviour = {
        (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
        (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
        (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
    }[kind]
    inner = _streaming if handler.response_streaming else _single
    return make(
        inner(behaviour, serve),
        request_deserializer=handler.request_deserializer,
        response_serializer=serializer,
    )


def _single(behaviour: Behaviour, serve: Serve) -> Behaviour:
    async def handle(request: Any, servicer_context: Any) -> Any:
        return await serve(servicer_context, lambda: behaviour(request, servicer_context))

    return handle


def _streaming(behaviour: Behaviour, serve: Serve) -> Behaviour:
    async def handle(request: Any, servicer_context: Any) -> None:
        await serve(
            servicer_context, lambda: _pump(behaviour(request, servicer_context), servicer_context)
        )

    return handle


async def _pump(answer: Any, servicer_context: Any) -> None:
    """A servicer either yields its messages or writes them itself. A generator is closed here and
    now, so that its `finally` runs before the call counts as ended."""
    if not hasattr(answer, "__aiter__"):
        await answer
        return
    messages: AsyncIterator[Any] = answer
    if hasattr(answer, "aclose"):
        async with aclosing(answer):
            await _write_all(messages, servicer_context)
    else:
        await _write_all(messages, servicer_context)


async def _write_all(messages: AsyncIterator[Any], servicer_context: Any) -> None:
    async for message in messages:
        await servicer_context.write(message)
