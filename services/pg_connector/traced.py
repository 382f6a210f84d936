"""Statements as traces show them: where, what kind, how long; the text only where that is allowed,
and what is bound to it never."""

from collections.abc import Iterator
from contextlib import contextmanager

from servicekit import tracing
from services.pg_connector.places import Place


@contextmanager
def statement(place: Place, operation: str, text: str = "") -> Iterator[tracing.Marked]:
    """`text` = the caller's own query; "" for our statements, and for what is none."""
    told: dict[str, tracing.Value] = {}
    if tracing.is_on():
        told = {
            "db.system.name": "postgresql",
            "db.operation.name": operation,
            "db.namespace": place.database,
            "server.address": place.host,
            "server.port": place.port,
        }
        if text and tracing.tells_statements():
            told[tracing.STATEMENT] = text
    name = f"{operation} {place.database}"
    with tracing.leaf(name, kind=tracing.CLIENT, attributes=told) as span:
        try:
            yield span
        except Exception as error:
            if state := getattr(error, "sqlstate", ""):
                span.tell({"db.response.status_code": str(state)})
            raise
