"""Types of PostgreSQL as types of Arrow, and rows as batches."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import pyarrow as pa

from connectorkit.tables import field_of
from services.pg_connector.errors import ValueUnfit

_DAYS_TO_2000 = 10_957
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * 86_400_000_000
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
_IN_ARRAYS = ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar")
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)", re.IGNORECASE)
_MAX_DIGITS = 38


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
    def arrow(self) -> pa.DataType:
        if self.schema != "pg_catalog":
            return pa.string()
        if self.kind.removesuffix("[]") in _IN_ARRAYS and self.kind.endswith("[]"):
            return pa.list_(_PLAIN[self.kind[:-2]])
        if self.kind == "numeric":
            return _decimal(self.told)
        return _PLAIN.get(self.kind, pa.string())

    @property
    def as_text(self) -> bool:
        """Whether the server is to write it as text."""
        if self.schema != "pg_catalog":
            return True
        return pa.types.is_string(self.arrow) and self.kind not in _PLAIN

    def written(self, expression: str) -> str:
        """What the server is to compute, so that it sends the column as `arrow` asks."""
        if not self.as_text:
            return expression
        if (self.schema, self.kind) == ("pg_catalog", "inet"):
            # as psql shows it; a cast would add /32
            return f"pg_catalog.abbrev({expression})"
        return f"{expression}::pg_catalog.text"

    @property
    def field(self) -> pa.Field:
        return field_of(self.name, self.arrow, self.told, nullable=self.nullable)


def _decimal(told: str) -> pa.DataType:
    """Text where digits are not bounded, so that nothing is rounded."""
    found = _NUMERIC.fullmatch(told)
    digits, scale = (int(found[1]), int(found[2])) if found else (0, 0)
    fits = 0 <= scale <= digits <= _MAX_DIGITS and digits > 0
    return pa.decimal128(digits, scale) if fits else pa.string()


def column_of(attribute: "asyncpg.Attribute", told: str = "", *, nullable: bool = True) -> Column:
    kind = attribute.type
    return Column(attribute.name, kind.name, kind.schema, told or kind.name, nullable)


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
        if column.kind == "date":
            return _shifted(column, values, "date", _DAYS_TO_2000)
        if column.kind in ("timestamp", "timestamptz"):
            return _shifted(column, values, "timestamp", _MICROSECONDS_TO_2000)
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError) as exc:
        raise ValueUnfit(column.name, f"it is no {kind}") from exc


def _shifted(column: Column, values: Sequence[Any], kind: str, shift: int) -> pa.Array:
    if any(end in values for end in _ENDS[kind]):
        raise ValueUnfit(column.name, "it is infinity, which Arrow's dates do not have")
    moved = [None if value is None else value + shift for value in values]
    return pa.array(moved, pa.int32() if kind == "date" else pa.int64()).cast(column.arrow)
