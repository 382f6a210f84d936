"""Who calls: API keys, kept as hashes."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import func, select

from servicekit.status import Unauthenticated
from services.gateway.store.database import Database
from services.gateway.store.tables import ApiKey, now_ms

PREFIX = "isb-"


@dataclass(frozen=True)
class Caller:
    """An authenticated caller; everything that it makes belongs to `owner`."""

    owner: str
    key_id: str


class Callers:
    """API keys and their owners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authenticate(self, authorization: str) -> Caller:
        """Read `Bearer <key>`. Raises `Unauthenticated`."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _refused("there is no API key in this request")
        async with self._database.begin() as session:
            found = await session.scalar(select(ApiKey).where(ApiKey.sha256 == _hash(key.strip())))
        if found is None:
            raise _refused("this API key is not known")
        return Caller(found.owner, found.id)

    async def create(self, owner: str, key: str = "") -> str:
        """A key for `owner`: a new one, or the one given, which may be there already."""
        key = key or PREFIX + secrets.token_urlsafe(32)
        async with self._database.begin() as session:
            hashed = _hash(key)
            if await session.scalar(select(ApiKey).where(ApiKey.sha256 == hashed)) is None:
                id = "key-" + secrets.token_hex(12)
                session.add(ApiKey(id=id, owner=owner, sha256=hashed, created_ms=now_ms()))
        return key

    async def none_yet(self) -> bool:
        """Whether this is the first start."""
        async with self._database.begin() as session:
            return not await session.scalar(select(func.count()).select_from(ApiKey))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(message, remedy="Send Authorization: Bearer <API key>.")
