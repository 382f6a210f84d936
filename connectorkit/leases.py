"""The secrets that a connector holds, each until its lease ends."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime

from grants.binding import binding_of
from grants.claims import Grant
from servicekit import context, logs
from servicekit.secrets import Secret

_log = logs.get(__name__)

Fields = Mapping[str, Secret]


@dataclass(frozen=True)
class Lease:
    """`renew_at`: from then on others are asked for while these go on; None = not before the end.
    `expires_at`: the source takes them until then, so that connections made with them are to be
    given up before; None = they do not expire by themselves."""

    fields: Fields
    ends_at: datetime
    renew_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class _Key:
    owner: str
    source_id: str
    source_version: int
    # a grant with settings of its own must not be given what was redeemed for others
    binding: str


def _key(grant: Grant) -> _Key:
    return _Key(grant.owner, grant.source_id, grant.source_version, binding_of(grant))


Redeem = Callable[[Grant], Coroutine[None, None, Lease]]


class Leases:
    """One lease for each (source, version, settings), redeemed once however many ask at a time."""

    def __init__(self, redeem: Redeem, clock: Callable[[], datetime]) -> None:
        self._redeem = redeem
        self._clock = clock
        self._held: dict[_Key, Lease] = {}
        self._coming: dict[_Key, asyncio.Task[Lease]] = {}
        # also those that were dropped on their way
        self._flights: set[asyncio.Task[Lease]] = set()

    async def lease(self, grant: Grant) -> Lease:
        """Cancelling one who waits leaves the redemption to the others. Nobody waits for a renewal;
        while it fails, what is held goes on until it ends."""
        key, now = _key(grant), self._clock()
        held = self._held.get(key)
        if held is None or held.ends_at <= now:
            return await asyncio.shield(self._flight(key, grant))
        if held.renew_at is not None and held.renew_at <= now:
            self._flight(key, grant)
        return held

    def forget(self, grant: Grant, fields: Fields) -> None:
        """Has them redeemed anew; others that came meanwhile stay."""
        key = _key(grant)
        held = self._held.get(key)
        if held is not None and held.fields is fields:
            del self._held[key]

    def drop(self, gone: Callable[[str, str], bool]) -> None:
        """Forgets those whose (owner, source_id) is gone, also those on their way here."""
        for key in [key for key in self._held if gone(key.owner, key.source_id)]:
            del self._held[key]
        for key in [key for key in self._coming if gone(key.owner, key.source_id)]:
            del self._coming[key]

    async def aclose(self) -> None:
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)
        self._held.clear()

    def _flight(self, key: _Key, grant: Grant) -> asyncio.Task[Lease]:
        flight = self._coming.get(key)
        if flight is None:
            # It serves others too, so it must not end at the deadline of the call that began it.
            with context.detached():
                flight = asyncio.create_task(self._redeem(grant), name="redeem")
            self._coming[key] = flight
            self._flights.add(flight)
            flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    def _landed(self, key: _Key, done: asyncio.Task[Lease]) -> None:
        self._flights.discard(done)
        wanted = self._coming.get(key) is done
        if wanted:
            del self._coming[key]
        if done.cancelled():
            return
        if (failed := done.exception()) is not None:
            if key in self._held:
                _log.warning("lease_not_renewed", source_id=key.source_id, why=str(failed))
        elif wanted:
            self._prune()
            self._held[key] = done.result()

    def _prune(self) -> None:
        now = self._clock()
        for key in [key for key, lease in self._held.items() if lease.ends_at <= now]:
            del self._held[key]
