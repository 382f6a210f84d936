"""Reads of one secret at the same time, as one: when all connectors start again, Vault is asked
once for each source."""

import asyncio
from datetime import datetime

from servicekit import context
from services.credentials.vaults.port import Change, Description, Record, Vault


class SharedReads:
    """A vault, asked once by however many wait. What is read after a change of ours never comes
    from before it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._coming: dict[str, asyncio.Task[Record]] = {}
        # also those that a change has left behind
        self._flights: set[asyncio.Task[Record]] = set()

    async def put(self, change: Change, now: datetime) -> Description:
        try:
            return await self._vault.put(change, now)
        finally:
            self._coming.pop(change.source_id, None)

    async def get(self, source_id: str) -> Record:
        """Cancelling one who waits leaves the read to the others."""
        return await asyncio.shield(self._coming.get(source_id) or self._started(source_id))

    async def describe(self, source_id: str) -> Description:
        return (await self.get(source_id)).description

    async def delete(self, source_id: str) -> bool:
        try:
            return await self._vault.delete(source_id)
        finally:
            self._coming.pop(source_id, None)

    async def aclose(self) -> None:
        """The vault itself stays open."""
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)

    def _started(self, source_id: str) -> asyncio.Task[Record]:
        # It serves others too, so it must not end with the call that began it.
        with context.detached():
            flight = asyncio.create_task(self._vault.get(source_id), name="secret read")
        self._coming[source_id] = flight
        self._flights.add(flight)
        flight.add_done_callback(lambda done: self._landed(source_id, done))
        return flight

    def _landed(self, source_id: str, done: asyncio.Task[Record]) -> None:
        self._flights.discard(done)
        if self._coming.get(source_id) is done:
            del self._coming[source_id]
        if not done.cancelled():
            done.exception()  # it was told to those who waited, if anybody still did
