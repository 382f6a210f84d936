"""One file from the pieces of a stream, which nobody sees before the last one has arrived.

It is written beside its place under a name that no list shows, and put there in one step.
"""

import asyncio
import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from connectorkit.files.patterns import is_pattern
from connectorkit.files.receiving import pieces
from grants.scope import inside
from isobath.connector.v1 import connector_pb2 as pb
from servicekit import beneath
from servicekit.status import InvalidField
from services.file_connector.errors import Exists, FolderFault, Forbidden, NoRoom, NoSuchFile
from services.file_connector.folders import Folder, etag_of
from services.file_connector.paths import TEMPORARY

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# where a file system knows no hard links
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
# renameat2(2)
_RENAME_NOREPLACE = 1
_libc = ctypes.CDLL(None, use_errno=True)


async def store(
    folder: Folder,
    start: pb.StoreStart,
    requests: AsyncIterator[pb.StoreRequest],
    *,
    config: Mapping[str, Any],
    max_bytes: int,
    is_gone: Callable[[], bool],
) -> pb.StoreResponse:
    """Writes what follows `start`, where the operator and `writable_folders` of the source allow
    it. A caller who `is_gone` at the end leaves nothing: its stream may end for want of a
    connection. Raises `InvalidField`, `Forbidden`, `TooLarge`, `NoRoom`, `Exists`."""
    if is_pattern(start.path):
        raise InvalidField("start.path", "it holds *, ?, [ or {, which stand for patterns")
    try:
        writing = Writing(folder, start.path, overwrite=start.overwrite)
    except NoSuchFile as bad:
        raise InvalidField("start.path", bad.message) from bad
    _require_writable(folder, start.path, config)
    threads = folder.threads
    try:
        await threads.run(writing.begin)
        async for piece in pieces(requests, start.path, max_bytes):
            await threads.run(writing.write, piece)
        # the end of a torn stream may be seen before its tearing
        await asyncio.sleep(0)
        if is_gone():
            raise asyncio.CancelledError
        return await threads.run(writing.commit)
    finally:
        await asyncio.shield(threads.run(writing.close))


def _require_writable(folder: Folder, path: str, config: Mapping[str, Any]) -> None:
    if not folder.writable:
        raise Forbidden(
            f"nothing may be written to {folder.label}: the operator has not allowed it",
            remedy="Have the root named in ISOBATH_FILE_CONNECTOR_WRITABLE_ROOTS.",
            path=path,
        )
    allowed = [str(each) for each in config.get("writable_folders") or ()]
    if inside(path, allowed):
        return
    under = f"lies outside of {', '.join(allowed)}" if allowed else "may not be written"
    raise Forbidden(
        f"{path} {under}: writable_folders of the source names what may be",
        remedy="Choose a path under one of them, or have writable_folders changed.",
        path=path,
    )


class Writing:
    """`begin`, then `write` each piece, then `commit`; `close` in any case: without commit nothing
    is left of it but folders that it made. Blocking, in one thread at a time. Raises
    `NoSuchFile` for what can be no name."""

    def __init__(self, folder: Folder, path: str, *, overwrite: bool) -> None:
        self._folder, self._path, self._overwrite = folder, path, overwrite
        *self._parents, self._name = folder.parts_of(path)
        self._temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
        self._stack = contextlib.ExitStack()
        self._at = self._descriptor = -1
        self._digest = hashlib.md5(usedforsecurity=False)

    def begin(self) -> None:
        """Raises `Exists`, `Forbidden`, `NoRoom`."""
        with self._speaking():
            way = self._folder.descended(self._parents, _made)
            self._at = self._stack.enter_context(way)
            self._require_free()
            self._descriptor = os.open(self._temporary, beneath.NEW, 0o640, dir_fd=self._at)
            self._stack.callback(self._discard)
            self._stack.callback(os.close, self._descriptor)

    def write(self, data: bytes) -> None:
        """Raises `NoRoom`."""
        self._digest.update(data)
        left = memoryview(data)
        with self._speaking():
            while left:
                left = left[os.write(self._descriptor, left) :]

    def commit(self) -> pb.StoreResponse:
        """Puts it in its place: over a file only where that was asked for, and never through a
        link. Raises `Exists`."""
        with self._speaking():
            os.fsync(self._descriptor)
            if self._overwrite:
                self._require_free()
                os.rename(self._temporary, self._name, src_dir_fd=self._at, dst_dir_fd=self._at)
            else:
                _put(self._at, self._temporary, self._name)
                # with a second name, the file has changed by the clock of its changes
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._temporary, dir_fd=self._at)
            with contextlib.suppress(OSError):  # not every file system takes it of a folder
                os.fsync(self._at)
        found = os.fstat(self._descriptor)
        return pb.StoreResponse(
            path=self._path,
            size_bytes=found.st_size,
            etag=etag_of(found),
            md5=self._digest.hexdigest(),
        )

    def close(self) -> None:
        self._stack.close()

    def _discard(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._at)

    def _require_free(self) -> None:
        """That nothing is there; or a file, where it may be overwritten."""
        try:
            found = os.stat(self._name, dir_fd=self._at, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise beneath.NotRegular
        if not self._overwrite:
            raise FileExistsError

    @contextlib.contextmanager
    def _speaking(self) -> Any:
        try:
            yield
        except FileExistsError as exc:
            raise Exists(
                f"{self._path} is there already",
                remedy="Choose another name, or ask for overwriting.",
                path=self._path,
            ) from exc
        except OSError as exc:
            raise self._fault(exc) from exc

    def _fault(self, exc: OSError) -> FolderFault:
        if exc.errno in _FULL:
            return NoRoom(
                f"{self._path} cannot be written: {exc.strerror}",
                remedy="Have room made on the disk, or the quota raised; nothing was written.",
                path=self._path,
            )
        if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return Forbidden(
                f"the account of the connector may not write {self._path}: {exc.strerror}",
                remedy="Have the folder mounted writable and its account given the right.",
                path=self._path,
            )
        if exc.errno in (errno.ENOTDIR, errno.ELOOP):
            return Forbidden(
                f"{self._path} cannot be written: a file or a link stands in the way",
                remedy="Choose another folder.",
                path=self._path,
            )
        return self._folder.fault(exc, self._path)


def _made(at: int, name: str) -> int:
    """The step into a folder, which is made where it is not there."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o750, dir_fd=at)
    return beneath.step(at, name)


def _put(at: int, name: str, place: str) -> None:
    """Gives a file its place, where nothing is yet. Raises FileExistsError, OSError."""
    try:
        os.link(name, place, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        told = _libc.renameat2(at, os.fsencode(name), at, os.fsencode(place), _RENAME_NOREPLACE)
        if told:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number)) from exc
