"""Rows of a statement, as they come."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import pyarrow as pa

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.pg_connector.binary.decoding import Decoder
from services.pg_connector.copying import Form, copied, copy_of, unheard
from services.pg_connector.declared import declared
from services.pg_connector.errors import QueryFailed
from services.pg_connector.faults import Doing
from services.pg_connector.parallel import Part, merged
from services.pg_connector.parameters import bound
from services.pg_connector.reading import Reading
from services.pg_connector.traced import statement
from services.pg_connector.values import Column, Shown, batch_of, column_of, schema_of

T = TypeVar("T")

# The first batch is small, since nothing is known of the rows' width; then as many as make this.
_FIRST_ROWS = 64
_MOST_ROWS = 8192
_BATCH_BYTES = 2 * 1024 * 1024
# whose digits or dimensions count
_DECLARED = ("numeric", "[]")


@dataclass(frozen=True)
class Work:
    """A statement that may run. `told` gives types in the source's words, where they are known."""

    sql: str
    is_query: bool = True
    parameters: Sequence[pb.Parameter] = ()
    path: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    nullable: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    statement: Any
    arguments: Sequence[Any]


class Rows:
    """A prepared statement, not yet run."""

    def __init__(
        self, reading: Reading, work: Work, columns: Sequence[Column], prepared: Prepared
    ) -> None:
        self._reading, self._work, self._prepared = reading, work, prepared
        self._columns = columns
        self._parts: Sequence[Part] = [(reading, work.sql)]
        self.schema: pa.Schema = schema_of(columns)

    def over(self, parts: Sequence[Part]) -> "Rows":
        """The same, read in pieces of the query at once. For `may_copy`."""
        rows = Rows(self._reading, self._work, self._columns, self._prepared)
        rows._parts = parts
        return rows

    @property
    def may_copy(self) -> bool:
        """COPY takes queries only, and no parameters."""
        return self._work.is_query and not self._work.parameters

    async def csv(
        self, max_rows: int = 0, *, done: Callable[[int], None]
    ) -> AsyncGenerator[bytes, None]:
        """Its rows as the server itself writes CSV, without a header line, and one more row than
        the bound where there are more (0 = none). `done` hears at the end how many. For
        `may_copy`."""
        rows = 0

        def add(more: int) -> None:
            nonlocal rows
            rows += more
            done(rows)

        async with aclosing(self._merged(self._pieces("csv", max_rows, add))) as pieces:
            async for piece in pieces:
                yield piece

    def _pieces(
        self, form: Form, max_rows: int, done: Callable[[int], None] = unheard
    ) -> list[AsyncGenerator[bytes, None]]:
        """Of each part. A piece has whole rows, for the server sends each by itself:
        https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-COPY"""
        coming = list[AsyncGenerator[bytes, None]]()
        for reading, sql in self._parts:
            copy = copy_of(sql, self._columns, form=form, max_rows=max_rows)
            doing = reading.doing(sql=sql, path=self._work.path, shift=copy.shift)
            coming.append(copied(reading, copy, doing, done=done))
        return coming

    def _merged(self, sources: list[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        return merged(sources) if len(sources) > 1 else sources[0]

    def shown(self) -> "Rows":
        """The same with each value as the server writes it, which is what CSV is made of."""
        columns = [Shown(**vars(column)) for column in self._columns]
        return Rows(self._reading, self._work, columns, self._prepared)

    async def batches(
        self, threads: Limiter, max_rows: int = 0
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        """Runs it. Not more than some MiB lie in memory, here and on the way."""
        source = self._copied(threads, max_rows) if self.may_copy else self._records(threads)
        async with aclosing(source) as batches:
            async for batch in batches:
                yield batch

    async def _copied(
        self, threads: Limiter, max_rows: int
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        parts = self._pieces("binary", max_rows)
        sources = [self._decoded(pieces, threads) for pieces in parts]
        async with aclosing(self._merged(sources)) as batches:
            async for batch in batches:
                yield batch

    async def _decoded(
        self, source: AsyncGenerator[bytes, None], threads: Limiter
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        decoder = Decoder(self._columns, self.schema)
        async with aclosing(source) as pieces:
            async for piece in pieces:
                batch = await threads.run(decoder.take, piece)
                if batch is not None:
                    yield batch

    async def _records(self, threads: Limiter) -> AsyncGenerator[pa.RecordBatch, None]:
        async with aclosing(self._fetched(threads)) as batches:
            with statement(self._reading.held.place, "SELECT", self._work.sql) as span:
                count = 0
                async for batch in batches:
                    count += batch.num_rows
                    yield batch
                span.tell({"db.response.returned_rows": count})

    async def _fetched(self, threads: Limiter) -> AsyncGenerator[pa.RecordBatch, None]:
        run = self._reading.run
        asked, doing = await self._as_text()
        cursor = await run(_opened(asked, self._prepared.arguments), doing)
        wanted = _FIRST_ROWS
        while True:
            rows = await run(cursor.fetch(wanted), doing)
            if rows:
                batch = await threads.run(batch_of, self._columns, self.schema, rows)
                yield batch
            if len(rows) < wanted:
                return
            wanted = _next_size(wanted, batch)

    async def _as_text(self) -> tuple[Any, Doing]:
        """Where columns are of types that Arrow does not know, once more with those as text."""
        if not self._work.is_query or not any(column.as_text for column in self._columns):
            return self._prepared.statement, self._doing()
        text, shift = _projected(self._work.sql, self._columns)
        doing = self._doing(shift)
        return await self._reading.run(self._reading.connection.prepare(text), doing), doing

    def _doing(self, shift: int = 0) -> Doing:
        return self._reading.doing(sql=self._work.sql, path=self._work.path, shift=shift)

    async def table(
        self, threads: Limiter, rows: int, *, max_bytes: int = 0
    ) -> tuple[pa.Table, bool]:
        """Its first rows, no more than about so many bytes, and whether there are more."""
        kept, count, size = list[pa.RecordBatch](), 0, 0
        async with aclosing(self.batches(threads, rows)) as batches:
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
    """Has the server parse it as it stands, so that positions hold. Raises PgFault."""
    doing = reading.doing(sql=work.sql, path=work.path)
    with statement(reading.held.place, "PREPARE", work.sql if work.is_query else ""):
        parsed = await reading.run(reading.connection.prepare(work.sql), doing)
    attributes = parsed.get_attributes()
    if not attributes:
        raise QueryFailed("the query gives no columns", sqlstate="42601", sql=work.sql)
    arguments = bound(work.parameters, [kind.name for kind in parsed.get_parameters()])
    columns = await _columns(reading, work, attributes, arguments)
    return Rows(reading, work, columns, Prepared(parsed, arguments))


def _projected(sql: str, columns: Sequence[Column]) -> tuple[str, int]:
    """The query as a table whose columns are numbered, since names may repeat. A line break ends a
    comment at the query's end."""
    names = [f"c{number}" for number in range(len(columns))]
    wanted = ", ".join(
        column.written(f"q.{name}") for name, column in zip(names, columns, strict=True)
    )
    head = f"SELECT {wanted} FROM (\n"  # noqa: S608
    return f"{head}{sql}\n) AS q({', '.join(names)})", len(head)


async def _columns(
    reading: Reading,
    work: Work,
    attributes: Sequence["asyncpg.Attribute"],
    arguments: Sequence[Any],
) -> list[Column]:
    told = [work.told.get(attribute.name, "") for attribute in attributes]
    if work.is_query and not work.told:
        told = await _digits(reading, work.sql, attributes, arguments) or told
    return [
        column_of(attribute, words, nullable=work.nullable.get(attribute.name, True))
        for attribute, words in zip(attributes, told, strict=True)
    ]


async def _digits(
    reading: Reading,
    sql: str,
    attributes: Sequence["asyncpg.Attribute"],
    arguments: Sequence[Any],
) -> list[str]:
    """The types of numerics in the source's words, where they are known; "" for other columns."""
    if not any(attribute.type.name.endswith(_DECLARED) for attribute in attributes):
        return []
    found = await declared(reading, sql, arguments)
    # what a result is sorted by comes behind its columns
    pairs = zip(attributes, found, strict=False)
    told = [words if attribute.type.name.endswith(_DECLARED) else "" for attribute, words in pairs]
    return told if len(told) == len(attributes) else []
