"""The template: one process that has loaded what programs use, and forks kernels from itself.

It is as much trusted as this service, and runs as its account: it takes requests from nobody else,
reads no input of a session, and a kernel gives up everything before its first program. What forks
have in common is the layout of their memory: see docs/sandbox.md."""

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from servicekit import logs
from services.sandbox.isolation import inside
from services.sandbox.isolation.inside import Inside
from services.sandbox.isolation.port import (
    KERNEL_PACKAGE,
    Account,
    Bounds,
    Interpreter,
    Launch,
)
from services.sandbox.kernel import confine
from services.sandbox.kernel.libraries import FONTS
from services.sandbox.spawner import Child, Spawner, file_of_words, words_in

_log = logs.get(__name__)
_READY_S = 60.0
_END_S = 10.0
# from its last breath to its end
_GOING_S = 1.0


class Template:
    """`async with Template(…) as template`. It starts with the first fork, and again when it died.
    Kernels die with it."""

    def __init__(
        self, spawner: Spawner, interpreter: Interpreter, library: Path, bounds: Bounds
    ) -> None:
        self._spawner, self._interpreter = spawner, interpreter
        self._library, self._bounds = library, bounds
        self._child: Child | None = None
        self._door: socket.socket | None = None
        self._words = file_of_words()
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()
        os.close(self._words)

    async def fork(self, descriptors: tuple[int, ...]) -> None:
        """Asks for a kernel; the descriptors stay the caller's. Raises OSError."""
        async with self._starting:
            if self._child is None or self._child.death is not None:
                await self._end()
                await self._start()
        assert self._door is not None
        socket.send_fds(self._door, [b"f"], descriptors)

    async def lost(self) -> bool:
        """Whether it has ended, or does so in this moment."""
        child = self._child
        if child is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOING_S):
                await child.ended.wait()
        return child.ended.is_set()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._door = ours
        with theirs:
            launch = self._launch(theirs.fileno())
            self._child = await self._spawner.start(
                launch, inherited=(theirs.fileno(),), words=self._words
            )
        try:
            async with asyncio.timeout(_READY_S):
                told = await asyncio.get_running_loop().sock_recv(ours, 16)
        except TimeoutError as exc:
            raise OSError(f"the template was not ready in {_READY_S} s") from exc
        if not told:
            raise OSError(f"the template ended: {words_in(self._words)}")
        _log.info("template", pid=self._child.pid)

    def _launch(self, door: int) -> Launch:
        library, fonts = str(self._library), str(self._library / FONTS)
        place = Inside(workspace="/", scratch=library, library=library)
        environment = inside.environment(place, self._interpreter, self._bounds)
        module = f"{KERNEL_PACKAGE}.template"
        flags = ("-P", "-s", "-B", "-m", module, str(door), fonts)
        return Launch(
            argv=[str(self._interpreter.executable), *flags],
            env={**environment, "MPLCONFIGDIR": fonts},
            account=Account.own(),
        )

    async def _end(self) -> None:
        """Its end of the door closes: then it goes by itself."""
        if self._door is not None:
            self._door.close()
        if self._child is not None:
            try:
                async with asyncio.timeout(_END_S):
                    await self._child.ended.wait()
            except TimeoutError:
                _log.error("template_left_behind", pid=self._child.pid)
        self._child = self._door = None


def forbidden(tier: str, interpreter: Interpreter, account: Account) -> str:
    """Why kernels of this tier must not be forked here; "" = they may.

    In namespaces, /proc/self/exe of a fork is the interpreter as it stands outside of them, where
    nothing mounts it read-only. Landlock keeps it from being written, and its owner alone could
    change its mode."""
    if tier != "namespaces":
        return ""
    if not confine.landlock_abi():
        return "this Linux has no Landlock"
    if interpreter.executable.resolve().stat().st_uid == account.uid:
        return f"{interpreter.executable} belongs to the account that kernels run as"
    return ""
