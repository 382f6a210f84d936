"""A chat request as a plan: values in, a validated plan or a fault that names the field out.

Where HTTP lets a thing stand in several places, the order is body, last message, `metadata`,
header.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from grants.scope import problem_of
from servicekit.status import InvalidField
from services.gateway import fields, history
from services.gateway.conversation import Bounds, Message, Sampling
from services.gateway.errors import UnsupportedField
from services.gateway.guards import NONE, Guards, guards_of
from services.gateway.refusals import require_honoured

# behind a model's id: that model without the analyst
PLAIN = ":plain"
FORMATS = ("csv", "parquet", "arrow", "raw", "unpacked")
MAX_SELECTIONS = 64
MAX_FILES = 64
MAX_STOPS = 4
# what the database keeps of one
MAX_KEY_CHARS = 255

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
    sampling: Sampling = field(default_factory=Sampling)
    bounds: Bounds = field(default_factory=Bounds)
    idempotency_key: str = ""
    artifacts_to: ArtifactsTo | None = None
    # JSON of the request, for an API that tells it again later
    request: str = ""
    # what needs an approval, beside what each source asks for itself
    approval: Guards = NONE

    @property
    def is_plain(self) -> bool:
        """Whether the model is asked without the analyst."""
        return self.model.endswith(PLAIN)

    @property
    def fingerprint(self) -> str:
        """The same for the same question, whatever its idempotency key is: 64 characters."""
        asked = asdict(replace(self, idempotency_key=""))
        # sets have no order of their own
        told = json.dumps(asked, sort_keys=True, default=sorted)
        return hashlib.sha256(told.encode()).hexdigest()

    def within(self, tokens: int | None) -> "Plan":
        """The plan, for no more tokens than these; None = as it is."""
        if tokens is None or tokens >= self.bounds.tokens:
            return self
        return replace(self, bounds=replace(self.bounds, tokens=tokens))


def plan(body: Mapping[str, Any], headers: Mapping[str, str], bounds: Bounds) -> Plan:
    """Read an OpenAI-style body; `bounds` are the gateway's, which a request may only lower.

    Raises `InvalidField`, `UnsupportedField`.
    """
    require_honoured(body)
    raw = fields.listed(body, "messages")
    messages = history.messages(raw)
    last = raw[-1]
    return Plan(
        messages=messages,
        selections=_selections(body, last),
        file_ids=_file_ids(body, raw),
        thread_id=_thread_id(body, last, headers),
        model=fields.text(body, "model"),
        sampling=_sampling(body),
        bounds=_bounds(body, bounds),
        idempotency_key=_idempotency_key(headers),
        artifacts_to=_artifacts_to(body, last),
        approval=guards_of([*fields.listed(body, "approval"), *fields.listed(last, "approval")]),
    )


def _sampling(body: Mapping[str, Any]) -> Sampling:
    top_p = fields.number(body, "top_p", 0, 1)
    return Sampling(
        temperature=fields.number(body, "temperature", 0, 2),
        # OpenAI takes 0 for the likeliest word alone; engines want more than nothing
        top_p=None if top_p is None else max(top_p, 1e-6),
        seed=fields.whole(body, "seed", -fields.LARGEST - 1),
        stop=_stop(body),
    )


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Words that end the text. The analyst's own text is programs: to cut one is to break it."""
    given = body.get("stop")
    if given is None or given == "":
        return ()
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(each, str) and each for each in found):
        raise InvalidField("stop", "stop must be a string or a list of strings")
    if len(found) > MAX_STOPS:
        raise InvalidField("stop", f"stop may hold {MAX_STOPS} at most")
    if found and not fields.text(body, "model").endswith(PLAIN):
        raise UnsupportedField(
            "stop",
            "the analyst does not stop at words: they may stand in a program",
            remedy=f"Leave stop out, or ask a model without the analyst, whose id ends in {PLAIN}.",
        )
    return tuple(found)


def _idempotency_key(headers: Mapping[str, str]) -> str:
    key = headers.get("idempotency-key", "")
    if len(key) > MAX_KEY_CHARS:
        message = f"Idempotency-Key takes {MAX_KEY_CHARS} characters at most"
        raise InvalidField("idempotency-key", message)
    return key


def _selections(body: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[Selection, ...]:
    raw = [*fields.listed(body, "data_sources"), *fields.listed(last, "data_sources")]
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
    source = (
        fields.text(raw, "source", at)
        or fields.text(raw, "source_id", at)
        or fields.text(raw, "name", at)
    )
    if not source:
        raise InvalidField(f"{at}source", f"{where} needs source (a name) or source_id (an id)")
    what = {name: fields.text(raw, name, at) for name in ("path", "table", "query", "sql")}
    given = [name for name, value in what.items() if value]
    if len(given) > 1:
        raise InvalidField(where, f"{where} takes one of path, table and query")
    found = Selection(
        source=source,
        path=what["path"] or what["table"],
        version=fields.text(raw, "version", at),
        sql=what["query"] or what["sql"],
        parameters=tuple(fields.listed(raw, "params", at) or fields.listed(raw, "parameters", at)),
        type=fields.text(raw, "type", at),
        format=_format(raw, at),
        target=fields.text(raw, "as", at) or fields.text(raw, "target", at),
        max_rows=fields.count(raw, "limit", at),
        max_bytes=fields.count(raw, "max_bytes", at),
        timeout_s=fields.seconds(raw, "timeout_s", at),
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
    source = fields.text(raw, "source", at) or fields.text(raw, "source_id", at)
    return artifacts_to(source, fields.text(raw, "prefix", at), overwrite=overwrite)


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
    found = fields.text(raw, "format", at)
    if found and found not in FORMATS:
        raise InvalidField(f"{at}format", f"{at}format must be one of {', '.join(FORMATS)}")
    return found  # type: ignore[return-value]


def _file_ids(body: Mapping[str, Any], raw: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = [*fields.listed(body, "file_ids"), *history.attached(raw)]
    if not all(isinstance(each, str) for each in found) or len(found) > MAX_FILES:
        raise InvalidField("file_ids", f"file_ids must hold ids of files, {MAX_FILES} at most")
    return tuple(dict.fromkeys(found))


def _thread_id(body: Mapping[str, Any], last: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    metadata = body.get("metadata")
    noted = metadata.get("thread_id", "") if isinstance(metadata, dict) else ""
    found = fields.text(body, "thread_id") or fields.text(last, "thread_id") or noted
    if not isinstance(found, str):
        raise InvalidField("metadata.thread_id", "metadata.thread_id must be a string")
    return found or headers.get("x-thread-id", "")


def _bounds(body: Mapping[str, Any], bounds: Bounds) -> Bounds:
    tokens = fields.whole(body, "max_completion_tokens", 1) or fields.whole(body, "max_tokens", 1)
    rounds = fields.count(body, "max_rounds")
    return Bounds(
        rounds=min(rounds or bounds.rounds, bounds.rounds),
        tokens=min(tokens or bounds.tokens, bounds.tokens),
        seconds=bounds.seconds,
        program_seconds=bounds.program_seconds,
        idle_turns=bounds.idle_turns,
    )
