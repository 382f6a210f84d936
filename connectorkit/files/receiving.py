"""The pieces of a Store."""

from collections.abc import AsyncIterator

from connectorkit.files.sizes import written_too_large
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField


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
