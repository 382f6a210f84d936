"""Selections from connectors into files of the workspace: in pieces, several at once, whole or
not at all."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.channels import faults, streaming
from servicekit.limits import Limiter
from servicekit.status import RemoteFault
from services.sandbox import metrics
from services.sandbox.connectors import Reaching
from services.sandbox.errors import BrokenTransfer, WorkspaceFull
from services.sandbox.names import checked, numbered, tamed, with_suffix
from services.sandbox.workspace import FileInfo, Workspace, Writing

_SUFFIXES = {pb.FORMAT_CSV: ".csv", pb.FORMAT_PARQUET: ".parquet", pb.FORMAT_ARROW: ".arrow"}
_GLOB = frozenset("*?[")
_TOLD_EVERY_BYTES = 4 * 1024 * 1024
_EVENTS = 64


@dataclass(frozen=True)
class Wanted:
    """One item of a request."""

    number: int
    source_name: str
    source_type: str
    grant: str
    selection: Any
    format: Any
    limits: Any
    target: str


@dataclass(frozen=True)
class Progress:
    item: int
    rows: int
    bytes: int
    total_bytes: int | None


@dataclass(frozen=True)
class Imported:
    item: int
    file: FileInfo
    source_path: str
    rows: int | None
    columns: list[Any]
    sha256: str
    truncated: bool
    truncated_by: str


@dataclass(frozen=True)
class Done:
    item: int
    files: int
    bytes: int
    elapsed_s: float


Step = Progress | Imported | Done


class Names:
    """Paths of one import: no two of its files get the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, path: str) -> str:
        number, free = 1, path
        while free in self._taken:
            number += 1
            free = numbered(path, number)
        self._taken.add(free)
        return free


def place(wanted: Wanted, header: Any) -> str:
    """Where an item's file goes, before others of its name are looked at. Raises UnsafePath."""
    suffix = _SUFFIXES.get(header.format, "")
    own = tamed(header.name)
    if not wanted.target:
        return with_suffix(own, suffix)
    checked(wanted.target)
    if suffix:
        return with_suffix(wanted.target, suffix)
    if _GLOB & set(wanted.selection.path):
        return f"{wanted.target}/{own}"
    ending = own.rpartition("/")[2].partition(".")
    return with_suffix(wanted.target, f"{ending[1]}{ending[2]}".lower())


