"""One source's folder: what lies in it, and its files as they are opened.

All functions but `range` block: call them in a thread. Nothing is kept open between two calls, so
that a root which was mounted anew is read anew.
"""

import errno
import mimetypes
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectorkit.files.errors import TooLarge
from servicekit import beneath
from servicekit.limits import Limiter
from services.file_connector.errors import (
    BadConfig,
    Changed,
    FolderFault,
    Forbidden,
    NoSuchFile,
    RootNotAllowed,
    Unreachable,
)
from services.file_connector.paths import (
    MAX_PARTS,
    BadName,
    folder_parts,
    is_shown,
    parts_of,
    place_of,
)
from services.file_connector.settings import Settings

# of one folder: their names are held and sorted, some 20 MiB
MAX_ENTRIES = 100_000
# the root may be a link: it is the operator's own word
_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR)
_LOOK_AFTER = "Have the disk or the mount looked after, then try again."
_PACKED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "zstd": "application/zstd",
}
_MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
    "md": "text/markdown",
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# of its own, so that it does not depend on the machine's /etc/mime.types
_KNOWN = mimetypes.MimeTypes()


@dataclass(frozen=True)
class File:
    """A regular file. `name` is relative to the source's folder; `etag` is another one once the
    file was changed or replaced."""

    name: str
    size_bytes: int
    etag: str
    modified_at: datetime | None
    content_type: str
    readable: bool = True
    # for connectorkit: here names tell what is compressed
    encoding: str = ""


@dataclass(frozen=True)
class Subfolder:
    """Its name ends in "/"."""

    name: str


@dataclass
class Looking:
    """A look through a tree: from another thread it can be stopped. `left` = how many entries more
    it may see; below 0 it ended because they were used up, after `last`."""

    left: int
    stopped: threading.Event
    last: str = ""

    def sees(self, path: str) -> bool:
        """Whether it may see this one more."""
        self.left -= 1
        if self.left < 0 or self.stopped.is_set():
            return False
        self.last = path
        return True


