"""Files that come in pieces, and go in pieces."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.aio.transport import in_thread
from isobath_client.places import placed

PIECE_BYTES = 512 * 1024


async def written(responses: AsyncGenerator[Any, None], into: Path) -> Path:
    """A header's file with the pieces behind it, in `into`, a folder or a path: whole or not at
    all."""
    async with aclosing(responses):
        target = placed(into, (await anext(responses)).header.name)
        part = target.with_name(target.name + ".part")
        try:
            with await in_thread(part.open, "wb") as file:
                async for response in responses:
                    await in_thread(file.write, response.piece)
            await in_thread(part.replace, target)
        finally:
            part.unlink(missing_ok=True)
    return target


async def read(responses: AsyncGenerator[Any, None]) -> bytes:
    """The same in memory."""
    async with aclosing(responses):
        return b"".join([response.piece async for response in responses])


async def pieces(path: Path) -> AsyncIterator[messages.UploadFileRequest]:
    """A file as UploadFile takes it."""
    start = messages.UploadFileStart(name=path.name, purpose="user_data")
    yield messages.UploadFileRequest(start=start)
    with await in_thread(path.open, "rb") as file:
        while piece := await in_thread(file.read, PIECE_BYTES):
            yield messages.UploadFileRequest(piece=piece)
