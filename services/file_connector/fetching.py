"""Files as they are, as the events of Fetch."""

import time

from connectorkit.fetching import PROGRESS_S, Item, complete
from connectorkit.files.sending import Events, Work, part_of, raw_header
from connectorkit.pieces import Piece
from connectorkit.tables import PIECE_BYTES
from servicekit.limits import Limiter
from services.file_connector.folders import File, Folder
from services.file_connector.opened import OpenedFile

# read in one step of a thread; all that is held of a file
STEP_BYTES = 4 * PIECE_BYTES


async def raw(work: Work[Folder, File], threads: Limiter) -> Events:
    """An item for each file. Raises `Changed`, and as `Folder.open`."""
    items: list[Item] = []
    told = time.monotonic()
    part = part_of(work.request, work.found)
    for member in work.found:
        left = member.size_bytes if part is None else part
        async with OpenedFile(work.store, member, straight=True) as file:
            items.append(item := Item(len(items)))
            yield item.header(raw_header(member))
            file.seek(work.request.offset_bytes)
            while left:
                pieces = await threads.run(_step, item, file, min(left, STEP_BYTES))
                for piece in pieces:
                    work.standing()
                    left -= len(piece.piece)
                    yield piece
                if left and time.monotonic() - told >= PROGRESS_S:
                    told = time.monotonic()
                    yield item.progress()
        yield item.summary(of_rows=False)
    yield complete(items)


def _step(item: Item, file: OpenedFile, size: int) -> list[Piece]:
    data = memoryview(file.read(size))
    return [item.piece(data[at : at + PIECE_BYTES]) for at in range(0, size, PIECE_BYTES)]
