"""API keys: made, listed, changed and revoked. Only a keyed hash of each is kept."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import or_, select

from servicekit.secrets import Secret
from servicekit.sql import Database
from servicekit.status import InvalidField
from services.gateway.access.hash_keys import KEY_FILE, read_key
from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import Scope
from services.gateway.errors import NotFound
from services.gateway.pages import Page, page_size
from services.gateway.store.newest import newest_first, token_behind
from services.gateway.store.shared import alone
from services.gateway.store.tables import ApiKey, now_ms

PREFIX = "isb-"
EVERYBODY = "*"
MAX_NAME, MAX_TEAMS = 200, 100
HASH_KEY_BYTES = 32
# how exactly it is known when a key was last used
SEEN_MS = 60_000


@dataclass(frozen=True)
class Key:
    """An API key as it is shown: everything but the key. Times in ms since 1970, None = never."""

    id: str
    owner: str
    name: str
    scope: Scope
    teams: tuple[str, ...]
    quota: Quota
    created_ms: int
    last_used_ms: int | None = None
    expires_ms: int | None = None
    revoked_ms: int | None = None


@dataclass(frozen=True)
class KeyDraft:
    """A key to be made. `lifetime_s` None = it does not expire."""

    owner: str
    name: str = ""
    scope: Scope = Scope.ANALYST
    teams: tuple[str, ...] = ()
    quota: Quota = field(default_factory=Quota)
    lifetime_s: float | None = None


@dataclass(frozen=True)
class KeyChange:
    """None leaves things as they are."""

    name: str | None = None
    teams: tuple[str, ...] | None = None
    quota: Quota | None = None


class Keys:
    """All keys of this gateway. `hash_key` makes what is kept worthless to who has the database
    alone."""

    def __init__(self, database: Database, hash_key: bytes) -> None:
        self._database = database
        self._hash_key = hash_key

    async def create(self, draft: KeyDraft, key: str = "") -> tuple[Key, str]:
        """A new key, or the one given, which may be there already; and the key itself. Raises
        `InvalidField`."""
        _check(draft.name, draft.teams, draft.quota)
        if not draft.owner or len(draft.owner) > MAX_NAME:
            raise InvalidField("owner", f"owner takes 1 to {MAX_NAME} characters")
        if draft.lifetime_s is not None and draft.lifetime_s <= 0:
            raise InvalidField("lifetime", "lifetime must be above 0")
        secret = key or PREFIX + secrets.token_urlsafe(32)
        digest = self._digest(secret)
        async with self._database.begin() as session:
            if key:
                await alone(session, "given keys")
            row = await session.scalar(select(ApiKey).where(ApiKey.digest == digest))
            if row is None:
                row = _new(draft, digest)
                session.add(row)
            return _key(row), secret

    async def find(self, secret: str) -> Key | None:
        """The key, ended or not; and it is noted that it was used."""
        query = select(ApiKey).where(ApiKey.digest == self._digest(secret))
        async with self._database.begin() as session:
            row = await session.scalar(query)
            if row is None:
                return None
            if not row.revoked_ms and (row.last_used_ms or 0) + SEEN_MS < now_ms():
                row.last_used_ms = now_ms()
            return _key(row)

    async def page(
        self, owner: str | None, size: int = 0, token: str = "", *, ended: bool = False
    ) -> Page[Key]:
        """Keys, newest first; of everybody with None. `ended` = revoked and expired ones too."""
        size = page_size(size)
        query = select(ApiKey)
        if owner is not None:
            query = query.where(ApiKey.owner == owner)
        if not ended:
            fresh = or_(ApiKey.expires_ms.is_(None), ApiKey.expires_ms > now_ms())
            query = query.where(ApiKey.revoked_ms.is_(None), fresh)
        async with self._database.begin() as session:
            rows = (await session.scalars(newest_first(query, ApiKey, size, token))).all()
        more = token_behind(rows[size - 1]) if len(rows) > size else ""
        return Page([_key(row) for row in rows[:size]], more)

    async def update(self, id: str, change: KeyChange) -> Key:
        """From the next request on. Raises `NotFound`, `InvalidField`."""
        _check(change.name or "", change.teams or (), change.quota or Quota())
        async with self._database.begin() as session:
            row = _there(await session.get(ApiKey, id, with_for_update=True), id)
            if change.name is not None:
                row.name = change.name
            if change.teams is not None:
                row.teams_json = json.dumps(change.teams)
            if change.quota is not None:
                row.quota_json = json.dumps(change.quota.as_dict())
            return _key(row)

    async def revoke(self, id: str) -> Key:
        """From the next request on; once revoked it stays so. Raises `NotFound`."""
        async with self._database.begin() as session:
            row = _there(await session.get(ApiKey, id, with_for_update=True), id)
            row.revoked_ms = row.revoked_ms or now_ms()
            return _key(row)

    async def first(self, draft: KeyDraft) -> str:
        """A key, where there is none yet: this is the first start. "" otherwise; of several
        gateways that start at once, one makes it."""
        secret = PREFIX + secrets.token_urlsafe(32)
        async with self._database.begin() as session:
            await alone(session, "first key")
            if await session.scalar(select(ApiKey.id).limit(1)) is not None:
                return ""
            session.add(_new(draft, self._digest(secret)))
        return secret

    async def seal(self) -> None:
        """Turn the plain hashes of the first schema into keyed ones."""
        async with self._database.begin() as session:
            for row in await session.scalars(select(ApiKey).where(ApiKey.keyed.is_(False))):
                row.digest, row.keyed = self._sealed(row.digest), True

    def _digest(self, secret: str) -> str:
        return self._sealed(hashlib.sha256(secret.encode()).hexdigest())

    def _sealed(self, sha256: str) -> str:
        """Of the plain hash, so that those of the first schema can be turned."""
        return hmac.digest(self._hash_key, sha256.encode(), "sha256").hex()


def hash_key(given: Secret | None, home: Path) -> bytes:
    """Of the hashes: the one that is set, or one of this home, made when it is not there."""
    if given is not None:
        return read_key(given.reveal())
    kept = home / KEY_FILE
    made = kept.with_suffix(f".{os.getpid()}")
    if not kept.exists():
        made.touch(mode=0o600)
        made.write_bytes(secrets.token_bytes(HASH_KEY_BYTES))
        try:
            os.link(made, kept)  # whoever is first; the others take that one
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return kept.read_bytes()


def quota_of(given: Mapping[str, int]) -> Quota:
    """By the names of its fields. Raises `InvalidField`."""
    for name in given:
        if name not in Quota().as_dict():
            known = ", ".join(Quota().as_dict())
            raise InvalidField(f"quota.{name}", f"there is no quota {name!r}: they are {known}")
    return replace(Quota(), **given)


def _check(name: str, teams: tuple[str, ...], quota: Quota) -> None:
    if len(name) > MAX_NAME:
        raise InvalidField("name", f"name takes {MAX_NAME} characters at most")
    check_teams(teams)
    for each, value in quota.as_dict().items():
        if not 0 <= value < 2**63:
            raise InvalidField(f"quota.{each}", f"quota.{each} must be 0 or above")


def check_teams(teams: tuple[str, ...]) -> None:
    """Raises `InvalidField`."""
    if len(teams) > MAX_TEAMS:
        raise InvalidField("teams", f"teams may hold {MAX_TEAMS} at most")
    if not all(0 < len(each) <= MAX_NAME for each in teams):
        raise InvalidField("teams", f"the name of a team takes 1 to {MAX_NAME} characters")


def _new(draft: KeyDraft, digest: str) -> ApiKey:
    now = now_ms()
    return ApiKey(
        id="key-" + secrets.token_hex(12),
        owner=draft.owner,
        digest=digest,
        keyed=True,
        name=draft.name,
        scope=draft.scope.value,
        teams_json=json.dumps(draft.teams),
        quota_json=json.dumps(draft.quota.as_dict()),
        created_ms=now,
        last_used_ms=None,
        expires_ms=None if draft.lifetime_s is None else now + int(draft.lifetime_s * 1000),
        revoked_ms=None,
    )


def _key(row: ApiKey) -> Key:
    return Key(
        id=row.id,
        owner=row.owner,
        name=row.name,
        scope=Scope(row.scope),
        teams=tuple(json.loads(row.teams_json)),
        quota=Quota(**json.loads(row.quota_json)),
        created_ms=row.created_ms,
        last_used_ms=row.last_used_ms,
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
    )


def _there(row: ApiKey | None, id: str) -> ApiKey:
    if row is None:
        raise NotFound("key", id, remedy="List the keys with GET /v1/keys.")
    return row
