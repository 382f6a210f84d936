"""What is isolated how, how full it is, and how programs end."""

from collections.abc import Callable, Mapping

from prometheus_client import Counter, Gauge

from servicekit.metrics import REGISTRY

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
WARM = Gauge("isobath_sandbox_warm_kernels", "Kernels that nobody has yet.", registry=REGISTRY)
PROGRAMS = Counter(
    "isobath_sandbox_programs", "Programs that ended, by outcome.", ("outcome",), registry=REGISTRY
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
    *, sessions: Callable[[], int], waiting: Callable[[], int], warm: Callable[[], int], slots: int
) -> None:
    """Asked for at each scrape."""
    SESSIONS.set_function(sessions)
    WAITING.set_function(waiting)
    WARM.set_function(warm)
    SLOTS.set(slots)


def ended(outcome: str, cause: str) -> None:
    """A program's end, and its kernel's, if it had a cause to end too."""
    PROGRAMS.labels(outcome).inc()
    if cause:
        DEATHS.labels(cause).inc()
