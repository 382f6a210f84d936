"""What a connector gives out. A process serves one type of source, which its job says."""

from prometheus_client import Counter

from servicekit.metrics import REGISTRY

ITEMS = Counter(
    "isobath_connector_items",
    "Items of Fetch that were sent whole: results and files; truncated = a limit cut it.",
    ("truncated",),
    registry=REGISTRY,
)
ROWS = Counter("isobath_connector_rows", "Rows of these items.", registry=REGISTRY)
BYTES = Counter("isobath_connector_bytes", "Bytes of these items.", registry=REGISTRY)


def sent(*, rows: int, size: int, truncated: bool) -> None:
    """One item's end."""
    ITEMS.labels(str(truncated).lower()).inc()
    ROWS.inc(rows)
    BYTES.inc(size)
