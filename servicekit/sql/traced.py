"""Statements of a service's own database as traces show them: what was done to which table, never
the values."""

import re
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit import tracing

_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+\"?(\w+)", re.IGNORECASE)


def trace(engine: AsyncEngine) -> None:
    """Has the engine tell a span for each statement of a request; none where traces are off."""
    inner = engine.sync_engine
    event.listen(inner, "before_cursor_execute", _before)
    event.listen(inner, "after_cursor_execute", _after)
    event.listen(inner, "handle_error", _failed)


def summary(statement: str) -> str:
    """Such as "INSERT events". Pure."""
    words = statement.split(None, 1)
    operation = words[0].upper() if words else "?"
    table = _TABLE.search(statement)
    return f"{operation} {table[1]}" if table else operation


def _before(connection: Any, _: Any, statement: str, __: Any, context: Any, many: bool) -> None:
    if not tracing.is_on() or context is None:
        return
    told = summary(statement)
    if told == "BEGIN":
        # of SQLite's transactions, which have it sent as a statement
        return
    context._isobath_span = tracing.begin(
        told,
        kind=tracing.CLIENT,
        attributes={
            "db.system.name": connection.dialect.name,
            "db.operation.name": told.partition(" ")[0],
            "db.query.summary": told,
        },
    )


def _after(_: Any, __: Any, ___: str, ____: Any, context: Any, many: bool) -> None:
    _end(context, "")


def _failed(failure: Any) -> None:
    _end(failure.execution_context, type(failure.original_exception).__name__)


def _end(context: Any, failed: str) -> None:
    span = getattr(context, "_isobath_span", None)
    if span is not None:
        context._isobath_span = None
        if failed:
            span.fail(failed)
        span.end()
