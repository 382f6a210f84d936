"""A session's folder, which its programs write and this service reads and writes beside them.

Nothing in it is to be trusted (see servicekit.beneath), and everything is counted."""

import asyncio
import contextlib
import errno
import hashlib
import mimetypes
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from servicekit import beneath
from servicekit.beneath import FOLDER, NEW, step
from servicekit.limits import Limiter
from services.sandbox.errors import NoSuchFile, UnsafePath, WorkspaceFull
from services.sandbox.isolation.port import Account
from services.sandbox.names import RESERVED, checked

_ENTRIES = 20_000
_DEPTH = 32
_AT_A_GLANCE = 32
_MEDIA_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.stream",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".ipynb": "application/x-ipynb+json",
}


@dataclass(frozen=True)
class FileInfo:
    path: str
    size_bytes: int
    modified_ns: int
    # with the time of change, tells whether a file is the one that was seen before
    inode: int = 0

    @property
    def media_type(self) -> str:
        suffix = os.path.splitext(self.path)[1].lower()  # noqa: PTH122
        guessed = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(self.path)[0]
        return guessed or "application/octet-stream"


Snapshot = dict[str, FileInfo]


class Workspace:
    """`limit_bytes`: of all files together. Blocking: to be called in threads, but for
    `glance`."""

    def __init__(self, root: Path, account: Account, limit_bytes: int) -> None:
        self.root, self.account, self.limit_bytes = root, account, limit_bytes

    # -- reading

    def open_file(self, path: str) -> tuple[FileIO, FileInfo]:
        """A file for reading, which the caller closes. Raises NoSuchFile, UnsafePath."""
        parts = checked(path)
        try:
            with self._folder(parts[:-1], create=False) as folder:
                descriptor, found = beneath.regular(folder, parts[-1])
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise NoSuchFile(path) from exc
        except OSError as exc:
            raise UnsafePath(path, "it is a link, or not a file to read") from exc
        return os.fdopen(descriptor, "rb", buffering=0), _info(path, found)

    def files(self) -> list[FileInfo]:
        """All regular files, in name order; what is too deep or too many is left out."""
        return sorted(self._scan(), key=lambda info: info.path)

    def snapshot(self) -> Snapshot:
        return {info.path: info for info in self._scan()}

    def glance(self) -> Snapshot | None:
        """A snapshot of a few files, which takes less time than a thread for it; None of more."""
        found: Snapshot = {}
        for info in self._scan():
            if len(found) == _AT_A_GLANCE:
                return None
            found[info.path] = info
        return found

    def usage_bytes(self) -> int:
        return sum(info.size_bytes for info in self._scan())

    def digest(self, path: str) -> tuple[FileInfo, str]:
        """SHA-256 of a file as it is now."""
        opened, info = self.open_file(path)
        with opened as file:
            return info, hashlib.file_digest(file, "sha256").hexdigest()

    def _scan(self) -> Iterator[FileInfo]:
        root = os.open(self.root, FOLDER)
        try:
            device = os.fstat(root).st_dev
            left = [_ENTRIES]
            yield from _walk(root, "", _DEPTH, device, left)
        finally:
            os.close(root)

    # -- writing

    def writing(self, path: str, *, room_bytes: int) -> "Writing":
        """A new file, which appears under its name when it is whole. Raises UnsafePath."""
        return Writing(self, path, room_bytes)

    def make_folder(self, path: str) -> None:
        """With those that it is in; one that is there is no error. Raises UnsafePath."""
        try:
            with self._folder(checked(path), create=True):
                pass
        except OSError as exc:
            raise UnsafePath(path, "a link or a file stands in its way") from exc

    def room_bytes(self) -> int:
        return max(0, self.limit_bytes - self.usage_bytes())

    def full(self) -> WorkspaceFull:
        return WorkspaceFull(f"{self.limit_bytes} bytes of files", self.limit_bytes)

    @contextlib.contextmanager
    def _folder(self, parts: tuple[str, ...], *, create: bool) -> Iterator[int]:
        """The last of these folders, each opened from the one before."""
        into = self._made if create else step
        with beneath.folder(os.open(self.root, FOLDER), parts, into) as at:
            yield at

    def _made(self, at: int, part: str) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=at)
            self._own(part, at)
        return step(at, part)

    def _own(self, name: str, folder: int) -> None:
        if self.account.switch:
            os.chown(name, self.account.uid, self.account.gid, dir_fd=folder, follow_symlinks=False)

    # -- its life

    def create(self) -> None:
        self.root.mkdir(mode=0o700, parents=True)
        if self.account.switch:
            os.chown(self.root, self.account.uid, self.account.gid)

    def remove(self) -> None:
        remove_tree(self.root)

    def move_into(self, slot: Path, account: Account) -> None:
        """Moves the content into a slot's folder, which then takes this one's name: what is bound
        to the slot's folder follows it (mounts and rules hold the inode, not the name)."""
        source, target = os.open(self.root, FOLDER), os.open(slot, FOLDER)
        try:
            for name in _names(source):
                if name.startswith(RESERVED):
                    _remove_below(source, name)
                    continue
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            if account.switch:
                _own_all(target, account)
        finally:
            os.close(source)
            os.close(target)
        self.root.rmdir()
        slot.rename(self.root)
        self.account = account

    def take(self, slot: Path, account: Account) -> None:
        """As `move_into`, for a workspace that is not there yet."""
        slot.rename(self.root)
        self.account = account


