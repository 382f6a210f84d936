"""What a run does only after a person approved it: told as an event, waited for, decided.

While something is waited for the run's time does not run; all waiting of a run together has a
bound, after which what is asked is refused.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField
from services.gateway import metrics
from services.gateway.checkpoint import Granted
from services.gateway.errors import Conflict, NotFound
from services.gateway.live import ENDS, Live

MAX_COMMENT_CHARS = 2_000


# What was asked and decided, from the run's events. Pure.


def listed(events: Iterable[analyst.Event]) -> list[analyst.Approval]:
    """Oldest first."""
    found: dict[str, analyst.Approval] = {}
    for event in events:
        if event.HasField("approval_requested"):
            asked = event.approval_requested
            found[asked.approval_id] = analyst.Approval(requested=asked, requested_at=event.at)
        elif event.HasField("approval_decided"):
            decided = analyst.Approval(decided=event.approval_decided, decided_at=event.at)
            found[event.approval_decided.approval_id].MergeFrom(decided)
        elif event.WhichOneof("event") in ENDS:
            # a crash leaves none decided
            for id, each in found.items():
                if not each.HasField("decided"):
                    each.MergeFrom(analyst.Approval(decided=_withdrawn(id), decided_at=event.at))
    return list(found.values())


def meant(approvals: Sequence[analyst.Approval], id: str) -> analyst.Approval:
    """That of the id, or without one the only one that is waited for. Raises `NotFound`,
    `InvalidField`."""
    if id:
        for each in approvals:
            if each.requested.approval_id == id:
                return each
        raise NotFound("approval", id, field="approval_id")
    waiting = [each for each in approvals if not each.HasField("decided")]
    if len(waiting) != 1:
        ids = ", ".join(each.requested.approval_id for each in waiting)
        raise InvalidField(
            "approval_id",
            f"the run waits for {len(waiting)} approvals: approval_id must say which",
            remedy=f"Name one of {ids}." if ids else "See what it waited for with GET.",
        )
    return waiting[0]


@dataclass(frozen=True)
class Decision:
    """A person's. `rest_of_run`: also for what is asked later, of this kind and source."""

    approved: bool
    comment: str = ""
    rest_of_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """By the names of its fields."""
        return asdict(self)

    def __post_init__(self) -> None:
        if len(self.comment) > MAX_COMMENT_CHARS:
            raise InvalidField("comment", f"comment takes {MAX_COMMENT_CHARS:,} characters")


def require_undecided(approval: analyst.Approval, decision: Decision) -> bool:
    """False = it was decided so before. Raises `Conflict`."""
    if not approval.HasField("decided"):
        return True
    decided = approval.decided
    if decided.how in ("person", "rest_of_run") and decided.approved == decision.approved:
        return False
    word = "approved" if decided.approved else "refused"
    told = {
        "expired": "nobody decided it in time",
        "withdrawn": "what asked for it has ended",
    }.get(decided.how, f"it was {word} already")
    raise Conflict("approval", decided.approval_id, told, remedy="Ask again.")


# A run that goes


@dataclass
class _Waiting:
    requested: analyst.ApprovalRequested
    decided: "asyncio.Future[analyst.ApprovalDecided]"


