"""How a selection is told on the wire: header, pieces, summary for each item; then complete."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from connectorkit import metrics
from connectorkit.bounds import Bounds
from connectorkit.pieces import Event, Piece
from connectorkit.tables import CONTENT_TYPES, PIECE_BYTES, Encoder, columns, encoder
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter

PROGRESS_S = 0.5
# Batches that wait while one is encoded and sent: the source works meanwhile, memory stays bounded.
_AHEAD = 2

T = TypeVar("T")
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


def rows_cut(limit: int) -> str:
    return f"row limit of {limit}"


def bytes_cut(limit: int) -> str:
    return f"byte limit of {limit}"


def sliced(batch: pa.RecordBatch, rows_left: int) -> pa.RecordBatch:
    return batch if batch.num_rows <= rows_left else batch.slice(0, max(0, rows_left))


def fitting(file: Encoder, batch: pa.RecordBatch, bytes_left: int) -> pa.RecordBatch:
    """The most of the batch's first rows that take no more bytes."""
    if file.size(batch) <= bytes_left:
        return batch
    low, high = 0, batch.num_rows
    while high - low > 1:
        middle = (low + high) // 2
        if file.size(batch.slice(0, middle)) <= bytes_left:
            low = middle
        else:
            high = middle
    return batch.slice(0, low)


def _emptied(values: list[T]) -> Iterator[T]:
    """The values in their order, each let go of once the next is asked for."""
    values.reverse()
    while values:
        yield values.pop()


class Item:
    """Frames one item and keeps its sums. Call header, then piece and progress, then summary."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.rows = 0
        self.bytes = 0
        self._hash = hashlib.sha256()

    def header(self, header: pb.Header) -> pb.FetchResponse:
        header.item = self.number
        return pb.FetchResponse(header=header)

    def piece(self, data: bytes | memoryview) -> Piece:
        """At most 1 MiB, not changed any more. For much data call it in a thread: it hashes."""
        assert len(data) <= PIECE_BYTES
        self._hash.update(data)
        self.bytes += len(data)
        return Piece(data)

    def progress(self) -> pb.FetchResponse:
        return pb.FetchResponse(
            progress=pb.Progress(item=self.number, rows=self.rows, bytes=self.bytes)
        )

    def summary(self, *, truncated_by: str = "", of_rows: bool = True) -> pb.FetchResponse:
        metrics.sent(
            rows=self.rows if of_rows else 0, size=self.bytes, truncated=bool(truncated_by)
        )
        summary = pb.Summary(
            item=self.number,
            rows=self.rows if of_rows else None,
            bytes=self.bytes,
            sha256=self._hash.hexdigest(),
            truncated=bool(truncated_by),
            truncated_by=truncated_by,
        )
        return pb.FetchResponse(summary=summary)


def complete(items: Sequence[Item]) -> pb.FetchResponse:
    told = pb.Complete(
        items=len(items),
        rows=sum(item.rows for item in items),
        bytes=sum(item.bytes for item in items),
    )
    return pb.FetchResponse(complete=told)


def table_header(name: str, schema: pa.Schema, format: int) -> pb.Header:
    format = format or pb.FORMAT_CSV
    return pb.Header(
        name=name,
        format=format,  # type: ignore[arg-type]
        columns=columns(schema),
        content_type=CONTENT_TYPES.get(format, ""),  # type: ignore[call-overload]
        arrow_schema=schema.serialize().to_pybytes(),
    )


class _Table:
    """Batches to pieces, within bounds. Used in one thread at a time."""

    def __init__(self, item: Item, file: Encoder, limits: Bounds) -> None:
        self._item, self._file, self._limits = item, file, limits
        self._spent = file.overhead_bytes
        self.truncated_by = ""

    def take(self, batch: pa.RecordBatch) -> list[Event]:
        kept = self._within(batch)
        if not kept.num_rows:
            return []
        self._item.rows += kept.num_rows
        return [self._item.piece(data) for data in _emptied(self._file.write(kept))]

    def finish(self) -> list[Event]:
        return [self._item.piece(data) for data in _emptied(self._file.finish())]

    def _within(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        kept = batch
        if self._limits.max_rows:
            kept = sliced(batch, self._limits.max_rows - self._item.rows)
            if kept.num_rows < batch.num_rows:
                self.truncated_by = rows_cut(self._limits.max_rows)
        return self._within_bytes(kept) if self._limits.max_bytes and kept.num_rows else kept

    def _within_bytes(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        kept = fitting(self._file, batch, self._limits.max_bytes - self._spent)
        if kept.num_rows < batch.num_rows:
            self.truncated_by = bytes_cut(self._limits.max_bytes)
        self._spent += self._file.size(kept) if kept.num_rows else 0
        return kept


class Work(Protocol[C_contra]):
    """What makes an item's bytes of what comes from the source. Used in one thread at a time."""

    # why nothing more is taken; "" while everything is
    truncated_by: str

    def take(self, coming: C_contra, /) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


