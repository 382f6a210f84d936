"""A blob as a seekable file, of which only the ranges are fetched that a reader asks for."""

import asyncio
import io
import threading
from concurrent.futures import Future

from connectorkit.files.members import Opened
from services.blob_connector.azure import Blob, Container

BLOCK_BYTES = 1024 * 1024
# what is fetched at once, at most
AHEAD_BYTES = 4 * BLOCK_BYTES
# as much as Arrow reads to look for the footer of a Parquet file
SMALL_BYTES = 64 * 1024


class RangeFile(Opened):
    """Made on the loop, read in threads (ours, and Arrow's own), one at a time.

    The last block is kept, so that small reads do not each go to the service. `straight`: it will
    be read from end to end, so that the next block is fetched meanwhile; otherwise hardly more is
    fetched than is asked for.
    """

    def __init__(self, container: Container, blob: Blob, *, straight: bool) -> None:
        self._straight = straight
        self._loop = asyncio.get_running_loop()
        self._container = container
        self._blob = blob
        self._at = 0
        self._block_at, self._block = 0, b""
        self._next: tuple[int, Future[bytes]] | None = None
        self._coming: set[Future[bytes]] = set()
        self._lock = threading.Lock()
        self._aborted = False

    def abort(self) -> None:
        """From any thread, also while another one reads."""
        with self._lock:
            self._aborted = True
            coming = list(self._coming)
        for each in coming:
            each.cancel()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        """For Arrow."""
        return self._blob.size_bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._blob.size_bytes - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        parts: list[bytes] = []
        while wanted > 0:
            part = self._within(wanted)
            parts.append(part)
            self._at += len(part)
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _within(self, wanted: int) -> bytes:
        """Bytes at the position, at most `wanted`, from a block that is fetched where needed."""
        offset = self._at - self._block_at
        if not 0 <= offset < len(self._block):
            self._load(wanted)
            offset = 0
        return self._block[offset : offset + wanted]

    def _load(self, wanted: int) -> None:
        prepared, self._next = self._next, None
        if prepared is not None and prepared[0] == self._at:
            coming = prepared[1]
        else:
            if prepared is not None:
                prepared[1].cancel()
            coming = self._start(self._at, self._size(wanted))
        self._block, began = b"", self._block_at + len(self._block)
        following = self._following(wanted, went_on=self._at == began and began > 0)
        self._block = coming.result()
        self._block_at = self._at
        end = self._at + len(self._block)
        if following and end < self._blob.size_bytes:
            self._next = end, self._start(end, following)

    def _size(self, wanted: int) -> int:
        least = BLOCK_BYTES if self._straight else SMALL_BYTES
        return max(least, min(wanted, AHEAD_BYTES))

    def _following(self, wanted: int, *, went_on: bool) -> int:
        """How much to fetch of what comes behind the block."""
        if self._straight:
            return AHEAD_BYTES if went_on else 0
        return min(AHEAD_BYTES, max(0, wanted - AHEAD_BYTES))

    def _start(self, offset: int, most: int) -> "Future[bytes]":
        length = min(most, self._blob.size_bytes - offset)
        with self._lock:
            if self._aborted:
                raise ValueError("the file is closed")
            reading = self._container.range(self._blob, offset, length)
            coming = asyncio.run_coroutine_threadsafe(reading, self._loop)
            self._coming.add(coming)
        coming.add_done_callback(self._coming.discard)
        return coming
