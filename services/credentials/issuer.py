"""The service itself: keeps secrets, signs grants, takes both back."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from grants import tokens
from grants.attenuation import attenuate
from grants.binding import binding_of
from grants.claims import Grant, Json
from grants.errors import GrantUnbound, KeyUnknown
from grants.revocations import Kind, Revocation, subjects_of
from grants.spending import Amount, is_bounded
from servicekit.secrets import Secret
from servicekit.status import InvalidField
from services.credentials import spending
from services.credentials.clock import Clock
from services.credentials.errors import SecretNotFound
from services.credentials.revoking import Ledger
from services.credentials.roles import Allowed, require_allowed
from services.credentials.signing import Keys, PublicKey
from services.credentials.store import Store
from services.credentials.vaults.database import Holder, Leased, NoRoles, Roles
from services.credentials.vaults.port import Change, Description, Record, Vault
from services.credentials.wishes import Narrower, Wish


@dataclass(frozen=True)
class Minted:
    token: str
    grant: Grant


@dataclass(frozen=True)
class Redeemed:
    """`lease`: what Vault's database engine gave, as an id for the audit; "" where it gave none."""

    record: Record
    fields: Mapping[str, Secret]
    lease_ends_at: datetime
    renew_at: datetime | None = None
    expire_at: datetime | None = None
    lease: str = ""


@dataclass(frozen=True)
class Terms:
    lease: timedelta
    key_lead: timedelta
    roles: tuple[Allowed, ...] = ()


class Issuer:
    def __init__(
        self,
        vault: Vault,
        store: Store,
        keys: Keys,
        ledger: Ledger,
        clock: Clock,
        terms: Terms,
        roles: Roles | None = None,
    ) -> None:
        self._vault = vault
        self._store = store
        self._keys = keys
        self._clock = clock
        self._terms = terms
        self._roles = roles or NoRoles()
        self.ledger = ledger
        ledger.on_heard = self.heard

    def require_role(self, owner: str, config: Mapping[str, Json]) -> str | None:
        """The role of Vault's database engine that the source names. Raises InvalidField."""
        return require_allowed(self._terms.roles, owner, config)

    async def put(self, change: Change) -> Description:
        """A secret that took another one's place voids the grants that were given for the old."""
        stored = await self._vault.put(change, self._clock.now())
        if stored.version > 1:
            await self.revoke("source", change.source_id)
        return stored

    async def delete(self, source_id: str) -> bool:
        """The revocation comes first: while the vault is away, the source is closed at least."""
        await self.revoke("source", source_id)
        return await self._vault.delete(source_id)

    async def describe(self, source_id: str) -> Description:
        return await self._vault.describe(source_id)

    async def mint(self, wish: Wish) -> Minted:
        """Raises InvalidField."""
        wish.check()
        # what was revoked before, wherever, is not to void a grant that is minted now
        await self.ledger.refresh(
            [("source", wish.source_id), ("owner", wish.owner), ("run", wish.run_id)]
        )
        now = self._clock.now()
        return self._signed(wish.grant(_grant_id(), now), now)

    async def narrow(self, wide: Grant, narrower: Narrower) -> Minted:
        """Raises InvalidField, BeyondGrant, GrantRevoked. What it may read is taken of the wider
        one, so that several narrower ones do not read more than that together."""
        narrower.check(wide)
        await self._require_valid(wide)
        now = self._clock.now()
        grant = attenuate(wide, narrower.bounds(now))
        if is_bounded(wide):
            took = await self.spend(wide, Amount(grant.max_rows, grant.max_bytes))
            grant = replace(
                grant,
                max_rows=took.rows or grant.max_rows,
                max_bytes=took.bytes or grant.max_bytes,
            )
        parents = (*wide.parents, wide.grant_id)
        return self._signed(replace(grant, grant_id=_grant_id(), parents=parents), now)

    def _signed(self, grant: Grant, now: datetime) -> Minted:
        token = tokens.mint(grant, self._keys.ring.signer(now))
        if len(token) > tokens.MAX_TOKEN_CHARS:
            raise InvalidField("config", "the grant would be too large: shorten config or scopes")
        return Minted(token, grant)

    async def verify(self, token: str) -> Grant:
        """Whether it was revoked, `redeem` asks: the audit is to name a grant that was. Raises
        GrantError."""
        try:
            return self._verified(token)
        except KeyUnknown:
            await self._keys.renew()
            return self._verified(token)

    def _verified(self, token: str) -> Grant:
        now = self._clock.now()
        return tokens.verify(token, self._keys.ring.verifiers(now), now)

    async def _require_valid(self, grant: Grant) -> None:
        """Raises GrantRevoked, also for what another replica has revoked."""
        await self.ledger.refresh(subjects_of(grant))
        self.ledger.revocations.check(grant)

    async def redeem(self, grant: Grant) -> Redeemed:
        """Raises GrantRevoked, GrantUnbound, SecretNotFound."""
        await self._require_valid(grant)
        record = await self._vault.get(grant.source_id)
        if record.owner != grant.owner:
            raise SecretNotFound(grant.source_id)
        if record.binding != binding_of(grant):
            raise GrantUnbound(grant.source_id)
        leased = await self._leased(grant, record)
        # It may have been revoked while the vault was asked.
        self.ledger.revocations.check(grant)
        ends_at = min(self._clock.now() + self._terms.lease, grant.expires_at)
        if leased is None:
            return Redeemed(record, record.fields, ends_at)
        renew_at, expire_at = self._at(leased.renew_at), self._at(leased.ends_at)
        return Redeemed(
            record,
            {**record.fields, **leased.fields},
            min(ends_at, expire_at),
            renew_at,
            expire_at,
            leased.lease_id,
        )

    async def _leased(self, grant: Grant, record: Record) -> Leased | None:
        role = self.require_role(grant.owner, grant.config)
        if role is None:
            return None
        holder = Holder(grant.source_id, grant.owner, record.version, role)
        return await self._roles.credentials(holder)

    def _at(self, monotonic: float) -> datetime:
        return self._clock.now() + timedelta(seconds=monotonic - time.monotonic())

    async def spend(self, grant: Grant, wanted: Amount) -> Amount:
        """Raises GrantRevoked, BeyondGrant."""
        await self._require_valid(grant)
        return await spending.take(self._store, grant, wanted, self._clock.now())

    async def hand_back(self, grant: Grant, unused: Amount) -> None:
        await spending.hand_back(self._store, grant, unused)

    async def revoke(self, kind: Kind, subject: str) -> None:
        await self.ledger.add(Revocation(kind, subject, self._clock.now()))
        # The lease of a source serves its other grants and runs too.
        if kind == "source":
            await self._roles.forget("source_id", subject)
        elif kind == "owner":
            await self._roles.forget("owner", subject)

    async def public_keys(self) -> list[PublicKey]:
        await self._keys.renew()
        return self._keys.ring.published(self._clock.now())

    async def rotate(self) -> tuple[str, int]:
        """The new signing key's id, and how many secrets lie under a new key now."""
        resealed = await self._store.reseal()
        return await self._keys.rotate(self._clock.now, self._terms.key_lead), resealed

    async def heard(self, revocation: Revocation) -> None:
        """What another replica has revoked: it has taken the leases back already."""
        if revocation.kind == "source":
            await self._roles.heard("source_id", revocation.subject)
        elif revocation.kind == "owner":
            await self._roles.heard("owner", revocation.subject)


def _grant_id() -> str:
    return f"grant-{secrets.token_hex(16)}"
