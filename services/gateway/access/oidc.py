"""Bearer tokens of the company's own sign-in: OpenID Connect, JSON Web Tokens (RFC 7519) under keys
that the issuer publishes (RFC 7517), found by its discovery document."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import jwt

from servicekit import logs
from servicekit.addresses import is_local
from servicekit.status import Unauthenticated
from services.gateway.access.keys import PREFIX
from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import WORDS, Scope
from services.gateway.callers import Caller
from services.gateway.errors import NotAllowed, ServiceLost

DISCOVERY = "/.well-known/openid-configuration"
# a secret that both sides know would let the issuer's other clients sign for us
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
LEEWAY_S = 60.0
FETCH_S = 10.0
# keys are read anew after this long …
KEYS_S = 3600.0
# … and for a token under one that is not known, but no more often than this
AGAIN_S = 30.0
# an owner takes 200 characters
MAX_SUBJECT = 190
_log = logs.get(__name__)


@dataclass(frozen=True)
class OidcSettings:
    # the issuer's address, exactly as its tokens say it; empty = API keys only
    issuer: str = ""
    # tokens must be made out to this audience
    audience: str = "isobath"
    # the claim with a person's roles; a dot goes a level down, such as realm_access.roles
    roles_claim: str = "roles"
    # the role that gives the scope admin
    admin_role: str = "isobath-admin"
    # the role that gives the scope analyst
    analyst_role: str = "isobath-analyst"
    # the role that gives the scope read-only
    reader_role: str = "isobath-reader"
    # of who has none of these roles; empty = they are refused
    default_scope: Literal["", "read-only", "analyst"] = ""
    # the claim with the teams that sources are shared with
    teams_claim: str = "groups"
    # what each person may use
    quota: Quota = field(default_factory=Quota)

    def __post_init__(self) -> None:
        url = httpx.URL(self.issuer)
        if self.issuer and url.scheme != "https" and not is_local(f"{url.host}:{url.port or 80}"):
            raise ValueError("OIDC_ISSUER expects an https:// address")

    @property
    def scopes(self) -> Mapping[str, Scope]:
        """By role."""
        return {
            self.reader_role: Scope.READ_ONLY,
            self.analyst_role: Scope.ANALYST,
            self.admin_role: Scope.ADMIN,
        }


class Oidc:
    """`async with Oidc(settings) as oidc`."""

    def __init__(
        self, settings: OidcSettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._http = httpx.AsyncClient(timeout=FETCH_S)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = -KEYS_S
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> "Oidc":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def takes(self, token: str) -> bool:
        """Whether it is a JSON Web Token."""
        return not token.startswith(PREFIX) and token.count(".") == 2

    async def caller(self, token: str) -> Caller:
        """The person. Raises `Unauthenticated`, `NotAllowed` (no role), `ServiceLost` (the issuer
        does not answer)."""
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as wrong:
            raise _refused(wrong) from wrong
        return caller_of(claims, self._settings)

    async def _key(self, id: str) -> jwt.PyJWK:
        async with self._reading:
            age_s = self._monotonic() - self._read_at
            if age_s >= KEYS_S or (id not in self._keys and age_s >= AGAIN_S):
                await self._read()
        key = self._keys.get(id)
        if key is None:
            raise Unauthenticated("this token is signed with a key that its issuer does not show")
        return key

    async def _read(self) -> None:
        """The issuer's keys; those of before stay where it cannot be reached."""
        self._read_at = self._monotonic()
        try:
            found = await self._json(self._settings.issuer.rstrip("/") + DISCOVERY)
            if found.get("issuer") != self._settings.issuer:
                raise ValueError(f"the issuer calls itself {found.get('issuer')!r}")
            keys = jwt.PyJWKSet.from_dict(await self._json(str(found["jwks_uri"])))
        except (httpx.HTTPError, ValueError, KeyError, jwt.PyJWTError) as failed:
            _log.warning("oidc_keys_unread", issuer=self._settings.issuer, error=str(failed))
            if not self._keys:
                self._read_at = -KEYS_S
                raise ServiceLost("sign-in") from failed
            return
        self._keys = {key.key_id or "": key for key in keys.keys}

    async def _json(self, url: str) -> dict[str, Any]:
        response = await self._http.get(url)
        response.raise_for_status()
        found = response.json()
        if not isinstance(found, dict):
            raise ValueError(f"{url} is no JSON object")
        return found


def caller_of(claims: Mapping[str, Any], settings: OidcSettings) -> Caller:
    """Who the claims of a verified token name. Raises `NotAllowed`."""
    roles = _words(claims, settings.roles_claim)
    has = max((scope for role, scope in settings.scopes.items() if role in roles), default=None)
    if has is None and settings.default_scope:
        has = WORDS[settings.default_scope]
    if has is None:
        needed = ", ".join(settings.scopes)
        raise NotAllowed(f"this token has none of the roles {needed}", Scope.READ_ONLY.word)
    person = _person(str(claims["sub"]))
    return Caller(person, person, has, _words(claims, settings.teams_claim), settings.quota)


def _person(subject: str) -> str:
    """Whose everything is that this person makes; an API key can be made for the same."""
    if len(subject) > MAX_SUBJECT:
        subject = hashlib.sha256(subject.encode()).hexdigest()
    return f"oidc:{subject}"


def _words(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """A claim that holds one word or a list of them."""
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return tuple(found.split())
    return tuple(each for each in found or () if isinstance(each, str))


def _refused(wrong: jwt.PyJWTError) -> Unauthenticated:
    known = {
        jwt.ExpiredSignatureError: "this token has expired",
        jwt.InvalidAudienceError: "this token is made out to another audience",
        jwt.InvalidIssuerError: "this token is another issuer's",
        jwt.ImmatureSignatureError: "this token is not valid yet",
    }
    message = next((said for kind, said in known.items() if isinstance(wrong, kind)), "")
    message = message or "this token is not one of the sign-in that is trusted here"
    return Unauthenticated(message, str(wrong), remedy="Sign in again.")
