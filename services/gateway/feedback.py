"""What callers think of runs: whether the answer was right, and what it should have been. Training
reads it with the run's conversation."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from servicekit.status import InvalidField
from services.gateway import metrics
from services.gateway.audit import Audit
from services.gateway.callers import Caller
from services.gateway.conversations import feedback_of
from services.gateway.errors import NotFound
from services.gateway.store.tables import FeedbackRow, now_ms

RATINGS = ("up", "down")
MAX_COMMENT_CHARS = 2_000
# a report of some ten pages
MAX_CORRECTION_CHARS = 50_000
# raises `NotFound`, `Conflict`
Ended = Callable[[str, str], Awaitable[analyst.Run]]


@dataclass(frozen=True)
class Opinion:
    """A caller's, of one run. Raises `InvalidField`."""

    rating: str = ""
    comment: str = ""
    correction: str = ""

    def __post_init__(self) -> None:
        if self.rating not in ("", *RATINGS):
            raise InvalidField("rating", f"rating must be one of {', '.join(RATINGS)}")
        _require_text("comment", self.comment, MAX_COMMENT_CHARS)
        _require_text("correction", self.correction, MAX_CORRECTION_CHARS)
        if not self.rating and not self.correction.strip():
            message = "feedback needs a rating or a correction"
            raise InvalidField("rating", message, remedy="Say up or down, or what is right.")


def _require_text(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise InvalidField(name, f"{name} may have {most:,} characters at most")
    if "\0" in text:
        # PostgreSQL keeps none in a text
        raise InvalidField(name, f"{name} holds a NUL character")


class Feedback:
    """Of all runs; a run's owner alone gives and sees it, each caller of his one."""

    def __init__(self, database: Database, ended: Ended, audit: Audit) -> None:
        self._database = database
        self._ended = ended
        self._audit = audit

    async def put(self, caller: Caller, run_id: str, opinion: Opinion) -> analyst.RunFeedback:
        """Instead of what this caller said before; the same again changes nothing. Raises
        `NotFound`, `Conflict` (the run has not ended yet)."""
        await self._ended(caller.owner, run_id)
        async with self._database.begin() as session:
            before = await session.get(FeedbackRow, (run_id, caller.key_id))
        if before is not None and _opinion(before) == opinion:
            return _told(before)
        row = await self._write(caller, run_id, opinion)
        metrics.FEEDBACK.labels(opinion.rating or "none").inc()
        await self._audit.write(caller, "feedback", "", f"{run_id} {opinion.rating}".rstrip())
        return _told(row)

    async def _write(self, caller: Caller, run_id: str, opinion: Opinion) -> FeedbackRow:
        said: dict[str, Any] = {**vars(opinion), "created_ms": now_ms()}
        key = {"run_id": run_id, "caller": caller.key_id}
        insert = postgresql.insert if self._database.is_postgresql else sqlite.insert
        written = insert(FeedbackRow).values(**key, **said)
        written = written.on_conflict_do_update(index_elements=list(key), set_=said)
        try:
            async with self._database.begin() as session:
                await session.execute(written)
        except IntegrityError as gone:
            # the run was deleted in between
            raise NotFound("run", run_id) from gone
        return FeedbackRow(**key, **said)

    async def of(self, owner: str, run_id: str) -> Sequence[analyst.RunFeedback]:
        """All that there is of a run, oldest first. Raises `NotFound`, `Conflict`."""
        await self._ended(owner, run_id)
        query = select(FeedbackRow).where(FeedbackRow.run_id == run_id)
        async with self._database.begin() as session:
            rows = await session.scalars(query.order_by(FeedbackRow.created_ms, FeedbackRow.caller))
            return [_told(row) for row in rows]

    async def delete(self, caller: Caller, run_id: str) -> None:
        """What this caller said. Raises `NotFound` (the run, or there is none), `Conflict`."""
        await self._ended(caller.owner, run_id)
        mine = (FeedbackRow.run_id == run_id, FeedbackRow.caller == caller.key_id)
        async with self._database.begin() as session:
            query = delete(FeedbackRow).where(*mine).returning(FeedbackRow.run_id)
            if await session.scalar(query) is None:
                raise NotFound("feedback", run_id)
        await self._audit.write(caller, "delete_feedback", "", run_id)


def _opinion(row: FeedbackRow) -> Opinion:
    return Opinion(row.rating, row.comment, row.correction)


def _told(row: FeedbackRow) -> analyst.RunFeedback:
    return analyst.RunFeedback(given_by=row.caller, feedback=feedback_of(row))
