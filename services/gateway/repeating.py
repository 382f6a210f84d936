"""What a gateway does again and again beside everything else."""

import asyncio
from collections.abc import Awaitable, Callable

from servicekit import logs

_log = logs.get(__name__)


async def repeating(every_s: float, act: Callable[[], Awaitable[object]], name: str) -> None:
    """Until it is cancelled; what fails is logged, and tried again the next time."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await act()
        except Exception as failed:
            _log.warning("failed_for_now", what=name, error=type(failed).__name__)
