"""Files that come in pieces, and go in pieces."""

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.places import placed
from isobath_client.sync.transport import in_thread

PIECE_BYTES = 512 * 1024


def written(responses: Generator[Any, None], into: Path) -> Path:
    """A header's file with the pieces behind it, in `into`, a folder or a path: whole or not at
    all."""
    with closing(responses):
        target = placed(into, (next(responses)).header.name)
        part = target.with_name(target.name + ".part")
        try:
            with in_thread(part.open, "wb") as file:
                for response in responses:
                    in_thread(file.write, response.piece)
            in_thread(part.replace, target)
        finally:
            part.unlink(missing_ok=True)
    return target


def read(responses: Generator[Any, None]) -> bytes:
    """The same in memory."""
    with closing(responses):
        return b"".join([response.piece for response in responses])


def pieces(path: Path) -> Iterator[messages.UploadFileRequest]:
    """A file as UploadFile takes it."""
    start = messages.UploadFileStart(name=path.name, purpose="user_data")
    yield messages.UploadFileRequest(start=start)
    with in_thread(path.open, "rb") as file:
        while piece := in_thread(file.read, PIECE_BYTES):
            yield messages.UploadFileRequest(piece=piece)
