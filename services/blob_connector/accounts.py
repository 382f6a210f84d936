"""Open containers, one for each source, version and lease, closed when the source goes."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from azure.storage.blob.aio import ContainerClient

from connectorkit.access import Gate
from connectorkit.addresses import addresses_of, refusal
from grants.claims import Grant
from servicekit.secrets import Secret
from services.blob_connector.azure import Container
from services.blob_connector.errors import AddressNotAllowed
from services.blob_connector.identity import Place, connect
from services.blob_connector.ranges import signature_of
from services.blob_connector.settings import Settings

Key = tuple[str, str, int]


@dataclass
class _Open:
    # the same object for as long as the lease lasts
    lease: Mapping[str, Secret]
    container: Container
    users: int = 0
    retired: bool = False


class Accounts:
    """`async with accounts.held(grant) as container`.

    A container that a new lease or version replaced is closed when its last user leaves; one whose
    source was revoked is closed at once, under its users."""

    def __init__(self, gate: Gate, settings: Settings) -> None:
        self._gate = gate
        self._settings = settings
        # the one that was idle longest comes first
        self._open: OrderedDict[Key, _Open] = OrderedDict()
        self._retired: dict[str, list[_Open]] = {}

    @asynccontextmanager
    async def held(self, grant: Grant) -> AsyncIterator[Container]:
        """The container of a grant's source. Raises what `Gate.secrets` raises, and `BadConfig`."""
        lease = await self._gate.secrets(grant)
        entry = await self._entry(grant, lease)
        entry.users += 1
        try:
            yield entry.container
        finally:
            entry.users -= 1
            if entry.retired and not entry.users:
                self._forget(grant.source_id, entry)
                await asyncio.shield(entry.container.aclose())

    async def _entry(self, grant: Grant, lease: Mapping[str, Secret]) -> _Open:
        key = (grant.owner, grant.source_id, grant.source_version)
        if (found := self._fresh(key, lease)) is not None:
            return found
        place, client = connect(grant.config, lease, self._settings)
        try:
            await _require_allowed(client.url, self._settings.allowed_hosts)
        except BaseException:
            await _close(place, client)
            raise
        # another call may have opened it while the name was looked up
        if (found := self._fresh(key, lease)) is not None:
            await _close(place, client)
            return found
        entry = self._open.get(key)
        signature = signature_of(place.way, lease, place.account, place.signer)
        container = Container(place, client, self._settings, signature)
        made = self._open[key] = _Open(lease, container)
        self._open.move_to_end(key)
        made.users += 1  # not to be closed as idle while room is made
        try:
            if entry is not None:
                await self._retire(grant.source_id, entry)
            await self._make_room()
        finally:
            made.users -= 1
        return made

    def _fresh(self, key: Key, lease: Mapping[str, Secret]) -> _Open | None:
        entry = self._open.get(key)
        if entry is None or entry.lease is not lease:
            return None
        self._open.move_to_end(key)
        return entry

    async def _make_room(self) -> None:
        idle = [key for key, entry in self._open.items() if not entry.users]
        for key in idle[: max(0, len(self._open) - self._settings.open_containers)]:
            await self._retire(key[1], self._open.pop(key))

    async def _retire(self, source_id: str, entry: _Open) -> None:
        entry.retired = True
        if entry.users:
            self._retired.setdefault(source_id, []).append(entry)
        else:
            await entry.container.aclose()

    def _forget(self, source_id: str, entry: _Open) -> None:
        left = [each for each in self._retired.get(source_id, []) if each is not entry]
        if left:
            self._retired[source_id] = left
        else:
            self._retired.pop(source_id, None)

    async def disconnect(self, source_id: str) -> int:
        """Let go of a source's containers, those in use once their users leave; how many there
        were."""
        keys = [key for key in self._open if key[1] == source_id]
        for key in keys:
            await self._retire(source_id, self._open.pop(key))
        return len(keys)

    async def close(self, source_id: str) -> None:
        """Close a source's connections, also those in use."""
        keys = [key for key in self._open if key[1] == source_id]
        entries = [self._open.pop(key) for key in keys] + self._retired.pop(source_id, [])
        for entry in entries:
            await entry.container.aclose()

    async def revoked(self, source_id: str) -> None:
        """For `Gate.on_close`."""
        await self.close(source_id)

    async def aclose(self) -> None:
        """Close everything."""
        for source_id in {key[1] for key in self._open} | set(self._retired):
            await self.close(source_id)


async def _require_allowed(url: str, allowed: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if why := refusal(host, await addresses_of(host, port), allowed):
        raise AddressNotAllowed(host, why)


async def _close(place: Place, client: ContainerClient) -> None:
    await client.close()
    if place.signer is not None:
        await place.signer.close()
