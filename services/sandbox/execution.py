"""One run of one program: its limits of time and output, and what it left in the workspace."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.limits import Limiter
from services.sandbox import metrics
from services.sandbox.cells import Cell, CellDied
from services.sandbox.errors import NoSuchFile, UnsafePath
from services.sandbox.kernel.protocol import Frame, Kind
from services.sandbox.outputs import Text, Window, clean
from services.sandbox.workspace import FileInfo, Snapshot, Workspace

Outcome = Literal["ok", "error", "timeout", "interrupted", "died"]

# a program may write files faster than they can be summed up
_HASHED_BYTES = 1024 * 1024 * 1024
_MIME_LIMIT = 100


@dataclass(frozen=True)
class Shown:
    """A rich value, by media type."""

    data: dict[str, bytes]


@dataclass(frozen=True)
class Made:
    """A file that is new or changed; no digest where it is too large for one."""

    file: FileInfo
    sha256: str


@dataclass(frozen=True)
class Asked:
    """The program waits until somebody approves this."""

    request: pb.ApprovalRequest


@dataclass
class Ended:
    outcome: Outcome
    elapsed_s: float = 0.0
    error_name: str = ""
    error_text: str = ""
    cause: str = ""
    exit_code: int | None = None
    signal: int | None = None
    cut_bytes: int = 0
    cpu_s: float = 0.0
    peak_bytes: int = 0


Said = Text | Shown | Made | Asked | Ended
Tell = Callable[[Said], Awaitable[None]]


@dataclass(frozen=True)
class Terms:
    timeout_s: float
    grace_s: float
    head_bytes: int
    tail_bytes: int
    displays: int
    artifacts: int


class Timer:
    """Calls `ring` after so many seconds, of which those that it rests do not count."""

    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self._left_s, self._ring = seconds, ring
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._resting = 0
        self._handle = self._loop.call_later(seconds, ring)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """As long as one of those who asked it to rest is within."""
        if not self._resting:
            self._handle.cancel()
            self._left_s -= self._loop.time() - self._since
        self._resting += 1
        try:
            yield
        finally:
            self._resting -= 1
            if not self._resting:
                self._since = self._loop.time()
                self._handle = self._loop.call_later(max(0.0, self._left_s), self._ring)

    def cancel(self) -> None:
        """It rings no more."""
        self._ring = _silence
        self._handle.cancel()


def _silence() -> None:
    """What a cancelled timer calls, should it have rested."""


@dataclass
class Execution:
    """`run` tells everything, `Ended` last. `stop` may be called at any time."""

    cell: Cell
    workspace: Workspace
    threads: Limiter
    terms: Terms
    tell: Tell
    stopped_by: str = ""
    _displays: int = 0
    _stopping: "asyncio.Task[None] | None" = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: Timer | None = None

    async def run(self, code: str) -> Ended:
        before = await self._snapshot()
        window = Window(self.terms.head_bytes, self.terms.tail_bytes)
        start = time.monotonic()
        timer = self._timer = Timer(self.terms.timeout_s, lambda: self.stop("timeout"))
        try:
            ended = await self._follow(code, window)
        finally:
            self._ended.set()
            timer.cancel()
            await _settled(self._stopping)
        for text in window.finish():
            await self.tell(text)
        if ended.cause:
            await self.tell(Text("stderr", _notice(ended)))
        await self._tell_artifacts(before)
        ended.elapsed_s = time.monotonic() - start
        ended.cut_bytes = window.cut_bytes
        metrics.ended(ended.outcome, ended.cause, ended.elapsed_s)
        await self.tell(ended)
        return ended

    @contextmanager
    def resting(self) -> Iterator[None]:
        """The program's time does not run within."""
        if self._timer is None:
            yield
            return
        with self._timer.resting():
            yield

    def stop(self, why: str) -> None:
        """Interrupts; ends the kernel when that does not help. The first reason counts."""
        if not self.stopped_by and not self._ended.is_set():
            self.stopped_by = why
            self._stopping = asyncio.create_task(self._stop(), name="stop of a program")

    async def _stop(self) -> None:
        self.cell.interrupt()
        try:
            async with asyncio.timeout(self.terms.grace_s):
                await self._ended.wait()
        except TimeoutError:
            self.cell.kill(self.stopped_by)

    async def _snapshot(self) -> Snapshot:
        seen = self.workspace.glance()
        return await self.threads.run(self.workspace.snapshot) if seen is None else seen

    async def _follow(self, code: str, window: Window) -> Ended:
        try:
            async for frame in self.cell.run(code):
                if frame.kind is Kind.FINISHED:
                    return self._finished(frame)
                await self._pass(frame, window)
        except CellDied as exc:
            return self._died(exc)
        raise AssertionError("a program ends with FINISHED or with its kernel")

    async def _pass(self, frame: Frame, window: Window) -> None:
        """What is not as it should be is left out: the kernel is not to be trusted."""
        if frame.kind is Kind.STREAM:
            name, text = frame.header.get("name"), frame.header.get("text")
            if name in ("stdout", "stderr", "result", "traceback") and isinstance(text, str):
                for shown in window.take(name, text):
                    await self.tell(shown)
        elif frame.kind is Kind.DISPLAY:
            await self._pass_display(_parts(frame), window)

    async def _pass_display(self, data: dict[str, bytes], window: Window) -> None:
        self._displays += 1
        if data and self._displays <= self.terms.displays:
            await self.tell(Shown(data))
        elif self._displays == self.terms.displays + 1:
            text = f"[more than {self.terms.displays} figures and tables: the rest is not shown]\n"
            for shown in window.take("stderr", text):
                await self.tell(shown)

    def _finished(self, frame: Frame) -> Ended:
        header = frame.header
        outcome: Outcome = "ok" if header.get("status") == "ok" else "error"
        if self.stopped_by and outcome == "error":
            outcome = "timeout" if self.stopped_by == "timeout" else "interrupted"
        elif header.get("status") == "interrupted":
            outcome = "interrupted"
        return Ended(
            outcome,
            error_name=_text(header.get("name"), 200),
            error_text=_text(header.get("text"), 4096),
            cpu_s=_number(header.get("cpu_s")),
            peak_bytes=int(_number(header.get("peak_bytes"))),
        )

    def _died(self, error: CellDied) -> Ended:
        outcome: Outcome = "died"
        if self.stopped_by and error.cause == self.stopped_by:
            outcome = "timeout" if self.stopped_by == "timeout" else "interrupted"
        ended = Ended(outcome, cause=error.cause)
        if error.death is not None:
            ended.exit_code, ended.signal = error.death.exit_code, error.death.signal
        return ended

    async def _tell_artifacts(self, before: Snapshot) -> None:
        after = sorted((await self._snapshot()).values(), key=lambda info: info.path)
        changed = [info for info in after if before.get(info.path) != info]
        for info in changed[: self.terms.artifacts]:
            made = await self.threads.run(_made, self.workspace, info)
            if made is not None:
                await self.tell(made)
        if len(changed) > self.terms.artifacts:
            text = f"[{len(changed)} files are new or changed; {self.terms.artifacts} are told]\n"
            await self.tell(Text("stderr", text))


