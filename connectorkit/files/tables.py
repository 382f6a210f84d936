"""Files as one table: the asynchronous side of `readers`."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from connectorkit.files import readers
from connectorkit.files.csvs import Enough
from connectorkit.files.errors import FileFault, Unreadable
from connectorkit.files.footers import Extent, whole
from connectorkit.files.members import Member, Opened
from connectorkit.files.packing import packing_of
from connectorkit.files.partitions import columns_of, with_columns
from connectorkit.files.schemas import Found, Written, unified
from servicekit.limits import Limiter

T = TypeVar("T")
# where members lie, such as a container; and what they are there
S = TypeVar("S")
M = TypeVar("M", bound=Member)
S_contra = TypeVar("S_contra", contravariant=True)
M_contra = TypeVar("M_contra", bound=Member, contravariant=True)
# of so many files at once the columns are looked at
_LOOKED_AT_ONCE = 8
# of this many the columns are shown; a table that is fetched looks at all
SHOWN_MEMBERS = 64
FIRST_BLOCK = Enough(rows=1)


class Opener(Protocol[S_contra, M_contra]):
    """A member of a store as a file. `straight`: it will be read from end to end; otherwise here
    a part and there another."""

    def __call__(self, store: S_contra, member: M_contra, /, *, straight: bool) -> Opened: ...


@dataclass(frozen=True)
class Table(Generic[M]):
    """Several files as one table. `rows` is None where no footer tells it. Not `whole`: the first
    of more members."""

    members: Sequence[M]
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


class Tables(Generic[S, M]):
    """Reads files as tables, the blocking part in threads."""

    def __init__(self, threads: Limiter, opener: Opener[S, M]) -> None:
        self._threads = threads
        self._opener = opener

    async def inspect(
        self,
        store: S,
        found: Sequence[M],
        enough: Enough = FIRST_BLOCK,
        *,
        most: int = 0,
    ) -> Table[M]:
        """The columns of all members together, or of the first `most`; of text, as much is looked
        at as `enough` says. Raises `Unreadable`."""
        # not the empty files that some writers leave beside the others
        filled = [each for each in found if each.size_bytes] or found
        complete = not most or len(filled) <= most
        filled = filled if complete else filled[:most]
        slots = asyncio.Semaphore(_LOOKED_AT_ONCE)

        async def one(member: M) -> Found:
            async with slots:
                return await self._schema(store, member, enough)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(each)) for each in filled]
        except* Exception as faults:
            raise _first(faults) from None
        looked = [task.result() for task in tasks]
        counts = [each.rows for each in looked]
        known = complete and None not in counts
        rows = sum(count or 0 for count in counts) if known else None
        written = {each.name: each.written for each in looked if each.written}
        schema = unified(looked)
        folders = columns_of([each.name for each in filled], schema.names)
        return Table(
            filled,
            pa.schema([*schema, *folders]),
            rows,
            written,
            complete,
            {each.name: each.type for each in folders},
            _told(looked[0]) if len(looked) == 1 else {},
        )

    def _opened(self, store: S, member: M) -> Opened:
        # of Parquet, here a column is read and there another
        kind = readers.kind_of(member.name, member.content_type)
        return self._opener(store, member, straight=kind != "parquet")

    async def _schema(self, store: S, member: M, enough: Enough) -> Found:
        async with self._opened(store, member) as file:
            return await self._threads.run(readers.schema_of, _source(member, file), enough)

    async def batches(
        self,
        store: S,
        table: Table[M],
        columns: Sequence[str] = (),
        *,
        sample: bool = False,
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        """All rows, member by member, in the table's columns. `sample` = it will be left early.
        Raises `Unreadable`."""
        for member in table.members:
            async with self._opened(store, member) as file:
                source = _source(member, file, table.written.get(member.name), sample=sample)
                rows = readers.batches(source, table.schema, columns)
                async with aclosing(self._pulled(file, rows)) as pulled:
                    async for batch in pulled:
                        yield with_columns(batch, member.name, table.partitions)

    async def extents(self, store: S, table: Table[M]) -> Mapping[str, Extent]:
        """What footers tell of the columns, over all rows; nothing where a member has none."""
        kinds = {readers.kind_of(each.name, each.content_type) for each in table.members}
        if kinds != {"parquet"} or not table.whole:
            return {}
        found: list[Mapping[str, Extent]] = []
        for member in table.members:
            async with self._opened(store, member) as file:
                found.append(await self._threads.run(readers.extents_of, _source(member, file)))
        names = [name for name in table.schema.names if all(name in each for each in found)]
        return {name: whole([each[name] for each in found]) for name in names}

    async def pieces(self, store: S, member: M) -> AsyncGenerator[bytes, None]:
        """What a file holds, unpacked where it is compressed. Raises `Unreadable`."""
        async with self._opener(store, member, straight=True) as file:
            pieces = readers.pieces(_source(member, file))
            async with aclosing(self._pulled(file, pieces)) as pulled:
                async for piece in pulled:
                    yield piece

    async def _pulled(
        self, file: Opened, rows: Generator[T, None, None]
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

    async def sample(self, store: S, table: Table[M], rows: int, *, max_bytes: int) -> Sample:
        """At least the first `rows` rows where there are as many and they fit in `max_bytes`."""
        kept: list[pa.RecordBatch] = []
        enough, stopped = Enough(rows, max_bytes), False
        async with aclosing(self.batches(store, table, sample=True)) as batches:
            async for batch in batches:
                kept.append(batch)
                if stopped := enough.add(batch):
                    break
        taken = pa.Table.from_batches(kept, table.schema).slice(0, rows)
        if table.rows is not None:
            return Sample(taken, more=taken.num_rows < table.rows)
        return Sample(taken, more=stopped or not table.whole)


def _source(
    member: Member, file: Opened, written: Written | None = None, *, sample: bool = False
) -> readers.Source:
    kind = readers.kind_of(member.name, member.content_type)
    packing = packing_of(member.name, member.encoding)
    return readers.Source(member.name, kind, file, packing, written, sample)


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
    known = [each for each in found if isinstance(each, FileFault)]
    return next((each for each in known if isinstance(each, Unreadable)), (known or found)[0])
