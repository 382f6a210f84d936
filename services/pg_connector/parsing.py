"""The server's CSV as Arrow batches, typed exactly as `values` types records."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.csv

from services.pg_connector.errors import ValueUnfit
from services.pg_connector.values import Column

_ReadOptions, _ParseOptions = pa.csv.ReadOptions, pa.csv.ParseOptions
_PARSE = _ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


class Parser:
    """For one query. Used in one thread at a time."""

    def __init__(self, columns: Sequence[Column], schema: pa.Schema) -> None:
        self._columns, self._schema = columns, schema
        names = [f"c{number}" for number in range(len(columns))]
        self._names = names
        self._quick = _convert(dict(zip(names, map(_read_as, columns), strict=True)))
        self._slow = _convert(dict.fromkeys(names, pa.string()))

    def batch(self, data: bytes) -> pa.RecordBatch:
        """Of whole rows. Raises ValueUnfit."""
        try:
            table = self._read(data, self._quick)
        except pa.ArrowInvalid:
            # a date before year 1, say: value by value then, for these rows only
            table = self._read(data, self._slow)
        arrays = [
            _finished(column, _one(table.column(place)))
            for place, column in enumerate(self._columns)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _read(self, data: bytes, convert: pa.csv.ConvertOptions) -> pa.Table:
        # one block: rows that are longer than a block would not be parsed
        size = len(data) + 1
        read = _ReadOptions(column_names=self._names, block_size=size, use_threads=False)
        return pa.csv.read_csv(
            pa.BufferReader(data), read_options=read, parse_options=_PARSE, convert_options=convert
        )


def _convert(types: dict[str, pa.DataType]) -> pa.csv.ConvertOptions:
    """COPY writes NULL as nothing and an empty text as ""."""
    return pa.csv.ConvertOptions(
        column_types=types,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )


def _read_as(column: Column) -> pa.DataType:
    """What Arrow's reader makes by itself; the rest comes as text."""
    kind = column.arrow
    text = pa.types.is_list(kind) or pa.types.is_binary(kind)
    return pa.string() if text else kind


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _finished(column: Column, array: pa.Array) -> pa.Array:
    kind = column.arrow
    if array.type == kind:
        return array
    try:
        return pa.array([_value(text, kind) for text in array.to_pylist()], kind)
    except (ValueError, TypeError, OverflowError, ArithmeticError, pa.ArrowException) as exc:
        endless = {"infinity", "-infinity"} & set(array.to_pylist())
        why = "it is infinity" if endless else f"it is no {kind}"
        raise ValueUnfit(column.name, why) from exc


def _value(text: str | None, kind: pa.DataType) -> Any:
    if text is None:
        return None
    if pa.types.is_list(kind):
        return [_value(item, kind.value_type) for item in json.loads(text)]
    return _READERS[kind](text) if kind in _READERS else _plain(text, kind)


def _plain(text: str, kind: pa.DataType) -> Any:
    return pa.scalar(text, pa.string()).cast(kind).as_py()


_TRUE = {"t": True, "true": True, "f": False, "false": False}
_DATE = re.compile(r"(\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(\+00)?( BC)?")
_DAYS_BEFORE_1970 = date(1970, 1, 1).toordinal()
# The Gregorian calendar repeats itself after 400 years.
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
_DAY = 86_400_000_000


def _day(text: str) -> int:
    return _moment(text) // _DAY


def _moment(text: str) -> int:
    """Microseconds since 1970 of a date of any year, as PostgreSQL writes it in UTC and ISO style.
    The year before 1 is 1 BC."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError
    year = 1 - int(found[1]) if found[9] else int(found[1])
    cycles = (year - 1) // _CYCLE_YEARS
    ordinal = date(year - cycles * _CYCLE_YEARS, int(found[2]), int(found[3])).toordinal()
    days = ordinal + cycles * _CYCLE_DAYS - _DAYS_BEFORE_1970
    seconds = int(found[4] or 0) * 3600 + int(found[5] or 0) * 60 + int(found[6] or 0)
    return days * _DAY + seconds * 1_000_000 + int((found[7] or "").ljust(6, "0"))


def _time(text: str) -> int:
    hours, minutes, seconds = text.split(":")
    whole, _, fraction = seconds.partition(".")
    passed = (int(hours) * 60 + int(minutes)) * 60 + int(whole)
    if passed >= 86_400:
        # PostgreSQL knows the end of the day as 24:00:00, Arrow does not
        raise ValueError
    return passed * 1_000_000 + int(fraction.ljust(6, "0"))


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError
    return bytes.fromhex(text[2:])


_READERS: dict[pa.DataType, Callable[[str], Any]] = {
    pa.bool_(): _TRUE.__getitem__,
    pa.string(): str,
    pa.int16(): int,
    pa.int32(): int,
    pa.int64(): int,
    pa.float32(): float,
    pa.float64(): float,
    pa.binary(): _bytes,
    pa.date32(): _day,
    pa.timestamp("us"): _moment,
    pa.timestamp("us", "UTC"): _moment,
    pa.time64("us"): _time,
}
