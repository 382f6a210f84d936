"""A selection as the events of Fetch: the blobs as they are, or as one table."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from connectorkit.bounds import Bounds
from connectorkit.fetching import PROGRESS_S, Item, complete, framed, table_header
from connectorkit.pieces import Event, Piece
from connectorkit.tables import PIECE_BYTES
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from servicekit.status import InvalidField
from services.blob_connector.azure import Blob, Container
from services.blob_connector.csvs import Enough
from services.blob_connector.downloads import Md5, Span, Window, arriving, spans
from services.blob_connector.errors import TooSlow
from services.blob_connector.members import packed_too_large
from services.blob_connector.packing import packing_of, without_packing
from services.blob_connector.paths import is_pattern, name_of
from services.blob_connector.schemas import selected
from services.blob_connector.tables import Tables

# less is hashed faster than it is given to a thread
_HASHED_HERE = 64 * 1024
Events = AsyncGenerator[Event, None]


@dataclass(frozen=True)
class Work:
    """What Fetch was asked for. `standing` raises when the grant was revoked meanwhile."""

    container: Container
    found: Sequence[Blob]
    request: pb.FetchRequest
    limits: Bounds
    standing: Callable[[], None]


def part_of(request: pb.FetchRequest, found: Sequence[Blob]) -> int | None:
    """How many bytes are asked for, where it is a part of one blob. Raises `InvalidField`."""
    offset, length = request.offset_bytes, request.length_bytes
    if offset < 0 or length < 0:
        raise InvalidField("offset_bytes", "offset_bytes and length_bytes are 0 or more")
    if not offset and not length:
        return None
    if len(found) > 1:
        raise InvalidField("offset_bytes", "a part can be asked of one blob only")
    if offset > found[0].size_bytes:
        raise InvalidField(
            "offset_bytes", f"offset_bytes lies behind the end ({found[0].size_bytes:,} bytes)"
        )
    left = found[0].size_bytes - offset
    return min(length, left) if length else left


async def raw(work: Work, window: Window, threads: Limiter) -> Events:
    """An item for each blob. Raises `Torn`, `Changed`."""
    request = work.request
    wanted = spans(work.found, window.range_bytes, request.offset_bytes, request.length_bytes)
    items: list[Item] = []
    md5 = Md5(work.found[0], whole=False)
    told = time.monotonic()
    async with aclosing(arriving(work.container, wanted, window)) as coming:
        async for span, data in coming:
            work.standing()
            if span.first:
                items.append(Item(len(items)))
                md5 = Md5(span.blob, whole=part_of(request, work.found) is None)
                yield items[-1].header(_raw_header(span.blob))
            for event in await _pieces(items[-1], md5, data, threads):
                yield event
            if span.last:
                _check_md5(work.container, span, md5)
                yield items[-1].summary(of_rows=False)
            elif time.monotonic() - told >= PROGRESS_S or span.first:
                told = time.monotonic()
                yield items[-1].progress()
    yield complete(items)


async def unpacked(work: Work, tables: Tables, threads: Limiter, most: int) -> Events:
    """An item for each blob, what is compressed unpacked, `most` bytes in all. Raises
    `Unreadable`, `TooLarge`, `Changed`."""
    items: list[Item] = []
    left = most
    for blob in work.found:
        items.append(item := Item(len(items)))
        yield item.header(_unpacked_header(blob))
        async with aclosing(tables.pieces(work.container, blob)) as pieces:
            async for piece in pieces:
                work.standing()
                left -= len(piece)
                if left < 0:
                    raise packed_too_large(blob.name, most)
                yield await threads.run(item.piece, piece)
        yield item.summary(of_rows=False)
    yield complete(items)


def _unpacked_header(blob: Blob) -> pb.Header:
    header = _raw_header(blob)
    header.format = pb.FORMAT_UNPACKED
    if packing_of(blob.name, blob.encoding):
        header.ClearField("size_bytes")
        header.ClearField("content_type")
    header.name = without_packing(blob.name)
    return header


async def _pieces(item: Item, md5: Md5, data: memoryview, threads: Limiter) -> Sequence[Piece]:
    if len(data) <= _HASHED_HERE:
        return _cut(item, md5, data)
    return await threads.run(_cut, item, md5, data)


def _cut(item: Item, md5: Md5, data: memoryview) -> Sequence[Piece]:
    md5.update(data)
    if len(data) <= PIECE_BYTES:
        return [item.piece(data)] if data else []
    starts = range(0, len(data), PIECE_BYTES)
    return [item.piece(data[at : at + PIECE_BYTES]) for at in starts]


def _check_md5(container: Container, span: Span, md5: Md5) -> None:
    if not md5.fits:
        raise container.words.corrupt(span.blob.name)


def _raw_header(blob: Blob) -> pb.Header:
    header = pb.Header(
        name=blob.name,
        format=pb.FORMAT_RAW,
        size_bytes=blob.size_bytes,
        etag=blob.etag,
        content_type=blob.content_type,
    )
    if blob.modified_at is not None:
        header.modified_at.FromDatetime(blob.modified_at)
    return header


async def table(work: Work, tables: Tables, threads: Limiter) -> Events:
    """One item: the rows of all blobs. Texts are looked at twice: for the types of their columns as
    far as they will be told, and for their rows. Raises `Unreadable`, `Changed`."""
    columns = tuple(work.request.columns)
    looked = await tables.inspect(work.container, work.found, Enough(work.limits.max_rows))
    schema = selected(looked.schema, columns)
    name = _table_name(work.request.selection.path, work.found)
    header = table_header(name, schema, work.request.format)
    if looked.rows is not None:
        header.row_estimate = looked.rows
    batches = tables.batches(work.container, looked, columns)
    events = framed(batches, header=header, schema=schema, limits=work.limits, threads=threads)
    async with aclosing(events) as opened:
        async for event in opened:
            work.standing()
            yield event


def too_slow(seconds: float) -> TooSlow:
    return TooSlow(
        f"it took longer than the {seconds:g} s that it may",
        remedy="Narrow the path, or allow it longer.",
    )


def _table_name(path: str, found: Sequence[Blob]) -> str:
    """A name for the file: the blob's own, or what a pattern's folders say."""
    if len(found) == 1:
        return name_of(found[0].name).split(".")[0]
    folders = [part for part in path.split("/")[:-1] if not is_pattern(part)]
    return folders[-1] if folders else "table"