class Approvals:
    """Of one run. `seconds`: for all its waiting together, of which `waited_s` are over, with
    another gateway; `granted` is what was decided there for the rest of the run."""

    def __init__(
        self,
        live: Live,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        waited_s: float = 0.0,
        granted: Iterable[Granted] = (),
    ) -> None:
        self._live, self._seconds, self._clock = live, seconds, clock
        self._waiting: dict[str, _Waiting] = {}
        self._rest = {(each.source_id, each.operation): _decided(each) for each in granted}
        self._since = 0.0
        self._waited_s = waited_s

    @property
    def granted(self) -> tuple[Granted, ...]:
        """What holds for the rest of the run."""
        return tuple(
            Granted(source_id, operation, each.approved, each.comment, each.decided_by)
            for (source_id, operation), each in self._rest.items()
        )

    @property
    def waited_s(self) -> float:
        """Seconds that the run waited so far; of several things at once they count once."""
        now = self._clock() - self._since if self._waiting else 0.0
        return self._waited_s + now

    @property
    def left_s(self) -> float:
        """Seconds that the run may still wait."""
        return max(0.0, self._seconds - self.waited_s)

    async def wait(self, requested: analyst.ApprovalRequested) -> analyst.ApprovalDecided:
        """Until it is decided, by whomever or whatever. Cancelling withdraws it."""
        requested.expires_at.FromNanoseconds(time.time_ns() + int(self.left_s * 1e9))
        self._live.emit(approval_requested=requested)
        decided = self._by_rest(requested) or await self._by_person(requested)
        self._live.emit(approval_decided=decided)
        metrics.APPROVALS.labels(decided.how, str(decided.approved).lower()).inc()
        return decided

    def decide(self, approval_id: str, decision: Decision, by: str) -> analyst.ApprovalDecided:
        """Raises `Conflict` when it is not waited for any more."""
        waiting = self._waiting.get(approval_id)
        if waiting is None:
            raise Conflict("approval", approval_id, "the run no longer waits for it")
        if waiting.decided.done():
            known = waiting.decided.result()
            require_undecided(analyst.Approval(decided=known), decision)
            return known
        decided = analyst.ApprovalDecided(
            approval_id=approval_id,
            approved=decision.approved,
            comment=decision.comment,
            decided_by=by,
            how="person",
        )
        if decision.rest_of_run:
            self._rest[_kind(waiting.requested)] = decided
            self._decide_alike(waiting.requested)
        waiting.decided.set_result(decided)
        return decided

    def withdraw(self) -> None:
        """What asked has ended: nothing is waited for any more."""
        for id, waiting in self._waiting.items():
            if not waiting.decided.done():
                waiting.decided.set_result(_withdrawn(id))

    def _by_rest(self, requested: analyst.ApprovalRequested) -> analyst.ApprovalDecided | None:
        known = self._rest.get(_kind(requested))
        if known is None:
            return None
        return analyst.ApprovalDecided(
            approval_id=requested.approval_id,
            approved=known.approved,
            comment=known.comment,
            decided_by=known.decided_by,
            how="rest_of_run",
        )

    def _decide_alike(self, requested: analyst.ApprovalRequested) -> None:
        """What is waited for at the same time counts as asked later."""
        for id, other in self._waiting.items():
            alike = _kind(other.requested) == _kind(requested)
            if id == requested.approval_id or not alike or other.decided.done():
                continue
            decided = self._by_rest(other.requested)
            assert decided is not None
            other.decided.set_result(decided)

    async def _by_person(self, requested: analyst.ApprovalRequested) -> analyst.ApprovalDecided:
        id = requested.approval_id
        left_s = self.left_s
        if not self._waiting:
            self._since = self._clock()
        waiting = self._waiting[id] = _Waiting(requested, asyncio.Future())
        try:
            async with asyncio.timeout(left_s):
                return await waiting.decided
        except TimeoutError:
            return analyst.ApprovalDecided(
                approval_id=id, comment="nobody decided in time", how="expired"
            )
        except asyncio.CancelledError:
            self._live.emit(approval_decided=_withdrawn(id))
            raise
        finally:
            if len(self._waiting) == 1:
                self._waited_s += self._clock() - self._since
            del self._waiting[id]


def _kind(requested: analyst.ApprovalRequested) -> tuple[str, int]:
    return requested.source_id, requested.operation


def _decided(granted: Granted) -> analyst.ApprovalDecided:
    return analyst.ApprovalDecided(
        approved=granted.approved, comment=granted.comment, decided_by=granted.decided_by
    )


def _withdrawn(id: str) -> analyst.ApprovalDecided:
    return analyst.ApprovalDecided(
        approval_id=id, comment="what asked for it has ended", how="withdrawn"
    )
