"""Columns of COPY's binary format as Arrow, with the types and values that `values` gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from services.pg_connector.binary.cells import (
    Cells,
    Numbers,
    bits,
    bytes_array,
    cells_of,
    numbers_array,
)
from services.pg_connector.binary.fields import Fields, Malformed
from services.pg_connector.binary.framing import Framing
from services.pg_connector.binary.lists import lists
from services.pg_connector.binary.numerics import Unfit, decimals
from services.pg_connector.errors import ValueUnfit
from services.pg_connector.values import INFINITE, Column, beyond, day_end

Decode = Callable[[Cells], pa.Array]

_DAY = 86_400_000_000
_DAYS_TO_2000 = 10_957
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * _DAY
_WIDTHS = {
    "bool": 1, "int2": 2, "int4": 4, "int8": 8, "float4": 4, "float8": 8, "oid": 4, "date": 4,
    "timestamp": 8, "timestamptz": 8, "time": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """How a column comes: what the server is to compute of it, and how its fields are read. A
    `width` is that of every field which is not NULL, in bytes; 0 = it differs."""

    written: Callable[[str], str]
    decode: Decode
    width: int = 0


def way_of(column: Column) -> Way:
    """What is not read from its binary form comes as the text that the server writes of it."""
    if column.as_text:
        return Way(column.written, _text_decoder(column))
    decode = _decoder(column)
    if decode is not None:
        return Way(_as_is, decode, _WIDTHS.get(column.kind, 0))
    if column.kind == "xml":
        return Way(_out, _texts)
    return Way(_cast_lists if column.element else _cast, _text_decoder(column))


def _text_decoder(column: Column) -> Decode:
    return partial(lists, kind=column.arrow, elements=_texts) if column.element else _texts


def _as_is(expression: str) -> str:
    return expression


def _cast(expression: str) -> str:
    return f"{expression}::pg_catalog.text"


def _cast_lists(expression: str) -> str:
    return f"{expression}::pg_catalog.text[]"


def _out(expression: str) -> str:
    """A cast of xml would keep its declaration, which is of another encoding by then."""
    return f"pg_catalog.textin(pg_catalog.xml_out({expression}))"


class Decoder:
    """For one query. Used in one thread at a time."""

    def __init__(self, columns: Sequence[Column], schema: pa.Schema) -> None:
        self._columns, self._schema = columns, schema
        self._ways = [way_of(column) for column in columns]
        self._framing = Framing(len(columns), self._ways[0].width)

    def take(self, piece: bytes) -> pa.RecordBatch | None:
        """Of the rows that are whole by now; None where there is none. Raises ValueUnfit."""
        fields = self._framing.take(piece)
        return self._batch(fields) if fields is not None else None

    def _batch(self, fields: Fields) -> pa.RecordBatch:
        arrays = [
            _decoded(column, way, cells)
            for column, way, cells in zip(self._columns, self._ways, cells_of(fields), strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _decoded(column: Column, way: Way, cells: Cells) -> pa.Array:
    try:
        return way.decode(cells)
    except Unfit as exc:
        raise ValueUnfit(column.name, str(exc)) from exc


def _number(cells: Cells, kind: pa.DataType, wire: str) -> pa.Array:
    return numbers_array(cells, kind, cells.numbers(wire))


def _texts(cells: Cells) -> pa.Array:
    array = bytes_array(cells, pa.string())
    data = array.buffers()[2]
    if data is not None and (np.frombuffer(data, np.int8) < 0).any():
        # a database of the encoding SQL_ASCII holds any bytes
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as exc:
            raise Unfit("it is no text in UTF-8") from exc
    return array


def _jsonb(cells: Cells) -> pa.Array:
    """Behind the number of the format."""
    version = cells.numbers("u1")
    if (version != 1)[slice(None) if cells.valid is None else cells.valid].any():
        raise Malformed("a jsonb of another format than 1")
    return _texts(cells.behind(1))


def _booleans(cells: Cells, kind: pa.DataType) -> pa.Array:
    values = bits(cells.numbers("u1") != 0)
    return pa.Array.from_buffers(kind, len(cells), [cells.valid_bits, values])


def _oids(cells: Cells, kind: pa.DataType) -> pa.Array:
    return numbers_array(cells, kind, cells.numbers("u4").astype(np.int64))


def _dates(cells: Cells, kind: pa.DataType) -> pa.Array:
    return numbers_array(cells, kind, _since_1970(cells, "i4", _DAYS_TO_2000, kind))


def _timestamps(cells: Cells, kind: pa.DataType) -> pa.Array:
    return numbers_array(cells, kind, _since_1970(cells, "i8", _MICROSECONDS_TO_2000, kind))


def _since_1970(cells: Cells, wire: str, shift: int, kind: pa.DataType) -> Numbers:
    values, limits = cells.numbers(wire), np.iinfo(wire)
    if cells.valid is not None:
        values[~cells.valid] = 0
    if len(values) and (values.max() > limits.max - shift or values.min() == limits.min):
        endless = ((values == limits.min) | (values == limits.max)).any()
        raise Unfit(INFINITE if endless else beyond(kind))
    values += shift
    return values


def _times(cells: Cells, kind: pa.DataType) -> pa.Array:
    values = cells.numbers("i8")
    if (values[slice(None) if cells.valid is None else cells.valid] >= _DAY).any():
        raise Unfit(day_end(kind))
    return numbers_array(cells, kind, values)


# by the type's name and what it is to be in Arrow: what is not here comes as text
_READERS: dict[tuple[str, pa.DataType], Decode] = {
    ("bool", pa.bool_()): partial(_booleans, kind=pa.bool_()),
    ("int2", pa.int16()): partial(_number, kind=pa.int16(), wire="i2"),
    ("int4", pa.int32()): partial(_number, kind=pa.int32(), wire="i4"),
    ("int8", pa.int64()): partial(_number, kind=pa.int64(), wire="i8"),
    ("float4", pa.float32()): partial(_number, kind=pa.float32(), wire="f4"),
    ("float8", pa.float64()): partial(_number, kind=pa.float64(), wire="f8"),
    ("oid", pa.int64()): partial(_oids, kind=pa.int64()),
    # what these send is what they write
    **{
        (name, pa.string()): _texts
        for name in ("text", "varchar", "bpchar", "name", "json", "void")
    },
    ("jsonb", pa.string()): _jsonb,
    ("bytea", pa.binary()): partial(bytes_array, kind=pa.binary()),
    ("date", pa.date32()): partial(_dates, kind=pa.date32()),
    ("timestamp", pa.timestamp("us")): partial(_timestamps, kind=pa.timestamp("us")),
    ("timestamptz", pa.timestamp("us", "UTC")): partial(
        _timestamps, kind=pa.timestamp("us", "UTC")
    ),
    ("time", pa.time64("us")): partial(_times, kind=pa.time64("us")),
}


def _innermost(column: Column) -> Column:
    while column.element is not None:
        column = column.element
    return column


def _decoder(column: Column) -> Decode | None:
    """None where the binary form is not read as that type."""
    kind = column.arrow
    if column.element is not None:
        element = _decoder(_innermost(column))
        return element and partial(lists, kind=kind, elements=element)
    if pa.types.is_decimal(kind) and column.kind == "numeric":
        return partial(decimals, kind=kind)
    return _READERS.get((column.kind, kind))
