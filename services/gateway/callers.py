"""Who calls: an API key, or a token of the company's own sign-in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from servicekit.status import Unauthenticated
from services.gateway.access.keys import EVERYBODY, Key, Keys
from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import Scope
from services.gateway.store.tables import now_ms


@dataclass(frozen=True)
class Caller:
    """An authenticated caller; everything that it makes belongs to `owner`."""

    owner: str
    key_id: str
    scope: Scope = Scope.ANALYST
    teams: tuple[str, ...] = ()
    quota: Quota = field(default_factory=Quota)

    @property
    def is_admin(self) -> bool:
        return self.scope is Scope.ADMIN

    @property
    def all_teams(self) -> Sequence[str]:
        """Those that it is a member of, with the one that everybody is a member of."""
        return (*self.teams, EVERYBODY)


class Tokens(Protocol):
    """Bearer tokens that are no keys of ours."""

    def takes(self, token: str) -> bool:
        """Whether it looks like one."""

    async def caller(self, token: str) -> Caller:
        """Whose it is. Raises `Unauthenticated`."""


class Callers:
    """Tells callers by what they show."""

    def __init__(self, keys: Keys, tokens: Tokens | None = None) -> None:
        self._keys = keys
        self._tokens = tokens

    async def authenticate(self, authorization: str) -> Caller:
        """Read `Bearer <key or token>`. Raises `Unauthenticated`."""
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given:
            raise _refused("there is no API key in this request")
        if self._tokens is not None and self._tokens.takes(given):
            return await self._tokens.caller(given)
        key = await self._keys.find(given)
        if key is None:
            raise _refused("this API key is not known")
        _require_valid(key)
        return Caller(key.owner, key.id, key.scope, key.teams, key.quota)


def _require_valid(key: Key) -> None:
    if key.revoked_ms is not None:
        raise _refused("this API key was revoked")
    if key.expires_ms is not None and key.expires_ms <= now_ms():
        raise _refused("this API key has expired")


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(message, remedy="Send Authorization: Bearer <API key>.")
