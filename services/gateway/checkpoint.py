"""A run between two of its steps, as a value: what another gateway needs to go on with it. Pure.

Grants are not in it: whoever goes on has new ones minted. Nor are the events, which are in the
database by then. A gateway that does not know a checkpoint's version leaves it to another: who
changes what is in one counts `VERSION` up, and goes on reading the one before.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import Scope
from services.gateway.budget import Learned
from services.gateway.callers import Caller
from services.gateway.conversation import (
    Bounds,
    Conversation,
    Execute,
    Generate,
    Message,
    Sampling,
    State,
)
from services.gateway.plan import ArtifactsTo, Plan, Selection

VERSION = 1


class UnknownVersion(ValueError):
    """Written by a gateway of another release."""


@dataclass(frozen=True)
class Pinned:
    """A source as the run had it."""

    id: str
    version: int


@dataclass(frozen=True)
class Counted:
    """What the run used. `elapsed_s` is since its start, `waited_s` of it for approvals."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    fetched_bytes: int = 0
    fetched_rows: int = 0
    estimated: bool = False
    elapsed_s: float = 0.0
    waited_s: float = 0.0


@dataclass(frozen=True)
class Granted:
    """A person's word on all that is asked of a kind and source for the rest of the run."""

    source_id: str
    operation: int
    approved: bool
    comment: str
    decided_by: str


@dataclass(frozen=True)
class Progress:
    """How far it has come: the conversation, and its next step, of which nothing was begun."""

    state: State
    messages: tuple[Message, ...]
    rounds: int
    tokens: int
    idle: int
    last_turn: str
    step: Generate | Execute
    session_id: str
    used: Counted = field(default_factory=Counted)
    granted: tuple[Granted, ...] = ()
    learned: Learned = field(default_factory=Learned)
    # of files that programs left, by path and by name
    urls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, conversation: Conversation, step: Generate | Execute, session_id: str
    ) -> "Progress":
        """Of a conversation that has said what is next."""
        idle, last_turn = conversation.standing
        return cls(
            state=conversation.state,
            messages=tuple(conversation.messages),
            rounds=conversation.rounds,
            tokens=conversation.tokens,
            idle=idle,
            last_turn=last_turn,
            step=step,
            session_id=session_id,
        )

    def conversation(self, bounds: Bounds) -> Conversation:
        """The same, to go on with."""
        return Conversation(
            bounds,
            self.state,
            list(self.messages),
            self.rounds,
            self.tokens,
            self.idle,
            self.last_turn,
        )


@dataclass(frozen=True)
class Checkpoint:
    """`sources`: of each selection of the plan. `progress` None: nothing was begun."""

    caller: Caller
    plan: Plan
    model: str
    sources: tuple[Pinned, ...]
    request_id: str = ""
    progress: Progress | None = None
    # as `tracing.carried` gave it
    trace: str = ""

    def packed(self) -> bytes:
        """As the database keeps it."""
        told = {
            "version": VERSION,
            "caller": asdict(self.caller),
            "plan": asdict(self.plan),
            "model": self.model,
            "sources": [asdict(each) for each in self.sources],
            "request_id": self.request_id,
            "progress": None if self.progress is None else _told(self.progress),
            "trace": self.trace,
        }
        return json.dumps(told, default=_plain, separators=(",", ":")).encode()

    @classmethod
    def unpacked(cls, data: bytes) -> "Checkpoint":
        """What was packed. Raises `UnknownVersion`."""
        told = json.loads(data, object_hook=_revived)
        if told["version"] != VERSION:
            raise UnknownVersion(str(told["version"]))
        progress = told["progress"]
        return cls(
            caller=_caller(told["caller"]),
            plan=_plan(told["plan"]),
            model=told["model"],
            sources=tuple(Pinned(**each) for each in told["sources"]),
            request_id=told["request_id"],
            progress=None if progress is None else _progress(progress),
            trace=told["trace"],
        )


def _plain(value: Any) -> Any:
    """What JSON has no word for: bytes that a query is bound with, and sets."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} in a checkpoint")


def _revived(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if value.keys() == {"$bytes"} else value


def _told(progress: Progress) -> dict[str, Any]:
    step = progress.step
    kind = "generate" if isinstance(step, Generate) else "execute"
    what = asdict(replace(step, messages=())) if isinstance(step, Generate) else asdict(step)
    # the messages of a step are those of the conversation: not twice
    return {
        **asdict(replace(progress, step=Execute(0, "", 0.0))),
        "state": progress.state.value,
        "step": {"kind": kind, **what},
    }


def _progress(told: dict[str, Any]) -> Progress:
    messages = _messages(told["messages"])
    step = dict(told["step"])
    if step.pop("kind") == "generate":
        next_step: Generate | Execute = Generate(**{**step, "messages": messages})
    else:
        next_step = Execute(**step)
    return Progress(
        **{
            **told,
            "state": State(told["state"]),
            "messages": messages,
            "step": next_step,
            "used": Counted(**told["used"]),
            "granted": tuple(Granted(**each) for each in told["granted"]),
            "learned": Learned(**told["learned"]),
        }
    )


def _messages(told: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message(**each) for each in told)


def _caller(told: dict[str, Any]) -> Caller:
    return Caller(
        **{
            **told,
            "scope": Scope(told["scope"]),
            "teams": tuple(told["teams"]),
            "quota": Quota(**told["quota"]),
        }
    )


def _plan(told: dict[str, Any]) -> Plan:
    sampling, to = told["sampling"], told["artifacts_to"]
    return Plan(
        **{
            **told,
            "messages": _messages(told["messages"]),
            "selections": tuple(_selection(each) for each in told["selections"]),
            "file_ids": tuple(told["file_ids"]),
            "sampling": Sampling(**{**sampling, "stop": tuple(sampling["stop"])}),
            "bounds": Bounds(**told["bounds"]),
            "artifacts_to": None if to is None else ArtifactsTo(**to),
            "approval": frozenset(told["approval"]),
        }
    )


def _selection(told: dict[str, Any]) -> Selection:
    return Selection(**{**told, "parameters": tuple(told["parameters"])})
