"""Statistics of a relation's columns: the server's own, or those of a bounded sample."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from connectorkit.profiles import profile as profile_of
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.pg_connector import catalog
from services.pg_connector.catalog import Relation, Row
from services.pg_connector.reading import Reading
from services.pg_connector.selecting import of_relation
from services.pg_connector.streams import prepared

SAMPLE_ROWS = 20_000
_SAMPLE_BYTES = 32 * 1024 * 1024
# those that TABLESAMPLE takes: tables, materialized views, partitioned tables
_IN_BLOCKS = frozenset({"r", "m", "p"})
# what PostgreSQL tells from zero
_LEAST_SHARE = 0.000_1
_TOP = 10
_LONGEST = 200


async def profile(reading: Reading, relation: Relation, threads: Limiter) -> pb.ProfileResponse:
    """A relation of at most 20,000 rows is read whole; of a larger one the server's statistics are
    told, with the least and greatest values where an index gives them at once. Where it has none,
    those of about so many rows are, from blocks all over it (TABLESAMPLE) where it has blocks, else
    the first. `basis` says which."""
    estimate = relation.row["row_estimate"]
    if estimate is not None and estimate > SAMPLE_ROWS:
        known = await catalog.statistics(reading, relation)
        if known:
            return await _of_server(reading, relation, {row["name"]: row for row in known})
    return await _of_sample(reading, relation, threads)


async def _of_sample(reading: Reading, relation: Relation, threads: Limiter) -> pb.ProfileResponse:
    """Of the columns that may be read; the others are only named."""
    known = await catalog.columns(reading, relation)
    readable = [str(row["name"]) for row in known if row["readable"]]
    work = (await of_relation(reading, relation, readable)).work
    if share := _share(relation):
        work = replace(work, sql=f"{work.sql} TABLESAMPLE SYSTEM ({share:.6f})")
    rows = await prepared(reading, work)
    table, more = await rows.table(threads, SAMPLE_ROWS, max_bytes=_SAMPLE_BYTES)
    told = {column.name: column for column in await threads.run(profile_of, table)}
    bare = (pb.ColumnProfile(name=row["name"], type=row["type"]) for row in known)
    columns = [told.get(column.name, column) for column in bare]
    answer = pb.ProfileResponse(columns=columns, taken_at=_now())
    if more or share:
        how = "blocks all over it" if share else "its beginning"
        answer.basis = f"sample of {table.num_rows} rows from {how}"
        answer.sampled_rows = table.num_rows
        if relation.row["row_estimate"] is not None:
            answer.rows = relation.row["row_estimate"]
    else:
        answer.basis, answer.rows = "exact", table.num_rows
    return answer


def _share(relation: Relation) -> float:
    """Of a large relation's blocks, in percent, so that they hold about as many rows or bytes as
    are read; 0 = from its beginning on."""
    rows: int | None = relation.row["row_estimate"]
    size: int = relation.row["size_bytes"] or 0
    if relation.kind not in _IN_BLOCKS:
        return 0.0
    if rows is not None and rows > SAMPLE_ROWS:
        return max(_LEAST_SHARE, 100 * SAMPLE_ROWS / rows)
    if rows is None and size > _SAMPLE_BYTES:
        return max(_LEAST_SHARE, 100 * _SAMPLE_BYTES / size)
    return 0.0


async def _of_server(
    reading: Reading, relation: Relation, known: dict[str, Row]
) -> pb.ProfileResponse:
    rows = relation.row["row_estimate"]
    columns = [
        _column(row, known.get(row["name"]), rows)
        for row in await catalog.columns(reading, relation)
    ]
    bounds = await catalog.bounds(reading, relation)
    for column in columns:
        if column.name in bounds:
            _bound(column, *bounds[column.name])
    basis = "server statistics"
    if bounds:
        basis += f"; least and greatest of {', '.join(bounds)} exact"
    return pb.ProfileResponse(rows=rows, basis=basis, columns=columns, taken_at=_now())


def _bound(column: pb.ColumnProfile, least: str | None, greatest: str | None) -> None:
    """None = the relation has no value in it any more."""
    column.ClearField("minimum")
    column.ClearField("maximum")
    if least is not None and greatest is not None:
        column.minimum, column.maximum = _short(least), _short(greatest)


def _column(column: Row, known: Row | None, rows: int) -> pb.ColumnProfile:
    told = pb.ColumnProfile(name=column["name"], type=column["type"])
    if known is None:
        return told
    told.null_fraction = known["nulls"]
    told.distinct = _distinct(known["different"], rows)
    common, fractions = known["common"] or [], known["fractions"] or []
    told.top_values.extend(
        pb.TopValue(value=_short(value), fraction=fraction)
        for value, fraction in list(zip(common, fractions, strict=False))[:_TOP]
    )
    if known["bounds"]:
        # of those that are not among the most common
        told.minimum, told.maximum = _short(known["bounds"][0]), _short(known["bounds"][-1])
    return told


def _distinct(told: float, rows: int) -> int:
    """pg_stats.n_distinct: below zero it is a fraction of the rows."""
    return round(told if told >= 0 else -told * rows)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _now() -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC))
    return stamp
