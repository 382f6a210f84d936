"""How many queries run at once, and a process that is ready for the next one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from connectorkit.files.errors import QueriesBusy
from connectorkit.files.sql.processes import Process, ProcessLost, Share
from servicekit import logs

_log = logs.get(__name__)


class QueryLimits(Protocol):
    """What a connector's settings say of queries: how many at once, how long one waits for its
    turn, and what it may take."""

    @property
    def queries(self) -> int: ...
    @property
    def query_wait_s(self) -> float: ...
    @property
    def query_memory_bytes(self) -> int: ...
    @property
    def query_threads(self) -> int: ...
    @property
    def query_timeout_s(self) -> float: ...


class Processes:
    """`async with processes.one() as process`. Nothing is started before the first query."""

    def __init__(self, limits: QueryLimits) -> None:
        threads, seconds = limits.query_threads, limits.query_timeout_s
        self.share = Share(limits.query_memory_bytes, threads, int(seconds * threads) + 10)
        self._slots = asyncio.Semaphore(limits.queries)
        self._wait_s = limits.query_wait_s
        self._spare: asyncio.Task[Process] | None = None

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Process]:
        """A process for one query, killed on leaving. Raises QueriesBusy, ProcessLost."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._slots.acquire()
        except TimeoutError:
            raise QueriesBusy("as many queries run as may", limit="queries at once") from None
        try:
            async with await self._taken() as process:
                self._prepare()
                yield process
        finally:
            self._slots.release()

    async def _taken(self) -> Process:
        """The spare one, or a new one."""
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                process = await spare
            except asyncio.CancelledError:
                await _dropped(spare)
                raise
            except (ProcessLost, OSError, TimeoutError):
                _log.warning("spare_lost", exc_info=True)
            else:
                if process.alive:
                    return process
                await process.kill()
        return await Process.start(self.share)

    def _prepare(self) -> None:
        if self._spare is None:
            self._spare = asyncio.create_task(Process.start(self.share), name="spare query")

    async def aclose(self) -> None:
        """Kill the spare one. Those that run are killed by who holds them."""
        spare, self._spare = self._spare, None
        if spare is not None:
            await _dropped(spare)


async def _dropped(spare: asyncio.Task[Process]) -> None:
    spare.cancel()
    await asyncio.wait([spare])
    with suppress(asyncio.CancelledError, ProcessLost, OSError, TimeoutError):
        await (await spare).kill()
