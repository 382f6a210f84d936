"""A chat request as a plan: values in, a validated plan or a fault that names the field out.

Where HTTP lets a thing stand in several places, the order is body, last message, `metadata`,
header.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from grants.scope import problem_of
from servicekit.status import InvalidField
from services.gateway.conversation import Bounds, Message
from services.gateway.guards import NONE, Guards, guards_of

ROLES = ("system", "user", "assistant")
FORMATS = ("csv", "parquet", "arrow", "raw", "unpacked")
MAX_SELECTIONS = 64
MAX_FILES = 64

Format = Literal["", "csv", "parquet", "arrow", "raw"]


@dataclass(frozen=True)
class Selection:
    """One piece of data: at most one of `path` and `sql`. With neither, nothing is fetched: code
    queries the source live. Bounds of None are the gateway's own."""

    source: str
    path: str = ""
    version: str = ""
    sql: str = ""
    parameters: tuple[Any, ...] = ()
    type: str = ""
    format: Format = ""
    target: str = ""
    max_rows: int | None = None
    max_bytes: int | None = None
    timeout_s: float | None = None

    @property
    def is_live(self) -> bool:
        return not self.path and not self.sql


@dataclass(frozen=True)
class ArtifactsTo:
    """Where a run's files go at its end. `prefix` ends in "/"; {run_id} and {thread_id} in it stand
    for the run's own."""

    source: str
    prefix: str
    overwrite: bool = False


@dataclass(frozen=True)
class Plan:
    """What a chat request asks for. `thread_id` is empty for a new thread."""

    messages: tuple[Message, ...]
    selections: tuple[Selection, ...] = ()
    file_ids: tuple[str, ...] = ()
    thread_id: str = ""
    model: str = ""
    temperature: float | None = None
    bounds: Bounds = field(default_factory=Bounds)
    idempotency_key: str = ""
    artifacts_to: ArtifactsTo | None = None
    # what needs an approval, beside what each source asks for itself
    approval: Guards = NONE

    def within(self, tokens: int | None) -> "Plan":
        """The plan, for no more tokens than these; None = as it is."""
        if tokens is None or tokens >= self.bounds.tokens:
            return self
        return replace(self, bounds=replace(self.bounds, tokens=tokens))


def plan(body: Mapping[str, Any], headers: Mapping[str, str], bounds: Bounds) -> Plan:
    """Read an OpenAI-style body; `bounds` are the gateway's, which a request may only lower.

    Raises `InvalidField`.
    """
    if body.get("n") not in (None, 1):
        raise InvalidField("n", "n must be 1: a run gives one answer")
    raw = _listed(body, "messages")
    messages = tuple(_message(each, f"messages[{i}]") for i, each in enumerate(raw))
    if not messages or messages[-1].role != "user":
        raise InvalidField("messages", "messages must end with one of role user")
    last = raw[-1]
    return Plan(
        messages=messages,
        selections=_selections(body, last),
        file_ids=_file_ids(body, last),
        thread_id=_thread_id(body, last, headers),
        model=_text(body, "model"),
        temperature=_number(body, "temperature", 0, 2),
        bounds=_bounds(body, bounds),
        idempotency_key=headers.get("idempotency-key", ""),
        artifacts_to=_artifacts_to(body, last),
        approval=guards_of([*_listed(body, "approval"), *_listed(last, "approval")]),
    )


