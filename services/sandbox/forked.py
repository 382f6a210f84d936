"""A kernel that the template forked: no child of this process, known by what its keeper tells."""

import asyncio
import os
import signal

from services.sandbox.isolation.processes import Tree
from services.sandbox.spawner import Child, Death

_READ = 256


class Forked:
    """`status`: where the keeper writes `pid N` and `end CODE`; closed here. `holder`: keeps the
    kernel's namespaces, and ends with it. `ended` is set once both are gone."""

    def __init__(self, status: int, holder: Child | None) -> None:
        self._status, self._holder = status, holder
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[int] = self._loop.create_future()
        self._told = b""
        self._ending: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        self.death: Death | None = None
        os.set_blocking(status, False)
        self._loop.add_reader(status, self._on_told)

    async def begun(self) -> None:
        """Raises OSError when there is no kernel."""
        await asyncio.shield(self._begun)

    @property
    def pid(self) -> int:
        """Once it has begun: of the kernel, or of its keeper where there is a holder."""
        return self._begun.result()

    def _on_told(self) -> None:
        told = os.read(self._status, _READ)
        self._told += told
        *lines, self._told = self._told.split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"pid" and not self._begun.done():
                self._begun.set_result(int(number))
            elif word == b"end":
                self.death = Death.of(int(number))
        if not told:
            self._on_end()

    def _on_end(self) -> None:
        self._loop.remove_reader(self._status)
        os.close(self._status)
        if not self._begun.done():
            self._begun.set_exception(OSError("no kernel was forked"))
            # who gave up waiting does not ask for it
            self._begun.exception()
        # a keeper that was killed takes its kernel along
        self.death = self.death or Death(None, signal.SIGKILL)
        self._ending = self._loop.create_task(self._end(), name="end of a forked kernel")

    async def _end(self) -> None:
        if self._holder is not None:
            Tree(self._holder.pid).kill()
            await self._holder.ended.wait()
        self.ended.set()
