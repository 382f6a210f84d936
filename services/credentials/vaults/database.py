"""Short-lived credentials of Vault's database engine, each set kept alive while it is asked for.

Vault makes a role in the database, tells how long it lives, renews that up to the longest time that
the role of the engine allows, and drops it at the end, on revocation, or when the token that it was
made with ends: https://developer.hashicorp.com/vault/docs/secrets/databases and …/concepts/lease
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import hvac
from hvac import exceptions as refused

from servicekit import logs
from servicekit.secrets import Secret
from services.credentials.errors import VaultFault, VaultRefused, VaultUnavailable
from services.credentials.vaults.book import Book
from services.credentials.vaults.hashicorp import Connection

_log = logs.get(__name__)
# Vault's own advice; the rest is for it to be away, and for connectors to move
_RENEW_AT = 2 / 3
# Due leases are looked for at least, and at most, so often.
_LOOK_S, _PAUSE_S = 5.0, 0.05
# What is held goes on for so long before Vault, which failed, is asked again.
_AGAIN_S = 1.0

Subject = Literal["source_id", "owner"]


@dataclass(frozen=True)
class Holder:
    """Whom a lease is for: a version of a source, and the engine's role, "mount/role"."""

    source_id: str
    owner: str
    version: int
    role: str


@dataclass(frozen=True)
class Leased:
    """Times by time.monotonic. `lives_s`: how long it was given for at first."""

    lease_id: str
    fields: Mapping[str, Secret]
    lives_s: float
    renew_at: float
    ends_at: float
    renewable: bool
    # the token that it hangs on
    client: hvac.Client


class Roles(Protocol):
    async def credentials(self, holder: Holder) -> Leased:
        """ "username" and "password". Raises VaultUnavailable, VaultRefused."""

    async def forget(self, by: Subject, subject: str) -> None:
        """Has the leases of a source or an owner revoked, soon: Vault may be away."""

    async def heard(self, by: Subject, subject: str) -> None:
        """Another replica did: those that are held here are not given out any more."""


class NoRoles:
    """Where no Vault is set."""

    async def credentials(self, holder: Holder) -> Leased:
        raise VaultRefused(
            f"the source names Vault's database role {holder.role}, and no Vault is set",
            remedy="Set VAULT_ROLES and how to sign in to Vault.",
        )

    async def forget(self, by: Subject, subject: str) -> None:
        """There are none."""

    async def heard(self, by: Subject, subject: str) -> None:
        """There are none."""