def _listed(body: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = body.get(name)
    if found is None:
        found = []
    if not isinstance(found, list):
        raise InvalidField(name, f"{name} must be a list")
    return found


def _text(body: Mapping[str, Any], name: str, where: str = "") -> str:
    found = body.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise InvalidField(where + name, f"{where}{name} must be a string")
    return found


def _number(body: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
        raise InvalidField(name, f"{name} must be a number from {low} to {high}")
    return float(found)


def _message(raw: Any, where: str) -> Message:
    if not isinstance(raw, dict):
        raise InvalidField(where, f"{where} must be an object with role and content")
    role = raw.get("role")
    if role == "developer":
        role = "system"
    if role not in ROLES:
        raise InvalidField(f"{where}.role", f"{where}.role must be one of {', '.join(ROLES)}")
    content = _content(raw.get("content"), f"{where}.content")
    if role == "user" and not content.strip():
        raise InvalidField(f"{where}.content", f"{where}.content is empty")
    return Message(role, content)


def _content(raw: Any, where: str) -> str:
    if isinstance(raw, str):
        return raw
    if raw is None:
        return ""
    if not isinstance(raw, list):
        raise InvalidField(where, f"{where} must be a string or a list of parts")
    return "\n".join(_part(part, where) for part in raw)


def _part(part: Any, where: str) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str) or part.get("type") not in ("text", "input_text", "output_text"):
        raise InvalidField(where, f"{where} may hold parts of type text only")
    return text


def _selections(body: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[Selection, ...]:
    raw = [*_listed(body, "data_sources"), *_listed(last, "data_sources")]
    if len(raw) > MAX_SELECTIONS:
        raise InvalidField("data_sources", f"data_sources may hold {MAX_SELECTIONS} at most")
    return tuple(selection(each, f"data_sources[{i}]") for i, each in enumerate(raw))


def selection(raw: Any, where: str) -> Selection:
    """One entry of `data_sources`. Raises `InvalidField`."""
    if not isinstance(raw, dict):
        raise InvalidField(
            where,
            f"{where} must be an object",
            remedy='Such as {"source": "sales", "table": "public.orders"}.',
        )
    at = f"{where}."
    source = _text(raw, "source", at) or _text(raw, "source_id", at) or _text(raw, "name", at)
    if not source:
        raise InvalidField(f"{at}source", f"{where} needs source (a name) or source_id (an id)")
    what = {name: _text(raw, name, at) for name in ("path", "table", "query", "sql")}
    given = [name for name, value in what.items() if value]
    if len(given) > 1:
        raise InvalidField(where, f"{where} takes one of path, table and query")
    found = Selection(
        source=source,
        path=what["path"] or what["table"],
        version=_text(raw, "version", at),
        sql=what["query"] or what["sql"],
        parameters=tuple(_listed(raw, "params") or _listed(raw, "parameters")),
        type=_text(raw, "type", at),
        format=_format(raw, at),
        target=_text(raw, "as", at) or _text(raw, "target", at),
        max_rows=_count(raw, "limit", at),
        max_bytes=_count(raw, "max_bytes", at),
        timeout_s=_seconds(raw, at),
    )
    require_something(found, where)
    return found


def require_something(found: Selection, where: str) -> None:
    """What only counts for data that is fetched is not to be passed over. Raises `InvalidField`."""
    bare = Selection(found.source, type=found.type)
    if found.is_live and found != bare:
        raise InvalidField(
            where,
            f"{where} needs one of path, table and query with what else it says",
            remedy=f"GET /v1/data-sources/{found.source}/browse lists what is there.",
        )


def _artifacts_to(body: Mapping[str, Any], last: Mapping[str, Any]) -> ArtifactsTo | None:
    raw = body.get("artifacts_to") or last.get("artifacts_to")
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise InvalidField(
            "artifacts_to",
            "artifacts_to must be an object",
            remedy='Such as {"source": "lake", "prefix": "results/{run_id}/"}.',
        )
    overwrite = raw.get("overwrite", False)
    if not isinstance(overwrite, bool):
        raise InvalidField("artifacts_to.overwrite", "artifacts_to.overwrite must be true or false")
    at = "artifacts_to."
    source = _text(raw, "source", at) or _text(raw, "source_id", at)
    return artifacts_to(source, _text(raw, "prefix", at), overwrite=overwrite)


def artifacts_to(source: str, prefix: str, *, overwrite: bool) -> ArtifactsTo:
    """Where files go. Raises `InvalidField`."""
    if not source:
        raise InvalidField("artifacts_to.source", "artifacts_to needs source, a name or an id")
    plain = prefix.replace("{run_id}", "-").replace("{thread_id}", "-")
    problem = problem_of(plain)
    if not problem and (plain.startswith("/") or set(plain) & set("*?[]{}")):
        problem = "a folder begins without a slash and holds none of * ? [ ] { }"
    if problem:
        raise InvalidField(
            "artifacts_to.prefix",
            f"artifacts_to.prefix: {problem}",
            remedy='Such as "results/{run_id}/".',
        )
    return ArtifactsTo(source, prefix.rstrip("/") + "/", overwrite)


def _format(raw: Mapping[str, Any], at: str) -> Format:
    found = _text(raw, "format", at)
    if found and found not in FORMATS:
        raise InvalidField(f"{at}format", f"{at}format must be one of {', '.join(FORMATS)}")
    return found  # type: ignore[return-value]


def _count(raw: Mapping[str, Any], name: str, at: str) -> int | None:
    found = raw.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise InvalidField(f"{at}{name}", f"{at}{name} must be a whole number, 0 for no limit")
    return found


def _seconds(raw: Mapping[str, Any], at: str) -> float | None:
    found = raw.get("timeout_s")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        raise InvalidField(f"{at}timeout_s", f"{at}timeout_s must be a number above 0")
    return float(found)


def _file_ids(body: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[str, ...]:
    found = [*_listed(body, "file_ids"), *_listed(last, "file_ids")]
    if not all(isinstance(each, str) for each in found) or len(found) > MAX_FILES:
        raise InvalidField("file_ids", f"file_ids must hold ids of files, {MAX_FILES} at most")
    return tuple(dict.fromkeys(found))


def _thread_id(body: Mapping[str, Any], last: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    metadata = body.get("metadata")
    noted = metadata.get("thread_id", "") if isinstance(metadata, dict) else ""
    found = _text(body, "thread_id") or _text(last, "thread_id") or noted
    if not isinstance(found, str):
        raise InvalidField("metadata.thread_id", "metadata.thread_id must be a string")
    return found or headers.get("x-thread-id", "")


def _bounds(body: Mapping[str, Any], bounds: Bounds) -> Bounds:
    tokens = _count(body, "max_completion_tokens", "") or _count(body, "max_tokens", "")
    rounds = _count(body, "max_rounds", "")
    return Bounds(
        rounds=min(rounds or bounds.rounds, bounds.rounds),
        tokens=min(tokens or bounds.tokens, bounds.tokens),
        seconds=bounds.seconds,
        program_seconds=bounds.program_seconds,
        idle_turns=bounds.idle_turns,
    )
