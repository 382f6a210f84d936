"""Pages of a list: their size, and the token that goes on."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from servicekit.status import InvalidField

DEFAULT, LARGEST = 100, 1000


def size_of(asked: int) -> int:
    """Raises `InvalidField` outside of 0 … 1,000; 0 = the default."""
    if not 0 <= asked <= LARGEST:
        raise InvalidField("page_size", f"page_size must be from 1 to {LARGEST}")
    return asked or DEFAULT


def token_of(asked: Sequence[str], place: Sequence[str]) -> str:
    """Where the next page begins, in the list that was asked for."""
    told = json.dumps([_digest(asked), *place]).encode()
    return base64.urlsafe_b64encode(told).decode()


def place_of(token: str, asked: Sequence[str], parts: int) -> list[str]:
    """What `token_of` was given, of so many parts. Raises `InvalidField`, also for the token of
    another list."""
    place: list[str]
    try:
        digest, *place = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, RecursionError, binascii.Error) as torn:
        raise _torn() from torn
    if len(place) != parts or not all(isinstance(each, str) for each in place):
        raise _torn()
    if digest != _digest(asked):
        raise InvalidField("page_token", "page_token is of another list")
    return place


def _torn() -> InvalidField:
    return InvalidField("page_token", "page_token is not one that Browse gave")


def _digest(asked: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(asked).encode()).hexdigest()[:16]
