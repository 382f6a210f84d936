"""What other replicas tell, and a look every so often beside it."""

import asyncio
from collections.abc import AsyncGenerator

from servicekit.sql import Signals


async def hearing(
    signals: Signals, channel: str, every_s: float
) -> AsyncGenerator[str | None, None]:
    """What is told, as it comes; None = look yourself, because some may have been missed or for
    `every_s` nothing came."""
    with signals.listening(channel) as told:
        waiting = asyncio.ensure_future(anext(told))
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=every_s)
                if not done:
                    yield None
                    continue
                payload = waiting.result()
                waiting = asyncio.ensure_future(anext(told))
                yield payload
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
