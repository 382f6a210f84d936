"""The files of a query as DuckDB sees them, in its own process: names and ranges, nothing else.

There is no file and no network behind it but one socket to the connector, which knows the files by
their numbers and serves ranges of no others.
"""

import io
import socket
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from connectorkit.files.sql.frames import (
    ANSWER,
    HEAD,
    MOST_RANGE_BYTES,
    RANGE,
    Kind,
    head,
    packed,
)

PROTOCOL = "lake"
_ROOT = f"{PROTOCOL}://"


class LostRange(OSError):
    """The connector could not read it; it knows why."""


class Ranges:
    """Asks for ranges, from any thread; large ones in parts at once."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, Future[bytes]] = {}

    def start(self) -> None:
        threading.Thread(target=self._receive, name="ranges", daemon=True).start()

    def read(self, file: int, offset: int, length: int) -> bytes:
        """Raises LostRange."""
        ends = range(offset, offset + length, MOST_RANGE_BYTES)
        parts = [self._ask(file, at, min(MOST_RANGE_BYTES, offset + length - at)) for at in ends]
        return b"".join(part.result() for part in parts)

    def _ask(self, file: int, offset: int, length: int) -> Future[bytes]:
        coming: Future[bytes] = Future()
        with self._lock:
            self._number = (self._number + 1) % (1 << 32)
            self._waiting[self._number] = coming
            asked = RANGE.pack(file, offset, length, self._number)
            self._link.sendall(packed(Kind.RANGE, asked))
        return coming

    def _receive(self) -> None:
        while True:
            size, kind = head(received(self._link, HEAD.size))
            body = received(self._link, size)
            with self._lock:
                coming = self._waiting.pop(ANSWER.unpack_from(body)[0], None)
            if coming is None:
                continue
            if kind is Kind.BYTES:
                coming.set_result(body[ANSWER.size :])
            else:
                coming.set_exception(LostRange("it could not be read"))


def received(link: socket.socket, size: int) -> bytes:
    """Exactly so many bytes. At the end of the connection the process has nothing to live for."""
    parts, left = [], size
    while left:
        part = link.recv(min(left, 1 << 20))
        if not part:
            raise SystemExit(0)
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Lake(AbstractFileSystem):  # type: ignore[misc]
    """`lake://NAME`; `families` are the names that each path of the statement stands for."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, ranges: Ranges) -> None:
        super().__init__()
        self._ranges = ranges
        self._files: Mapping[str, tuple[int, int]] = {}
        self._families: Mapping[str, Sequence[str]] = {}

    def know(self, files: Sequence[tuple[str, int]], families: Mapping[str, Sequence[str]]) -> None:
        self._files = {name: (at, size) for at, (name, size) in enumerate(files)}
        self._families = families

    def glob(self, path: str, maxdepth: int | None = None, **_: Any) -> list[str]:
        name = _name(path)
        if name in self._families:
            return list(self._families[name])
        return [name] if name in self._files else []

    def exists(self, path: str, **_: Any) -> bool:
        return _name(path) in self._files

    def isfile(self, path: str) -> bool:
        return self.exists(path)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "type": "file", "size": self._file(path)[1]}

    def modified(self, path: str) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC)

    def open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> "Opened":
        if mode not in ("rb", "r"):
            raise PermissionError("nothing is written here")
        return Opened(self._ranges, *self._file(path))

    def _file(self, path: str) -> tuple[int, int]:
        found = self._files.get(_name(path))
        if found is None:
            raise FileNotFoundError(path)
        return found


def _name(path: str) -> str:
    return str(path).removeprefix(_ROOT)


class Opened(io.RawIOBase):
    """What DuckDB reads of a file: it seeks, and reads as much as it wants."""

    def __init__(self, ranges: Ranges, file: int, size: int) -> None:
        self._ranges, self._file, self._size = ranges, file, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self._ranges.read(self._file, self._at, wanted) if wanted else b""
        self._at += len(data)
        return data
