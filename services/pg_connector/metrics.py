"""How many connections to sources there are."""

from collections.abc import Callable

from prometheus_client import Gauge

from servicekit.metrics import REGISTRY

POOLS = Gauge("isobath_pg_pools", "Sources with a pool of connections.", registry=REGISTRY)
CONNECTIONS = Gauge(
    "isobath_pg_connections",
    "Connections to sources: state = used or idle.",
    ("state",),
    registry=REGISTRY,
)
MOST = Gauge(
    "isobath_pg_connections_most", "Connections to all sources at most.", registry=REGISTRY
)


def tell_pools(
    *, pools: Callable[[], int], used: Callable[[], int], idle: Callable[[], int], most: int
) -> None:
    """Asked for at each scrape, from another thread."""
    POOLS.set_function(pools)
    CONNECTIONS.labels("used").set_function(used)
    CONNECTIONS.labels("idle").set_function(idle)
    MOST.set(most)
