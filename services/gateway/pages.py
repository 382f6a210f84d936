"""Pages of a list: a size within bounds, and a token that says where the next one begins."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from servicekit.status import InvalidField

T = TypeVar("T")
DEFAULT, LARGEST = 100, 1000


@dataclass(frozen=True)
class Page(Generic[T]):
    """`next_page_token` is empty on the last page."""

    items: Sequence[T]
    next_page_token: str


def page_size(asked: int) -> int:
    """How many to give; 0 means the default. Raises `InvalidField`."""
    if not 0 <= asked <= LARGEST:
        raise InvalidField("page_size", f"page_size must be from 1 to {LARGEST}")
    return asked or DEFAULT


def token_of(value: str) -> str:
    """The token behind the item with this value."""
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def value_of(token: str) -> str:
    """The value that a token stands for. Raises `InvalidField`."""
    try:
        padded = token + "=" * (-len(token) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as torn:
        raise InvalidField("page_token", "page_token is not one that this list gave") from torn
