"""The replicas of a service: which there are, by addresses or by a name, and a channel to each."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from servicekit.addresses import split_host_port
from servicekit.channels import channel
from servicekit.names import DNS, look_up
from servicekit.secrets import Secret
from servicekit.tls import Tls

R = TypeVar("R")

LOOK_UP_S = 10.0

# makes what is called of a replica from its address and a channel; what it opens goes on the stack
Opening = Callable[[str, grpc.aio.Channel, AsyncExitStack], R]


@dataclass
class _Open(Generic[R]):
    replica: R
    stack: AsyncExitStack


class Replicas(Generic[R]):
    """`addresses`: host:port, unix:path, or dns:///name:port, looked up again every ten seconds. A
    replica that is not listed any more is closed once it is `idle`."""

    def __init__(
        self,
        addresses: Sequence[str],
        opening: Opening[R],
        idle: Callable[[R], bool],
        *,
        token: Secret | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._addresses, self._opening, self._idle = addresses, opening, idle
        self._token, self._tls = token, tls
        self._listed: dict[str, _Open[R]] = {}
        self._leaving: dict[str, _Open[R]] = {}
        self._looked_up = float("-inf")
        self._looking = asyncio.Lock()

    def __len__(self) -> int:
        """How many were listed when one looked last."""
        return len(self._listed)

    async def listed(self) -> dict[str, R]:
        """Those that there are now, by address."""
        await self._look_up()
        return {address: each.replica for address, each in self._listed.items()}

    async def known(self) -> dict[str, R]:
        """The same, and those that are not listed any more and not closed yet."""
        listed = await self.listed()
        return {at: each.replica for at, each in self._leaving.items()} | listed

    async def at(self, address: str) -> R | None:
        """That of an address which is listed, or was a while ago."""
        await self._look_up()
        found = self._listed.get(address) or self._leaving.get(address)
        return found.replica if found else None

    async def reach(self, address: str) -> R:
        """The same, also of one that was listed for somebody else only: the address has to come
        from whom one believes."""
        if (known := await self.at(address)) is not None:
            return known
        async with self._looking:
            if (left := self._leaving.get(address)) is None:
                left = self._leaving[address] = await self._opened(address, self._name())
            return left.replica

    async def aclose(self) -> None:
        """Closes what was opened."""
        left = [*self._listed.values(), *self._leaving.values()]
        await asyncio.gather(*(each.stack.aclose() for each in left))

    async def _look_up(self) -> None:
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked_up < LOOK_UP_S:
                return
            found: dict[str, str] = {}
            for each in self._addresses:
                found.update(await look_up(each))
            if found:
                await self._change_to(found)
                self._looked_up = now

    async def _change_to(self, found: dict[str, str]) -> None:
        for address in [each for each in self._listed if each not in found]:
            self._leaving[address] = self._listed.pop(address)
        for address, name in found.items():
            if address not in self._listed:
                known = self._leaving.pop(address, None)
                self._listed[address] = known or await self._opened(address, name)
        for address, left in list(self._leaving.items()):
            if self._idle(left.replica):
                del self._leaving[address]
                await left.stack.aclose()

    async def _opened(self, address: str, name: str) -> _Open[R]:
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(
                channel(address, token=self._token, tls=self._tls, tls_name=name)
            )
            replica = self._opening(address, opened, stack)
            return _Open(replica, stack.pop_all())

    def _name(self) -> str:
        """What stands in the certificate of a replica whose address nobody lists."""
        names = (each for each in self._addresses if each.startswith(DNS))
        return next((split_host_port(each.removeprefix(DNS))[0] for each in names), "")
