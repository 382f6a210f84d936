"""A double of an OpenTelemetry collector: takes OTLP traces over gRPC and over HTTP, on sockets of its
own, and keeps them. It imitates neither back-pressure nor partial success; `refuse` makes it answer
with an error, as one does that is full."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS = {1: "internal", 2: "server", 3: "client"}
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Span:
    """One span, as it came over the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    failed: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: tuple[str, ...]
    # since 1970, in nanoseconds
    began: int
    ended: int

    @property
    def service(self) -> str:
        return str(self.resource["service.name"])


@dataclass
class Collector:
    """What came. `headers` are those of the last export."""

    grpc: str = ""
    http: str = ""
    refuse: bool = False
    exports: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    raw: list[bytes] = field(default_factory=list)
    _spans: list[Span] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans)

    def take(self, request: pb.ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        with self._lock:
            self.exports += 1
            self.headers = headers
            self.raw.append(request.SerializeToString())
            for each in request.resource_spans:
                resource = _values(each.resource.attributes)
                for scope in each.scope_spans:
                    self._spans += [_span(span, resource) for span in scope.spans]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def wait(self, enough: Callable[["Collector"], object], said: str = "spans") -> None:
        """Until there is what is waited for: exports come now and then."""
        until = time.monotonic() + PATIENCE_S
        while not enough(self):
            if time.monotonic() > until:
                names = sorted({f"{span.service}: {span.name}" for span in self.spans})
                raise AssertionError(f"{said} did not come; there are {names}")
            time.sleep(0.05)


def _span(span: trace_pb2.Span, resource: dict[str, Any]) -> Span:
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=KINDS[span.kind],
        failed=(span.status.message or "?") if failed else "",
        attributes=_values(span.attributes),
        resource=resource,
        events=tuple(event.name for event in span.events),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    value: AnyValue = pair.value
    return getattr(value, value.WhichOneof("value") or "string_value")


class _Grpc(rpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        if self._collector.refuse:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        self._collector.take(request, {k: str(v) for k, v in context.invocation_metadata()})
        return pb.ExportTraceServiceResponse()


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path != "/v1/traces" or collector.refuse:
                self.send_response(404 if not collector.refuse else 429)
                self.end_headers()
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.take(pb.ExportTraceServiceRequest.FromString(body), headers)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listens until the end of the block."""
    collector = Collector()
    threads = ThreadPoolExecutor(1)
    # there from the beginning: a test that counts threads begins after it
    threads.submit(int).result()
    server = grpc.server(threads)
    rpc.add_TraceServiceServicer_to_server(_Grpc(collector), server)
    collector.grpc = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    web = ThreadingHTTPServer(("127.0.0.1", 0), _handler(collector))
    collector.http = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
        server.stop(None).wait()
        threads.shutdown()
