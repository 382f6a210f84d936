"""Values as text, where a format or a figure has no type for them."""

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
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


def scalar_text(value: pa.Scalar) -> str | None:
    """Dates and timestamps that Python does not hold are written with more digits of the year, or
    with one below zero; Arrow itself counts years in 16 bits."""
    return as_text(_held(value))


def text_array(column: pa.Array) -> pa.Array:
    try:
        values = column.to_pylist()
    except OverflowError:
        values = [_held(value) for value in column]
    return pa.array([as_text(value) for value in values], pa.large_string())


def _held(value: pa.Scalar) -> object:
    if value.is_valid and pa.types.is_list(value.type):
        return [_held(each) for each in value.values]
    try:
        return value.as_py()
    except OverflowError:
        return _expanded(value)


def _expanded(value: pa.Scalar) -> str:
    if pa.types.is_date(value.type):
        return str(np.datetime64(value.cast(pa.int32()).as_py(), "D"))
    moment = np.datetime64(value.cast(pa.int64()).as_py(), value.type.unit)
    return str(moment).replace("T", " ") + ("+00:00" if value.type.tz else "")


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
