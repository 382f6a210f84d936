"""Values as text, where a format or a figure has no type for them."""

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa


def as_text(value: object) -> str | None:
    """None stays None; lists and structs become JSON, with exact decimals as strings."""
    match value:
        case None:
            return None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes():
            return "\\x" + value.hex()
        case list() | dict() | tuple():
            return json.dumps(_plain(value), ensure_ascii=False)
        case datetime() | date() | time():
            return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)


def text_array(column: pa.Array) -> pa.Array:
    return pa.array([as_text(value) for value in column.to_pylist()], pa.large_string())


def _plain(value: object) -> object:
    match value:
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case None | bool() | int() | float() | str():
            return value
        case Decimal() | timedelta():
            return str(value)
    return as_text(value)
