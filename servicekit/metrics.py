"""Prometheus: one registry for the process, its listener, and what every service tells."""

import asyncio
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import GC_COLLECTOR as _GC
from prometheus_client import PLATFORM_COLLECTOR as _PLATFORM
from prometheus_client import PROCESS_COLLECTOR as _PROCESS
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from servicekit.addresses import split_host_port
from servicekit.version import VERSION

REGISTRY = CollectorRegistry(auto_describe=True)
for _collector in (_PROCESS, _PLATFORM, _GC):
    REGISTRY.register(_collector)

# 1 ms … 65 s by powers of two, and 10 min for the long streams
SECONDS_BUCKETS = (*(0.001 * 2**n for n in range(17)), 600.0)
_LAG_EVERY_S = 1.0

HANDLED = Counter(
    "isobath_rpc_handled", "Calls that ended, by code.", ("method", "code"), registry=REGISTRY
)
SECONDS = Histogram(
    "isobath_rpc_seconds",
    "Time from start to end.",
    ("method",),
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
RUNNING = Gauge("isobath_rpc_running", "Calls being served.", ("method",), registry=REGISTRY)
CLIENT_HANDLED = Counter(
    "isobath_rpc_client_handled",
    "Calls to other services that ended, by code.",
    ("method", "code"),
    registry=REGISTRY,
)
CLIENT_SECONDS = Histogram(
    "isobath_rpc_client_seconds",
    "Time from start to end of a call to another service.",
    ("method",),
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
CLIENT_RUNNING = Gauge(
    "isobath_rpc_client_running",
    "Calls to other services under way.",
    ("method",),
    registry=REGISTRY,
)
CERTIFICATE_ENDS = Gauge(
    "isobath_certificate_ends_seconds",
    "When this service's certificate ends, in Unix time; 0 = it has none.",
    registry=REGISTRY,
)
BUILD = Gauge(
    "isobath_build_info",
    "1, with what runs here.",
    ("service", "version", "python"),
    registry=REGISTRY,
)
SERVING = Gauge(
    "isobath_serving", "1 while the service's own health says SERVING.", registry=REGISTRY
)
SPANS = Counter(
    "isobath_trace_spans",
    "Spans by what became of them: exported, failed (the collector did not take them), dropped "
    "(too many waited).",
    ("outcome",),
    registry=REGISTRY,
)
LOOP_LAG = Gauge(
    "isobath_loop_lag_seconds",
    "How late the event loop came to a step that was due, at the last look.",
    registry=REGISTRY,
)


def tell_build(service: str) -> None:
    BUILD.labels(service, VERSION, platform.python_version()).set(1)


@asynccontextmanager
async def listening(bind: str) -> AsyncIterator[int]:
    """Serves /metrics on host:port, from a thread of its own; gives the port."""
    host, port = split_host_port(bind)
    server, thread = start_http_server(port, addr=host, registry=REGISTRY)
    try:
        yield int(server.server_port)
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


async def watch_loop() -> None:
    """Tells for ever how late the loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY_S
        await asyncio.sleep(_LAG_EVERY_S)
        LOOP_LAG.set(max(0.0, loop.time() - due))
