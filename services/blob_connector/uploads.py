"""A blob written in blocks, which nobody sees before the last one has arrived."""

import asyncio
import hashlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import BlobClient

from services.blob_connector.azure import Container
from services.blob_connector.errors import AuthenticationFailed, BlobNotFound, Forbidden

# 50,000 blocks at most: 200 GB
BLOCK_BYTES = 4 * 1024 * 1024
BLOCKS_AHEAD = 3


@dataclass(frozen=True)
class Stored:
    size_bytes: int
    etag: str
    md5: bytes


async def write(
    container: Container,
    name: str,
    pieces: AsyncIterator[bytes],
    *,
    content_type: str,
    overwrite: bool,
    is_gone: Callable[[], bool],
) -> Stored:
    """Stages blocks and commits them at the end, unless the writer `is_gone`. Raises `Exists`, also
    where the blob came into being meanwhile."""
    if not overwrite:
        await _require_free(container, name)
    client = container.client_of(name)
    guard: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
    with container.spoken(name, writing=True):
        blocks, size, md5 = await _staged(client, pieces)
        # the end of a torn stream may be seen before its tearing
        await asyncio.sleep(0)
        if is_gone():
            raise asyncio.CancelledError
        told: dict[str, Any] = await client.commit_block_list(
            blocks,
            content_settings=ContentSettings(
                content_type=content_type or None, content_md5=bytearray(md5)
            ),
            **guard,
        )
    return Stored(size, str(told.get("etag", "")).strip('"'), md5)


async def _require_free(container: Container, name: str) -> None:
    """Told before the bytes move, where the credential may look."""
    try:
        await container.properties(name)
    except (BlobNotFound, Forbidden, AuthenticationFailed):
        return
    raise container.words.exists(name)


async def _staged(
    client: BlobClient, pieces: AsyncIterator[bytes]
) -> tuple[list[BlobBlock], int, bytes]:
    """The blocks' list, their size together, and the MD5 that whoever reads the blob can hold it
    against."""
    digest = hashlib.md5(usedforsecurity=False)
    # names of its own: another upload to the same blob at the same time must not mix with this one
    upload = secrets.token_hex(8)
    blocks: list[BlobBlock] = []
    size = 0
    coming: deque[asyncio.Future[Any]] = deque()
    try:
        async for data in blocked(pieces):
            block = BlobBlock(f"{upload}-{len(blocks):06d}")
            blocks.append(block)
            size += len(data)
            await asyncio.to_thread(digest.update, data)
            coming.append(asyncio.ensure_future(client.stage_block(block.id, data)))
            if len(coming) >= BLOCKS_AHEAD:
                await coming[0]
                coming.popleft()
        while coming:
            await coming[0]
            coming.popleft()
    finally:
        for task in coming:
            task.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
    return blocks, size, digest.digest()


async def blocked(pieces: AsyncIterator[bytes], size: int = BLOCK_BYTES) -> AsyncIterator[bytes]:
    """The same bytes in blocks of `size`; only the last is smaller."""
    waiting = bytearray()
    async for piece in pieces:
        waiting += piece
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)
