"""Encryption of one record, bound to what the record is."""

import json
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from servicekit.secrets import Secret
from services.credentials.errors import StoreDamaged, StoreUnusable


class Seal:
    """Fernet takes no associated data, so the name of a record is sealed in with it: a ciphertext
    that was moved to another row, or a row whose plain columns were altered, does not open."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._fernet = MultiFernet([Fernet(key.reveal_bytes()) for key in keys])

    def close(self, name: Sequence[str | int], value: Any) -> bytes:
        return self._fernet.encrypt(json.dumps({"name": list(name), "value": value}).encode())

    def open(self, name: Sequence[str | int], sealed: bytes) -> Any:
        """Raises StoreDamaged."""
        try:
            record = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken as exc:
            raise StoreDamaged(_told(name)) from exc
        if record["name"] != list(name):
            raise StoreDamaged(_told(name))
        return record["value"]

    def renew(self, sealed: bytes) -> bytes:
        """The same record under the first key."""
        return self._fernet.rotate(sealed)


def new_key() -> Secret:
    return Secret(Fernet.generate_key())


def parse_keys(text: Secret) -> tuple[Secret, ...]:
    """Keys between commas or white space, as Fernet writes them. Raises StoreUnusable."""
    keys = tuple(Secret(word) for word in text.reveal().replace(",", " ").split())
    if not keys:
        raise StoreUnusable("the key of the store is empty")
    for key in keys:
        _require_key(key)
    return keys


def _require_key(key: Secret) -> None:
    try:
        Fernet(key.reveal_bytes())
    except ValueError:
        # its text shows the length of the key, and nothing helps to trace it
        raise StoreUnusable(
            "the key of the store is no Fernet key: 32 bytes in URL-safe base64"
        ) from None


def _told(name: Sequence[str | int]) -> str:
    return " ".join(str(part) for part in name[:2])
