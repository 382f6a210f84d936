"""Prometheus: one registry for the process, and its listener."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import GC_COLLECTOR as _GC
from prometheus_client import PLATFORM_COLLECTOR as _PLATFORM
from prometheus_client import PROCESS_COLLECTOR as _PROCESS
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from servicekit.addresses import split_host_port

REGISTRY = CollectorRegistry(auto_describe=True)
for _collector in (_PROCESS, _PLATFORM, _GC):
    REGISTRY.register(_collector)

# 1 ms … 65 s by powers of two, and 10 min for the long streams
_SECONDS = (*(0.001 * 2**n for n in range(17)), 600.0)

HANDLED = Counter(
    "isobath_rpc_handled", "Calls that ended, by code.", ("method", "code"), registry=REGISTRY
)
SECONDS = Histogram(
    "isobath_rpc_seconds",
    "Time from start to end.",
    ("method",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
RUNNING = Gauge("isobath_rpc_running", "Calls being served.", ("method",), registry=REGISTRY)
CERTIFICATE_ENDS = Gauge(
    "isobath_certificate_ends_seconds",
    "When this service's certificate ends, in Unix time; 0 = it has none.",
    registry=REGISTRY,
)


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
