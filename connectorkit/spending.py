"""A call's share of a grant that bounds rows or bytes over all its calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from connectorkit.bounds import Bounds
from connectorkit.pieces import Event, Piece
from grants.claims import Grant
from grants.spending import Amount, is_bounded


class Purse(Protocol):
    """The credential service, which counts."""

    async def take(self, grant: Grant, wanted: Amount) -> Amount: ...

    async def hand_back(self, grant: Grant, unused: Amount) -> None: ...


class Share:
    """`bounds` hold for this call; each event that goes out is `counted`."""

    def __init__(self, bounds: Bounds, took: Amount) -> None:
        self.bounds, self._took = bounds, took
        self._rows = self._bytes = 0
        # bytes of an item whose rows are not told yet
        self._open_bytes = 0

    def counted(self, event: Event) -> Event:
        if isinstance(event, Piece):
            self._bytes += len(event.piece)
            self._open_bytes += len(event.piece)
        elif event.HasField("summary"):
            self._rows += event.summary.rows
            self._open_bytes = 0
        return event

    @property
    def unused(self) -> Amount:
        rows = 0 if self._open_bytes else self._took.rows - self._rows
        return Amount(max(0, rows), max(0, self._took.bytes - self._bytes))


@asynccontextmanager
async def share(purse: Purse, grant: Grant, bounds: Bounds) -> AsyncIterator[Share]:
    """What the call did not use goes back at its end, also when it fails; the rows of an item that
    broke off are spent, for nobody told how many they were. Raises OutsideGrant when nothing is
    left."""
    if not is_bounded(grant):
        yield Share(bounds, Amount())
        return
    took = await purse.take(grant, Amount(bounds.max_rows, bounds.max_bytes))
    rows, size = took.rows or bounds.max_rows, took.bytes or bounds.max_bytes
    mine = Share(replace(bounds, max_rows=rows, max_bytes=size), took)
    try:
        yield mine
    finally:
        if mine.unused != Amount():
            await asyncio.shield(purse.hand_back(grant, mine.unused))
