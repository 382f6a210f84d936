"""What a path stands for: one blob, or those that a glob matches; and their table."""

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from servicekit.limits import Limiter
from servicekit.status import InvalidField
from services.blob_connector import readers
from services.blob_connector.azure import Blob, Container
from services.blob_connector.errors import BlobNotFound, TooLarge, Unreadable
from services.blob_connector.paths import BadPattern, is_pattern, pattern

MAX_MEMBERS = 10_000
# of many files the first ones tell the columns; Parquet footers are read of all of these
SCHEMA_MEMBERS = 64


@dataclass(frozen=True)
class Table:
    """Several blobs as one table. `rows` is None where no footer tells it."""

    members: Sequence[Blob]
    schema: pa.Schema
    rows: int | None


async def members(container: Container, path: str) -> list[Blob]:
    """The blobs that a path stands for, in name order. Raises `BlobNotFound`, `InvalidField`."""
    if not path or path.endswith("/"):
        raise InvalidField("path", "path must name a blob or a pattern, not a folder")
    if not is_pattern(path):
        return [await container.properties(path)]
    try:
        wanted = pattern(path)
    except BadPattern as bad:
        raise InvalidField("path", f"{path}: {bad}") from bad
    found = [each async for each in container.all(wanted.prefix) if wanted.matches(each.name)]
    if not found:
        raise BlobNotFound(
            f"nothing in {container.place.name} matches {path!r}",
            remedy="Browse the source to see what is there.",
            path=path,
        )
    if len(found) > MAX_MEMBERS:
        raise InvalidField("path", f"{path} matches {len(found):,} blobs; {MAX_MEMBERS:,} at most")
    return found


def check_sizes(found: Sequence[Blob], max_blob: int, max_request: int) -> None:
    """Told before bytes move. Raises `TooLarge`."""
    for blob in found:
        if max_blob and blob.size_bytes > max_blob:
            raise _too_large(blob.name, blob.size_bytes, max_blob)
    total = sum(blob.size_bytes for blob in found)
    if max_request and total > max_request:
        raise _too_large(f"{len(found)} blobs together", total, max_request)


def _too_large(what: str, size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"{what}: {size:,} bytes, and the limit is {limit:,}",
        remedy="Narrow the path, query it in code with sources[…], or have the limit raised.",
        path=what,
        size_bytes=str(size),
        limit_bytes=str(limit),
    )


class Tables:
    """Reads blobs as tables, the blocking part in threads."""

    def __init__(self, threads: Limiter) -> None:
        self._threads = threads

    async def inspect(self, container: Container, found: Sequence[Blob]) -> Table:
        """The columns of all members together. Raises `Unreadable`."""
        looked = found[:SCHEMA_MEMBERS]
        each = [await self._schema(container, blob) for blob in looked]
        schema = _unified([schema for schema, _ in each], looked)
        counts = [rows for _, rows in each]
        known = len(looked) == len(found) and all(count is not None for count in counts)
        return Table(found, schema, sum(c or 0 for c in counts) if known else None)

    async def _schema(self, container: Container, blob: Blob) -> tuple[pa.Schema, int | None]:
        file = readers.RangeFile(asyncio.get_running_loop(), container, blob)
        return await self._threads.run(readers.schema_of, blob.name, file)

    async def batches(
        self, container: Container, table: Table, columns: Sequence[str] = ()
    ) -> AsyncIterator[pa.RecordBatch]:
        """All rows, member by member, in the table's columns. Raises `Unreadable`."""
        schema = selected(table.schema, columns)
        loop = asyncio.get_running_loop()
        for blob in table.members:
            file = readers.RangeFile(loop, container, blob)
            with closing(_typed(blob.name, file, table.schema)) as rows:
                while (batch := await self._threads.run(next, rows, None)) is not None:
                    yield readers.fitted(batch, schema, blob.name)

    async def sample(self, container: Container, table: Table, rows: int) -> tuple[pa.Table, bool]:
        """At least the first `rows` rows where there are as many, and whether there are more."""
        kept: list[pa.RecordBatch] = []
        count = 0
        async for batch in self.batches(container, table):
            kept.append(batch)
            count += batch.num_rows
            if count > rows:
                break
        whole = pa.Table.from_batches(kept, table.schema)
        return whole.slice(0, rows), count > rows


def _typed(
    name: str, file: readers.RangeFile, schema: pa.Schema
) -> Generator[pa.RecordBatch, None, None]:
    """A generator, so that it can be closed."""
    yield from readers.batches(name, file, schema)


def selected(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """The schema of some columns, in their order. Raises `InvalidField`."""
    if not columns:
        return schema
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise InvalidField("columns", f"there is no column {missing[0]!r}")
    return pa.schema([schema.field(name) for name in columns])


def _unified(schemas: Sequence[pa.Schema], found: Sequence[Blob]) -> pa.Schema:
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").remove_metadata()
    except pa.ArrowException as exc:
        raise Unreadable(
            f"{found[0].name} and the {len(found) - 1} others do not make one table: {exc}",
            remedy="Choose blobs with the same columns, or fetch them as they are.",
            path=found[0].name,
            format="table",
        ) from exc