async def _settled(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


_SAID = {
    "oom": "out of memory",
    "cpu": "out of CPU time",
    "disk": "too much in the workspace",
    "processes": "too many processes",
}


def _notice(ended: Ended) -> str:
    how = f" by signal {ended.signal}" if ended.signal is not None else ""
    how = f" with exit code {ended.exit_code}" if ended.exit_code is not None else how
    return (
        f"[the kernel ended{how}: {_SAID.get(ended.cause, ended.cause)}. "
        "A fresh one takes over: files are kept, variables are lost]\n"
    )


def _made(workspace: Workspace, info: FileInfo) -> Made | None:
    if info.size_bytes > _HASHED_BYTES:
        return Made(info, "")
    try:
        return Made(*workspace.digest(info.path))
    except (NoSuchFile, UnsafePath):
        return None  # gone meanwhile, or a name that nobody could ask for


def _parts(frame: Frame) -> dict[str, bytes]:
    """A display's media types and bytes; nothing, where the header does not fit the payload."""
    data: dict[str, bytes] = {}
    at = 0
    named = frame.header.get("parts")
    for part in named if isinstance(named, list) else []:
        if not (isinstance(part, list) and len(part) == 2):
            return {}
        kind, length = part
        if not isinstance(kind, str) or not isinstance(length, int) or length < 0:
            return {}
        if len(kind) > _MIME_LIMIT or not kind.isascii() or at + length > len(frame.payload):
            return {}
        data[kind] = frame.payload[at : at + length]
        at += length
    return data


def _text(value: object, limit: int) -> str:
    return clean(value[:limit]) if isinstance(value, str) else ""


def _number(value: object) -> float:
    """Not negative, finite, and not beyond what a message can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(min(max(value, 0), 2**53)) if value == value else 0.0
