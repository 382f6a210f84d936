"""What a kernel asks, as messages of the connector contract, and answers as plain values. Pure."""

from typing import Any

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import Fault, InvalidField
from services.sandbox.errors import (
    NoSuchSource,
    NotApproved,
    NothingToWrite,
    UnknownSourceType,
)

_INT64 = 2**63
_TEXT_LIMIT = 1024 * 1024
_FORMATS = {"True": pb.FORMAT_RAW, "unpacked": pb.FORMAT_UNPACKED}


def reason(error: Fault) -> str:
    """The platform's word for a refusal of this service itself."""
    named = {
        NoSuchSource: "SOURCE_NOT_FOUND",
        NothingToWrite: "BEYOND_GRANT",
        NotApproved: "NOT_APPROVED",
        UnknownSourceType: "UNSUPPORTED",
    }
    return named.get(type(error), "INVALID_FIELD")


def fetch(asked: dict[str, Any], grant: str) -> pb.FetchRequest:
    """Raises InvalidField for what no client of ours would send."""
    what = asked.get("what")
    if not isinstance(what, dict):
        raise InvalidField("what", "a path or a query is needed")
    request = pb.FetchRequest(
        grant=grant,
        selection=_selection(what),
        format=_FORMATS.get(str(asked.get("raw")), pb.FORMAT_ARROW),
        columns=[_text("columns", name) for name in asked.get("columns") or ()],
    )
    max_rows = asked.get("max_rows")
    if max_rows is not None:
        if not isinstance(max_rows, int) or not 0 < max_rows < _INT64:
            raise InvalidField("max_rows", "max_rows is a positive whole number")
        request.limits.max_rows = max_rows
    return request


def _selection(what: dict[str, Any]) -> pb.Selection:
    if "path" in what:
        return pb.Selection(path=_text("path", what["path"]), version=text(what, "version"))
    parameters = [_parameter(value) for value in what.get("params") or ()]
    query = pb.Query(sql=_text("sql", what.get("sql")), parameters=parameters)
    return pb.Selection(query=query)


def browse(asked: dict[str, Any], grant: str) -> pb.BrowseRequest:
    """Raises InvalidField."""
    include = [f"INCLUDE_{_text('include', each).upper()}" for each in asked.get("include") or ()]
    if not {*include} <= {*pb.Include.keys()}:
        raise InvalidField("include", "include may hold snapshots, versions, deleted and tags")
    path, glob = text(asked, "prefix"), text(asked, "glob")
    return pb.BrowseRequest(grant=grant, path=path, glob=glob, include=include)


def text(asked: dict[str, Any], field: str) -> str:
    """Text that may be left out."""
    return _text(field, asked.get(field) or "")


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
        raise InvalidField(field, f"{field} is text of at most {_TEXT_LIMIT} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidField(field, f"{field} holds half of a surrogate pair") from None
    return value


def _parameter(value: object) -> pb.Parameter:
    if value is None:
        return pb.Parameter()
    if isinstance(value, bool):
        return pb.Parameter(boolean=value)
    if isinstance(value, int):
        inside = -_INT64 <= value < _INT64
        return pb.Parameter(integer=value) if inside else pb.Parameter(text=str(value))
    if isinstance(value, float):
        return pb.Parameter(number=value)
    if isinstance(value, dict) and isinstance(value.get("binary"), str):
        try:
            return pb.Parameter(binary=bytes.fromhex(value["binary"]))
        except ValueError:
            raise InvalidField("params", "binary is not hexadecimal") from None
    return pb.Parameter(text=_text("params", value))


def store(asked: dict[str, Any], grant: str) -> pb.StoreRequest:
    start = pb.StoreStart(
        grant=grant,
        path=_text("path", asked.get("path")),
        overwrite=asked.get("overwrite") is True,
    )
    return pb.StoreRequest(start=start)


def entry(found: pb.Entry) -> dict[str, Any]:
    return {
        "path": found.path,
        "name": found.name,
        "kind": pb.EntryKind.Name(found.kind).removeprefix("ENTRY_KIND_").lower(),
        "size_bytes": found.size_bytes if found.HasField("size_bytes") else None,
        "rows": found.row_estimate if found.HasField("row_estimate") else None,
        "modified_at": found.modified_at.ToJsonString() if found.HasField("modified_at") else None,
        "comment": found.comment,
        "readable": found.readable,
        "version": found.version,
        "properties": dict(found.properties),
    }


def schema(found: pb.InspectResponse) -> dict[str, Any]:
    columns = [
        {
            "name": column.name,
            "type": column.type,
            "arrow_type": column.arrow_type,
            "nullable": column.nullable,
            "default": column.default_expression,
            "comment": column.comment,
        }
        for column in found.columns
    ]
    keys = [
        {
            "kind": pb.ConstraintKind.Name(c.kind).removeprefix("CONSTRAINT_KIND_").lower(),
            "columns": list(c.columns),
            "references": c.references_path,
            "references_columns": list(c.references_columns),
        }
        for c in found.constraints
    ]
    rows = found.rows if found.HasField("rows") else None
    attrs = {"rows": rows, "rows_exact": found.rows_exact, "keys": keys}
    return {"columns": columns, "attrs": attrs}
