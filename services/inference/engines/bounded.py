"""Slots and a queue in front of any engine."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count

from services.inference.engines.port import Engine
from services.inference.errors import TooBusy
from services.inference.models import Event, Load, Message, Model, Request, TokenCount

_RETRY_AFTER_S = 2.0


class BoundedEngine:
    """At most `slots` answers at once; `queue` more wait, by priority and then by age; others are
    refused with TooBusy."""

    def __init__(self, engine: Engine, *, slots: int, queue: int) -> None:
        self._engine = engine
        self._slots = slots
        self._queue = queue
        self._running = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._age = count()

    def models(self) -> Sequence[Model]:
        return self._engine.models()

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        async with self._slot(request.priority), aclosing(self._engine.generate(request)) as events:
            async for event in events:
                yield event

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return await self._engine.count_tokens(model, messages)

    def load(self) -> Load:
        within = self._engine.load()
        running = max(0, self._running - within.waiting)
        waiting = len(self._waiting) + within.waiting
        return Load(running, waiting, self._slots, within.cache_used_fraction)

    async def aclose(self) -> None:
        await self._engine.aclose()

    @asynccontextmanager
    async def _slot(self, priority: int) -> AsyncIterator[None]:
        if self._running < self._slots:
            self._running += 1
        else:
            await self._wait(priority)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, priority: int) -> None:
        """Returns with the slot that somebody who left handed over."""
        if len(self._waiting) >= self._queue:
            raise TooBusy(limit="queue", retry_after_s=_RETRY_AFTER_S)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (priority, next(self._age), turn)
        heapq.heappush(self._waiting, entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            else:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            raise

    def _release(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1
