"""Sheets of Excel workbooks (.xlsx) as Arrow batches: the first one that is shown and has rows.

The zip's parts are read by range, rows one after the other; only the workbook's shared texts are
held. Blocking: call it in a thread.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any
from xml.etree.ElementTree import ParseError

import pyarrow as pa

from connectorkit.files.csvs import Enough
from connectorkit.files.schemas import Found, distinct, unified

BATCH_ROWS = 4 * 1024
# what a workbook may unpack to: its shared texts are held
MOST_TEXT_BYTES = 64 * 1024 * 1024
MOST_SHEET_BYTES = 1024 * 1024 * 1024
_SHARED = "xl/sharedStrings.xml"
Cells = tuple[Any, ...]


def schema_of(file: io.RawIOBase, enough: Enough) -> tuple[pa.Schema, Mapping[str, str]]:
    """Columns and types that hold what was looked at; what sheets there are. Raises ValueError."""
    with _rows(file) as (names, rows, told):
        seen: list[Found] = []
        enough = Enough(enough.rows, enough.bytes)
        while found := list(islice(rows, BATCH_ROWS)):
            batch = _batch(found, _schema(names, found))
            seen = [Found("", unified([*seen, Found("", batch.schema, loose=True)]), loose=True)]
            if enough.add(batch):
                break
        return (seen[0].schema if seen else _schema(names, [])), told


def batches(file: io.RawIOBase, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All rows, in the schema's columns that the sheet has. Raises ArrowException, ValueError."""
    with _rows(file) as (names, rows, _):
        there = [at for at, name in enumerate(names) if name in schema.names]
        wanted = pa.schema([schema.field(names[at]) for at in there])
        while found := list(islice(rows, BATCH_ROWS)):
            yield _batch([tuple(_cell(row, at) for at in there) for row in found], wanted)


@contextmanager
def _rows(file: io.RawIOBase) -> Iterator[tuple[list[str], Iterator[Cells], Mapping[str, str]]]:
    """Names of the columns, the rows below, and what there is to tell of the workbook."""
    # 7 MiB, for the first who reads a workbook
    import openpyxl

    file.seek(0)
    try:
        _check_sizes(file)
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except (zipfile.BadZipFile, KeyError, ParseError) as exc:
        raise ValueError("it is no workbook of Excel (.xlsx)") from exc
    try:
        shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        for sheet in shown or book.worksheets:
            rows = (row for row in sheet.iter_rows(values_only=True) if any(_filled(row)))
            head = next(rows, None)
            if head is not None:
                told = {"sheet": sheet.title, "sheets": ", ".join(book.sheetnames)}
                yield distinct([_text(cell) for cell in _trimmed(head)]), rows, told
                return
        raise ValueError("its sheets are empty")
    finally:
        book.close()


def _check_sizes(file: io.RawIOBase) -> None:
    with zipfile.ZipFile(file) as parts:
        for part in parts.infolist():
            most = MOST_TEXT_BYTES if part.filename == _SHARED else MOST_SHEET_BYTES
            if part.file_size > most:
                raise ValueError(f"its part {part.filename} unpacks to {part.file_size:,} bytes")
    file.seek(0)


def _filled(row: Cells) -> Iterator[bool]:
    return (cell is not None and cell != "" for cell in row)


def _trimmed(head: Cells) -> Cells:
    last = max(at for at, filled in enumerate(_filled(head)) if filled)
    return head[: last + 1]


def _cell(row: Cells, at: int) -> Any:
    return row[at] if at < len(row) else None


def _schema(names: Sequence[str], rows: Sequence[Cells]) -> pa.Schema:
    return pa.schema(
        [(name, _kind([_cell(row, at) for row in rows])) for at, name in enumerate(names)]
    )


def _kind(values: Sequence[object]) -> pa.DataType:
    kinds = {type(value) for value in values if value is not None and value != ""}
    for known, kind in _KINDS:
        if kinds and kinds <= known:
            return kind
    return pa.string() if kinds else pa.null()


_KINDS: tuple[tuple[set[type], pa.DataType], ...] = (
    ({bool}, pa.bool_()),
    ({int}, pa.int64()),
    ({int, float}, pa.float64()),
    ({datetime, date}, pa.timestamp("us")),
    ({time}, pa.time64("us")),
    ({timedelta}, pa.duration("us")),
)


def _batch(rows: Sequence[Cells], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        _column([_cell(row, at) for row in rows], each.type) for at, each in enumerate(schema)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    plain = [None if value == "" else value for value in values]
    if pa.types.is_string(kind):
        plain = [None if value is None else _text(value) for value in plain]
    return pa.array(plain, kind)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
