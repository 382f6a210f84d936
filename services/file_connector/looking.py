"""Lists made in a thread, which stops when its caller is cancelled."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from servicekit.limits import Limiter
from services.file_connector.folders import Looking

T = TypeVar("T")


async def looked(threads: Limiter, fn: Callable[[Looking], T], *, most: int) -> T:
    """`fn(looking)` in a thread, which may see `most` entries."""
    looking = Looking(most, threading.Event())
    call = asyncio.ensure_future(threads.run(fn, looking))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        looking.stopped.set()
        await asyncio.wait([call])
        raise
