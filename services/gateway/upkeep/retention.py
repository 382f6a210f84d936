"""What is older than it is to be kept, removed in batches, each a short transaction of its own."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, inspect, select, true, tuple_

from servicekit.sql import Database
from services.gateway.bytestore.port import ByteStore
from services.gateway.files import ARTIFACT, forget
from services.gateway.store.tables import (
    AuditRow,
    Base,
    ConversationRow,
    EventRow,
    FileRow,
    RunRow,
    UsageRow,
)
from services.gateway.upkeep.settings import KeepSettings

BATCH = 500
# a run has many events
RUNS_BATCH = 50
DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Rule:
    """Which rows of a table have outlived their time."""

    what: str
    table: type[Base]
    outlived: ColumnElement[bool]


def rules(keep: KeepSettings, now_ms: int) -> list[Rule]:
    """Those that are set, at a time. What files give up is more than their rows."""
    found = []

    def rule(what: str, days: float, table: type[Base], *which: ColumnElement[bool]) -> None:
        if days:
            condition = which[0]
            for each in which[1:]:
                condition &= each
            found.append(Rule(what, table, condition))

    def before(days: float) -> int:
        return now_ms - int(days * DAY_MS)

    is_plain = RunRow.thread_id == ""
    if not keep.conversations:
        found.append(Rule("conversations", ConversationRow, true()))
    rule("runs", keep.runs_days, RunRow, ~is_plain, RunRow.ended_ms < before(keep.runs_days))
    plain = before(keep.plain_runs_days)
    rule("plain runs", keep.plain_runs_days, RunRow, is_plain, RunRow.ended_ms < plain)
    made = FileRow.purpose == ARTIFACT
    left = before(keep.artifacts_days)
    rule("artifacts", keep.artifacts_days, FileRow, made, FileRow.created_ms < left)
    sent = before(keep.uploads_days)
    rule("uploads", keep.uploads_days, FileRow, ~made, FileRow.created_ms < sent)
    rule("usage", keep.usage_days, UsageRow, UsageRow.day < day_of(before(keep.usage_days)))
    rule("audit", keep.audit_days, AuditRow, AuditRow.at_ms < before(keep.audit_days))
    return found


def day_of(ms: int) -> str:
    """As the table of usage names days."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).date().isoformat()


class Retention:
    """Applies rules to a gateway's rows and bytes."""

    def __init__(self, database: Database, store: ByteStore) -> None:
        self._database = database
        self._store = store

    async def count(self, rule: Rule) -> int:
        """How many rows it would remove."""
        query = select(func.count()).select_from(rule.table).where(rule.outlived)
        async with self._database.begin() as session:
            return await session.scalar(query) or 0

    async def apply(self, rule: Rule) -> int:
        """Remove them; how many there were."""
        if rule.table is FileRow:
            return await forget(self._database, self._store, rule.outlived)
        batch = self._runs if rule.table is RunRow else self._rows
        removed = 0
        while some := await batch(rule):
            removed += some
        return removed

    async def _runs(self, rule: Rule) -> int:
        async with self._database.begin() as session:
            query = select(RunRow.id).where(rule.outlived).limit(RUNS_BATCH)
            ids: Sequence[str] = (await session.scalars(query)).all()
            await session.execute(delete(EventRow).where(EventRow.run_id.in_(ids)))
            await session.execute(delete(RunRow).where(RunRow.id.in_(ids)))
        return len(ids)

    async def _rows(self, rule: Rule) -> int:
        key = inspect(rule.table).primary_key
        async with self._database.begin() as session:
            rows = (await session.execute(select(*key).where(rule.outlived).limit(BATCH))).all()
            if rows:
                which = tuple_(*key).in_([tuple(row) for row in rows])
                await session.execute(delete(rule.table).where(which))
        return len(rows)
