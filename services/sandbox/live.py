"""A session that is open: its kernel, workspace and sources, and who watches over them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from servicekit import context, logs, tracing
from servicekit.limits import Limiter
from services.sandbox.approvals import Approvals
from services.sandbox.broker import Broker, Sources
from services.sandbox.cells import Cell
from services.sandbox.connectors import Reaching
from services.sandbox.errors import SessionBusy, UnknownSession
from services.sandbox.execution import Ended, Execution, Said, Terms
from services.sandbox.isolation.port import Bounds
from services.sandbox.outputs import Text
from services.sandbox.pool import Pool
from services.sandbox.session import Event, State, after, may
from services.sandbox.workspace import Workspace

_log = logs.get(__name__)

_WATCH_BUSY_S = 0.25
_WATCH_IDLE_S = 2.0
# looking through a workspace costs more than looking at processes
_WORKSPACE_EVERY = 4
_EVENTS = 32
# between a caller's leave and its call's being told of it, on a busy machine
_HEAR_OF_CANCEL_S = 1.0
_TIDYING_BYTES = 1024 * 1024
_LOST = "[a fresh kernel: variables of earlier programs are lost, files are kept]\n"


@dataclass(frozen=True)
class Surroundings:
    """What all sessions share."""

    pool: Pool
    connectors: Reaching
    threads: Limiter
    terms: Terms
    broker_connections: int
    # set whenever a slot may have come free
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class LiveSession:
    def __init__(
        self, session_id: str, workspace: Workspace, bounds: Bounds, around: Surroundings
    ) -> None:
        self.session_id, self.workspace, self.bounds = session_id, workspace, bounds
        self._around = around
        self.sources = Sources()
        self.approvals = Approvals(lambda: self._execution)
        self._broker = Broker(
            session_id,
            self.sources,
            around.connectors,
            self.approvals,
            around.broker_connections,
        )
        self._state = State.BROKEN
        self._cell: Cell | None = None
        self._execution: Execution | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._running: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._lost_state = False
        self._abandoned = False
        # what the workspace held when its kernel came
        self._kept_bytes = 0
        self.calls = 0
        self.used_at = time.monotonic()

    # -- its life

    async def open(self, *, moved: bool = False) -> None:
        """`moved`: programs of this thread had another kernel, and are told so. Raises
        KernelFailed; then nothing of it is left but the workspace."""
        await self._recover()
        self._lost_state = moved

    async def close(self, *, remove_workspace: bool) -> None:
        """Ends everything. Safe to call twice."""
        self._apply(Event.CLOSE)
        if self._execution is not None:
            self._execution.stop("closed")
        async with self._changing:
            await self._leave_cell()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        if remove_workspace:
            await self._around.threads.run(self.workspace.remove)

    async def rest(self) -> None:
        """Ends the kernel of a session that no run holds; the next program gets a fresh one."""
        async with self._changing:
            if self._state is State.IDLE and not self.sources.held:
                self._apply(Event.DIE)
                await self._leave_cell()
                _log.info("kernel_put_away", session=self.session_id)

    @property
    def state(self) -> State:
        return self._state

    def touch(self) -> None:
        self.used_at = time.monotonic()

    @contextmanager
    def called(self) -> Iterator[Workspace]:
        """While a call works on its files: it stays where it is."""
        self.calls += 1
        try:
            yield self.workspace
        finally:
            self.calls -= 1
            self.touch()

    def _apply(self, event: Event) -> None:
        self._state = after(self._state, event)

    async def _recover(self) -> None:
        async with self._changing:
            if self._state is not State.BROKEN:
                return
            await self._leave_cell()
            cell = await self._around.pool.take(self.bounds)
            self._kept_bytes = 0
            try:
                await self._around.threads.run(self._move_in, cell)
            except BaseException:
                await self._around.pool.give_back(cell)
                raise
            self._cell = cell
            self._lost_state = True
            self._apply(Event.RECOVER)
            self._tasks = [
                _detached(self._broker.run(cell.broker), f"broker {self.session_id}"),
                _detached(self._watch(cell), f"watch {self.session_id}"),
                _detached(self._notice_end(cell), f"end {self.session_id}"),
            ]

    def _move_in(self, cell: Cell) -> None:
        slot = cell.slot
        if self.workspace.root.exists():
            self._kept_bytes = self.workspace.usage_bytes()
            self.workspace.move_into(slot.workspace, slot.account)
        else:
            self.workspace.take(slot.workspace, slot.account)

    async def _leave_cell(self) -> None:
        cell, self._cell = self._cell, None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if cell is not None:
            await self._around.pool.give_back(cell)

    # -- watching

    async def _notice_end(self, cell: Cell) -> None:
        await cell.wait_end()
        # a program that was running tells it itself, when it has told all the rest
        if self._execution is None:
            self._apply(Event.DIE)

    async def _watch(self, cell: Cell) -> None:
        turn = 0
        while True:
            busy = self._execution is not None
            await asyncio.sleep(_WATCH_BUSY_S if busy else _WATCH_IDLE_S)
            turn += 1
            cause = await self._around.threads.run(self._excess, cell, turn)
            if cause:
                _log.warning("kernel_over_limit", session=self.session_id, cause=cause)
                cell.kill(cause)

    def _excess(self, cell: Cell, turn: int) -> str:
        if len(cell.members()) > self.bounds.processes:
            return "processes"
        if cell.memory_bytes() > self.bounds.memory_bytes:
            return "oom"
        if turn % _WORKSPACE_EVERY == 0 and self.workspace.usage_bytes() > self._allowed_bytes():
            return "disk"
        return ""

    def _allowed_bytes(self) -> int:
        """A workspace that is full already can still be tidied up by a program."""
        return max(self.bounds.workspace_bytes, self._kept_bytes + _TIDYING_BYTES)

    # -- programs

    async def execute(self, code: str, timeout_s: float) -> AsyncGenerator[Said, None]:
        """`Ended` comes last. Leaving early interrupts the program. Raises SessionBusy."""
        self.touch()
        await self._let_go()
        if self._state is State.BROKEN:
            await self._recover()
        if self._state is State.CLOSED or self._cell is None:
            raise UnknownSession(self.session_id)
        if not may(self._state, Event.EXECUTE):
            raise SessionBusy(self.session_id, "a program is running")
        said: asyncio.Queue[Said] = asyncio.Queue(_EVENTS)
        self._begin(self._cell, said, code, timeout_s)
        async with aclosing(self._drain(said)) as events:
            async for each in events:
                yield each

    async def _let_go(self) -> None:
        """Waits for a program whose caller has gone, also where its call does not know that yet."""
        if self._running is None or self._running.done():
            return
        await asyncio.wait({self._running}, timeout=_HEAR_OF_CANCEL_S)
        if self._abandoned:
            await asyncio.wait({self._running})

    def _begin(self, cell: Cell, said: "asyncio.Queue[Said]", code: str, timeout_s: float) -> None:
        self._apply(Event.EXECUTE)
        self._abandoned = False
        terms = replace(self._around.terms, timeout_s=timeout_s)
        execution = Execution(cell, self.workspace, self._around.threads, terms, said.put)
        self._execution = execution
        notice = Text("stderr", _LOST) if self._lost_state else None
        self._lost_state = False
        self._running = _detached(self._run(execution, said, notice, code), "program")

    async def _run(
        self,
        execution: Execution,
        said: "asyncio.Queue[Said]",
        notice: Text | None,
        code: str,
    ) -> None:
        try:
            if notice is not None:
                await said.put(notice)
            with tracing.span("kernel") as span, self._broker.asking():
                ended = await execution.run(code)
                span.tell({"isobath.program.outcome": ended.outcome, "isobath.cpu_s": ended.cpu_s})
        except Exception:
            _log.exception("execution_failed", session=self.session_id)
            execution.cell.kill("crash")
            await execution.tell(Ended("died", cause="the sandbox failed"))
        finally:
            self._execution = None
            self.approvals.withdraw()
            self.touch()
            self._apply(Event.FINISH if execution.cell.alive else Event.DIE)
            self._around.changed.set()

    async def _drain(self, said: "asyncio.Queue[Said]") -> AsyncGenerator[Said, None]:
        running = self._running
        finished = False
        try:
            while not finished:
                each = await said.get()
                finished = isinstance(each, Ended)
                if finished and running is not None and not running.done():
                    await asyncio.shield(running)
                yield each
        finally:
            if not finished and self._execution is not None:
                self._abandoned = True
                self._execution.tell = _nobody
                self.approvals.withdraw()
                _empty(said)
                self.interrupt()

    def interrupt(self) -> bool:
        """Whether a program was running."""
        if self._execution is None:
            return False
        self._apply(Event.INTERRUPT)
        self._execution.stop("interrupted")
        return True

    def end_program(self, cause: str) -> None:
        """With its kernel, where one is running."""
        if self._execution is not None:
            self._execution.cell.kill(cause)

    # -- sources

    async def detach(self, run_id: str) -> None:
        before = set(self.sources.all())
        self.sources.detach(run_id)
        self._around.changed.set()
        await self._broker.drop(before - set(self.sources.all()))


async def _nobody(_: Said) -> None:
    """Who asked has gone."""


def _empty(said: "asyncio.Queue[Said]") -> None:
    """Lets one who waits to put something in go on."""
    with suppress(asyncio.QueueEmpty):
        while True:
            said.get_nowait()


def _detached(work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
    """Outlives the call it began in, and its deadline."""
    with context.detached():
        return asyncio.create_task(work, name=name)
