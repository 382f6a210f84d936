"""Listings of schemas and relations, and what one relation is made of."""

import base64
import hashlib
import json
from collections.abc import Sequence

from connectorkit.access import Gate
from grants.claims import Grant
from grants.scope import permits, reaches
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField
from services.pg_connector import catalog, entries
from services.pg_connector.catalog import Relation, Row
from services.pg_connector.errors import PathNotFound
from services.pg_connector.reading import Reading
from services.pg_connector.values import Column

_DEFAULT_PAGE = 100
_MAX_PAGE = 1000


async def browse(reading: Reading, grant: Grant, request: pb.BrowseRequest) -> pb.BrowseResponse:
    """A page in name order; what the grant does not reach is left out, so pages may be short.
    Raises PathNotFound, InvalidField."""
    size, after = _page_size(request), _after(request)
    path = request.path.rstrip("/.")
    if not path and not request.glob:
        return await _schemas(reading, grant, request, size=size, after=after)
    allowed = reading.held.place.schemas
    if path and ((allowed and path not in allowed) or not await catalog.has_schema(reading, path)):
        raise PathNotFound(path, f"there is no schema {path}")
    names = (path,) if path else allowed
    pattern = catalog.regex_of(request.glob) if request.glob else ""
    found = await catalog.relations(reading, names, pattern=pattern, after=after, limit=size + 1)
    listed = [r for r in found[:size] if permits(grant, "list", r.path)]
    last = found[size - 1].path if len(found) > size else ""
    return pb.BrowseResponse(
        entries=[entries.of_relation(relation) for relation in listed],
        next_page_token=_token(request, last),
    )


async def _schemas(
    reading: Reading, grant: Grant, request: pb.BrowseRequest, *, size: int, after: str
) -> pb.BrowseResponse:
    allowed = reading.held.place.schemas
    rows = await catalog.schemas(reading, allowed, after=after, limit=size + 1)
    listed = [row for row in rows[:size] if reaches(grant, row["name"])]
    last = rows[size - 1]["name"] if len(rows) > size else ""
    return pb.BrowseResponse(
        entries=[entries.of_schema(row) for row in listed],
        next_page_token=_token(request, last),
    )


def _page_size(request: pb.BrowseRequest) -> int:
    if not 0 <= request.page_size <= _MAX_PAGE:
        raise InvalidField("page_size", f"page_size is 1 to {_MAX_PAGE}")
    return request.page_size or _DEFAULT_PAGE


def _list_of(request: pb.BrowseRequest) -> str:
    told = json.dumps([request.path, request.glob]).encode()
    return hashlib.sha256(told).hexdigest()[:16]


def _token(request: pb.BrowseRequest, last: str) -> str:
    if not last:
        return ""
    return base64.urlsafe_b64encode(json.dumps([_list_of(request), last]).encode()).decode()


def _after(request: pb.BrowseRequest) -> str:
    if not request.page_token:
        return ""
    try:
        of, last = json.loads(base64.urlsafe_b64decode(request.page_token))
    except (ValueError, TypeError) as exc:
        raise InvalidField("page_token", "page_token was not given by Browse") from exc
    if of != _list_of(request) or not isinstance(last, str):
        raise InvalidField("page_token", "page_token is of another list")
    return last


async def found(reading: Reading, gate: Gate, grant: Grant, path: str, operation: str) -> Relation:
    """The relation that a path names. Raises PathNotFound, and OutsideGrant also for a name that is
    not there, so that a grant does not show what lies beyond it."""
    relation = await catalog.find(reading, path)
    gate.check(grant, operation, relation.path if relation else catalog.spelled(path))
    if relation is None:
        raise PathNotFound(path)
    return relation


def arrow_columns(rows: Sequence[Row]) -> list[Column]:
    return [
        Column(row["name"], row["kind"], row["kind_schema"], row["base_type"], row["nullable"])
        for row in rows
    ]


async def inspect(reading: Reading, relation: Relation) -> pb.InspectResponse:
    rows = await catalog.columns(reading, relation)
    kinds = [str(column.arrow) for column in arrow_columns(rows)]
    estimate = relation.row["row_estimate"]
    return pb.InspectResponse(
        entry=entries.of_relation(relation),
        columns=[entries.of_column(row, kind) for row, kind in zip(rows, kinds, strict=True)],
        constraints=[
            entries.of_constraint(row) for row in await catalog.constraints(reading, relation)
        ],
        indexes=[entries.of_index(row) for row in await catalog.indexes(reading, relation)],
        definition=await catalog.definition(reading, relation),
        members=await catalog.partitions(reading, relation),
        rows=estimate,
        rows_exact=False,
    )
