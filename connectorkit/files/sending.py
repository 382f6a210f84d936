"""A selection as the events of Fetch: files unpacked, or as one table."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic

from connectorkit.bounds import Bounds
from connectorkit.fetching import Item, complete, framed, table_header
from connectorkit.files.csvs import Enough
from connectorkit.files.members import Member
from connectorkit.files.packing import packing_of, without_packing
from connectorkit.files.patterns import is_pattern, name_of
from connectorkit.files.schemas import selected
from connectorkit.files.sizes import packed_too_large
from connectorkit.files.tables import M, S, Tables
from connectorkit.pieces import Event
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from servicekit.status import InvalidField

Events = AsyncGenerator[Event, None]


@dataclass(frozen=True)
class Work(Generic[S, M]):
    """What Fetch was asked for. `standing` raises when the grant was revoked meanwhile."""

    store: S
    found: Sequence[M]
    request: pb.FetchRequest
    limits: Bounds
    standing: Callable[[], None]


def part_of(request: pb.FetchRequest, found: Sequence[Member]) -> int | None:
    """How many bytes are asked for, where it is a part of one file. Raises `InvalidField`."""
    offset, length = request.offset_bytes, request.length_bytes
    if offset < 0 or length < 0:
        raise InvalidField("offset_bytes", "offset_bytes and length_bytes are 0 or more")
    if not offset and not length:
        return None
    if len(found) > 1:
        raise InvalidField("offset_bytes", "a part can be asked of one file only")
    if offset > found[0].size_bytes:
        raise InvalidField(
            "offset_bytes", f"offset_bytes lies behind the end ({found[0].size_bytes:,} bytes)"
        )
    left = found[0].size_bytes - offset
    return min(length, left) if length else left


async def unpacked(work: Work[S, M], tables: Tables[S, M], threads: Limiter, most: int) -> Events:
    """An item for each file, what is compressed unpacked, `most` bytes in all; 0 = no limit.
    Raises `Unreadable`, `TooLarge`, and what the source raises."""
    items: list[Item] = []
    sent = 0
    for member in work.found:
        items.append(item := Item(len(items)))
        yield item.header(_unpacked_header(member))
        async with aclosing(tables.pieces(work.store, member)) as pieces:
            async for piece in pieces:
                work.standing()
                sent += len(piece)
                if most and sent > most:
                    raise packed_too_large(member.name, most)
                yield await threads.run(item.piece, piece)
        yield item.summary(of_rows=False)
    yield complete(items)


def _unpacked_header(member: Member) -> pb.Header:
    header = raw_header(member)
    header.format = pb.FORMAT_UNPACKED
    if packing_of(member.name, member.encoding):
        header.ClearField("size_bytes")
        header.ClearField("content_type")
    header.name = without_packing(member.name)
    return header


def raw_header(member: Member) -> pb.Header:
    """Of a file as it is."""
    header = pb.Header(
        name=member.name,
        format=pb.FORMAT_RAW,
        size_bytes=member.size_bytes,
        etag=member.etag,
        content_type=member.content_type,
    )
    if member.modified_at is not None:
        header.modified_at.FromDatetime(member.modified_at)
    return header


async def table(work: Work[S, M], tables: Tables[S, M], threads: Limiter) -> Events:
    """One item: the rows of all files. Texts are looked at twice: for the types of their columns
    as far as they will be told, and for their rows. Raises `Unreadable`, and what the source
    raises."""
    columns = tuple(work.request.columns)
    looked = await tables.inspect(work.store, work.found, Enough(work.limits.max_rows))
    schema = selected(looked.schema, columns)
    name = _table_name(work.request.selection.path, work.found)
    header = table_header(name, schema, work.request.format)
    if looked.rows is not None:
        header.row_estimate = looked.rows
    batches = tables.batches(work.store, looked, columns)
    events = framed(batches, header=header, schema=schema, limits=work.limits, threads=threads)
    async with aclosing(events) as opened:
        async for event in opened:
            work.standing()
            yield event


def _table_name(path: str, found: Sequence[Member]) -> str:
    """A name for the table: the file's own, or what a pattern's folders say."""
    if len(found) == 1:
        return name_of(found[0].name).split(".")[0]
    folders = [part for part in path.split("/")[:-1] if not is_pattern(part)]
    return folders[-1] if folders else "table"
