"""The steps of a run, one class for each kind, made for `match`.

    for event in isobath.stream("Which region returns the most?", data=["sales:public.orders"]):
        match event:
            case FileReady(source=source, rows=rows):
                print(source, rows)
            case ProgramOutput(text=text):
                print(text, end="")
            case Completed(answer=answer):
                print(answer)

A run's last event is `Completed`, `Failed` or `Cancelled` (`ENDS`). A kind that this version of the
client does not know is an `Other`; whoever matches leaves room for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from google.protobuf.duration_pb2 import Duration

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector

BlockKind = Literal["text", "analyze", "understand", "code", "answer", "execute", "file"]
Outcome = Literal["ok", "error", "timeout", "interrupted", "died"]
OutputStream = Literal["stdout", "stderr", "result", "traceback"]
Guarded = Literal["query", "write"]
How = Literal["person", "rest_of_run", "expired", "withdrawn"]


@dataclass(frozen=True, kw_only=True)
class _Step:
    """`sequence` counts from 1 without gaps; `wire` is the event as it came."""

    run_id: str
    sequence: int
    at: datetime
    wire: analyst.Event = field(repr=False, compare=False)


@dataclass(frozen=True)
class Usage:
    """What a run used. `estimated` = tokens are words: the engine has no tokenizer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    fetched_bytes: int = 0
    fetched_rows: int = 0
    elapsed_s: float = 0.0
    estimated: bool = False
    # of `elapsed_s`: for approvals
    waited_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Started(_Step):
    """The run has begun. `tier` is the sandbox's isolation."""

    thread_id: str
    model: str
    tier: str
    question: str


@dataclass(frozen=True, kw_only=True)
class FetchProgress(_Step):
    """Data is on its way. `selection` counts from 0 in the order of `data`."""

    selection: int
    source: str
    rows: int
    bytes: int
    total_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class FileReady(_Step):
    """Data has arrived in the workspace at `path`. `rows` is None for what is no table."""

    selection: int
    source: str
    path: str
    size_bytes: int
    rows: int | None
    columns: tuple[connector.Column, ...]
    truncated: bool
    truncated_by: str


@dataclass(frozen=True, kw_only=True)
class BlockOpened(_Step):
    """The model begins a part of its work."""

    kind: BlockKind


@dataclass(frozen=True, kw_only=True)
class Text(_Step):
    """A piece of the open block: reasoning (`analyze`), reading (`understand`), `answer` …"""

    kind: BlockKind
    text: str


@dataclass(frozen=True, kw_only=True)
class BlockClosed(_Step):
    """The part of the work is whole."""

    kind: BlockKind


@dataclass(frozen=True, kw_only=True)
class ProgramStarted(_Step):
    """A program runs in the sandbox. `round` counts from 1."""

    round: int
    code: str


@dataclass(frozen=True, kw_only=True)
class ProgramOutput(_Step):
    """A piece of what the program printed."""

    round: int
    stream: OutputStream
    text: str


@dataclass(frozen=True, kw_only=True)
class FigureReady(_Step):
    """A picture that the program showed; `isobath.files` reads it by `file_id`."""

    round: int
    file_id: str
    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ArtifactReady(_Step):
    """A file that the program left; `isobath.files` reads it by `file_id`."""

    round: int
    file_id: str
    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ProgramFinished(_Step):
    """The program has ended."""

    round: int
    outcome: Outcome
    elapsed_s: float
    error: str


@dataclass(frozen=True, kw_only=True)
class ApprovalRequested(_Step):
    """The run waits until `isobath.runs.decide`, or `expires_at`. A query has `sql` and its
    `parameters`, a write `path` and `overwrite`. `round` is 0 for the files of `artifacts_to`."""

    approval_id: str
    round: int
    source: str
    source_id: str
    operation: Guarded
    sql: str
    parameters: tuple[Any, ...]
    path: str
    overwrite: bool
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class ApprovalDecided(_Step):
    """The run goes on. `decided_by` is the id of a key, or empty where nobody decided."""

    approval_id: str
    approved: bool
    comment: str
    decided_by: str
    how: How


