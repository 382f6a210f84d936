"""Types of PostgreSQL as types of Arrow, and rows as batches."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pyarrow as pa

from connectorkit.tables import field_of
from services.pg_connector.errors import ValueUnfit

_DAYS_TO_2000 = 10_957
_DAY = 86_400_000_000
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * _DAY
# INT2VECTOROID and OIDVECTOROID in catalog/pg_type.h, which the client library takes for arrays of
# themselves
_VECTORS = {22: "int2vector", 30: "oidvector"}
# how the server sends infinity, before and behind all others
_ENDS = {"date": (-(2**31), 2**31 - 1), "timestamp": (-(2**63), 2**63 - 1)}

_PLAIN: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "oid": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "json": pa.string(),
    "jsonb": pa.string(),
    "xml": pa.string(),
    "void": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "time": pa.time64("us"),
}
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)", re.IGNORECASE)
_MAX_DIGITS_128, _MAX_DIGITS_256 = 38, 76

# Why Arrow's types do not hold a value that PostgreSQL's do.
INFINITE = "it is infinity, which Arrow's dates do not have"


def not_a_number(kind: pa.DataType) -> str:
    return f"it is NaN, which is no {kind}"


def day_end(kind: pa.DataType) -> str:
    """PostgreSQL knows the end of the day as 24:00:00."""
    return f"it is 24:00, which is no {kind}"


def beyond(kind: pa.DataType) -> str:
    """64 bits of microseconds reach 30 years further from 2000, where PostgreSQL counts from."""
    return f"it is beyond the year 294246, so it is no {kind}"


def other_dimensions(kind: pa.DataType) -> str:
    return f"it has other dimensions than its column was declared with, so it is no {kind}"


@dataclass(frozen=True)
class Column:
    name: str
    # as the server's catalog names it: "int4", "_text"
    kind: str
    schema: str
    # with its modifier where it is known: "numeric(12,2)"
    told: str
    nullable: bool = True

    @property
    def element(self) -> "Column | None":
        """What an array is made of: arrays, where it was declared with several dimensions."""
        if not self.kind.endswith("[]"):
            return None
        told = self.told.removesuffix("[]")
        kind = self.kind if told.endswith("[]") else self.kind.removesuffix("[]")
        return replace(self, kind=kind, told=told)

    @property
    def arrow(self) -> pa.DataType:
        if self.element is not None:
            return pa.list_(self.element.arrow)
        if self.schema != "pg_catalog":
            return pa.string()
        if self.kind == "numeric":
            return _decimal(self.told)
        return _PLAIN.get(self.kind, pa.string())

    @property
    def as_text(self) -> bool:
        """Whether the server is to write it, or the elements of an array, as text."""
        if self.element is not None:
            return self.element.as_text
        if self.schema != "pg_catalog":
            return True
        return pa.types.is_string(self.arrow) and self.kind not in _PLAIN

    def written(self, expression: str) -> str:
        """What the server is to compute, so that it sends the column as `arrow` asks."""
        if not self.as_text:
            return expression
        text = f"{expression}::pg_catalog.text"
        match self.schema, self.kind:
            # as psql shows them; a cast would add /32
            case "pg_catalog", "inet":
                return f"pg_catalog.abbrev({expression})"
            case "pg_catalog", "inet[]":
                return f"{text}::pg_catalog.text[]"
        return f"{text}[]" if self.element else text

    @property
    def field(self) -> pa.Field:
        return field_of(self.name, self.arrow, self.told, nullable=self.nullable)


class Shown(Column):
    """The same column as the server's CSV has it: what the type's own output function writes, and
    booleans as true and false."""

    @property
    def element(self) -> None:
        return None

    @property
    def arrow(self) -> pa.DataType:
        return pa.string()

    @property
    def as_text(self) -> bool:
        return True

    def written(self, expression: str) -> str:
        if (self.schema, self.kind) == ("pg_catalog", "bool"):
            return f"{expression}::pg_catalog.text"
        # IS NULL would also be true of a composite whose fields all are
        return (
            f"CASE pg_catalog.num_nulls({expression}) WHEN 0"
            f" THEN pg_catalog.format('%s', {expression}) END"
        )


def _decimal(told: str) -> pa.DataType:
    """Text where digits are not bounded, or are more than Arrow has, so that nothing is rounded.
    A scale below zero counts in tens or hundreds, one above the digits in fractions that begin
    with zeros: both are written out."""
    found = _NUMERIC.fullmatch(told)
    if found is None:
        return pa.string()
    precision, scale = int(found[1]), int(found[2])
    digits, scale = max(precision - min(scale, 0), scale), max(scale, 0)
    if digits > _MAX_DIGITS_256:
        return pa.string()
    return (pa.decimal128 if digits <= _MAX_DIGITS_128 else pa.decimal256)(digits, scale)


def column_of(attribute: "asyncpg.Attribute", told: str = "", *, nullable: bool = True) -> Column:
    kind = attribute.type
    name = _VECTORS.get(kind.oid, kind.name)
    if kind.kind != "array":
        # a user may well name an enum "mood[]"
        name = name.removesuffix("[]")
    return Column(attribute.name, name, kind.schema, told or kind.name, nullable)


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([column.field for column in columns])


def batch_of(
    columns: Sequence[Column], schema: pa.Schema, rows: Sequence[Sequence[Any]]
) -> pa.RecordBatch:
    """Raises ValueUnfit. For a thread: it takes long for many rows."""
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [_array(column, values) for column, values in zip(columns, by_column, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(column: Column, values: Sequence[Any]) -> pa.Array:
    kind = column.arrow
    try:
        if column.element is not None:
            return _lists(column, column.element, values)
        return pa.array(_moved(column, values), kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError) as exc:
        raise ValueUnfit(column.name, _why(column, values)) from exc


def _moved(column: Column, values: Sequence[Any]) -> Sequence[Any] | pa.Array:
    """Dates and times come as the numbers that the server sends."""
    kind = column.arrow
    if pa.types.is_date(kind):
        return _shifted(column, values, "date", _DAYS_TO_2000)
    if pa.types.is_timestamp(kind):
        return _shifted(column, values, "timestamp", _MICROSECONDS_TO_2000)
    if pa.types.is_time(kind) and _DAY in values:
        raise ValueUnfit(column.name, day_end(kind))
    return values


def _shifted(column: Column, values: Sequence[Any], kind: str, shift: int) -> pa.Array:
    if any(end in values for end in _ENDS[kind]):
        raise ValueUnfit(column.name, INFINITE)
    moved = [None if value is None else value + shift for value in values]
    return pa.array(moved, pa.int32() if kind == "date" else pa.int64())


def _lists(column: Column, element: Column, values: Sequence[Any]) -> pa.Array:
    flat, offsets = list[Any](), list[int | None]()
    for value in values:
        offsets.append(None if value is None else len(flat))
        flat.extend(value or ())
    nested = element.element is not None
    if any(isinstance(item, list) is not nested for item in flat if item is not None):
        raise ValueUnfit(column.name, other_dimensions(column.arrow))
    places = pa.array([*offsets, len(flat)], pa.int32())
    return pa.ListArray.from_arrays(places, _array(element, flat))


def _why(column: Column, values: Sequence[Any]) -> str:
    kind = column.arrow
    if pa.types.is_timestamp(kind):
        return beyond(kind)
    if pa.types.is_decimal(kind) and any(value is not None and value.is_nan() for value in values):
        return not_a_number(kind)
    return f"it is no {kind}"
