"""What the gateway counts: requests, runs, what they use, and what it keeps.

No label has an owner, a source, a run or a path in it: their values are few, whoever calls."""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

from isobath.errors.v1 import errors_pb2
from servicekit.metrics import REGISTRY, SECONDS_BUCKETS

OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REASONS = frozenset(name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys())  # noqa: SIM118
# runs take seconds to hours
_RUN_BUCKETS = (*(0.25 * 2**n for n in range(14)), 3600.0)

HTTP = Counter(
    "isobath_http_requests",
    "HTTP requests that ended, by the route's template and the status; 0 = the client left first.",
    ("method", "route", "status"),
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "isobath_http_seconds",
    "From a request's first line to its response's last byte.",
    ("method", "route"),
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
HTTP_FIRST_BYTE = Histogram(
    "isobath_http_first_byte_seconds",
    "From a request's first line to the first byte of its response's body: of a stream, the first "
    "event.",
    ("method", "route"),
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
HTTP_RUNNING = Gauge("isobath_http_running", "HTTP requests being answered.", registry=REGISTRY)

THREADS_MOVED = Counter(
    "isobath_threads_moved",
    "Threads that this gateway had leave a sandbox which was to stop.",
    registry=REGISTRY,
)

RUNS = Counter(
    "isobath_runs",
    "Runs that ended: kind = agent or plain; outcome = completed, failed, cancelled or "
    "interrupted.",
    ("kind", "outcome"),
    registry=REGISTRY,
)
RUN_FAILURES = Counter(
    "isobath_run_failures",
    "Runs that failed, by the reason of docs/api.md; other = one that is not of this platform.",
    ("reason",),
    registry=REGISTRY,
)
RUN_SECONDS = Histogram(
    "isobath_run_seconds",
    "From a run's start to its end, waiting for approvals included.",
    ("kind",),
    buckets=_RUN_BUCKETS,
    registry=REGISTRY,
)
RUN_ROUNDS = Histogram(
    "isobath_run_rounds",
    "Programs that a run of the agent executed.",
    buckets=(0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 30),
    registry=REGISTRY,
)
FIRST_EVENT = Histogram(
    "isobath_run_first_event_seconds",
    "From a run's start to its first event.",
    ("kind",),
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
FIRST_WORDS = Histogram(
    "isobath_run_first_words_seconds",
    "From a run's start to the model's first words: the fetch of its data is in between.",
    ("kind",),
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
GOING = Gauge("isobath_runs_going", "Runs that go in this gateway.", registry=REGISTRY)
MOST = Gauge("isobath_runs_most", "Runs at once at most in this gateway.", registry=REGISTRY)
REFUSED = Counter(
    "isobath_runs_refused",
    "Runs that were refused because as many go as may.",
    registry=REGISTRY,
)
TOKENS = Counter(
    "isobath_tokens",
    "Tokens of runs: kind = prompt or completion; model = its id, empty for the default.",
    ("kind", "model"),
    registry=REGISTRY,
)
FETCHED_ROWS = Counter(
    "isobath_fetched_rows",
    "Rows fetched from sources, by their type; for = run or caller.",
    ("type", "for"),
    registry=REGISTRY,
)
FETCHED_BYTES = Counter(
    "isobath_fetched_bytes",
    "Bytes fetched from sources, by their type; for = run or caller.",
    ("type", "for"),
    registry=REGISTRY,
)
APPROVALS_WAITING = Gauge(
    "isobath_approvals_waiting", "What runs wait for a person's word on.", registry=REGISTRY
)
APPROVALS = Counter(
    "isobath_approvals",
    "Approvals that were decided: how = person, rest_of_run, expired or withdrawn.",
    ("how", "approved"),
    registry=REGISTRY,
)
FEEDBACK = Counter(
    "isobath_feedback",
    "Feedback on runs, also what takes the place of an earlier one: rating = up, down, or none "
    "where there is only a correction.",
    ("rating",),
    registry=REGISTRY,
)

FLUSH_LAG = Histogram(
    "isobath_events_flush_lag_seconds",
    "How long the oldest event of a batch had waited when the database had it.",
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
FLUSH_FAILURES = Counter(
    "isobath_events_flush_failures",
    "Batches of events that the database did not take; they are tried again.",
    registry=REGISTRY,
)
DATABASE_CONNECTIONS = Gauge(
    "isobath_database_connections",
    "Connections of this gateway to its database: state = used or idle.",
    ("state",),
    registry=REGISTRY,
)
DATABASE_MOST = Gauge(
    "isobath_database_connections_most",
    "Connections to the database at most.",
    registry=REGISTRY,
)
FILES = Gauge(
    "isobath_files",
    "Files in the file store; every gateway tells the same.",
    registry=REGISTRY,
)
FILE_BYTES = Gauge(
    "isobath_file_bytes",
    "Bytes in the file store; every gateway tells the same.",
    registry=REGISTRY,
)

READY = Gauge("isobath_ready", "1 while /readyz answers with 200.", registry=REGISTRY)
DEPENDENCIES = Gauge(
    "isobath_dependencies",
    "What the gateway needs: database, credentials, sandbox, connector, inference; how many there "
    "are of each.",
    ("dependency",),
    registry=REGISTRY,
)
DEPENDENCIES_SERVING = Gauge(
    "isobath_dependencies_serving",
    "How many of them serve.",
    ("dependency",),
    registry=REGISTRY,
)


def method_label(method: str) -> str:
    """Anybody may send any word as a method."""
    return method if method in _METHODS else OTHER


def reason_label(reason: str) -> str:
    """A connector of somebody else's may give any reason."""
    return reason if reason in _REASONS else OTHER


def tell_runs(*, going: Callable[[], int], waiting: Callable[[], int], most: int) -> None:
    """Asked for at each scrape."""
    GOING.set_function(going)
    APPROVALS_WAITING.set_function(waiting)
    MOST.set(most)


def tell_database(
    *, used: Callable[[], int], idle: Callable[[], int], most: Callable[[], int]
) -> None:
    """Asked for at each scrape."""
    DATABASE_CONNECTIONS.labels("used").set_function(used)
    DATABASE_CONNECTIONS.labels("idle").set_function(idle)
    DATABASE_MOST.set_function(most)
