"""The keys that grants are signed with: which one signs, which are published, until when."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from grants.revocations import KEPT_FOR
from grants.tokens import SigningKey
from servicekit import logs
from servicekit.secrets import Secret
from services.credentials.errors import StoreAway
from services.credentials.hearing import hearing
from services.credentials.sealing import Seal
from services.credentials.store import Db, Store

_log = logs.get(__name__)


@dataclass(frozen=True)
class TimedKey:
    key: SigningKey
    active_from: datetime


@dataclass(frozen=True)
class PublicKey:
    """`not_after` is None for a key that no other one follows yet."""

    key_id: str
    public: Ed25519PublicKey
    not_after: datetime | None


@dataclass(frozen=True)
class Keyring:
    """Keys in the order of their activation; at least one."""

    keys: tuple[TimedKey, ...]

    def signer(self, now: datetime) -> SigningKey:
        """The last that is active; the first where none is yet, as after a clock was set back."""
        active = [timed for timed in self.keys if timed.active_from <= now]
        return (active[-1] if active else self.keys[0]).key

    def published(self, now: datetime) -> list[PublicKey]:
        """Those to come, the one that signs, and old ones as long as a grant of theirs may live."""
        return [key for key in self._all() if key.not_after is None or key.not_after > now]

    def verifiers(self, now: datetime) -> Mapping[str, Ed25519PublicKey]:
        return {key.key_id: key.public for key in self.published(now)}

    def adding(self, key: TimedKey, now: datetime) -> "Keyring":
        """With the key, and without those that no living grant is signed with."""
        grown = Keyring(tuple(sorted((*self.keys, key), key=lambda timed: timed.active_from)))
        kept = grown.verifiers(now)
        return Keyring(tuple(timed for timed in grown.keys if timed.key.key_id in kept))

    def _all(self) -> Iterator[PublicKey]:
        for timed, follower in pairwise((*self.keys, None)):
            assert timed is not None
            not_after = None if follower is None else follower.active_from + KEPT_FOR
            yield PublicKey(timed.key.key_id, timed.key.private.public_key(), not_after)


def new_key(active_from: datetime) -> TimedKey:
    key_id = f"key-{secrets.token_hex(8)}"
    return TimedKey(SigningKey(key_id, Ed25519PrivateKey.generate()), active_from)


# one makes keys, whoever is asked
_LOCK = "signing keys"
_CHANNEL = "signing_keys"
# how often one looks whether another replica made a key, beside what is told; far less than a lead
_LOOK_S = 2.0


class Keys:
    """The keyring as the store has it, which other replicas change too."""

    def __init__(self, store: Store, ring: Keyring) -> None:
        self._store = store
        self.ring = ring

    async def rotate(self, now: Callable[[], datetime], lead: timedelta) -> str:
        """The id of the new key."""
        self.ring = await rotate(self._store, now, lead)
        return self.ring.keys[-1].key.key_id

    async def renew(self) -> None:
        """Looks at what others made."""
        if self._store.signals is not None:
            self.ring = await self._store.run(lambda db, seal: Keyring(tuple(_read(db, seal))))

    async def follow(self) -> None:
        """Until it is cancelled. Alone there is nothing to follow."""
        if self._store.signals is None:
            return
        async with aclosing(hearing(self._store.signals, _CHANNEL, _LOOK_S)) as told:
            async for _ in told:
                try:
                    await self.renew()
                except StoreAway as exc:
                    _log.warning("signing_keys_not_read", why=str(exc))


async def load(store: Store, now: datetime) -> Keyring:
    """The keys of the store; its first one is made now."""

    def read_or_make(db: Db, seal: Seal) -> Keyring:
        keys = tuple(_read(db, seal))
        if not keys:
            keys = (new_key(now),)
            _write(db, seal, keys[0])
        return Keyring(keys)

    return await store.run(read_or_make, _LOCK)


async def rotate(store: Store, clock: Callable[[], datetime], lead: timedelta) -> Keyring:
    """A keyring with a new key that signs once every verifier had the time to learn of it."""

    def work(db: Db, seal: Seal) -> Keyring:
        now, before = clock(), Keyring(tuple(_read(db, seal)))
        fresh = new_key(now + lead)
        after = before.adding(fresh, now)
        kept = {timed.key.key_id for timed in after.keys}
        gone = [(timed.key.key_id,) for timed in before.keys if timed.key.key_id not in kept]
        _write(db, seal, fresh)
        db.executemany("DELETE FROM signing_keys WHERE key_id = ?", gone)
        db.tell(_CHANNEL, fresh.key.key_id)
        return after

    return await store.run(work, _LOCK)


def _read(db: Db, seal: Seal) -> Iterator[TimedKey]:
    rows = db.execute("SELECT key_id, active_from, sealed FROM signing_keys ORDER BY active_from")
    for key_id, active_from, sealed in rows.fetchall():
        raw = bytes.fromhex(seal.open(_name(key_id, active_from), sealed))
        private = Ed25519PrivateKey.from_private_bytes(raw)
        yield TimedKey(SigningKey(key_id, private), datetime.fromisoformat(active_from))


def _write(db: Db, seal: Seal, timed: TimedKey) -> None:
    active_from = timed.active_from.isoformat(timespec="microseconds")
    raw = Secret(timed.key.private.private_bytes_raw().hex())
    sealed = seal.close(_name(timed.key.key_id, active_from), raw.reveal())
    db.execute("INSERT INTO signing_keys VALUES (?, ?, ?)", (timed.key.key_id, active_from, sealed))


def _name(key_id: str, active_from: str) -> tuple[str, str, str]:
    return ("signing key", key_id, active_from)
