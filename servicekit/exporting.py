"""Spans on their way to a collector: OTLP over gRPC or HTTP, in a thread of its own.

A collector that is slow or away costs the spans, and nothing else: what waits is bounded, and what
is lost is counted."""

import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from servicekit import tracing
from servicekit.secrets import Secret
from servicekit.settings import SettingsError, load
from servicekit.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

# spans that wait, about 1 KiB each
_QUEUE = 8192
_BATCH = 512
_EVERY_S = 2.0
# for one export; the SDK tries again within it
_EXPORT_S = 10.0
# at the end, for what still waits
_LAST_S = 3.0
_SIGNAL_PATH = "/v1/traces"
PREFIX = "ISOBATH_TRACES_"

# OpenTelemetry's own names, where ours are not set
_STANDARD = {
    "ENDPOINT": ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    "PROTOCOL": ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    "HEADERS": ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
    "CA_FILE": ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    "RATIO": ("OTEL_TRACES_SAMPLER_ARG",),
}


@dataclass(frozen=True)
class TraceSettings:
    # where a collector takes OTLP, such as http://collector:4317; unset =
    # OTEL_EXPORTER_OTLP_ENDPOINT; neither, or OTEL_SDK_DISABLED = no traces
    endpoint: str = ""
    # grpc, or http for protobuf over HTTP; OpenTelemetry's http/protobuf is the same
    protocol: Literal["grpc", "http", "http/protobuf"] = "grpc"
    # name=value,… that go with each export, such as the key of a collector
    headers: Secret | None = None
    # PEM: the authorities that the collector's certificate is checked by; unset = the system's
    ca_file: Path | None = None
    # of the traces that begin here, how many are kept: 0 to 1. One that a caller began is kept
    # where the caller keeps it
    ratio: float = 1.0
    # the text of users' own SQL stands in spans, with the values that they wrote into it; values
    # that are bound never do
    statements: bool = False

    def __post_init__(self) -> None:
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("ENDPOINT expects http://… or https://…")
        if not 0 <= self.ratio <= 1:
            raise ValueError("RATIO expects 0 to 1")
        if self.headers is not None:
            _pairs(self.headers)

    @property
    def over_http(self) -> bool:
        return self.protocol != "grpc"


def trace_settings(environ: Mapping[str, str]) -> TraceSettings:
    """Ours, and OpenTelemetry's own where ours are unset. Raises SettingsError."""
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
    for name, others in _STANDARD.items():
        found = next((environ[each] for each in others if environ.get(each)), "")
        if found and not given.keys() & {PREFIX + name, f"{PREFIX}{name}_FILE"}:
            given[PREFIX + name] = found
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        given[f"{PREFIX}ENDPOINT"] = ""
    return load(TraceSettings, given, prefix=PREFIX)


@contextmanager
def exporting(settings: TraceSettings, service: str) -> Iterator[None]:
    """Spans of this process are made and sent until the end of the block, which waits for the last
    of them for some seconds. Without an endpoint nothing is imported and nothing happens."""
    if not settings.endpoint:
        yield
        return
    provider = _provider(settings, service)
    tracing.use(provider.get_tracer("isobath", VERSION), statements=settings.statements)
    try:
        yield
    finally:
        tracing.use(None)
        _ended(provider)


def _ended(provider: "TracerProvider") -> None:
    """The SDK's own way to an end waits for half a minute where the collector is away."""
    last = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
    last.start()
    last.join(_LAST_S)


def _provider(settings: TraceSettings, service: str) -> "TracerProvider":
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as missing:
        raise SettingsError(
            [
                f"{PREFIX}ENDPOINT is set, but OpenTelemetry's SDK is missing: "
                "install isobath[traces]"
            ]
        ) from missing
    from servicekit.counting import Bounded, Counted

    # OTEL_RESOURCE_ATTRIBUTES adds to these
    resource = Resource.create(
        {
            "service.name": service,
            "service.namespace": "isobath",
            "service.version": VERSION,
            "service.instance.id": str(uuid.uuid4()),
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
        }
    )
    provider = TracerProvider(
        resource=resource,
        sampler=ParentBased(TraceIdRatioBased(settings.ratio)),
        span_limits=SpanLimits(
            max_span_attributes=48,
            max_events=32,
            max_links=4,
            max_event_attributes=16,
            max_link_attributes=8,
        ),
        shutdown_on_exit=False,
    )
    counted = Counted(_exporter(settings))
    batches = BatchSpanProcessor(
        counted,
        max_queue_size=_QUEUE,
        schedule_delay_millis=_EVERY_S * 1000,
        max_export_batch_size=_BATCH,
    )
    provider.add_span_processor(Bounded(batches, counted, _QUEUE))
    return provider


def _pairs(headers: Secret | None) -> dict[str, str]:
    """Raises ValueError."""
    found = {}
    for pair in (headers.reveal() if headers else "").split(","):
        name, equals, value = pair.partition("=")
        if pair.strip() and not (equals and name.strip()):
            raise ValueError("HEADERS expects name=value, with commas between")
        if pair.strip():
            # gRPC takes no others
            found[name.strip().lower()] = unquote(value.strip())
    return found


def _with_path(endpoint: str) -> str:
    """A collector's address, with the path of the signal, unless it has one."""
    bare = endpoint.rstrip("/")
    return bare if urlsplit(bare).path else bare + _SIGNAL_PATH


def _exporter(settings: TraceSettings) -> "SpanExporter":
    headers = _pairs(settings.headers)
    if settings.over_http:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

        return Http(
            endpoint=_with_path(settings.endpoint),
            headers=headers,
            timeout=_EXPORT_S,
            certificate_file=str(settings.ca_file) if settings.ca_file else None,
        )
    from grpc import ssl_channel_credentials
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

    insecure = settings.endpoint.startswith("http://")
    trusted = settings.ca_file.read_bytes() if settings.ca_file else None
    return Grpc(
        endpoint=settings.endpoint,
        insecure=insecure,
        credentials=None if insecure else ssl_channel_credentials(trusted),
        headers=headers,
        timeout=_EXPORT_S,
    )
