"""A cell: one started kernel in its isolation, and the talk with it."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from servicekit import logs
from services.sandbox.errors import KernelFailed
from services.sandbox.isolation.port import Bounds, Isolation, Slot
from services.sandbox.isolation.processes import machine_kills, memory_bytes
from services.sandbox.kernel.protocol import Decoder, Frame, Kind, ProtocolError, encode
from services.sandbox.spawner import Death, file_of_words, signal_process, words_in
from services.sandbox.starters import Started, Starter

_log = logs.get(__name__)

_READ = 256 * 1024
# a frame that began has to end: a program may write half of one
_PARTIAL_S = 20.0
_READY_S = 60.0
_END_S = 10.0


class CellDied(Exception):
    """The kernel is gone, or has to go: `cause` says why, in a few words."""

    def __init__(self, cause: str, death: Death | None) -> None:
        super().__init__(cause)
        self.cause, self.death = cause, death


class Cell:
    """One program at a time. `aclose` ends every process of it, and waits for that."""

    def __init__(self, isolation: Isolation, slot: Slot, bounds: Bounds) -> None:
        self.isolation, self.slot, self.bounds = isolation, slot, bounds
        self.broker, self._broker_inside = _pair(socket.SOCK_SEQPACKET)
        self._control, self._control_inside = _pair(socket.SOCK_STREAM)
        self._words = file_of_words()
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._started: Started | None = None
        self._kernel_pid: int | None = None
        self._kills_before = machine_kills()
        self._killed_for = ""
        self._programs = 0
        self.ready: dict[str, Any] = {}

    # -- its life

    async def start(self, starter: Starter) -> None:
        """Raises KernelFailed, with the child's last words for the log; the cell is closed then."""
        try:
            async with asyncio.timeout(_READY_S):
                await self._start(starter)
        except (OSError, CellDied, ProtocolError, TimeoutError) as exc:
            words = words_in(self._words)
            await self.aclose()
            raise KernelFailed(f"{exc}: {words}" if words else str(exc)) from exc
        except BaseException:
            await self.aclose()
            raise

    async def _start(self, starter: Starter) -> None:
        sockets = (self._control_inside.fileno(), self._broker_inside.fileno())
        self._started = await starter.start(self.slot, self.bounds, sockets, self._words)
        self._control_inside.close()
        self._broker_inside.close()
        self.ready = (await self._expect(Kind.READY)).header
        self._kernel_pid = self._started.family.kernel()

    async def begin(self, bounds: Bounds) -> None:
        """Takes a session's own limits, which can only be narrower."""
        self.bounds = bounds
        await self._send(Kind.BEGIN, {"rlimits": bounds.rlimits()})
        await self._expect(Kind.BEGUN)

    async def aclose(self) -> None:
        """Safe to call twice."""
        self.kill("closed")
        if self._started is not None:
            try:
                async with asyncio.timeout(_END_S):
                    await self._started.ending.ended.wait()
            except TimeoutError:
                _log.error("kernel_left_behind", pid=self._started.leader)
        for each in (self._control, self._control_inside, self.broker, self._broker_inside):
            each.close()
        if self._words >= 0:
            os.close(self._words)
            self._words = -1

    @property
    def alive(self) -> bool:
        return self._started is not None and self._started.ending.death is None

    async def wait_end(self) -> None:
        if self._started is not None:
            await self._started.ending.ended.wait()

    # -- what can be done to it at any time

    def interrupt(self) -> None:
        if self.alive and self._kernel_pid is not None:
            signal_process(self._kernel_pid, signal.SIGINT)

    def kill(self, cause: str) -> None:
        """The first cause given is the one that is told."""
        if self._started is not None and self.alive:
            self._killed_for = self._killed_for or cause
            self._started.family.kill()

    def members(self) -> list[int]:
        return self._started.family.members() if self._started is not None and self.alive else []

    def memory_bytes(self) -> int:
        return memory_bytes(self.members())

    @property
    def pid(self) -> int | None:
        """Of the process that runs programs, as seen from outside."""
        return self._kernel_pid

    @property
    def leader(self) -> int | None:
        return self._started.leader if self._started is not None else None

    # -- programs

    async def run(self, code: str) -> AsyncIterator[Frame]:
        """Frames up to FINISHED. Raises CellDied; the cell is of no use after that."""
        self._programs += 1
        await self._send(Kind.EXECUTE, {"id": self._programs}, code.encode(errors="replace"))
        while True:
            frame = await self._receive()
            if frame.kind is Kind.FINISHED and frame.header.get("id") != self._programs:
                continue  # forged, or of a program that was given up
            yield frame
            if frame.kind is Kind.FINISHED:
                return

    async def _send(self, kind: Kind, header: dict[str, Any], payload: bytes = b"") -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._control, encode(kind, header, payload))
        except OSError as exc:
            raise await self._died("crash") from exc

    async def _expect(self, kind: Kind) -> Frame:
        while (frame := await self._receive()).kind is not kind:
            continue
        return frame

    async def _receive(self) -> Frame:
        while not self._frames:
            data = await self._read()
            if not data:
                raise await self._died("crash")
            try:
                self._frames += self._decoder.feed(data)
            except ProtocolError as exc:
                self.kill("protocol")
                raise await self._died("protocol") from exc
        return self._frames.pop(0)

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_PARTIAL_S if self._decoder.partial else None):
                return await loop.sock_recv(self._control, _READ)
        except TimeoutError:
            self.kill("protocol")
            return b""
        except OSError:
            return b""

    async def _died(self, guess: str) -> CellDied:
        """Nothing more comes from the kernel: makes sure that it is gone, and finds out why."""
        if self._started is None:
            return CellDied(guess, None)
        ending = self._started.ending
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await ending.ended.wait()
        if self.alive:  # it closed its socket, and lives on
            self.kill("protocol")
            await ending.ended.wait()
        death = ending.death
        return CellDied(self._cause(guess, death), death)

    def _cause(self, guess: str, death: Death | None) -> str:
        if self._killed_for:
            return self._killed_for
        if death is not None and death.signal == signal.SIGXCPU:
            return "cpu"
        killed = death is not None and death.signal == signal.SIGKILL
        return "oom" if killed and machine_kills() > self._kills_before else guess


def _pair(kind: socket.SocketKind) -> tuple[socket.socket, socket.socket]:
    outside, inside = socket.socketpair(socket.AF_UNIX, kind)
    outside.setblocking(False)
    return outside, inside
