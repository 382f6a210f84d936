"""Rows of a statement, as they come."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pyarrow as pa

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.pg_connector.errors import QueryFailed
from services.pg_connector.faults import Doing
from services.pg_connector.parameters import bound
from services.pg_connector.reading import Reading
from services.pg_connector.values import Column, batch_of, column_of, schema_of

# The first batch is small, since nothing is known of the rows' width; then as many as make this.
_FIRST_ROWS = 64
_MOST_ROWS = 8192
_BATCH_BYTES = 2 * 1024 * 1024

_DECIMALS = re.compile(r'<xsd:element name="[^"]*" type="([^"]*)"')
_ROW_TYPE = re.compile(r'<xsd:complexType name="RowType[^>]*>(.*?)</xsd:complexType>', re.DOTALL)


@dataclass(frozen=True)
class Work:
    """A statement that may run. `told` gives types in the source's words, where they are known."""

    sql: str
    is_query: bool = True
    parameters: Sequence[pb.Parameter] = ()
    path: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    nullable: Mapping[str, bool] = field(default_factory=dict)


class Rows:
    """A prepared statement, not yet run."""

    def __init__(
        self,
        reading: Reading,
        statement: Any,
        columns: Sequence[Column],
        arguments: Sequence[Any],
        doing: Doing,
    ) -> None:
        self._reading, self._statement, self._doing = reading, statement, doing
        self._columns, self._arguments = columns, arguments
        self.schema: pa.Schema = schema_of(columns)

    async def batches(self, threads: Limiter) -> AsyncGenerator[pa.RecordBatch, None]:
        """Runs it. Not more than a batch lies in memory, here and on the way."""
        run, doing = self._reading.run, self._doing
        cursor = await run(_opened(self._statement, self._arguments), doing)
        wanted = _FIRST_ROWS
        while True:
            rows = await run(cursor.fetch(wanted), doing)
            if rows:
                batch = await threads.run(batch_of, self._columns, self.schema, rows)
                yield batch
            if len(rows) < wanted:
                return
            wanted = _next_size(wanted, batch)

    async def table(
        self, threads: Limiter, rows: int, *, max_bytes: int = 0
    ) -> tuple[pa.Table, bool]:
        """Its first rows, no more than about so many bytes, and whether there are more."""
        kept, count, size = list[pa.RecordBatch](), 0, 0
        batches = self.batches(threads)
        async with aclosing(batches):
            async for batch in batches:
                kept.append(batch)
                count, size = count + batch.num_rows, size + batch.nbytes
                if count > rows or (max_bytes and size > max_bytes):
                    break
        table = pa.Table.from_batches(kept, self.schema)
        return table.slice(0, rows), count > rows or bool(max_bytes and size > max_bytes)


def _next_size(rows: int, batch: pa.RecordBatch) -> int:
    width = max(1, int(batch.nbytes) // max(1, int(batch.num_rows)))
    return max(1, min(rows * 16, _MOST_ROWS, _BATCH_BYTES // width))


async def _opened(statement: Any, arguments: Sequence[Any]) -> Any:
    return await statement.cursor(*arguments)


async def prepared(reading: Reading, work: Work) -> Rows:
    """Has the server parse it as it stands, so that positions hold, and then, where columns are of
    types that Arrow does not know, once more with those written as text. Raises PgFault."""
    doing = reading.doing(sql=work.sql, path=work.path)
    statement = await reading.run(reading.connection.prepare(work.sql), doing)
    attributes = statement.get_attributes()
    if not attributes:
        raise QueryFailed("the query gives no columns", sqlstate="42601", sql=work.sql)
    columns = await _columns(reading, work, attributes)
    arguments = bound(work.parameters, [kind.name for kind in statement.get_parameters()])
    if work.is_query and any(column.as_text for column in columns):
        text, shift = _projected(work.sql, columns)
        doing = reading.doing(sql=work.sql, path=work.path, shift=shift)
        statement = await reading.run(reading.connection.prepare(text), doing)
    return Rows(reading, statement, columns, arguments, doing)


def _projected(sql: str, columns: Sequence[Column]) -> tuple[str, int]:
    """The query as a table whose columns are numbered, since names may repeat. A line break ends a
    comment at the query's end."""
    names = [f"c{number}" for number in range(len(columns))]
    wanted = ", ".join(
        f"q.{name}::pg_catalog.text" if column.as_text else f"q.{name}"
        for name, column in zip(names, columns, strict=True)
    )
    head = f"SELECT {wanted} FROM (\n"  # noqa: S608
    return f"{head}{sql}\n) AS q({', '.join(names)})", len(head)


async def _columns(
    reading: Reading, work: Work, attributes: Sequence["asyncpg.Attribute"]
) -> list[Column]:
    told = [work.told.get(attribute.name, "") for attribute in attributes]
    if work.is_query and not work.told and not work.parameters:
        told = await _declared(reading, work.sql, attributes) or told
    return [
        column_of(attribute, words, nullable=work.nullable.get(attribute.name, True))
        for attribute, words in zip(attributes, told, strict=True)
    ]


async def _declared(
    reading: Reading, sql: str, attributes: Sequence["asyncpg.Attribute"]
) -> list[str]:
    """The digits of numerics, which the client library keeps to itself: from the XML schema that
    the server makes of a query, planned and not run. Nothing where it cannot."""
    if not any(attribute.type.name == "numeric" for attribute in attributes):
        return []
    savepoint = reading.connection.transaction()
    await reading.run(savepoint.start())
    try:
        schema = await reading.connection.fetchval(
            "SELECT pg_catalog.query_to_xmlschema($1, false, true, '')::text", sql
        )
    except asyncpg.PostgresError:
        schema = ""
    finally:
        await savepoint.rollback()
    row = _ROW_TYPE.search(schema or "")
    kinds = _DECIMALS.findall(row[1]) if row else []
    return [_numeric(kind) for kind in kinds] if len(kinds) == len(attributes) else []


def _numeric(kind: str) -> str:
    match kind.split("_"):
        case ["NUMERIC", digits, scale]:
            return f"numeric({digits},{scale})"
    return ""
