"""Who may use a connection next: first come, first served, at each source and over all of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.pg_connector.errors import PoolBusy


class Slots:
    """A semaphore whose number may change. Those who wait are woken in the order in which they
    came; fewer slots take nothing from those who have one."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        return self._limit

    def locked(self) -> bool:
        return self._used >= self._limit or bool(self._waiting)

    def resize(self, limit: int) -> None:
        self._limit = limit
        self._wake()

    async def __aenter__(self) -> None:
        if not self.locked():
            self._used += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:
                # it had its turn already, and was cancelled before it could take it
                self._free()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._free()

    def _free(self) -> None:
        self._used -= 1
        self._wake()

    def _wake(self) -> None:
        waiting = [turn for turn in self._waiting if not turn.done()]
        for turn in waiting[: max(0, self._limit - self._used)]:
            self._waiting.remove(turn)
            self._used += 1
            turn.set_result(None)


@dataclass(eq=False)
class _Line:
    free: Slots
    users: int = 0


class Turns:
    """`each` at a time at one source, `total` over all. Those of one source wait for the rest of
    the service only with `each` of them, so none keeps the others from their turn."""

    def __init__(self, each: int, total: int, timeout_s: float) -> None:
        self._each, self._timeout_s = each, timeout_s
        self._free = Slots(total)
        self._lines = dict[Hashable, _Line]()

    @property
    def each(self) -> int:
        return self._each

    def resize(self, each: int, total: int) -> None:
        """From now on."""
        self._each = each
        self._free.resize(total)
        for line in self._lines.values():
            line.free.resize(each)

    @asynccontextmanager
    async def turn(self, at: Hashable, named: str, *, spare: bool = False) -> AsyncIterator[None]:
        """`named` = the source for people. `spare` = only where nobody needs to wait for it. Raises
        PoolBusy after `timeout_s` of waiting, and for what is not to spare at once."""
        line = self._lines.setdefault(at, _Line(Slots(self._each)))
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
        bound = f"all {line.free.limit} connections to {named}"
        try:
            async with asyncio.timeout(self._timeout_s):
                await stack.enter_async_context(line.free)
                bound = f"all {self._free.limit} connections of the platform"
                await stack.enter_async_context(self._free)
        except TimeoutError as exc:
            raise PoolBusy(f"{bound} are in use, for {self._timeout_s:g} s now") from exc
