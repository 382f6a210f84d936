"""Who waits for a slot: one after the other, and no owner before another who has less."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class LineFull(Exception):
    """More are waiting than may."""


@dataclass
class _Waiting:
    owner: str
    turn: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Line:
    """`async with line.turn(owner)`: one at a time. Next is who came first of those whose owners
    hold the fewest; `held` tells how many an owner holds. Raises LineFull."""

    def __init__(self, limit: int, held: Callable[[str], int]) -> None:
        self._limit, self._held = limit, held
        self._taken = False
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        if self._taken:
            await self._wait(owner)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, owner: str) -> None:
        if len(self._waiting) >= self._limit:
            raise LineFull
        waiting = _Waiting(owner)
        self._waiting.append(waiting)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # it was this one's turn already
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        if not self._waiting:
            self._taken = False
            return
        # of equals the first: min keeps the order
        waiting = min(self._waiting, key=lambda each: self._held(each.owner))
        self._waiting.remove(waiting)
        if waiting.turn.cancelled():
            self._pass_on()
        else:
            waiting.turn.set_result(None)
