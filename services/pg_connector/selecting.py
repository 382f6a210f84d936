"""What a selection asks for, as a statement that may run."""

from collections.abc import Sequence
from dataclasses import dataclass

from connectorkit.access import Gate
from grants.claims import Grant
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField, Unsupported
from services.pg_connector import catalog, guard
from services.pg_connector.browsing import found
from services.pg_connector.catalog import Relation, quoted
from services.pg_connector.errors import QueryFailed, SourceForbidden
from services.pg_connector.reading import Reading
from services.pg_connector.streams import Work


@dataclass(frozen=True)
class Selected:
    # for the header
    name: str
    work: Work
    row_estimate: int | None = None


def statement_of(selection: pb.Selection) -> guard.Statement | None:
    """Of a query, judged before anything else is done; None for a path. Raises InvalidField,
    QueryFailed, QueryNotReadOnly."""
    require_now(selection.version)
    match selection.WhichOneof("what"):
        case "query":
            return guard.admit(selection.query.sql)
        case "path" if selection.path:
            return None
    raise InvalidField("selection", "say which path or query")


def require_now(*asked: object) -> None:
    """Raises Unsupported where a state is asked for that is not the one of now."""
    if any(asked):
        raise Unsupported(
            "a database keeps no earlier versions of its relations",
            ability="versions",
            remedy="Leave version and include out.",
        )


async def selected(
    reading: Reading,
    gate: Gate,
    grant: Grant,
    selection: pb.Selection,
    *,
    columns: Sequence[str] = (),
) -> Selected:
    """Raises PathNotFound, OutsideGrant, and as statement_of."""
    statement = statement_of(selection)
    if statement is None:
        relation = await found(reading, gate, grant, selection.path, "read")
        return await of_relation(reading, relation, columns)
    if grant.scopes:
        await _require_in_scope(reading, gate, grant, statement)
    work = Work(
        statement.text,
        is_query=statement.is_query,
        parameters=tuple(selection.query.parameters),
    )
    return Selected("query", work)


async def _require_in_scope(
    reading: Reading, gate: Gate, grant: Grant, statement: guard.Statement
) -> None:
    for named in statement.relations:
        path = f"{named.schema}.{named.name}" if named.schema else named.name
        relation = await catalog.find(reading, path)
        gate.check(grant, "read", relation.path if relation else path)


async def of_relation(reading: Reading, relation: Relation, wanted: Sequence[str] = ()) -> Selected:
    rows = await catalog.columns(reading, relation)
    known = {row["name"]: row for row in rows}
    for name in wanted:
        if name not in known:
            raise InvalidField("columns", f"{relation.path} has no column {name}")
    chosen = list(wanted) or list(known)
    if not chosen:
        raise QueryFailed(f"{relation.path} has no columns", sqlstate="42703")
    readable = [name for name in known if known[name]["readable"]]
    if readable and not set(chosen) <= set(readable):
        raise _beyond(reading, relation, readable)
    names = ", ".join(quoted(name) for name in chosen)
    work = Work(
        f"SELECT {names} FROM {relation.sql}",  # noqa: S608
        path=relation.path,
        told={name: known[name]["base_type"] for name in chosen},
        nullable={name: known[name]["nullable"] for name in chosen},
    )
    name = relation.name if relation.schema == "public" else relation.path
    return Selected(name, work, relation.row["row_estimate"])


def _beyond(reading: Reading, relation: Relation, readable: Sequence[str]) -> SourceForbidden:
    place = reading.held.place
    fault = SourceForbidden(
        f"{place.user} may not read all columns of {relation.path}",
        source=place.source,
        identity=place.user,
        path=relation.path,
    )
    fault.remedy = f"Ask for those that may be read: {', '.join(readable)}."
    return fault
