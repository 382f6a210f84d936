"""Blobs as they are, as the events of Fetch."""

import time
from collections.abc import Sequence
from contextlib import aclosing

from connectorkit.fetching import PROGRESS_S, Item, complete
from connectorkit.files.sending import Events, Work, part_of, raw_header
from connectorkit.pieces import Piece
from connectorkit.tables import PIECE_BYTES
from servicekit.limits import Limiter
from services.blob_connector.azure import Blob, Container
from services.blob_connector.downloads import Md5, Span, Window, arriving, spans

# less is hashed faster than it is given to a thread
_HASHED_HERE = 64 * 1024


async def raw(work: Work[Container, Blob], window: Window, threads: Limiter) -> Events:
    """An item for each blob. Raises `Torn`, `Changed`."""
    request = work.request
    wanted = spans(work.found, window.range_bytes, request.offset_bytes, request.length_bytes)
    items: list[Item] = []
    md5 = Md5(work.found[0], whole=False)
    told = time.monotonic()
    async with aclosing(arriving(work.store, wanted, window)) as coming:
        async for span, data in coming:
            work.standing()
            if span.first:
                items.append(Item(len(items)))
                md5 = Md5(span.blob, whole=part_of(request, work.found) is None)
                yield items[-1].header(raw_header(span.blob))
            for event in await _pieces(items[-1], md5, data, threads):
                yield event
            if span.last:
                _check_md5(work.store, span, md5)
                yield items[-1].summary(of_rows=False)
            elif time.monotonic() - told >= PROGRESS_S or span.first:
                told = time.monotonic()
                yield items[-1].progress()
    yield complete(items)


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
