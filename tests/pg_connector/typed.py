"""The table of `types_table` on a real server, fetched as the connector sends it."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from connectorkit.bounds import Bounds
from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.pg_connector.reading import Reading
from services.pg_connector.sending import sent
from services.pg_connector.streams import Work, prepared
from tests.pg_connector.bare import reading_at
from tests.pg_connector.types_table import KINDS, SETUP, Unfit, Value

# Rows from here on have the values that Arrow does not hold.
UNFIT_FROM = 1000


def fit(values: Sequence[Value]) -> list[Value]:
    return [value for value in values if not isinstance(value.arrow, Unfit)]


def unfit(values: Sequence[Value]) -> list[Value]:
    return [value for value in values if isinstance(value.arrow, Unfit)]


ROWS = max(len(fit(kind.values)) for kind in KINDS) + 1
UNFIT_ROWS = max(len(unfit(kind.values)) for kind in KINDS)


@asynccontextmanager
async def typed(postgres: Postgres) -> AsyncIterator[str]:
    """A database with the relation `typed`: a column c0, c1 … for each kind, a row for each value,
    NULL where there is none. Gives its URL."""
    async with postgres.database("types") as name:
        dsn = postgres.dsn_of(name)
        await postgres.execute(SETUP, database=name)
        connection = await asyncpg.connect(dsn)
        try:
            columns = ", ".join(f"c{place} {kind.sql}" for place, kind in enumerate(KINDS))
            await connection.execute(f"CREATE TABLE typed (n integer PRIMARY KEY, {columns})")
            for first, count, chosen in ((0, ROWS, fit), (UNFIT_FROM, UNFIT_ROWS, unfit)):
                for row in range(count):
                    cells = [
                        chosen(kind.values)[row].cast(kind.sql)
                        if row < len(chosen(kind.values))
                        else "NULL"
                        for kind in KINDS
                    ]
                    await connection.execute(
                        f"INSERT INTO typed VALUES ({first + row}, {', '.join(cells)})"
                    )
        finally:
            await connection.close()
        yield dsn


async def fetched(
    dsn: str, sql: str, format: int, parameters: Sequence[pb.Parameter] = ()
) -> bytes:
    """Without parameters rows come by COPY, with them as records of a cursor."""
    async with reading_at(dsn) as work:
        return await _body(work, Work(sql, parameters=tuple(parameters)), format)


async def _body(reading: Reading, work: Work, format: int) -> bytes:
    rows = await prepared(reading, work)
    header = pb.Header(format=format)  # type: ignore[arg-type]
    async with Limiter("types", 2) as threads:
        events = sent(rows, header=header, limits=Bounds(), threads=threads)
        async with aclosing(events) as answer:
            return b"".join([event.piece async for event in answer])


def table_of(data: bytes, format: int) -> pa.Table:
    if format == pb.FORMAT_PARQUET:
        return pq.read_table(io.BytesIO(data))
    return pa.ipc.open_stream(data).read_all()


def text_columns(data: bytes) -> dict[str, list[str | None]]:
    """Of CSV: NULL is an empty field, an empty text stands in quotes."""
    names = next(csv.reader(io.StringIO(data.decode())))
    table = pa.csv.read_csv(
        pa.BufferReader(data),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    found: dict[str, list[str | None]] = table.to_pydict()
    return found


def raw(column: pa.ChunkedArray) -> list[Any]:
    """Values as `types_table` writes them."""
    kind = column.type
    if pa.types.is_decimal(kind):
        return [None if value is None else format(value, "f") for value in column.to_pylist()]
    if pa.types.is_date(kind):
        column = column.cast(pa.int32())
    elif pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_list(kind):
        return [raw_list(one.values) if one.is_valid else None for one in column]
    return list(column.to_pylist())


def raw_list(values: pa.Array) -> list[Any]:
    return raw(pa.chunked_array([values]))