class Folder:
    """`root` is the operator's path; `parts` lead from it to the source's folder."""

    def __init__(
        self,
        label: str,
        root: str,
        parts: Sequence[str],
        threads: Limiter,
        *,
        hidden: bool = False,
        writable: bool = False,
    ) -> None:
        self.label = label
        self.threads = threads
        # whether the operator lets results be written
        self.writable = writable
        self._root, self._parts, self._hidden = root, tuple(parts), hidden

    @classmethod
    def of(
        cls,
        config: Mapping[str, Any],
        roots: Mapping[str, str],
        settings: Settings,
        threads: Limiter,
    ) -> "Folder":
        """Of a source's settings. Raises `BadConfig`, `RootNotAllowed`."""
        try:
            root, folder = place_of(config)
            parts = folder_parts(folder, hidden=settings.hidden)
        except BadName as bad:
            raise BadConfig(
                f"the source's folder is not one: {bad}",
                remedy="Give root a name that the operator allows, and folder a path beneath it.",
                field="config.folder",
            ) from bad
        if root not in roots:
            raise RootNotAllowed(root, tuple(roots))
        label = "/".join((root, *parts))
        return cls(
            label,
            roots[root],
            parts,
            threads,
            hidden=settings.hidden,
            writable=root in settings.writable_roots,
        )

    # Names

    def parts_of(self, name: str) -> tuple[str, ...]:
        """Raises `NoSuchFile` for what can be no file's name."""
        try:
            return parts_of(name, hidden=self._hidden)
        except BadName as bad:
            raise _no_name(name, bad) from bad

    def folder_parts(self, path: str) -> tuple[str, ...]:
        """Raises `NoSuchFile` for what can be no folder's name."""
        try:
            return folder_parts(path, hidden=self._hidden)
        except BadName as bad:
            raise _no_name(path, bad) from bad

    # Descriptors

    @contextmanager
    def opened(self, parts: Sequence[str], *, file: str = "") -> Iterator[int]:
        """A folder beneath the source's own; `file` = the one in it that is meant. Raises
        FolderFault."""
        with ExitStack() as stack:
            with self._speaking(file or "/".join(parts), of_folder=not file):
                at = stack.enter_context(self.descended(parts))
            yield at

    def descended(
        self, parts: Sequence[str], into: beneath.Step = beneath.step
    ) -> AbstractContextManager[int]:
        """The same, where `into` is the step from one folder to the next. Raises `Unreachable`,
        OSError."""
        return beneath.folder(self._top(), (*self._parts, *parts), _on_one_device(into))

    def _top(self) -> int:
        try:
            return os.open(self._root, _ROOT)
        except OSError as exc:
            raise Unreachable(
                f"the root of {self.label} cannot be opened: {exc.strerror}",
                remedy="Have it mounted, and readable for the account of the connector.",
                source=self.label,
            ) from exc

    @contextmanager
    def _speaking(self, path: str, *, of_folder: bool = False) -> Iterator[None]:
        """What the system says, as ours."""
        try:
            yield
        except OSError as exc:
            raise self.fault(exc, path, of_folder=of_folder) from exc

    def fault(self, exc: OSError, path: str, *, of_folder: bool = False) -> FolderFault:
        shown = path or self.label
        if exc.errno in _GONE:
            what = "no such folder" if of_folder else "no such file"
            return NoSuchFile(
                f"{shown}: {what}", remedy="Browse the source for what there is.", path=path
            )
        if exc.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN):
            return Unreachable(
                f"{shown} cannot be read: {exc.strerror}",
                remedy=_LOOK_AFTER,
                source=self.label,
            )
        if isinstance(exc, (beneath.NotRegular, OtherDevice)) or exc.errno == errno.ELOOP:
            return Forbidden(
                f"{shown} is a link, a mount, or no regular file: such are not followed or read",
                remedy="Name a regular file beneath the source's folder.",
                path=path,
            )
        return Forbidden(
            f"{shown} may not be read by the account of the connector: {exc.strerror}",
            remedy="Have the account of the connector given the right to read it.",
            path=path,
        )

    # Files

    def file(self, name: str) -> File:
        """Raises `NoSuchFile`, `Forbidden`, `Unreachable`."""
        parts = self.parts_of(name)
        with self.opened(parts[:-1], file=name) as at, self._speaking(name):
            found = os.stat(parts[-1], dir_fd=at, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                # a folder is none, and whether a link's target is there is not told
                raise beneath.NotRegular
            return _file(name, found, readable=_may_read(at, parts[-1]))

    def open(self, member: File) -> int:
        """A descriptor, which the caller closes. Raises as `file`, and `Changed` where it is not
        the file any more that was listed."""
        parts = self.parts_of(member.name)
        with self.opened(parts[:-1], file=member.name) as at, self._speaking(member.name):
            descriptor, found = beneath.regular(at, parts[-1])
        if etag_of(found) != member.etag:
            os.close(descriptor)
            raise changed(member)
        return descriptor

    async def range(self, member: File, offset: int, length: int) -> bytes:
        """Raises as `open`."""
        return await self.threads.run(self._range, member, offset, length)

    def _range(self, member: File, offset: int, length: int) -> bytes:
        descriptor = self.open(member)
        try:
            return read_at(descriptor, member, offset, length)
        finally:
            os.close(descriptor)

    # Lists

    def require_folder(self, path: str) -> None:
        """Raises `NoSuchFile`, `Forbidden`."""
        with self.opened(self.folder_parts(path)):
            pass

    def level(self, path: str, after: str, looking: Looking) -> Iterator[File | Subfolder]:
        """What lies in a folder and comes after `after`, in name order. Raises `NoSuchFile`,
        `Forbidden`, `TooLarge`."""
        parts = self.folder_parts(path)
        head = "".join(f"{part}/" for part in parts)
        with self.opened(parts) as at:
            for name in self._names(at, path):
                if head + name <= after:
                    continue
                if not looking.sees(head + name):
                    return
                if name.endswith("/"):
                    yield Subfolder(head + name)
                elif (found := _seen(at, name, head)) is not None:
                    yield found

    def tree(self, prefix: str, after: str, looking: Looking) -> Iterator[File]:
        """All files whose names begin with `prefix` and come after `after`, in name order. What is
        too deep is left out, and what may not be looked into. Raises as `level`."""
        folder = prefix.rpartition("/")[0]
        parts = self.folder_parts(folder)
        with self.opened(parts) as at:
            head = f"{folder}/" if folder else ""
            yield from self._below(at, head, _Wanted(prefix, after, looking), len(parts))

    def _below(self, at: int, head: str, wanted: "_Wanted", depth: int) -> Iterator[File]:
        for name in self._names(at, head):
            path = head + name
            if not wanted.has(path):
                continue
            if not wanted.looking.sees(path):
                return
            if name.endswith("/"):
                yield from self._into(at, name, path, wanted, depth + 1)
            elif (found := _seen(at, name, head)) is not None:
                yield found

    def _into(self, at: int, name: str, path: str, wanted: "_Wanted", depth: int) -> Iterator[File]:
        if depth >= MAX_PARTS:
            return
        try:
            below = _on_one_device(beneath.step)(at, name.rstrip("/"))
        except OSError:
            return  # gone, became a link, a mount, or closed to us
        try:
            yield from self._below(below, path, wanted, depth)
        finally:
            os.close(below)

    def _names(self, at: int, path: str) -> list[str]:
        """Files and folders, these with "/", in name order. Links and the like are left out, and
        what cannot be asked for."""
        found: list[str] = []
        with self._speaking(path, of_folder=True), os.scandir(at) as entries:
            for entry in entries:
                if len(found) == MAX_ENTRIES:
                    raise TooLarge(
                        f"{path or self.label} holds more than {MAX_ENTRIES:,} entries: they are "
                        "not listed",
                        remedy="Name a file, or have it divided into folders.",
                        path=path,
                    )
                if not is_shown(entry.name, hidden=self._hidden):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.append(f"{entry.name}/")
                elif entry.is_file(follow_symlinks=False):
                    found.append(entry.name)
        return sorted(found)

    def may_write(self) -> bool:
        """Whether the account of the connector could."""
        with self.opened(()) as at:
            return os.access(".", os.W_OK | os.X_OK, dir_fd=at)


@dataclass(frozen=True)
class _Wanted:
    """Of a tree: names that begin with `prefix` and come after `after`."""

    prefix: str
    after: str
    looking: Looking

    def has(self, path: str) -> bool:
        """Whether it is wanted, or of a folder ("…/") whether something in it may be."""
        if not path.endswith("/"):
            return path.startswith(self.prefix) and path > self.after
        if not (path.startswith(self.prefix) or self.prefix.startswith(path)):
            return False
        # all in it comes before `after`, unless that one lies in it too
        return path > self.after or self.after.startswith(path)


class OtherDevice(OSError):
    """Another file system is mounted there."""


def _on_one_device(into: beneath.Step) -> beneath.Step:
    """The step, but into no other file system."""

    def step(at: int, name: str) -> int:
        below = into(at, name)
        if os.fstat(below).st_dev != os.fstat(at).st_dev:
            os.close(below)
            raise OtherDevice("another file system is mounted there")
        return below

    return step


def _seen(at: int, name: str, head: str) -> File | None:
    """None = it is gone meanwhile, or another thing."""
    try:
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _file(head + name, found, readable=_may_read(at, name))


def _may_read(at: int, name: str) -> bool:
    return os.access(name, os.R_OK, dir_fd=at, follow_symlinks=False)


def _file(name: str, found: os.stat_result, *, readable: bool) -> File:
    kind = _content_type(name)
    return File(name, found.st_size, etag_of(found), _modified(found), kind, readable)


def _modified(found: os.stat_result) -> datetime | None:
    """None for a time beyond the calendar, which anybody can give to a file."""
    try:
        return datetime.fromtimestamp(found.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def etag_of(found: os.stat_result) -> str:
    """The time of change (ctime) cannot be set back as that of modification can."""
    facts = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return "-".join(f"{fact:x}" for fact in facts)


def _content_type(name: str) -> str:
    known = _MEDIA_TYPES.get(name.rpartition(".")[2].lower())
    if known:
        return known
    kind, packing = _KNOWN.guess_type(name.rpartition("/")[2])
    if packing:
        return _PACKED.get(packing, "application/octet-stream")
    return kind or "application/octet-stream"


def read_at(descriptor: int, member: File, offset: int, length: int) -> bytes:
    """These bytes of a file that is still the one that was listed. Raises `Changed`,
    `Unreachable`."""
    parts: list[bytes] = []
    try:
        while length and (part := os.pread(descriptor, length, offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        now = etag_of(os.fstat(descriptor))
    except OSError as exc:
        raise Unreachable(
            f"{member.name} cannot be read: {exc.strerror}", remedy=_LOOK_AFTER, path=member.name
        ) from exc
    if length or now != member.etag:
        raise changed(member)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def changed(member: File) -> Changed:
    return Changed(
        f"{member.name} changed while it was read",
        remedy="Read it again; if it is written all the time, have it copied first.",
        path=member.name,
    )


def _no_name(name: str, bad: BadName) -> NoSuchFile:
    return NoSuchFile(
        f"there can be no file {name!r}: {bad}",
        remedy="Browse the source for what there is.",
        path=name,
    )
