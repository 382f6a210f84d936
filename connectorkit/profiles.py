"""Statistics of a table's columns, from a sample that lies in memory."""

from functools import cache
from typing import Any

import pyarrow as pa

from connectorkit import texts
from connectorkit.tables import source_type
from isobath.connector.v1 import connector_pb2 as pb

TOP_VALUES = 10
# A value of a column may be as long as the source allows; a profile is for reading.
_LONGEST_VALUE = 200


@cache
def _arrow() -> Any:
    """Arrow's functions: 8 MiB, for the first who asks for a profile."""
    import pyarrow.compute

    return pyarrow.compute


def profile(table: pa.Table) -> list[pb.ColumnProfile]:
    """For each column: nulls, distinct values, least, greatest, mean of numbers, and the most
    common values. Fractions are of the table's rows."""
    return [_column(field, table.column(at)) for at, field in enumerate(table.schema)]


def _column(field: pa.Field, column: pa.ChunkedArray) -> pb.ColumnProfile:
    found = pb.ColumnProfile(name=field.name, type=source_type(field))
    rows = len(column)
    if rows:
        found.null_fraction = column.null_count / rows
    column = _countable(column)
    found.distinct = _arrow().count_distinct(column, mode="only_valid").as_py()
    if column.null_count < rows:
        _order(found, column)
        found.top_values.extend(_top(column, rows))
    return found


def _countable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Nested values and dictionaries as what they hold; Arrow counts neither."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or pa.types.is_null(kind):
        return pa.chunked_array(
            [texts.text_array(chunk) for chunk in column.chunks], pa.large_string()
        )
    return column


def _order(found: pb.ColumnProfile, column: pa.ChunkedArray) -> None:
    kind = column.type
    if is_number(kind):
        column = _without_nan(column)
        mean = _arrow().mean(column).as_py()
        if mean is not None:
            found.mean = float(mean)
    try:
        ends = _arrow().min_max(column)
    except pa.ArrowNotImplementedError:
        return
    if ends["min"].is_valid:
        found.minimum, found.maximum = _written(ends["min"]), _written(ends["max"])


def is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(column.type):
        return column
    return column.filter(_arrow().invert(_arrow().is_nan(column)))


def _top(column: pa.ChunkedArray, rows: int) -> list[pb.TopValue]:
    counted = _arrow().value_counts(column.drop_null())
    counts = counted.field("counts")
    order = _arrow().select_k_unstable(counts, TOP_VALUES, sort_keys=[("", "descending")])
    values = counted.field("values").take(order)
    return [
        pb.TopValue(value=_written(value), fraction=count.as_py() / rows)
        for value, count in zip(values, counts.take(order), strict=True)
    ]


def _written(value: pa.Scalar) -> str:
    text = texts.scalar_text(value) or ""
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