class Writing:
    """`with workspace.writing(path, …) as file: file.write(…); info = file.commit()`.

    Without commit nothing is left. `sha256` is of what was written."""

    def __init__(self, workspace: Workspace, path: str, room_bytes: int) -> None:
        self._workspace, self.path, self._room = workspace, path, room_bytes
        self._parts = checked(path)
        self._temporary = f"{RESERVED}{secrets.token_hex(8)}"
        self._stack = contextlib.ExitStack()
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self._committed = False

    def __enter__(self) -> Self:
        folders = self._workspace._folder(self._parts[:-1], create=True)
        try:
            self._folder = self._stack.enter_context(folders)
            descriptor = os.open(self._temporary, NEW, 0o600, dir_fd=self._folder)
            self._stack.callback(self._discard)
        except OSError as exc:
            self._stack.close()
            raise UnsafePath(self.path, "a link or a file stands in its way") from exc
        self._file = self._stack.enter_context(os.fdopen(descriptor, "wb"))
        account = self._workspace.account
        if account.switch:
            os.fchown(descriptor, account.uid, account.gid)
        return self

    def write(self, data: bytes) -> None:
        if self.size_bytes + len(data) > self._room:
            raise self._workspace.full()
        try:
            self._file.write(data)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._workspace.full() from exc
            raise
        self._hash.update(data)
        self.size_bytes += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def dress(self, mode: int, modified_ns: int) -> None:
        """Gives it permissions, of which its owner has those to read and write, and its time."""
        self._file.flush()
        descriptor = self._file.fileno()
        os.fchmod(descriptor, 0o600 | mode)
        os.utime(descriptor, ns=(modified_ns, modified_ns))

    def commit(self) -> FileInfo:
        """Puts it in its place, over a file or a link that is there; never through one."""
        self._file.flush()
        try:
            os.rename(
                self._temporary,
                self._parts[-1],
                src_dir_fd=self._folder,
                dst_dir_fd=self._folder,
            )
        except OSError as exc:
            raise UnsafePath(self.path, "a folder stands in its place") from exc
        self._committed = True
        return _info(self.path, os.fstat(self._file.fileno()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _discard(self) -> None:
        if not self._committed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._folder)

    @asynccontextmanager
    async def opened(self, threads: Limiter) -> AsyncIterator[Self]:
        """The same, where a thread opens and closes it."""
        try:
            await threads.run(self.__enter__)
            yield self
        finally:
            await asyncio.shield(threads.run(self.__exit__, None, None, None))


def _info(path: str, found: os.stat_result) -> FileInfo:
    return FileInfo(path, found.st_size, found.st_mtime_ns, found.st_ino)


def _walk(folder: int, prefix: str, depth: int, device: int, left: list[int]) -> Iterator[FileInfo]:
    with os.scandir(folder) as entries:
        for entry in entries:
            left[0] -= 1
            if left[0] < 0:
                return
            path = f"{prefix}{entry.name}"
            if entry.name.startswith(RESERVED) or not _is_text(entry.name):
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone meanwhile
            if stat.S_ISREG(found.st_mode):
                yield _info(path, found)
            elif stat.S_ISDIR(found.st_mode) and depth > 0:
                yield from _below(folder, entry.name, path, depth, device, left)


def _below(
    folder: int, name: str, path: str, depth: int, device: int, left: list[int]
) -> Iterator[FileInfo]:
    try:
        below = os.open(name, FOLDER, dir_fd=folder)
    except OSError:
        return  # gone, became a link, or closed by its owner
    try:
        if os.fstat(below).st_dev == device:
            yield from _walk(below, f"{path}/", depth - 1, device, left)
    finally:
        os.close(below)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _own_all(folder: int, account: Account, depth: int = _DEPTH) -> None:
    """As deep as files are shown."""
    for name in _names(folder):
        os.chown(name, account.uid, account.gid, dir_fd=folder, follow_symlinks=False)
        try:
            below = os.open(name, FOLDER, dir_fd=folder)
        except OSError:
            continue  # not a folder
        try:
            if depth > 0:
                _own_all(below, account, depth - 1)
        finally:
            os.close(below)


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def remove_tree(root: Path) -> None:
    """Removes a folder and all in it, however deep and whatever is closed to its own account.
    What is not there is no error."""
    try:
        parent = os.open(root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove_below(parent, root.name)
    finally:
        os.close(parent)


def _remove_below(folder: int, name: str) -> None:
    """Folders in a folder are first moved up beside each other: a tree may be deeper than there
    are descriptors, or frames of a stack."""
    if _unlinked(folder, name):
        return
    top = _opened_for_removal(folder, name)
    try:
        waiting = _names(top)
        while waiting:
            waiting += _flattened(top, waiting.pop())
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=folder)


def _flattened(top: int, name: str) -> list[str]:
    """Removes an entry; the folders that were in it now stand in `top`, under these names."""
    if _unlinked(top, name):
        return []
    moved = []
    below = _opened_for_removal(top, name)
    try:
        for inner in _names(below):
            if not _unlinked(below, inner):
                # a folder that is closed to its own account cannot be moved either
                os.close(_opened_for_removal(below, inner))
                moved.append(f"{RESERVED}{secrets.token_hex(8)}")
                os.rename(inner, moved[-1], src_dir_fd=below, dst_dir_fd=top)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=top)
    return moved


def _unlinked(folder: int, name: str) -> bool:
    """False = it is a folder."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    return True


def _opened_for_removal(folder: int, name: str) -> int:
    """Of a folder that may be closed to its own account. O_NOFOLLOW, then by the descriptor."""
    found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        # chmod by /proc: a descriptor of O_PATH takes no fchmod
        os.chmod(f"/proc/self/fd/{found}", 0o700)  # noqa: PTH101
    finally:
        os.close(found)
    return os.open(name, FOLDER, dir_fd=folder)
