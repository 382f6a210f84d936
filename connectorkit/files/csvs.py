"""CSV as Arrow batches, in blocks. Blocking: call it in a thread."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.csv

from connectorkit.files.schemas import Written, distinct

SNIFF_BYTES = 64 * 1024
# Arrow holds 32 blocks ahead, and no line may be longer than one: larger ones only where lines are
BLOCKS = tuple(size * 1024 for size in (256, 4 * 1024, 32 * 1024))
_DELIMITERS = ",;\t|"
# what most files are in that are no UTF-8
_LATIN = "cp1252"
FIRST = Written("utf8", BLOCKS[0])
_NO_UTF8 = re.compile("invalid UTF8", re.IGNORECASE)
_TOO_LONG = re.compile(r"straddling object")
_MISFIT = re.compile(r"In CSV column #(\d+): CSV conversion error to ")
# what a column is taken for when a value does not fit what it was taken for
_NUMBERS = (pa.int64(), pa.float64())
_TIMES = (pa.date32(), pa.timestamp("s"), pa.timestamp("ns"))


@dataclass(frozen=True)
class Dialect:
    """How a file is written, by its first bytes. `columns` only where its own names will not do."""

    delimiter: str = ","
    encoding: str = "utf8"
    columns: tuple[str, ...] = ()
    header_lines: int = 1


@dataclass
class Enough:
    """Tells when enough was seen: 0 = all of it. Rows are told by their batches."""

    rows: int = 0
    bytes: int = 0
    seen_rows: int = field(default=0, init=False)
    seen_bytes: int = field(default=0, init=False)

    def add(self, batch: pa.RecordBatch) -> bool:
        """Whether this batch made it enough."""
        self.seen_rows += batch.num_rows
        self.seen_bytes += batch.nbytes
        return bool(
            (self.rows and self.seen_rows > self.rows)
            or (self.bytes and self.seen_bytes >= self.bytes)
        )


def batches(
    name: str, opened: Callable[[], io.RawIOBase], schema: pa.Schema, written: Written | None
) -> Iterator[pa.RecordBatch]:
    """All rows. `schema` gives the types, by name; `written` is what `schema_of` told. Raises
    ArrowException, ValueError."""
    types = {field.name: field.type for field in schema}
    reader, _ = _reader(name, opened(), types, written or FIRST)
    with reader:
        for batch in reader:
            yield _with_nulls(batch)


def schema_of(
    name: str, opened: Callable[[], io.RawIOBase], enough: Enough
) -> tuple[pa.Schema, Written]:
    """The columns, with types that hold each value that was looked at, and how the file is to be
    read. What the first lines were taken for may prove wrong with a later one; it starts anew
    then."""
    taken = _Taken()
    while True:
        seen: list[pa.Schema] = []
        try:
            reader, dialect = _reader(name, opened(), taken.types, taken.written)
            with reader:
                seen.append(reader.schema)
                schema = _looked(reader, Enough(enough.rows, enough.bytes))
                told = replace(
                    taken.written, encoding=dialect.encoding, delimiter=dialect.delimiter
                )
                return schema, told
        except pa.ArrowInvalid as exc:
            if not taken.corrected(str(exc), seen):
                raise


class _Taken:
    """What a file is taken for, until a line proves it wrong."""

    def __init__(self) -> None:
        self.types: dict[str, pa.DataType] = {}
        self.written = FIRST
        self._wider: dict[str, Iterator[pa.DataType]] = {}
        self._blocks = iter(BLOCKS[1:])

    def corrected(self, error: str, seen: Sequence[pa.Schema]) -> bool:
        """Whether there is something else to try."""
        if _NO_UTF8.search(error):
            return self._with(encoding=_LATIN)
        if _TOO_LONG.search(error):
            return self._with(block_bytes=next(self._blocks, 0))
        misfit = _MISFIT.search(error)
        if misfit is None or not seen:
            return False
        column = seen[0].field(int(misfit[1]))
        if pa.types.is_string(column.type):
            return False
        wider = self._wider.setdefault(column.name, _wider(column.type))
        self.types[column.name] = next(wider, pa.string())
        return True

    def _with(self, **changes: Any) -> bool:
        before = self.written
        self.written = replace(before, **changes)
        return self.written != before and bool(self.written.block_bytes)


def _looked(reader: pa.csv.CSVStreamingReader, enough: Enough) -> pa.Schema:
    if any(pa.types.is_binary(field.type) for field in reader.schema):
        # as Arrow takes texts that are no UTF-8
        raise pa.ArrowInvalid("invalid UTF8 data")
    for batch in reader:
        if enough.add(batch):
            break
    return reader.schema


def _wider(kind: pa.DataType) -> Iterator[pa.DataType]:
    """The types to try after `kind`."""
    if pa.types.is_null(kind):
        yield from (*_NUMBERS, pa.bool_(), *_TIMES)
    for ladder in (_NUMBERS, _TIMES):
        if kind in ladder:
            yield from ladder[ladder.index(kind) + 1 :]


def _reader(
    name: str, file: io.RawIOBase, types: dict[str, pa.DataType], written: Written
) -> tuple[pa.csv.CSVStreamingReader, Dialect]:
    head = _head(file.read)
    if not head.strip():
        raise ValueError("it is empty")
    dialect = sniffed(name, head, written.encoding)
    reader = pa.csv.open_csv(
        pa.PythonFile(_Rejoined(head, file.read), mode="r"),
        read_options=pa.csv.ReadOptions(
            block_size=written.block_bytes,
            encoding=dialect.encoding,
            column_names=list(dialect.columns) or None,
            skip_rows=dialect.header_lines if dialect.columns else 0,
        ),
        parse_options=pa.csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
        # NA is missing in a column of numbers, and a word in one of texts
        convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    )
    return reader, dialect


def _head(read: Callable[[int], bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < SNIFF_BYTES and (part := bytes(read(SNIFF_BYTES - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _with_nulls(batch: pa.RecordBatch) -> pa.RecordBatch:
    """An empty field is NULL also in a column of texts."""
    # 8 MiB, for the first who reads CSV
    import pyarrow.compute as pc

    arrays = [
        pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


class _Rejoined(io.RawIOBase):
    """What was read to look at it, then the rest."""

    def __init__(self, head: bytes, read: Callable[[int], bytes]) -> None:
        self._head = head
        self._read = read

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        wanted = BLOCKS[0] if size is None or size < 0 else size
        if self._head:
            part, self._head = self._head[:wanted], self._head[wanted:]
            return part
        return bytes(self._read(wanted))


# What the first bytes tell


def sniffed(name: str, head: bytes, encoding: str) -> Dialect:
    """Delimiter, encoding, and names where those of the header are empty or stand twice."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    text = head.decode(encoding, errors="replace").removeprefix("\ufeff")
    delimiter = "\t" if ".tsv" in name.lower() else _delimiter(text)
    header, lines = _header(text, delimiter)
    names = distinct(header)
    return Dialect(delimiter, encoding, tuple(names) if names != header else (), lines)


def _delimiter(text: str) -> str:
    """The one that stands most often outside of quotes in the first line."""
    line = re.sub(r'"(?:[^"]|"")*"', "", text).split("\n", 1)[0]
    return max(_DELIMITERS, key=line.count)


def _header(text: str, delimiter: str) -> tuple[list[str], int]:
    """The names, and the lines that they take."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    with suppress(csv.Error):
        for row in rows:
            if row:
                return row, rows.line_num
    return [], 1
