"""Bytes of blobs in order, fetched in ranges of which a bounded number is on its way.

Ranges of several blobs share one window, so that many small blobs are as fast as one large one.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from services.blob_connector.azure import Blob, Container
from services.blob_connector.pace import Pace
from services.blob_connector.settings import Settings


@dataclass(frozen=True)
class Span:
    """A range of one blob; `first` and `last` of what is wanted of that blob."""

    blob: Blob
    offset: int
    length: int
    first: bool
    last: bool


@dataclass(frozen=True)
class Window:
    """What may be on its way at once, and how it is cut. `most_bytes` where more than `bytes` makes
    it faster."""

    range_bytes: int
    bytes: int
    requests: int
    most_bytes: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        size = settings.range_bytes
        held, most = size * settings.ranges_ahead, size * settings.ranges_most
        return cls(size, held, settings.requests_ahead, most)


def spans(
    blobs: Sequence[Blob], range_bytes: int, offset: int = 0, length: int = 0
) -> Iterator[Span]:
    """Cuts blobs into ranges; `length` 0 = to the end. An empty blob is one range of nothing."""
    for blob in blobs:
        start = min(offset, blob.size_bytes)
        end = min(blob.size_bytes, start + length) if length else blob.size_bytes
        for at in range(start, max(end, start + 1), range_bytes):
            size = min(range_bytes, end - at)
            yield Span(blob, at, size, at == start, at + size >= end)


async def arriving(
    container: Container, wanted: Iterator[Span], window: Window
) -> AsyncGenerator[tuple[Span, memoryview], None]:
    """The ranges in order. Closing it cancels what is on its way."""
    coming: deque[tuple[Span, asyncio.Task[memoryview]]] = deque()
    held, ahead = 0, next(wanted, None)
    pace = Pace(window.bytes, window.most_bytes, asyncio.get_running_loop().time)
    try:
        while coming or ahead:
            while ahead and _fits(ahead, held, len(coming), pace.bytes, window):
                coming.append((ahead, asyncio.create_task(_read(container, ahead))))
                held += ahead.length
                ahead = next(wanted, None)
            span, task = coming[0]
            data = await task
            coming.popleft()
            held -= span.length
            pace.arrived(span.length)
            yield span, data
    finally:
        for _, task in coming:
            task.cancel()
        await asyncio.gather(*(task for _, task in coming), return_exceptions=True)


def _fits(span: Span, held: int, requests: int, most: int, window: Window) -> bool:
    return not requests or (held + span.length <= most and requests < window.requests)


async def _read(container: Container, span: Span) -> memoryview:
    if not span.length:
        return memoryview(b"")
    return await container.view(span.blob, span.offset, span.length)


class Md5:
    """Holds a whole blob against the MD5 that the service keeps for it, where there is one."""

    def __init__(self, blob: Blob, *, whole: bool) -> None:
        self._wanted = blob.md5 if whole else b""
        self._digest = hashlib.md5(usedforsecurity=False)

    def update(self, data: memoryview) -> None:
        if self._wanted:
            self._digest.update(data)

    @property
    def fits(self) -> bool:
        return not self._wanted or self._digest.digest() == self._wanted
