"""How many replicas of this service there are, for limits that all of them have together."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import grpc

from servicekit import health, logs
from servicekit.channels import channel
from servicekit.names import Names, listed
from servicekit.tls import Tls

_log = logs.get(__name__)
LOOK_S = 5.0
# a replica counts as gone when it has not answered so often: one that is busy is not gone
_SILENT = 2


def share(limit: int, replicas: int) -> int:
    """What one of so many may use of a limit of all; one at least."""
    return max(1, limit // max(1, replicas))


class Replicas:
    """`told`: a number, or addresses as of a service that is called, this one's own among them;
    empty = this one is alone. One that drains counts until it is gone."""

    def __init__(self, told: str, tls: Tls | None = None) -> None:
        self._fixed = int(told) if told.isdigit() else 1
        self._names = None if not told or told.isdigit() else Names(listed(told))
        self._tls = tls
        self._stack = AsyncExitStack()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._silent: dict[str, int] = {}

    async def follow(self, changed: Callable[[int], None], every_s: float = LOOK_S) -> None:
        """Tells how many there are, at first and when that changes, until it is cancelled."""
        if self._names is None:
            changed(self._fixed)
            return
        last = 0
        async with self._stack:
            while True:
                if (now := await self.living()) != last:
                    _log.info("replicas", living=now)
                    changed(now)
                    last = now
                await asyncio.sleep(every_s)

    async def living(self) -> int:
        """As many as answer now, or did lately; of a name, as many as it has addresses."""
        assert self._names is not None
        places = await self._names.places(anew=True)
        # what a name has addresses for is there: whoever keeps the name has asked
        alone = [address for address, name in places.items() if not name]
        await asyncio.gather(*(self._look(address) for address in alone))
        away = sum(self._silent[address] >= _SILENT for address in alone)
        return max(1, len(places) - away)

    async def _look(self, address: str) -> None:
        opened = self._channels.get(address)
        if opened is None:
            opened = self._channels[address] = await self._stack.enter_async_context(
                channel(address, tls=self._tls)
            )
            # one that never answered is not there
            self._silent[address] = _SILENT
        answers = await health.state(opened) != "UNREACHABLE"
        self._silent[address] = 0 if answers else self._silent[address] + 1
