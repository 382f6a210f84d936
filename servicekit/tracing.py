"""Spans, as every service tells them: on OpenTelemetry's API, and with nothing of a payload.

Off, until `exporting` gives a tracer: then no span is made, and a caller's `traceparent` only
passes through, into the log and to whoever is called. What stands in a span goes through `redact`,
as what stands in a log line, and is cut; the texts of exceptions never do.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servicekit.secrets import redact

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
INTERNAL, SERVER, CLIENT = SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT
Value = str | bool | int | float
Attributes = Mapping[str, Value]

# of one value; of statements see `servicekit.exporting`
_LONGEST = 256
_LONGEST_STATEMENT = 2048
_MOST_CHILDREN = 128
_PROPAGATOR = TraceContextTextMapPropagator()
CANCELLED = "isobath.cancelled"
# as pg_connector and the gateway need it: what they may tell of a user's own query
STATEMENT = "db.query.text"


class _State:
    """One for the process: a process is one service."""

    tracer: Tracer | None = None
    # whether users' own statements are told
    statements: bool = False
    # of the spans that go on: how many were begun below each
    children: ClassVar["WeakKeyDictionary[Span, int]"] = WeakKeyDictionary()


def use(tracer: Tracer | None, *, statements: bool = False) -> None:
    """What makes spans from now on; None = nobody."""
    _State.tracer, _State.statements = tracer, statements


def is_on() -> bool:
    return _State.tracer is not None


def tells_statements() -> bool:
    """Whether the text of a user's own query may stand in a span."""
    return _State.tracer is not None and _State.statements


class Marked:
    """A span that was begun; or none, where traces are off or this one is not sampled."""

    __slots__ = ("_failed", "_span")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._failed = False

    def tell(self, attributes: Attributes) -> None:
        """Adds what is known by now."""
        if self._span.is_recording():
            self._span.set_attributes(_clean(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, name: str, attributes: Attributes | None = None) -> None:
        """Something that happened at this moment; a few times in a span, not for each token."""
        if self._span.is_recording():
            self._span.add_event(name, _clean(attributes or {}))

    def fail(self, reason: str) -> None:
        """`reason`: a word of this platform's, or the name of a class. The first one counts."""
        if self._span.is_recording() and not self._failed:
            self._failed = True
            self._span.set_attributes(_clean({"error.type": reason}))
            self._span.set_status(Status(StatusCode.ERROR, redact("reason", reason)))  # type: ignore[arg-type]

    def settle(self) -> None:
        """All is said: what is raised from here on is no fault of it."""
        self._failed = True

    def end(self) -> None:
        self._span.end()

    def headers(self) -> dict[str, str]:
        """For the call that this span stands for."""
        return _headers(trace.set_span_in_context(self._span))


NOTHING = Marked(trace.INVALID_SPAN)


def begin(name: str, *, kind: SpanKind = INTERNAL, attributes: Attributes | None = None) -> Marked:
    """A span below the current one, which does not become the current one: for generators, whose
    context is that of whoever reads them. To be ended. Only a server's may be without a parent, for
    what no request asked for is not worth a trace."""
    tracer = _State.tracer
    if tracer is None or (kind is not SERVER and not _has_room()):
        return NOTHING
    return Marked(tracer.start_span(name, kind=kind, attributes=_clean(attributes or {})))


@contextmanager
def span(
    name: str, *, kind: SpanKind = INTERNAL, attributes: Attributes | None = None
) -> Iterator[Marked]:
    """The same, as the current span until the end of the block. What is raised marks it."""
    marked = begin(name, kind=kind, attributes=attributes)
    if marked is NOTHING:
        yield marked
        return
    token = contexts.attach(trace.set_span_in_context(marked._span))
    try:
        yield marked
    except (asyncio.CancelledError, GeneratorExit):
        # whoever asked went away: nothing failed
        marked.tell({CANCELLED: True})
        raise
    except BaseException as error:
        marked.fail(reason_of(error))
        raise
    finally:
        contexts.detach(token)
        marked.end()


@contextmanager
def leaf(
    name: str, *, kind: SpanKind = INTERNAL, attributes: Attributes | None = None
) -> Iterator[Marked]:
    """The same, without becoming the current one: where nothing below it has spans."""
    marked = begin(name, kind=kind, attributes=attributes)
    if marked is NOTHING:
        yield marked
        return
    try:
        yield marked
    except (asyncio.CancelledError, GeneratorExit):
        marked.tell({CANCELLED: True})
        raise
    except BaseException as error:
        marked.fail(reason_of(error))
        raise
    finally:
        marked.end()


@contextmanager
def entered(headers: Mapping[str, Any]) -> Iterator[None]:
    """Within the trace that a caller's headers name, if they do."""
    if TRACEPARENT not in headers:
        yield
        return
    # the old one is not its parent, whoever's task this is
    token = contexts.attach(_PROPAGATOR.extract(headers, contexts.Context()))
    try:
        yield
    finally:
        contexts.detach(token)


def headers() -> dict[str, str]:
    """What a call carries on to whoever is called: `traceparent` and `tracestate`, or nothing."""
    return _headers(contexts.get_current()) if _current() is not None else {}


def carried() -> str:
    """The current trace as one line, to be kept with work that goes on elsewhere; "" = none."""
    told = headers()
    return f"{told.get(TRACEPARENT, '')} {told.get(TRACESTATE, '')}".strip()


@contextmanager
def continued(kept: str) -> Iterator[None]:
    """Within the trace that `carried` gave: by another process, or much later."""
    parent, _, state = kept.partition(" ")
    given = {TRACEPARENT: parent} if parent else {}
    with entered(given | ({TRACESTATE: state} if state else {})):
        yield


def tell(attributes: Attributes) -> None:
    """Adds to the current span."""
    if _State.tracer is not None:
        Marked(trace.get_current_span()).tell(attributes)


def identifiers() -> tuple[str, str] | None:
    """Of the current trace and span, as logs tell them."""
    found = _current()
    if found is None:
        return None
    return trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)


def of_rpc(path: str) -> Attributes:
    """Of a call, by its full method name: "/package.Service/Method"."""
    service, _, method = path.lstrip("/").rpartition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def reason_of(error: BaseException) -> str:
    """A word for what went wrong: its reason, where it has one, else the name of its class."""
    reason = getattr(error, "reason", "")
    return reason if isinstance(reason, str) and reason else type(error).__qualname__


def _current() -> trace.SpanContext | None:
    found = trace.get_current_span()
    if found is trace.INVALID_SPAN:
        return None
    told = found.get_span_context()
    return told if told.is_valid else None


def _has_room() -> bool:
    """Whether there is a current span, with fewer below it than one may have: a scan of ten
    thousand blobs is not as many spans."""
    if _current() is None:
        return False
    parent = trace.get_current_span()
    if not parent.is_recording():
        return True
    children = _State.children.get(parent, 0) + 1
    _State.children[parent] = children
    if children > _MOST_CHILDREN:
        parent.set_attribute("isobath.spans_left_out", children - _MOST_CHILDREN)
    return children <= _MOST_CHILDREN


def _headers(context: contexts.Context) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context)
    return carrier


def _clean(attributes: Attributes) -> dict[str, Value]:
    return {name: _cut(name, redact(name, value)) for name, value in attributes.items()}


def _cut(name: str, value: object) -> Value:
    if isinstance(value, bool | int | float):
        return value
    return str(value)[: _LONGEST_STATEMENT if name == STATEMENT else _LONGEST]
