"""What is isolated how, how full it is, and how programs end."""

from collections.abc import Callable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import REGISTRY, SECONDS_BUCKETS

TIER = Gauge("isobath_sandbox_tier", "1 for the tier that is held.", ("tier",), registry=REGISTRY)
ENFORCED = Gauge(
    "isobath_sandbox_enforced",
    "1 for each limit, with what enforces it.",
    ("limit", "by"),
    registry=REGISTRY,
)
SESSIONS = Gauge("isobath_sandbox_sessions", "Sessions with a slot.", registry=REGISTRY)
SLOTS = Gauge("isobath_sandbox_slots", "Sessions at once at most.", registry=REGISTRY)
WAITING = Gauge("isobath_sandbox_waiting", "Callers in line for a slot.", registry=REGISTRY)
BUSY = Gauge(
    "isobath_sandbox_busy", "Sessions that cannot be put away for another.", registry=REGISTRY
)
DRAINING = Gauge("isobath_sandbox_draining", "1 when it is to stop.", registry=REGISTRY)
MOVED = Counter(
    "isobath_sandbox_moved",
    "Workspaces that came from another replica (in) or went to one (out).",
    ("way",),
    registry=REGISTRY,
)
WARM = Gauge("isobath_sandbox_warm_kernels", "Kernels that nobody has yet.", registry=REGISTRY)
PROGRAMS = Counter(
    "isobath_sandbox_programs", "Programs that ended, by outcome.", ("outcome",), registry=REGISTRY
)
PROGRAM_SECONDS = Histogram(
    "isobath_sandbox_program_seconds",
    "How long programs ran, waiting for approvals included.",
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
IMPORTED = Counter(
    "isobath_sandbox_imported_bytes",
    "Bytes that came into workspaces, by the type of their source.",
    ("type",),
    registry=REGISTRY,
)
BROKER = Counter(
    "isobath_sandbox_broker_calls",
    "What programs asked of sources: operation = sources, fetch, upload, list, tables, schema or "
    "other; outcome = ok, refused, failed or left.",
    ("operation", "outcome"),
    registry=REGISTRY,
)
DEATHS = Counter(
    "isobath_sandbox_kernel_deaths", "Kernels that ended, by cause.", ("cause",), registry=REGISTRY
)


def tell_tier(name: str, enforcement: Mapping[str, str]) -> None:
    """Once, when it is proved."""
    TIER.clear()
    ENFORCED.clear()
    TIER.labels(name).set(1)
    for limit, by in enforcement.items():
        ENFORCED.labels(limit, by).set(1)


def tell_room(
    *,
    sessions: Callable[[], int],
    busy: Callable[[], int],
    waiting: Callable[[], int],
    warm: Callable[[], int],
    draining: Callable[[], bool],
    slots: int,
) -> None:
    """Asked for at each scrape."""
    SESSIONS.set_function(sessions)
    BUSY.set_function(busy)
    DRAINING.set_function(draining)
    WAITING.set_function(waiting)
    WARM.set_function(warm)
    SLOTS.set(slots)


_OPERATIONS = frozenset({"sources", "fetch", "upload", "list", "tables", "schema"})


def broker_operation(asked: object) -> str:
    """A program may ask for anything."""
    return asked if isinstance(asked, str) and asked in _OPERATIONS else "other"


def ended(outcome: str, cause: str, seconds: float) -> None:
    """A program's end, and its kernel's, if it had a cause to end too."""
    PROGRAMS.labels(outcome).inc()
    PROGRAM_SECONDS.observe(seconds)
    if cause:
        DEATHS.labels(cause).inc()
