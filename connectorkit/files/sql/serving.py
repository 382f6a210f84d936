"""Ranges of a query's files, for the process that runs it: of these files and of no others."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

from connectorkit.files.errors import FileFault, TooLarge
from connectorkit.files.members import Member
from connectorkit.files.sql import frames
from connectorkit.files.sql.frames import Kind
from servicekit import logs

_log = logs.get(__name__)
# that are fetched at once for one query: x 4 MiB are held
_AT_ONCE = 8


class Ranged(Protocol):
    """Where the files lie. `label` = what the log calls it."""

    @property
    def label(self) -> str: ...

    async def range(self, member: Any, offset: int, length: int) -> bytes:
        """Raises FileFault."""
        ...


@dataclass(frozen=True)
class Files:
    """What a query reads: files, the names that each of its paths stands for, and how many bytes
    of them at most; 0 = no limit."""

    source: Ranged
    members: Sequence[Member]
    families: Mapping[str, Sequence[str]]
    most_bytes: int = 0


class Link:
    """One of the two sockets to a process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def of(cls, ours: socket.socket) -> Self:
        return cls(*await asyncio.open_connection(sock=ours, limit=1 << 20))

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        """Raises ConnectionError."""
        await self._writer.drain()

    async def read(self) -> tuple[Kind, bytes]:
        """Raises IncompleteReadError at the end, ConnectionError, Broken."""
        size, kind = frames.head(await self._reader.readexactly(frames.HEAD.size))
        return kind, await self._reader.readexactly(size)

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


class Ranges:
    """Serves until the process ends, or is cancelled."""

    def __init__(self, link: Link, files: Files) -> None:
        self._link, self._files = link, files
        self._slots = asyncio.Semaphore(_AT_ONCE)
        # what went wrong: the process is only told that something did
        self.fault: FileFault | None = None
        self.bytes_read = 0

    async def serve(self) -> None:
        """Raises Broken for what is no question."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    kind, body = await self._link.read()
                except (asyncio.IncompleteReadError, ConnectionError):
                    return
                if kind is not Kind.RANGE or len(body) != frames.RANGE.size:
                    raise frames.Broken(f"{kind!r} instead of a range")
                await self._slots.acquire()
                group.create_task(self._range(*frames.RANGE.unpack(body)))

    async def _range(self, file: int, offset: int, length: int, number: int) -> None:
        head = frames.ANSWER.pack(number)
        try:
            if not self._is_within(file, offset, length):
                _log.warning("range_refused", file=file, offset=offset, length=length)
                self._link.write(frames.packed(Kind.LOST, head))
                return
            self._take(length)
            data = await self._files.source.range(self._files.members[file], offset, length)
            self._link.write(frames.packed(Kind.BYTES, head + data))
            with suppress(ConnectionError):
                await self._link.drain()
        except FileFault as fault:
            self.fault = self.fault or fault
            self._link.write(frames.packed(Kind.LOST, head))
        finally:
            self._slots.release()

    def _take(self, length: int) -> None:
        self.bytes_read += length
        most = self._files.most_bytes
        if most and self.bytes_read > most:
            raise TooLarge(
                f"the query would read more than the {most:,} bytes of files that one may",
                remedy="Narrow its paths, select fewer columns, or filter by folders.",
                limit_bytes=str(most),
            )

    def _is_within(self, file: int, offset: int, length: int) -> bool:
        if file >= len(self._files.members) or not 0 < length <= frames.MOST_RANGE_BYTES:
            return False
        return bool(offset + length <= self._files.members[file].size_bytes)
