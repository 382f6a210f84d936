"""Who may use a connection next: first come, first served, at each source and over all of them."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.pg_connector.errors import PoolBusy


@dataclass(eq=False)
class _Line:
    """asyncio's semaphores wake those who wait in the order in which they came."""

    free: asyncio.Semaphore
    users: int = 0


class Turns:
    """`each` at a time at one source, `total` over all. Those of one source wait for the rest of
    the service only with `each` of them, so none keeps the others from their turn."""

    def __init__(self, each: int, total: int, timeout_s: float) -> None:
        self._each, self._total, self._timeout_s = each, total, timeout_s
        self._free = asyncio.Semaphore(total)
        self._lines = dict[Hashable, _Line]()

    @asynccontextmanager
    async def turn(self, at: Hashable, named: str, *, spare: bool = False) -> AsyncIterator[None]:
        """`named` = the source for people. `spare` = only where nobody needs to wait for it. Raises
        PoolBusy after `timeout_s` of waiting, and for what is not to spare at once."""
        line = self._lines.setdefault(at, _Line(asyncio.Semaphore(self._each)))
        line.users += 1
        try:
            async with AsyncExitStack() as stack:
                if spare and (line.free.locked() or self._free.locked()):
                    raise PoolBusy(f"no connection to {named} is to spare")
                await self._wait(stack, line, named)
                yield
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[at]

    async def _wait(self, stack: AsyncExitStack, line: _Line, named: str) -> None:
        bound = f"all {self._each} connections to {named}"
        try:
            async with asyncio.timeout(self._timeout_s):
                await stack.enter_async_context(line.free)
                bound = f"all {self._total} connections of the platform"
                await stack.enter_async_context(self._free)
        except TimeoutError as exc:
            raise PoolBusy(f"{bound} are in use, for {self._timeout_s:g} s now") from exc
