"""The messages of a Store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from connectorkit.files.sizes import written_too_large
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import Fault, InvalidField

# of a writer that is refused
HEARD_S = 1.0
HEARD_BYTES = 16 * 1024 * 1024


async def pieces(
    requests: AsyncIterator[pb.StoreRequest], path: str, limit: int
) -> AsyncIterator[bytes]:
    """What follows the start, `limit` bytes at most; 0 = no limit. Raises `InvalidField`,
    `TooLarge`."""
    total = 0
    async for request in requests:
        if not request.HasField("piece"):
            raise InvalidField("piece", "after the start, each message is a piece")
        total += len(request.piece)
        if limit and total > limit:
            raise written_too_large(path, total, limit)
        yield request.piece


@asynccontextmanager
async def heard_out(requests: AsyncIterator[pb.StoreRequest]) -> AsyncIterator[None]:
    """A writer that is refused is first heard to its end, within bounds, and what it says is thrown
    away: gRPC for Python tells one that is cut off while it sends INTERNAL, instead of why."""
    try:
        yield
    except Fault:
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARD_S):
                await _heard(requests)
        raise


async def _heard(requests: AsyncIterator[pb.StoreRequest]) -> None:
    size = 0
    async for request in requests:
        size += len(request.piece)
        if size > HEARD_BYTES:
            return
