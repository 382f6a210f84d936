"""Requests of the public contract, from what Python code has at hand. Values in, values out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict

from isobath.analyst.v1 import access_pb2 as access
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector
from isobath_client.selections import selection

Parameter = bool | int | float | str | bytes | None


class Asking(TypedDict, total=False):
    """What may stand beside a question.

    data: what it is about, see `selection`: "sales:public.orders", "lake:2026/*.csv",
        "sales=SELECT …", "sales"; one, or several
    files: paths of files to send, or ids of files that were sent
    thread: the id of the thread to go on with; a new one where it is left out
    model: one of `models()`
    max_rows: a bound on each selection that is given as text; 0 = all, None = the service's own
    temperature: of the model
    bounds: of the run: rounds, tokens, seconds
    approval: what the run may do only after somebody approved it: "query", "write"; a source may
        ask for that itself
    artifacts_to: a source where report, figures and files are written at the end
    idempotency_key: the same key within a day gives the run that it gave before; one is drawn for
        each call where it is left out
    """

    data: str | analyst.DataSelection | Iterable[str | analyst.DataSelection]
    files: Iterable[str | Path]
    thread: str
    model: str
    max_rows: int | None
    temperature: float | None
    bounds: analyst.RunBounds | None
    artifacts_to: analyst.ArtifactsTo | None
    approval: Iterable[str]
    idempotency_key: str


def chat(
    question: str, asking: Asking, *, file_ids: Iterable[str], key: str
) -> analyst.ChatRequest:
    """A question as `Asking` has it; `file_ids` stand for its files."""
    data = asking.get("data", ())
    chosen = [data] if isinstance(data, str | analyst.DataSelection) else data
    max_rows = asking.get("max_rows")
    return analyst.ChatRequest(
        model=asking.get("model", ""),
        messages=[analyst.ChatMessage(role="user", content=question)],
        data_sources=[
            selection(each, max_rows=max_rows) if isinstance(each, str) else each for each in chosen
        ],
        file_ids=file_ids,
        thread_id=asking.get("thread", ""),
        temperature=asking.get("temperature"),
        bounds=asking.get("bounds"),
        artifacts_to=asking.get("artifacts_to"),
        approval=guarded(asking.get("approval", ())),
        idempotency_key=asking.get("idempotency_key") or key,
    )


def guarded(operations: Iterable[str]) -> list[str]:
    """Raises ValueError for what cannot be guarded."""
    names = [f"GUARDED_OPERATION_{each.upper()}" for each in operations]
    for each in {*names} - {*analyst.GuardedOperation.keys()[1:]}:
        word = each.removeprefix("GUARDED_OPERATION_").lower()
        raise ValueError(f"{word!r} cannot need an approval: query and write can")
    return names


def guide(told: Mapping[str, Any]) -> analyst.Guide:
    """`{"notes": {path: text}, "queries": [{"question", "sql"}]}`. Raises ValueError for others."""
    return ParseDict(dict(told), analyst.Guide())


def new_source(
    name: str,
    type: str,
    config: Mapping[str, object],
    secrets: Mapping[str, str],
    description: str,
    teams: Sequence[str],
    told: Mapping[str, Any] | None,
    approval: Iterable[str],
) -> analyst.CreateDataSourceRequest:
    return analyst.CreateDataSourceRequest(
        name=name,
        type=type,
        description=description,
        config_json=json.dumps(config),
        secrets=secrets,
        teams=teams,
        guide=guide(told or {}),
        approval=guarded(approval),
    )


def changed_source(
    source: str,
    *,
    name: str | None = None,
    description: str | None = None,
    config: Mapping[str, object] | None = None,
    secrets: Mapping[str, str] | None = None,
    clear_secrets: Sequence[str] = (),
    teams: Sequence[str] | None = None,
    told: Mapping[str, Any] | None = None,
    approval: Iterable[str] | None = None,
) -> analyst.UpdateDataSourceRequest:
    """None = as it is."""
    return analyst.UpdateDataSourceRequest(
        id=source,
        name=name,
        description=description,
        config_json=None if config is None else json.dumps(config),
        secrets=secrets or {},
        clear_secrets=clear_secrets,
        teams=None if teams is None else access.Teams(names=teams),
        guide=None if told is None else guide(told),
        approval=(
            None if approval is None else analyst.ApprovalPolicy(operations=guarded(approval))
        ),
    )


def browse(
    source: str, path: str, glob: str, include: Sequence[str], *, refresh: bool
) -> analyst.BrowseDataSourceRequest:
    """Raises ValueError for what cannot be included."""
    return analyst.BrowseDataSourceRequest(
        id=source,
        path=path,
        glob=glob,
        refresh=refresh,
        include=[f"INCLUDE_{each.upper()}" for each in include],
    )


def query(sql: str, parameters: Sequence[Parameter] = ()) -> connector.Query:
    """SQL with values for $1, $2 … in order."""
    return connector.Query(sql=sql, parameters=[_bound(each) for each in parameters])


def limits(max_rows: int | None, timeout_s: float | None = None) -> connector.Limits:
    """Unset where None."""
    return connector.Limits(max_rows=max_rows, timeout=_duration(timeout_s))


def fetch(
    source: str,
    chosen: connector.Selection,
    *,
    format: str,
    max_rows: int | None = None,
    timeout_s: float | None = None,
) -> analyst.FetchDataSourceRequest:
    """`format` is csv, parquet, arrow, raw or unpacked. Raises ValueError for others."""
    return analyst.FetchDataSourceRequest(
        id=source,
        selection=chosen,
        format=f"FORMAT_{format.upper()}",
        limits=limits(max_rows, timeout_s),
    )


def chosen(data: str | analyst.DataSelection) -> tuple[str, connector.Selection]:
    """Which source, and what of it. Raises ValueError where the text chooses nothing."""
    picked = selection(data) if isinstance(data, str) else data
    if picked.HasField("query"):
        return picked.source, connector.Selection(query=picked.query)
    path = picked.path or picked.table
    if not path:
        raise ValueError(
            f"{picked.source} names a source; SOURCE:PATH or SOURCE=SELECT … is needed"
        )
    return picked.source, connector.Selection(path=path, version=picked.version)


def _bound(value: Parameter) -> connector.Parameter:
    match value:
        case None:
            return connector.Parameter()
        case bool():
            return connector.Parameter(boolean=value)
        case int():
            return connector.Parameter(integer=value)
        case float():
            return connector.Parameter(number=value)
        case str():
            return connector.Parameter(text=value)
        case bytes():
            return connector.Parameter(binary=value)
    raise TypeError(f"{type(value).__name__} cannot be bound to a query; give it as text")


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    made = Duration()
    made.FromTimedelta(timedelta(seconds=seconds))
    return made