async def table(
    item: Item,
    batches: AsyncIterator[pa.RecordBatch],
    *,
    header: pb.Header,
    schema: pa.Schema,
    limits: Bounds,
    threads: Limiter,
    progress_s: float = PROGRESS_S,
) -> AsyncGenerator[Event, None]:
    """One item. `batches` is read ahead by a task of its own, and closed on leaving; while it is
    silent, progress is told. The file is sound also when a bound cut it."""
    file = await threads.run(encoder, header.format, schema)
    work = _Table(item, file, limits)
    events = worked(item, batches, work, header=header, threads=threads, progress_s=progress_s)
    async with aclosing(events):
        async for event in events:
            yield event


async def worked(
    item: Item,
    source: AsyncIterator[C],
    work: Work[C],
    *,
    header: pb.Header,
    threads: Limiter,
    progress_s: float = PROGRESS_S,
) -> AsyncGenerator[Event, None]:
    """One item, of whatever the work takes; as `table`."""
    yield item.header(header)
    told = time.monotonic()
    async with _ahead(source) as coming:
        while not work.truncated_by:
            if time.monotonic() - told >= progress_s:
                told = time.monotonic()
                yield item.progress()
            try:
                value = await coming.next(progress_s)
            except TimeoutError:
                continue
            if value is None:
                break
            for event in _emptied(await threads.run(work.take, value)):
                yield event
    for event in _emptied(await threads.run(work.finish)):
        yield event
    yield item.summary(truncated_by=work.truncated_by)


async def completed(item: Item, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """A whole answer of one item."""
    async with aclosing(events):
        async for event in events:
            yield event
    yield complete([item])


async def framed(
    batches: AsyncIterator[pa.RecordBatch],
    *,
    header: pb.Header,
    schema: pa.Schema,
    limits: Bounds,
    threads: Limiter,
) -> AsyncGenerator[Event, None]:
    """A whole answer of one table."""
    item = Item()
    events = table(item, batches, header=header, schema=schema, limits=limits, threads=threads)
    async with aclosing(completed(item, events)) as answer:
        async for event in answer:
            yield event


class _Coming(Generic[T]):
    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[T | None, BaseException | None]] = asyncio.Queue(_AHEAD)

    async def next(self, timeout_s: float) -> T | None:
        """None at the end. Raises TimeoutError, and what the source raised."""
        async with asyncio.timeout(timeout_s):
            value, error = await self._queue.get()
        if error is not None:
            raise error
        return value

    async def fill(self, source: AsyncIterator[T]) -> None:
        try:
            async for value in source:
                await self._queue.put((value, None))
        except Exception as exc:
            await self._queue.put((None, exc))
        else:
            await self._queue.put((None, None))
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()


@asynccontextmanager
async def _ahead(source: AsyncIterator[T]) -> AsyncIterator[_Coming[T]]:
    coming = _Coming[T]()
    task = asyncio.create_task(coming.fill(source), name="fetch ahead")
    try:
        yield coming
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
