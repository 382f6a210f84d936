"""A grant as a signed token: a JWT (RFC 7519) signed with Ed25519 (RFC 8037), and nothing else."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.types import Options

from grants.claims import MAX_LIFETIME, OPERATIONS, Grant, Json
from grants.errors import GrantExpired, GrantForged, GrantMalformed, KeyUnknown

ALGORITHM = "EdDSA"
AUDIENCE = "isobath.connector"
ISSUER = "isobath.credentials"
LEEWAY = timedelta(seconds=5)

# Public settings are a few KiB; more is an attempt to keep the parser busy.
MAX_TOKEN_CHARS = 64 * 1024

_CLAIMS = frozenset(
    {"iss", "aud", "jti", "sub", "iat", "exp"}
    | {"caller", "source_id", "source_type", "source_version", "config", "operations", "scopes"}
    | {"max_rows", "max_bytes", "max_seconds", "run_id", "thread_id"}
)
# left out where there is nothing to say
_OPTIONAL = frozenset({"parents"})


@dataclass(frozen=True)
class SigningKey:
    key_id: str
    private: Ed25519PrivateKey


def mint(grant: Grant, key: SigningKey) -> str:
    return jwt.encode(_claims(grant), key.private, algorithm=ALGORITHM, headers={"kid": key.key_id})


def verify(
    token: str,
    keys: Mapping[str, Ed25519PublicKey],
    now: datetime,
    *,
    leeway: timedelta = LEEWAY,
) -> Grant:
    """The grant in a token, if one of the keys signed it and it is alive at `now`.

    Raises GrantMalformed, KeyUnknown, GrantForged or GrantExpired. Revocation is another question.
    """
    _require_canonical(token)
    key = _key(token, keys)
    grant = _grant(_payload(token, key))
    _require_alive(grant, now, leeway)
    return grant


def _claims(grant: Grant) -> dict[str, Any]:
    parents = {"parents": list(grant.parents)} if grant.parents else {}
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": grant.grant_id,
        "sub": grant.owner,
        # With microseconds, so that a grant minted right after a revocation is not taken for an
        # older one.
        "iat": grant.issued_at.timestamp(),
        "exp": grant.expires_at.timestamp(),
        "caller": grant.caller,
        "source_id": grant.source_id,
        "source_type": grant.source_type,
        "source_version": grant.source_version,
        "config": dict(grant.config),
        "operations": sorted(grant.operations),
        "scopes": list(grant.scopes),
        "max_rows": grant.max_rows,
        "max_bytes": grant.max_bytes,
        "max_seconds": grant.max_seconds,
        "run_id": grant.run_id,
        "thread_id": grant.thread_id,
        **parents,
    }


def _require_canonical(token: str) -> None:
    """Base64 decoders pass over foreign characters and spare bits, so that many texts give one
    signature.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise GrantMalformed("it is too long")
    parts = token.split(".")
    if len(parts) != 3 or not all(map(_is_canonical, parts)):
        raise GrantMalformed("it is not a token")


def _is_canonical(part: str) -> bool:
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return False
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == part


def _key(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Ed25519PublicKey:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as exc:
        raise GrantMalformed("its header is torn") from exc
    if header.get("alg") != ALGORITHM:
        raise GrantForged("it is not signed as grants are")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise GrantMalformed("it names no key")
    if key_id not in keys:
        raise KeyUnknown(key_id)
    return keys[key_id]


def _payload(token: str, key: Ed25519PublicKey) -> dict[str, Any]:
    # Times are checked by _require_alive, against the caller's clock instead of this machine's.
    ours: Options = {
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "strict_aud": True,
    }
    try:
        return jwt.decode(
            token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=ours
        )
    except jwt.InvalidSignatureError as exc:
        raise GrantForged() from exc
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError) as exc:
        raise GrantMalformed("it is meant for somebody else") from exc
    except (jwt.PyJWTError, ValueError) as exc:
        raise GrantMalformed("its claims are torn") from exc


def _require_alive(grant: Grant, now: datetime, leeway: timedelta) -> None:
    if grant.expires_at - grant.issued_at > MAX_LIFETIME:
        raise GrantMalformed("it lives longer than a grant may")
    if grant.issued_at > now + leeway:
        raise GrantMalformed("it is issued in the future; the clocks of the services differ")
    if grant.expires_at + leeway <= now:
        raise GrantExpired(grant.expires_at)


def _grant(claims: Mapping[str, Any]) -> Grant:
    # A claim that is not known here may be a restriction, so it is not passed over.
    if unknown := claims.keys() - _CLAIMS - _OPTIONAL:
        raise GrantMalformed(
            f"it holds claims that are not known here: {', '.join(sorted(unknown))}"
        )
    if missing := _CLAIMS - claims.keys():
        raise GrantMalformed(f"it lacks claims: {', '.join(sorted(missing))}")
    return Grant(
        grant_id=_text(claims, "jti"),
        owner=_text(claims, "sub"),
        caller=_text(claims, "caller"),
        source_id=_text(claims, "source_id"),
        source_type=_text(claims, "source_type"),
        source_version=_count(claims, "source_version"),
        config=_config(claims),
        operations=_operations(claims),
        scopes=tuple(_texts(claims, "scopes")),
        max_rows=_count(claims, "max_rows"),
        max_bytes=_count(claims, "max_bytes"),
        max_seconds=_number(claims, "max_seconds"),
        run_id=_text(claims, "run_id"),
        thread_id=_text(claims, "thread_id"),
        issued_at=_time(claims, "iat"),
        expires_at=_time(claims, "exp"),
        parents=tuple(_texts(claims, "parents")) if "parents" in claims else (),
    )


def _wrong(name: str) -> GrantMalformed:
    return GrantMalformed(f"the claim {name} is of another kind")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str):
        raise _wrong(name)
    return value


def _texts(claims: Mapping[str, Any], name: str) -> list[str]:
    value = claims[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(name)
    return value


def _operations(claims: Mapping[str, Any]) -> frozenset[str]:
    operations = frozenset(_texts(claims, "operations"))
    if not operations <= OPERATIONS:
        raise _wrong("operations")
    return operations


def _config(claims: Mapping[str, Any]) -> dict[str, Json]:
    value = claims["config"]
    if not isinstance(value, dict):
        raise _wrong("config")
    return value


def _number(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name)
    if not math.isfinite(value) or value < 0:
        raise _wrong(name)
    return value


def _count(claims: Mapping[str, Any], name: str) -> int:
    value = _number(claims, name)
    if not isinstance(value, int):
        raise _wrong(name)
    return value


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromtimestamp(_number(claims, name), UTC)
    except (OverflowError, ValueError, OSError) as exc:
        raise _wrong(name) from exc
