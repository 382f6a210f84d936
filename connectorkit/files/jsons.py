"""JSON as Arrow batches: an array of objects, an object a line, or an object that holds one array.

The text is decoded object by object, so that memory holds a batch, not the file. Blocking: call it
in a thread.
"""

import codecs
import io
import json
from collections.abc import Callable, Iterator
from itertools import islice

import pyarrow as pa

from connectorkit.files.csvs import Enough
from connectorkit.files.schemas import Found, unified

BLOCK_BYTES = 1024 * 1024
BATCH_ROWS = 8 * 1024
# one object; also the largest file that is one object with the rows within
MAX_VALUE_CHARS = 16 * 1024 * 1024
_SPACE = " \t\r\n"
_SEPARATORS = _SPACE + ","

Row = dict[str, object]


class _Text:
    """Decoded text, of which what was taken is let go."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at, self._ended = "", 0, False

    def skip(self, characters: str) -> str:
        """Pass over these; the character behind them, "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in characters:
                self._at += 1
            if self._at < len(self._text) or not self._more(BLOCK_BYTES):
                return self._text[self._at : self._at + 1]

    def take(self) -> None:
        self._at += 1

    def value(self) -> object:
        """The value that begins here. Raises ValueError."""
        size = BLOCK_BYTES
        while True:
            try:
                found, self._at = self._scan(self._text, self._at)
            except json.JSONDecodeError as bad:
                if len(self._text) - self._at > MAX_VALUE_CHARS:
                    raise ValueError(
                        f"it holds one value of more than {MAX_VALUE_CHARS:,} characters"
                    ) from bad
                if not self._more(size):
                    raise
                size *= 2
            except RecursionError as bad:
                raise ValueError("it is nested too deeply") from bad
            else:
                return found

    def _more(self, size: int) -> bool:
        """Read on; False at the end."""
        if self._ended:
            return False
        data = self._file.read(size)
        self._ended = not data
        self._text = self._text[self._at :] + self._decode(bytes(data or b""), self._ended)
        self._at = 0
        return True


def rows(file: io.RawIOBase) -> Iterator[Row]:
    """The objects. Raises ValueError."""
    text = _Text(file)
    first = text.skip(_SPACE)
    if first == "[":
        text.take()
        yield from _elements(text)
    elif first:
        yield from _lines(text)


def _elements(text: _Text) -> Iterator[Row]:
    while True:
        match text.skip(_SEPARATORS):
            case "]":
                return
            case "":
                raise ValueError("its array does not end")
        yield _object(text.value())


def _lines(text: _Text) -> Iterator[Row]:
    first = _object(text.value())
    if text.skip(_SEPARATORS):
        yield first
    else:
        yield from _held(first)
    while text.skip(_SEPARATORS):
        yield _object(text.value())


def _held(whole: Row) -> Iterator[Row]:
    """The rows of a single object: those of the one array of objects in it, or the object."""
    arrays = [each for each in whole.values() if isinstance(each, list) and each]
    if len(arrays) == 1 and all(isinstance(row, dict) for row in arrays[0]):
        yield from arrays[0]
    else:
        yield whole


def _object(value: object) -> Row:
    if not isinstance(value, dict):
        raise ValueError("it holds a value that is no object, so that it makes no table")
    return value


# Arrow


def batches(
    opened: Callable[[], io.RawIOBase], schema: pa.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    """All rows; `schema` gives columns and types. Raises ArrowException, ValueError."""
    coming = rows(opened())
    while found := list(islice(coming, BATCH_ROWS)):
        yield _batch(found, schema or _schema(found))


def schema_of(opened: Callable[[], io.RawIOBase], enough: Enough) -> pa.Schema:
    """Columns and types that hold all that was looked at. Raises ValueError."""
    seen: list[Found] = []
    enough = Enough(enough.rows, enough.bytes)
    for batch in batches(opened):
        if batch.schema not in (each.schema for each in seen):
            seen.append(Found("", batch.schema, loose=True))
            seen = [Found("", unified(seen), loose=True), seen[-1]]
        if enough.add(batch):
            break
    if not seen:
        raise ValueError("it holds no rows")
    return seen[0].schema


def _schema(found: list[Row]) -> pa.Schema:
    names = dict.fromkeys(name for row in found for name in row)
    return pa.schema([(name, _kind([row.get(name) for row in found])) for name in names])


def _kind(values: list[object]) -> pa.DataType:
    try:
        kind = pa.array(values).type
    except (pa.ArrowException, TypeError, OverflowError):
        return pa.string()
    # Parquet has no struct without fields
    return pa.string() if str(kind).find("struct<>") >= 0 else kind


def _batch(found: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [_column([row.get(field.name) for row in found], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        values = [_text(value) for value in values]
    return pa.array(values, kind)


def _text(value: object) -> object:
    """A value of a column that holds texts and others: the others as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