@dataclass(frozen=True, kw_only=True)
class Notice(_Step):
    """Something that a person should know: a truncation, a lost kernel."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Completed(_Step):
    """The end, with an answer. `finish` is "answer", or the bound that ended it: "rounds", "tokens"
    or "time"."""

    answer: str
    usage: Usage
    finish: str
    files: tuple[analyst.FileInfo, ...]
    written: tuple[analyst.WrittenArtifact, ...]


@dataclass(frozen=True, kw_only=True)
class Failed(_Step):
    """The end, with an error: what `IsobathError` has. `code` is google.rpc.Code."""

    reason: str
    message: str
    remedy: str
    fields: Mapping[str, str]
    usage: Usage
    code: int


@dataclass(frozen=True, kw_only=True)
class Cancelled(_Step):
    """The end: somebody cancelled it."""

    usage: Usage


@dataclass(frozen=True, kw_only=True)
class Other(_Step):
    """A kind of event that this version of the client has no class for; `wire` has it whole."""

    kind: str


Event = (
    Started
    | FetchProgress
    | FileReady
    | BlockOpened
    | Text
    | BlockClosed
    | ProgramStarted
    | ProgramOutput
    | FigureReady
    | ArtifactReady
    | ProgramFinished
    | ApprovalRequested
    | ApprovalDecided
    | Notice
    | Completed
    | Failed
    | Cancelled
    | Other
)
ENDS = (Completed, Failed, Cancelled)


def event_of(wire: analyst.Event) -> Event:
    """Read an event as it came."""
    kind = str(wire.WhichOneof("event") or "")
    step: dict[str, Any] = {
        "run_id": wire.run_id,
        "sequence": wire.sequence,
        "at": wire.at.ToDatetime(UTC),
        "wire": wire,
    }
    reader = _READERS.get(kind)
    if reader is None:
        return Other(kind=kind, **step)
    made, read = reader
    return cast(Event, made(**step, **read(getattr(wire, kind))))


def usage_of(wire: analyst.RunUsage) -> Usage:
    return Usage(
        prompt_tokens=wire.prompt_tokens,
        completion_tokens=wire.completion_tokens,
        rounds=wire.rounds,
        fetched_bytes=wire.fetched_bytes,
        fetched_rows=wire.fetched_rows,
        elapsed_s=_seconds(wire.elapsed),
        estimated=wire.estimated,
        waited_s=_seconds(wire.waited),
    )


def _seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()


def _optional(wire: Any, name: str) -> int | None:
    return getattr(wire, name) if wire.HasField(name) else None


def _kind(kind: "analyst.BlockKind") -> BlockKind:
    if kind == analyst.BLOCK_KIND_UNSPECIFIED or kind not in analyst.BlockKind.values():
        return "text"
    name = analyst.BlockKind.Name(kind).removeprefix("BLOCK_KIND_").lower()
    return cast(BlockKind, name)


def _fields(*names: str) -> Callable[[Any], dict[str, Any]]:
    return lambda wire: {name: getattr(wire, name) for name in names}


def _fetch_progress(wire: analyst.FetchProgress) -> dict[str, Any]:
    plain = _fields("selection", "source", "rows", "bytes")(wire)
    return {**plain, "total_bytes": _optional(wire, "total_bytes")}


def _file_ready(wire: analyst.FileReady) -> dict[str, Any]:
    plain = _fields("selection", "source", "path", "size_bytes", "truncated", "truncated_by")(wire)
    return {**plain, "rows": _optional(wire, "rows"), "columns": tuple(wire.columns)}


def _program_finished(wire: analyst.ProgramFinished) -> dict[str, Any]:
    return {**_fields("round", "outcome", "error")(wire), "elapsed_s": _seconds(wire.elapsed)}


def _approval_requested(wire: analyst.ApprovalRequested) -> dict[str, Any]:
    operation = analyst.GuardedOperation.Name(wire.operation)
    return {
        **_fields("approval_id", "round", "source", "source_id", "path", "overwrite")(wire),
        "operation": operation.removeprefix("GUARDED_OPERATION_").lower(),
        "sql": wire.query.sql,
        "parameters": tuple(_value(each) for each in wire.query.parameters),
        "expires_at": wire.expires_at.ToDatetime(UTC),
    }


def _value(parameter: connector.Parameter) -> Any:
    kind = parameter.WhichOneof("value")
    return getattr(parameter, kind) if kind else None


def _completed(wire: analyst.RunCompleted) -> dict[str, Any]:
    return {
        **_fields("answer", "finish")(wire),
        "usage": usage_of(wire.usage),
        "files": tuple(wire.files),
        "written": tuple(wire.written),
    }


def _failed(wire: analyst.RunFailed) -> dict[str, Any]:
    plain = _fields("reason", "message", "remedy", "code")(wire)
    return {**plain, "fields": dict(wire.metadata), "usage": usage_of(wire.usage)}


_FILE = _fields("round", "file_id", "name", "media_type", "size_bytes")
_READERS: Mapping[str, tuple[type[_Step], Callable[[Any], dict[str, Any]]]] = {
    "started": (Started, _fields("thread_id", "model", "tier", "question")),
    "fetch_progress": (FetchProgress, _fetch_progress),
    "file_ready": (FileReady, _file_ready),
    "block_opened": (BlockOpened, lambda wire: {"kind": _kind(wire.kind)}),
    "block_text": (Text, lambda wire: {"kind": _kind(wire.kind), "text": wire.text}),
    "block_closed": (BlockClosed, lambda wire: {"kind": _kind(wire.kind)}),
    "program_started": (ProgramStarted, _fields("round", "code")),
    "program_output": (ProgramOutput, _fields("round", "stream", "text")),
    "figure": (FigureReady, _FILE),
    "artifact": (ArtifactReady, _FILE),
    "program_finished": (ProgramFinished, _program_finished),
    "approval_requested": (ApprovalRequested, _approval_requested),
    "approval_decided": (
        ApprovalDecided,
        _fields("approval_id", "approved", "comment", "decided_by", "how"),
    ),
    "notice": (Notice, _fields("text")),
    "completed": (Completed, _completed),
    "failed": (Failed, _failed),
    "cancelled": (Cancelled, lambda wire: {"usage": usage_of(wire.usage)}),
}
