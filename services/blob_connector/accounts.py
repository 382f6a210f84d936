"""Open containers, one for each source and version, closed when the source goes."""

import asyncio
from dataclasses import dataclass

from connectorkit.access import Gate
from grants.claims import Grant
from services.blob_connector.azure import Container
from services.blob_connector.identity import connect
from services.blob_connector.settings import Settings


@dataclass
class _Open:
    version: int
    container: Container


class Accounts:
    """`await accounts.of(grant)` gives the source's container; `aclose` closes all."""

    def __init__(self, gate: Gate, settings: Settings) -> None:
        self._gate = gate
        self._settings = settings
        self._open: dict[str, _Open] = {}
        self._lock = asyncio.Lock()

    async def of(self, grant: Grant) -> Container:
        """The container of a grant's source; a new version takes the place of an older one."""
        secrets = await self._gate.secrets(grant)
        async with self._lock:
            known = self._open.get(grant.source_id)
            if known is not None and known.version == grant.source_version:
                return known.container
            place, client = connect(grant.config, secrets, self._settings)
            container = Container(place, client, self._settings)
            self._open[grant.source_id] = _Open(grant.source_version, container)
        if known is not None:
            await known.container.aclose()
        return container

    async def close(self, source_id: str) -> int:
        """Close a source's connections; how many there were."""
        async with self._lock:
            known = self._open.pop(source_id, None)
        if known is None:
            return 0
        await known.container.aclose()
        return 1

    async def revoked(self, source_id: str) -> None:
        """For `Gate.on_close`."""
        await self.close(source_id)

    async def aclose(self) -> None:
        """Close everything."""
        for source_id in list(self._open):
            await self.close(source_id)
