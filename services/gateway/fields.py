"""Fields of a JSON body: each read, or refused by its name. Pure.

`at` is what stands before the name in messages, such as "data_sources[0]."."""

from collections.abc import Mapping, Sequence
from typing import Any

from servicekit.status import InvalidField

# what a 64-bit integer of the contracts holds
LARGEST = 2**63 - 1


def listed(body: Mapping[str, Any], name: str, at: str = "") -> Sequence[Any]:
    """A list, empty where it is missing. Raises `InvalidField`, as all here do."""
    found = body.get(name)
    if found is None:
        found = []
    if not isinstance(found, list):
        raise InvalidField(at + name, f"{at}{name} must be a list")
    return found


def text(body: Mapping[str, Any], name: str, at: str = "") -> str:
    """A string, empty where it is missing."""
    found = body.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise InvalidField(at + name, f"{at}{name} must be a string")
    return found


def number(body: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    """A number within bounds."""
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
        raise InvalidField(name, f"{name} must be a number from {low:g} to {high:g}")
    return float(found)


def whole(body: Mapping[str, Any], name: str, low: int, at: str = "") -> int | None:
    """A whole number, not below `low`."""
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= LARGEST:
        raise InvalidField(f"{at}{name}", f"{at}{name} must be a whole number, {low} or more")
    return found


def count(body: Mapping[str, Any], name: str, at: str = "") -> int | None:
    """How many at most; 0 lifts the limit."""
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= LARGEST:
        raise InvalidField(f"{at}{name}", f"{at}{name} must be a whole number, 0 for no limit")
    return found


def seconds(body: Mapping[str, Any], name: str, at: str = "") -> float | None:
    """A duration above nothing."""
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        raise InvalidField(f"{at}{name}", f"{at}{name} must be a number above 0")
    return float(found)