@dataclass
class _Room:
    """Bytes that are left in the workspace for all items together."""

    left: int
    error: WorkspaceFull

    def use(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise self.error


@dataclass
class Import:
    """`steps` yields as items move on. Closing it early, or the first failure, cancels the rest."""

    connectors: Reaching
    workspace: Workspace
    threads: Limiter
    parallel: int
    _names: Names = field(default_factory=Names)

    async def steps(self, items: list[Wanted]) -> AsyncGenerator[Step, None]:
        told: asyncio.Queue[Step | None] = asyncio.Queue(_EVENTS)
        work = asyncio.create_task(self._all(items, told), name="import")
        try:
            while (step := await told.get()) is not None:
                yield step
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _all(self, items: list[Wanted], told: "asyncio.Queue[Step | None]") -> None:
        try:
            room = _Room(await self.threads.run(self.workspace.room_bytes), self.workspace.full())
            turns = asyncio.Semaphore(self.parallel)
            async with asyncio.TaskGroup() as tasks:
                for item in items:
                    tasks.create_task(self._one(item, room, turns, told))
        except BaseExceptionGroup as group:
            await told.put(None)
            raise _first(group) from group
        except Exception:
            await told.put(None)
            raise
        await told.put(None)

    async def _one(
        self,
        item: Wanted,
        room: _Room,
        turns: asyncio.Semaphore,
        told: "asyncio.Queue[Step | None]",
    ) -> None:
        async with turns:
            start = time.monotonic()
            try:
                reception = _Reception(item, self, room, told)
                await reception.receive()
            except RemoteFault as exc:
                raise _named(exc, item) from exc
            elapsed = time.monotonic() - start
            await told.put(Done(item.number, reception.files, reception.total, elapsed))


class _Reception:
    """The files of one item, as they come."""

    def __init__(
        self, item: Wanted, work: Import, room: _Room, told: "asyncio.Queue[Step | None]"
    ) -> None:
        self._item, self._work, self._room, self._told = item, work, room, told
        self._header: Any = None
        self._writing: Writing | None = None
        self._open = AsyncExitStack()
        self._rows = 0
        self._told_at = 0
        self.files = 0
        self.total = 0

    async def receive(self) -> None:
        item = self._item
        stub = await self._work.connectors.of_type(item.source_type)
        request = pb.FetchRequest(
            grant=item.grant, selection=item.selection, format=item.format, limits=item.limits
        )
        complete = False
        async with self._open, streaming(stub.Fetch(request)) as call:
            async for message in faults(call):
                complete = message.WhichOneof("event") == "complete"
                await self._take(message)
        if not complete:
            raise BrokenTransfer(self._name(), "it ended early")

    async def _take(self, message: Any) -> None:
        match message.WhichOneof("event"):
            case "header":
                await self._begin(message.header)
            case "piece":
                await self._write(message.piece)
            case "progress":
                self._rows = message.progress.rows
                await self._tell()
            case "summary":
                await self._finish(message.summary)

    async def _begin(self, header: Any) -> None:
        if self._writing is not None:
            raise BrokenTransfer(self._name(), "a file began before the last one ended")
        self._header, self._rows = header, 0
        path = self._work._names.take(place(self._item, header))
        # the room is counted for all items together
        writing = self._work.workspace.writing(path, room_bytes=2**62)
        self._writing = await self._open.enter_async_context(writing.opened(self._work.threads))

    async def _write(self, piece: bytes) -> None:
        if self._writing is None:
            raise BrokenTransfer(self._name(), "data came before its header")
        self._room.use(len(piece))
        await self._work.threads.run(self._writing.write, piece)
        self.total += len(piece)
        metrics.IMPORTED.labels(self._item.source_type).inc(len(piece))
        if self.total - self._told_at >= _TOLD_EVERY_BYTES:
            await self._tell()

    async def _tell(self) -> None:
        self._told_at = self.total
        header = self._header
        size = header.size_bytes if header is not None and header.HasField("size_bytes") else None
        await self._told.put(Progress(self._item.number, self._rows, self.total, size))

    async def _finish(self, summary: Any) -> None:
        writing = self._writing
        if writing is None:
            raise BrokenTransfer(self._name(), "a summary came without a file")
        if summary.bytes != writing.size_bytes:
            raise BrokenTransfer(self._name(), "its length differs")
        if summary.sha256 and summary.sha256 != writing.sha256:
            raise BrokenTransfer(self._name(), "its checksum differs")
        info = await self._work.threads.run(writing.commit)
        await self._open.aclose()
        self._writing = None
        self.files += 1
        await self._told.put(self._imported(info, writing.sha256, summary))

    def _imported(self, info: FileInfo, sha256: str, summary: Any) -> Imported:
        return Imported(
            item=self._item.number,
            file=info,
            source_path=self._header.name,
            rows=summary.rows if summary.HasField("rows") else None,
            columns=list(self._header.columns),
            sha256=sha256,
            truncated=summary.truncated,
            truncated_by=summary.truncated_by,
        )

    def _name(self) -> str:
        return str(self._header.name) if self._header is not None else self._item.source_name


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _named(error: RemoteFault, item: Wanted) -> RemoteFault:
    fields = {"source": item.source_name, "item": str(item.number), **error.fields}
    return RemoteFault(
        error.message,
        code=error.code,
        reason=error.reason,
        remedy=error.remedy,
        fields=fields,
        retry_after_s=error.retry_after_s,
    )
