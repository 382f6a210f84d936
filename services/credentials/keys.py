"""Where the keys of the store come from, and how they are changed without losing one.

A change has three steps: `begin` makes the next key and keeps it beside the old ones, everything is
encrypted anew, `finish` forgets the old ones. Wherever that stops, there is a key for every record.
"""

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from servicekit.secrets import Secret
from services.credentials.sealing import new_key, parse_keys

# OWASP's first choice (Password Storage Cheat Sheet): 128 * 8 * 2**17 = 128 MiB, some 0.4 s
_COST, _BLOCK, _LANES = 2**17, 8, 1
_SALT_BYTES = 16


class Place(Protocol):
    """Where what belongs to the keys is kept: the home, or the database that replicas share."""

    def kept(self, name: str) -> bytes | None:
        """What was kept; None where nothing was."""

    def keep(self, name: str, content: bytes) -> None:
        """All or nothing."""

    def require_new(self, name: str) -> None:
        """A new key for a store that is there would lock everybody out. Raises StoreUnusable."""


class Keys(Protocol):
    def held(self) -> tuple[Secret, ...]:
        """The first encrypts, all decrypt. Raises StoreUnusable."""

    def begin(self) -> tuple[Secret, ...]:
        """As held, behind the key that is to follow."""

    def finish(self) -> tuple[Secret, ...]:
        """That one alone, or with those that others keep."""


KeysOf = Callable[[Place], Keys]


@dataclass
class GivenKeys:
    """From the environment or a file that others keep: they put a new one first."""

    text: Secret

    def held(self) -> tuple[Secret, ...]:
        return parse_keys(self.text)

    def begin(self) -> tuple[Secret, ...]:
        return self.held()

    def finish(self) -> tuple[Secret, ...]:
        return self.held()


@dataclass
class OwnKeys:
    """In a file in the home, made with the store."""

    home: Place

    def held(self) -> tuple[Secret, ...]:
        kept = self.home.kept("store.key")
        if kept is not None:
            return parse_keys(Secret(kept))
        self.home.require_new("store.key")
        self._write((new_key(),))
        return self.held()

    def begin(self) -> tuple[Secret, ...]:
        both = (new_key(), *self.held())
        self._write(both)
        return both

    def finish(self) -> tuple[Secret, ...]:
        first = self.held()[:1]
        self._write(first)
        return first

    def _write(self, keys: tuple[Secret, ...]) -> None:
        self.home.keep("store.key", b"".join(key.reveal_bytes() + b"\n" for key in keys))


@dataclass
class DerivedKeys:
    """From a passphrase by scrypt, and a salt beside the store that is no secret. An old passphrase
    decrypts only, until the store was encrypted anew."""

    home: Place
    passphrase: Secret
    old: Secret | None = None

    def held(self) -> tuple[Secret, ...]:
        if self.home.kept("store.salt") is None:
            self.home.require_new("store.salt")
            self._write([os.urandom(_SALT_BYTES)])
        phrases = [self.passphrase, *([self.old] if self.old else [])]
        return tuple(_derived(phrase, salt) for phrase in phrases for salt in self._salts())

    def begin(self) -> tuple[Secret, ...]:
        self._write([os.urandom(_SALT_BYTES), *self._salts()])
        return self.held()

    def finish(self) -> tuple[Secret, ...]:
        self._write(self._salts()[:1])
        return self.held()

    def _salts(self) -> list[bytes]:
        return [
            bytes.fromhex(line) for line in (self.home.kept("store.salt") or b"").decode().split()
        ]

    def _write(self, salts: list[bytes]) -> None:
        self.home.keep("store.salt", b"".join(salt.hex().encode() + b"\n" for salt in salts))


def _derived(passphrase: Secret, salt: bytes) -> Secret:
    derive = Scrypt(salt=salt, length=32, n=_COST, r=_BLOCK, p=_LANES)
    return Secret(base64.urlsafe_b64encode(derive.derive(passphrase.reveal_bytes())))
