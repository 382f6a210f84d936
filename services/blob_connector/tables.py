"""Blobs as one table: the asynchronous side of `readers`."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa

from servicekit.limits import Limiter
from services.blob_connector import readers
from services.blob_connector.azure import Blob, Container
from services.blob_connector.csvs import Enough
from services.blob_connector.errors import BlobFault, Unreadable
from services.blob_connector.footers import Extent, whole
from services.blob_connector.packing import packing_of
from services.blob_connector.partitions import columns_of, with_columns
from services.blob_connector.rangefile import RangeFile
from services.blob_connector.schemas import Found, Written, unified

T = TypeVar("T")
# of so many files at once the columns are looked at
_LOOKED_AT_ONCE = 8
# of this many the columns are shown; a table that is fetched looks at all
SHOWN_MEMBERS = 64
FIRST_BLOCK = Enough(rows=1)


@dataclass(frozen=True)
class Table:
    """Several blobs as one table. `rows` is None where no footer tells it. Not `whole`: the first
    of more members."""

    members: Sequence[Blob]
    schema: pa.Schema
    rows: int | None
    # of CSV, by name
    written: Mapping[str, Written]
    whole: bool = True
    # columns that the folders bring
    partitions: Mapping[str, pa.DataType] = field(default_factory=dict)
    # of a single member, for people: sheets, encoding, delimiter
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    rows: pa.Table
    # the source has more
    more: bool


class Tables:
    """Reads blobs as tables, the blocking part in threads."""

    def __init__(self, threads: Limiter) -> None:
        self._threads = threads

    async def inspect(
        self,
        container: Container,
        found: Sequence[Blob],
        enough: Enough = FIRST_BLOCK,
        *,
        most: int = 0,
    ) -> Table:
        """The columns of all members together, or of the first `most`; of text, as much is looked
        at as `enough` says. Raises `Unreadable`."""
        # not the empty files that some writers leave beside the others
        filled = [blob for blob in found if blob.size_bytes] or found
        complete = not most or len(filled) <= most
        filled = filled if complete else filled[:most]
        slots = asyncio.Semaphore(_LOOKED_AT_ONCE)

        async def one(blob: Blob) -> Found:
            async with slots:
                return await self._schema(container, blob, enough)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(blob)) for blob in filled]
        except* Exception as faults:
            raise _first(faults) from None
        looked = [task.result() for task in tasks]
        counts = [each.rows for each in looked]
        known = complete and None not in counts
        rows = sum(count or 0 for count in counts) if known else None
        written = {each.name: each.written for each in looked if each.written}
        schema = unified(looked)
        folders = columns_of([blob.name for blob in filled], schema.names)
        return Table(
            filled,
            pa.schema([*schema, *folders]),
            rows,
            written,
            complete,
            {each.name: each.type for each in folders},
            _told(looked[0]) if len(looked) == 1 else {},
        )

    async def _schema(self, container: Container, blob: Blob, enough: Enough) -> Found:
        async with _opened(container, blob) as file:
            return await self._threads.run(readers.schema_of, _source(blob, file), enough)

    async def batches(
        self,
        container: Container,
        table: Table,
        columns: Sequence[str] = (),
        *,
        sample: bool = False,
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        """All rows, member by member, in the table's columns. `sample` = it will be left early.
        Raises `Unreadable`."""
        for blob in table.members:
            async with _opened(container, blob) as file:
                source = _source(blob, file, table.written.get(blob.name), sample=sample)
                rows = readers.batches(source, table.schema, columns)
                async with aclosing(self._pulled(file, rows)) as pulled:
                    async for batch in pulled:
                        yield with_columns(batch, blob.name, table.partitions)

    async def extents(self, container: Container, table: Table) -> Mapping[str, Extent]:
        """What footers tell of the columns, over all rows; nothing where a member has none."""
        kinds = {readers.kind_of(blob.name, blob.content_type) for blob in table.members}
        if kinds != {"parquet"} or not table.whole:
            return {}
        found: list[Mapping[str, Extent]] = []
        for blob in table.members:
            async with _opened(container, blob) as file:
                found.append(await self._threads.run(readers.extents_of, _source(blob, file)))
        names = [name for name in table.schema.names if all(name in each for each in found)]
        return {name: whole([each[name] for each in found]) for name in names}

    async def pieces(self, container: Container, blob: Blob) -> AsyncGenerator[bytes, None]:
        """What the blob holds, unpacked where it is compressed. Raises `Unreadable`."""
        async with RangeFile(container, blob, straight=True) as file:
            pieces = readers.pieces(_source(blob, file))
            async with aclosing(self._pulled(file, pieces)) as pulled:
                async for piece in pulled:
                    yield piece

    async def _pulled(
        self, file: RangeFile, rows: Generator[T, None, None]
    ) -> AsyncGenerator[T, None]:
        """Batch by batch, in a thread. On leaving, the thread is waited for: its file is aborted
        first, so that it does not take long."""
        steps: list[asyncio.Future[T | None]] = []
        try:
            while True:
                steps[:] = [asyncio.ensure_future(self._threads.run(next, rows, None))]
                batch = await asyncio.shield(steps[0])
                if batch is None:
                    return
                yield batch
        finally:
            file.abort()
            await asyncio.gather(*steps, return_exceptions=True)
            await self._threads.run(rows.close)

    async def sample(
        self, container: Container, table: Table, rows: int, *, max_bytes: int
    ) -> Sample:
        """At least the first `rows` rows where there are as many and they fit in `max_bytes`."""
        kept: list[pa.RecordBatch] = []
        enough, stopped = Enough(rows, max_bytes), False
        async with aclosing(self.batches(container, table, sample=True)) as batches:
            async for batch in batches:
                kept.append(batch)
                if stopped := enough.add(batch):
                    break
        taken = pa.Table.from_batches(kept, table.schema).slice(0, rows)
        if table.rows is not None:
            return Sample(taken, more=taken.num_rows < table.rows)
        return Sample(taken, more=stopped or not table.whole)


def _opened(container: Container, blob: Blob) -> RangeFile:
    # of Parquet, here a column is read and there another
    kind = readers.kind_of(blob.name, blob.content_type)
    return RangeFile(container, blob, straight=kind != "parquet")


def _source(
    blob: Blob, file: RangeFile, written: Written | None = None, *, sample: bool = False
) -> readers.Source:
    kind = readers.kind_of(blob.name, blob.content_type)
    packing = packing_of(blob.name, blob.encoding)
    return readers.Source(blob.name, kind, file, packing, written, sample)


def _told(found: Found) -> Mapping[str, str]:
    if found.written is None:
        return found.told
    return {"encoding": found.written.encoding, "delimiter": found.written.delimiter}


def _first(faults: BaseExceptionGroup[Exception]) -> Exception:
    """The one to tell."""
    found: list[Exception] = []
    rest: list[BaseExceptionGroup[Exception] | Exception] = [faults]
    while rest:
        each = rest.pop(0)
        if isinstance(each, BaseExceptionGroup):
            rest += each.exceptions
        else:
            found.append(each)
    known = [each for each in found if isinstance(each, BlobFault)]
    return next((each for each in known if isinstance(each, Unreadable)), (known or found)[0])