class DatabaseRoles:
    """One lease for each holder, made once however many ask at a time."""

    def __init__(
        self, connection: Connection, book: Book, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection, self._book, self._clock = connection, book, clock
        self._held: dict[Holder, Leased] = {}
        self._coming: dict[Holder, asyncio.Task[Leased]] = {}
        # asked for since they were made or renewed
        self._asked: set[Holder] = set()
        # after a failure, until when what is held goes on without another try
        self._again_at: dict[Holder, float] = {}
        self._flights: set[asyncio.Task[Leased]] = set()
        self._given_up = asyncio.Event()

    async def credentials(self, holder: Holder) -> Leased:
        """A lease that Vault cannot renew now is given until it ends."""
        self._asked.add(holder)
        held = self._living(holder)
        if held is not None and self._clock() < self._due(holder, held):
            return held
        try:
            return await asyncio.shield(self._flight(holder))
        except VaultFault:
            held = self._living(holder)
            if held is None:
                raise
            return held

    async def forget(self, by: Subject, subject: str) -> None:
        self._drop(by, subject)
        await self._book.give_up(by, subject)
        self._given_up.set()

    async def heard(self, by: Subject, subject: str) -> None:
        held = [lease for holder, lease in self._held.items() if getattr(holder, by) == subject]
        self._drop(by, subject)
        # one of ours may have been noted down after those of the source were given up
        for lease in held:
            await self._book.give_up("lease_id", lease.lease_id)
        self._given_up.set()

    def _drop(self, by: Subject, subject: str) -> None:
        for known in (self._coming, self._held, self._again_at):
            for holder in [each for each in known if getattr(each, by) == subject]:
                known.pop(holder)
        self._asked = {each for each in self._asked if getattr(each, by) != subject}

    async def run(self) -> None:
        """Looks after the leases until it is cancelled."""
        while True:
            try:
                wait_s = await self.keep()
            except Exception:
                # the store may be busy or full: the next look tries again
                _log.exception("database_leases_not_kept")
                wait_s = _LOOK_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._given_up.wait()

    async def keep(self) -> float:
        """Renews what is due and in use, revokes what was given up; seconds until it is to be
        called again."""
        self._given_up.clear()
        await self._revoke_all()
        now = self._clock()
        for holder, held in tuple(self._held.items()):
            if held.ends_at <= now:
                del self._held[holder]
            elif self._due(holder, held) <= now and holder in self._asked:
                await asyncio.wait([self._flight(holder)])
        ahead = [held.renew_at - now for held in self._held.values() if held.renew_at > now]
        return max(_PAUSE_S, min([_LOOK_S, *ahead]))

    async def aclose(self) -> None:
        """Connectors go on with what they were given, so that a restart fails no query; Vault ends
        it by itself."""
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)

    def _due(self, holder: Holder, held: Leased) -> float:
        return max(held.renew_at, self._again_at.get(holder, 0.0))

    def _living(self, holder: Holder) -> Leased | None:
        held = self._held.get(holder)
        return held if held is not None and held.ends_at > self._clock() else None

    def _flight(self, holder: Holder) -> asyncio.Task[Leased]:
        flight = self._coming.get(holder)
        if flight is None:
            flight = asyncio.create_task(self._next(holder), name="database lease")
            self._coming[holder] = flight
            self._flights.add(flight)
            flight.add_done_callback(lambda done: self._landed(holder, done))
        return flight

    def _landed(self, holder: Holder, done: asyncio.Task[Leased]) -> None:
        self._flights.discard(done)
        wanted = self._coming.get(holder) is done
        if wanted:
            del self._coming[holder]
        if done.cancelled():
            return
        self._again_at.pop(holder, None)
        if (failed := done.exception()) is not None:
            if wanted:
                self._again_at[holder] = self._clock() + _AGAIN_S
            _log.warning("database_lease_not_had", role=holder.role, why=str(failed))
        elif wanted:
            self._held[holder] = done.result()

    async def _next(self, holder: Holder) -> Leased:
        """The same for longer, where that is worth it; else others, and Vault ends the old."""
        held = self._living(holder)
        if held is not None and held.renewable:
            renewed = await self._connection.run(self._renew, held)
            if renewed is not None:
                self._asked.discard(holder)
                await self._book.extend(renewed.lease_id, renewed.ends_at - self._clock())
                return renewed
        leased = await self._connection.run(self._issue, holder.role)
        self._asked.discard(holder)
        left_s = leased.ends_at - self._clock()
        await self._book.add(leased.lease_id, holder.source_id, holder.owner, left_s)
        if self._coming.get(holder) is not asyncio.current_task():
            # The source was forgotten meanwhile.
            await self._book.give_up("lease_id", leased.lease_id)
            self._given_up.set()
        return leased

    def _issue(self, role: str) -> Leased:
        mount, _, name = role.rpartition("/")
        at = self._clock()
        try:
            client, answer = self._connection.session.call(
                lambda client: (
                    client,
                    client.secrets.database.generate_credentials(name, mount_point=mount),
                )
            )
        except (refused.InvalidRequest, refused.InvalidPath) as exc:
            raise VaultRefused(
                f"Vault does not know the database role {role}",
                remedy="Correct vault_role of the source, or make the role in Vault.",
            ) from exc
        except refused.InternalServerError as exc:
            raise VaultUnavailable(
                f"Vault could not make credentials for {role}: its own log says why"
            ) from exc
        data = answer["data"]
        fields = {name: Secret(data[name]) for name in ("username", "password")}
        _log.info("database_lease_made", role=role, lives_s=answer["lease_duration"])
        return self._timed(
            Leased(answer["lease_id"], fields, 0, at, at, bool(answer["renewable"]), client),
            at,
            float(answer["lease_duration"]),
        )

    def _renew(self, held: Leased) -> Leased | None:
        """None where it would not live much longer, or hangs on a token that is not ours now."""
        at = self._clock()
        if not self._connection.session.is_now(held.client):
            return None
        try:
            client, answer = self._connection.session.call(
                lambda client: (
                    client,
                    client.sys.renew_lease(held.lease_id, increment=int(held.lives_s)),
                )
            )
        except (refused.InvalidRequest, refused.InvalidPath, refused.Forbidden) as exc:
            _log.warning("database_lease_not_renewed", why=type(exc).__name__)
            return None
        lives_s = float(answer["lease_duration"])
        if client is not held.client or lives_s < held.lives_s * _RENEW_AT:
            return None
        return self._timed(held, at, lives_s)

    def _timed(self, leased: Leased, at: float, lives_s: float) -> Leased:
        ends_at = min(at + lives_s, self._connection.session.ends_at(leased.client))
        renew_at = at + (ends_at - at) * _RENEW_AT
        return replace(
            leased, lives_s=leased.lives_s or lives_s, renew_at=renew_at, ends_at=ends_at
        )

    async def _revoke_all(self) -> None:
        for lease_id in await self._book.given_up():
            if not await self._book.claim(lease_id):
                continue
            try:
                await self._connection.run(self._revoke, lease_id)
            except VaultUnavailable as exc:
                _log.warning("database_lease_not_revoked", why=str(exc))
                await self._book.leave(lease_id)
                return
            except VaultRefused as exc:
                _log.error("database_lease_not_revoked", lease_id=lease_id, why=str(exc))
            await self._book.forget(lease_id)

    def _revoke(self, lease_id: str) -> None:
        self._connection.session.call(lambda client: client.sys.revoke_lease(lease_id))
        _log.info("database_lease_revoked", lease_id=lease_id)


@asynccontextmanager
async def roles(connection: Connection, book: Book) -> AsyncIterator[DatabaseRoles]:
    leases = DatabaseRoles(connection, book)
    await book.leave_all()
    keeping = asyncio.create_task(leases.run(), name="database leases")
    try:
        yield leases
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await leases.aclose()
