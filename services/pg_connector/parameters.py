"""Values that are bound to $1, $2 …"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from isobath.connector.v1 import connector_pb2 as pb
from services.pg_connector.errors import QueryFailed

_BAD_TEXT = "22P02"
_BAD_COUNT = "08P01"


def bound(parameters: Sequence[pb.Parameter], kinds: Sequence[str]) -> list[Any]:
    """As the types that the server gave to $1, $2 … ask for. Raises QueryFailed."""
    if len(parameters) != len(kinds):
        raise QueryFailed(
            f"the query has {len(kinds)} parameters, {len(parameters)} were given",
            sqlstate=_BAD_COUNT,
        )
    pairs = zip(parameters, kinds, strict=True)
    return [_bound(number, given, kind) for number, (given, kind) in enumerate(pairs, 1)]


def _bound(number: int, given: pb.Parameter, kind: str) -> Any:
    which = given.WhichOneof("value")
    if which is None:
        return None
    value = getattr(given, which)
    try:
        return _READERS.get(kind, _as_is)(value)
    except (ValueError, TypeError, ArithmeticError) as exc:
        # never the value itself: it may be confidential
        raise QueryFailed(f"parameter ${number} is no {kind}", sqlstate=_BAD_TEXT) from exc


def _as_is(value: Any) -> Any:
    return value


def _whole(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    return int(value)


def _text(value: Any) -> str:
    return str(value) if not isinstance(value, bytes) else value.decode()


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("\\x"))
    if not isinstance(value, bytes):
        raise TypeError
    return value


def _boolean(value: Any) -> bool:
    words = {"true": True, "t": True, "false": False, "f": False}
    if isinstance(value, str):
        return words[value.lower()] if value.lower() in words else _refuse()
    if not isinstance(value, bool):
        raise TypeError
    return value


def _refuse() -> bool:
    raise ValueError


_READERS: dict[str, Callable[[Any], Any]] = {
    "bool": _boolean,
    "int2": _whole,
    "int4": _whole,
    "int8": _whole,
    "oid": _whole,
    "float4": float,
    "float8": float,
    "numeric": lambda value: Decimal(str(value)),
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "bytea": _bytes,
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "timestamptz": datetime.fromisoformat,
    "time": time.fromisoformat,
}
