"""Blocking work in threads of its own, bounded in number and named."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Limiter:
    """`async with Limiter("files", 4) as threads: await threads.run(fn, x)`.

    At most `workers` calls run at once; others wait in order, and one cancelled while it waits
    never runs. A call that runs cannot be stopped: its caller, cancelled, is told so when the
    thread is done, so that no thread works on what the caller has already cleared away."""

    def __init__(self, name: str, workers: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        bound = partial(contextvars.copy_context().run, fn, *args, **kwargs)
        call = self._pool.submit(bound)
        try:
            return await asyncio.wrap_future(call)
        except asyncio.CancelledError:
            await _ended(call)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


async def _ended(call: "Future[T]") -> None:
    """Waits for a call that runs, however often the caller is cancelled meanwhile."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    call.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    while not ended.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await ended.wait()
