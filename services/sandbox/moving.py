"""A workspace on its way from one replica to another: what is sent of it, and what is made of that.

Neither side trusts what lies there: every folder and file is opened from the one before, no link is
followed, and only regular files and folders travel, under names that a workspace may have."""

import hashlib
import os
import secrets
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.beneath import FOLDER, step
from servicekit.limits import Limiter
from services.sandbox.errors import BrokenTransfer, NoSuchFile, UnsafePath
from services.sandbox.names import RESERVED, checked
from services.sandbox.workspace import Workspace, Writing

_PIECE = 1024 * 1024
_ENTRIES = 20_000
_MODES = 0o700


@dataclass
class _Listing:
    """What goes, folders before what is in them, and how much stays."""

    entries: list[pb.WorkspaceEntry] = field(default_factory=list)
    left_out: int = 0


class Departure:
    """`messages` gives everything, the summary last. Nothing may write into the workspace."""

    def __init__(self, workspace: Workspace, threads: Limiter) -> None:
        self._workspace, self._threads = workspace, threads
        self._digest = hashlib.sha256()
        self._summary = pb.ExportSummary(export_id=secrets.token_hex(12))

    async def messages(self) -> AsyncGenerator[pb.ExportWorkspaceResponse, None]:
        listing = await self._threads.run(_listed, self._workspace)
        self._summary.left_out = listing.left_out
        for entry in listing.entries:
            if entry.is_folder:
                yield self._entry(entry)
                continue
            async with aclosing(self._file(entry)) as messages:
                async for message in messages:
                    yield message
        self._summary.sha256 = self._digest.hexdigest()
        yield pb.ExportWorkspaceResponse(summary=self._summary)

    @property
    def export_id(self) -> str:
        return self._summary.export_id

    async def _file(
        self, entry: pb.WorkspaceEntry
    ) -> AsyncGenerator[pb.ExportWorkspaceResponse, None]:
        try:
            file, info = await self._threads.run(self._workspace.open_file, entry.path)
        except (NoSuchFile, UnsafePath):
            self._summary.left_out += 1
            return
        with file:
            if self._summary.bytes + info.size_bytes > self._workspace.limit_bytes:
                # such as one with holes that says it is larger than any disk
                self._summary.left_out += 1
                return
            yield self._entry(entry)
            self._summary.files += 1
            left = info.size_bytes
            while left and (piece := await self._threads.run(file.read, min(_PIECE, left))):
                left -= len(piece)
                self._summary.bytes += len(piece)
                self._digest.update(piece)
                yield pb.ExportWorkspaceResponse(piece=piece)

    def _entry(self, entry: pb.WorkspaceEntry) -> pb.ExportWorkspaceResponse:
        self._digest.update(_told(entry))
        return pb.ExportWorkspaceResponse(entry=entry)


def _listed(workspace: Workspace) -> _Listing:
    listing = _Listing()
    root = os.open(workspace.root, FOLDER)
    try:
        _list(root, "", os.fstat(root).st_dev, listing)
    finally:
        os.close(root)
    return listing


def _list(folder: int, prefix: str, device: int, listing: _Listing) -> None:
    """As deep as `checked` lets a path be."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name.startswith(RESERVED):
                continue
            path = f"{prefix}{entry.name}"
            found = _travels(entry, path)
            if found is None or len(listing.entries) >= _ENTRIES:
                listing.left_out += 1
            elif stat.S_ISREG(found.st_mode):
                listing.entries.append(_described(path, found))
            else:
                _list_below(folder, entry.name, path, device, listing)


def _list_below(folder: int, name: str, path: str, device: int, listing: _Listing) -> None:
    try:
        below = step(folder, name)
    except OSError:
        # closed to its own account
        listing.left_out += 1
        return
    try:
        found = os.fstat(below)
        if found.st_dev == device:
            listing.entries.append(_described(path, found))
            _list(below, f"{path}/", device, listing)
    finally:
        os.close(below)


def _travels(entry: "os.DirEntry[str]", path: str) -> os.stat_result | None:
    try:
        checked(path)
        found = entry.stat(follow_symlinks=False)
    except (UnsafePath, OSError):
        return None
    return found if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else None


def _described(path: str, found: os.stat_result) -> pb.WorkspaceEntry:
    return pb.WorkspaceEntry(
        path=path,
        is_folder=stat.S_ISDIR(found.st_mode),
        mode=found.st_mode & _MODES,
        modified_ns=found.st_mtime_ns,
    )


def _told(entry: pb.WorkspaceEntry) -> bytes:
    return entry.SerializeToString(deterministic=True)


class Arrival:
    """Makes a workspace of what is sent, in a folder of its own. Raises BrokenTransfer, UnsafePath,
    WorkspaceFull; what is there then is the caller's to remove."""

    def __init__(self, workspace: Workspace, threads: Limiter) -> None:
        self._workspace, self._threads = workspace, threads
        self._digest = hashlib.sha256()
        self._writing: Writing | None = None
        self._dress = (0, 0)
        self._files = self._entries = self._bytes = 0

    async def take(self, messages: AsyncIterator[pb.ExportWorkspaceResponse]) -> pb.ExportSummary:
        """To the summary, which is what arrived too."""
        await self._threads.run(self._workspace.create)
        try:
            async for message in messages:
                if message.WhichOneof("event") == "summary":
                    await self._threads.run(self._finish)
                    self._require(message.summary)
                    return message.summary
                await self._threads.run(self._take, message)
        finally:
            await self._threads.run(self._abandon)
        raise BrokenTransfer("", "it ends before its summary")

    def _take(self, message: pb.ExportWorkspaceResponse) -> None:
        if message.WhichOneof("event") == "entry":
            self._finish()
            self._begin(message.entry)
        elif self._writing is None:
            raise BrokenTransfer("", "a piece belongs to no file")
        else:
            self._digest.update(message.piece)
            self._bytes += len(message.piece)
            self._writing.write(message.piece)

    def _begin(self, entry: pb.WorkspaceEntry) -> None:
        self._digest.update(_told(entry))
        self._entries += 1
        if self._entries > _ENTRIES:
            raise BrokenTransfer(entry.path, f"it has more than {_ENTRIES} entries")
        if entry.is_folder:
            self._workspace.make_folder(entry.path)
            return
        self._files += 1
        self._dress = (entry.mode & _MODES, entry.modified_ns)
        room = self._workspace.limit_bytes - self._bytes
        self._writing = self._workspace.writing(entry.path, room_bytes=room).__enter__()

    def _finish(self) -> None:
        if self._writing is not None:
            self._writing.dress(*self._dress)
            self._writing.commit()
            self._abandon()

    def _abandon(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.__exit__(None, None, None)

    def _require(self, summary: pb.ExportSummary) -> None:
        came = (self._files, self._bytes, self._digest.hexdigest())
        if came != (summary.files, summary.bytes, summary.sha256):
            raise BrokenTransfer("", "its checksum is another one")
