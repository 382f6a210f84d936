"""A file of a folder, opened for reading."""

import asyncio
import contextlib
import io
import os
from types import TracebackType
from typing import Self

from connectorkit.files.members import Opened
from services.file_connector.folders import File, Folder, read_at


class OpenedFile(Opened):
    """`async with OpenedFile(folder, file, straight=True) as file`. Entering raises as
    `Folder.open`; reading raises `Changed` once it is not the file that was listed."""

    def __init__(self, folder: Folder, member: File, *, straight: bool) -> None:
        self._folder, self._member = folder, member
        self._straight = straight
        self._descriptor = -1
        self._at = 0
        self._aborted = False

    async def __aenter__(self) -> Self:
        try:
            await self._folder.threads.run(self._open)
        except BaseException:
            # the thread may have opened it for one who was cancelled meanwhile
            self._let_go()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()
        await asyncio.shield(self._folder.threads.run(self._let_go))

    def abort(self) -> None:
        # what is read from a disk comes soon: the next part is not read any more
        self._aborted = True

    def _open(self) -> None:
        self._descriptor = self._folder.open(self._member)
        if self._straight:
            with contextlib.suppress(OSError):  # advice, which not every file system takes
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        """For Arrow."""
        return self._member.size_bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        if self._aborted:
            raise ValueError("the file is closed")
        left = max(0, self._member.size_bytes - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        data = read_at(self._descriptor, self._member, self._at, wanted)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
