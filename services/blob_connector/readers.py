"""Blobs as tables: CSV, Parquet, JSON and Arrow, read in batches from a seekable file.

All functions here block: call them in a thread. Files come from `RangeFile`, which fetches only
the ranges that a reader asks for.
"""

import asyncio
import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from services.blob_connector.azure import Blob, Container
from services.blob_connector.errors import Unreadable

SNIFF_BYTES = 64 * 1024
BLOCK_BYTES = 1024 * 1024
BATCH_ROWS = 16 * 1024
KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".arrows": "arrow",
}


def kind_of(name: str) -> str:
    """The format by the name's ending, before a `.gz`; empty = no table."""
    path = PurePosixPath(name.lower())
    return KINDS.get(path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix, "")


class RangeFile(io.RawIOBase):
    """A blob as a seekable file: reads run on the loop, readers in a thread.

    The last block is kept, so that small reads do not each go to the service.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, container: Container, blob: Blob) -> None:
        self._loop = loop
        self._container = container
        self._blob = blob
        self._at = 0
        self._block_at, self._block = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._blob.size_bytes - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        parts: list[bytes] = []
        while wanted > 0:
            part = self._within(wanted)
            parts.append(part)
            self._at += len(part)
            wanted -= len(part)
        return b"".join(parts)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _within(self, wanted: int) -> bytes:
        """Bytes at the position, at most `wanted`, from a block that is fetched where needed."""
        offset = self._at - self._block_at
        if not 0 <= offset < len(self._block):
            length = min(max(BLOCK_BYTES, min(wanted, 4 * BLOCK_BYTES)), self._rest())
            reading = self._container.range(self._blob, self._at, length)
            self._block = asyncio.run_coroutine_threadsafe(reading, self._loop).result()
            self._block_at, offset = self._at, 0
        return self._block[offset : offset + wanted]

    def _rest(self) -> int:
        return self._blob.size_bytes - self._at


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Arrow's complaints as ours, with the blob's name."""
    try:
        yield
    except (pa.ArrowException, ValueError, UnicodeDecodeError, EOFError, KeyError) as exc:
        kind = kind_of(name) or "table"
        raise Unreadable(
            f"{name} cannot be read as {kind}: {str(exc).splitlines()[0][:300]}",
            remedy="Look at the blob, or fetch it as it is with format raw.",
            path=name,
            format=kind,
        ) from exc


def batches(
    name: str, file: io.RawIOBase, schema: pa.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a blob in batches; `schema` sets the types that text is read as.

    Raises `Unreadable`.
    """
    with _readable(name):
        reader = _READERS.get(kind_of(name))
        if reader is None:
            raise ValueError("its name ends in none of " + ", ".join(KINDS))
        yield from reader(name, file, schema)


def schema_of(name: str, file: io.RawIOBase) -> tuple[pa.Schema, int | None]:
    """Columns and, where the format tells it without reading all, the number of rows."""
    with _readable(name):
        if kind_of(name) == "parquet":
            parquet = pq.ParquetFile(file)
            return parquet.schema_arrow, parquet.metadata.num_rows
    for batch in batches(name, file):
        return batch.schema, None
    raise Unreadable(f"{name} is empty", path=name, format=kind_of(name))


def _csv(name: str, file: io.RawIOBase, schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    source = pa.CompressedInputStream(file, "gzip") if name.lower().endswith(".gz") else file
    head = source.read(SNIFF_BYTES)
    if not head.strip():
        raise ValueError("it is empty")
    rejoined = pa.PythonFile(_Rejoined(bytes(head), source.read), mode="r")
    types = {field.name: field.type for field in schema} if schema else None
    with pa.csv.open_csv(
        rejoined,
        read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(
            delimiter=_delimiter(bytes(head)), newlines_in_values=True
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ) as reader:
        yield from reader


class _Rejoined(io.RawIOBase):
    """What was read to look at it, then the rest."""

    def __init__(self, head: bytes, read: Callable[[int], bytes]) -> None:
        self._head = head
        self._read = read

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        wanted = BLOCK_BYTES if size is None or size < 0 else size
        if self._head:
            part, self._head = self._head[:wanted], self._head[wanted:]
            return part
        return bytes(self._read(wanted))


def _delimiter(head: bytes) -> str:
    line = head.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    try:
        return csv.Sniffer().sniff(line, delimiters=",;\t|").delimiter
    except csv.Error:
        return ","


def _parquet(_: str, file: io.RawIOBase, __: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    yield from pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS)


def _json(name: str, file: io.RawIOBase, schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    source = pa.CompressedInputStream(file, "gzip") if name.lower().endswith(".gz") else file
    text = bytes(source.read()).decode("utf-8-sig")
    rows = _rows(text)
    if not rows:
        raise ValueError("it holds no rows")
    table = pa.Table.from_pylist(rows, schema=schema)
    yield from table.to_batches(max_chunksize=BATCH_ROWS)


def _rows(text: str) -> list[dict[str, object]]:
    """An array of objects, an object that holds one such array, or an object a line."""
    stripped = text.lstrip()
    if stripped.startswith("["):
        found = json.loads(stripped)
    elif "\n" in stripped.strip() and stripped.split("\n", 1)[0].rstrip().endswith("}"):
        found = [json.loads(line) for line in stripped.splitlines() if line.strip()]
    else:
        whole = json.loads(stripped)
        lists = [value for value in whole.values() if isinstance(value, list)]
        found = lists[0] if len(lists) == 1 else [whole]
    names = list(dict.fromkeys(key for row in found for key in row))
    return [{key: row.get(key) for key in names} for row in found]


def _arrow(_: str, file: io.RawIOBase, __: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    head = file.read(6)
    file.seek(0)
    if head == b"ARROW1":
        reader = pa.ipc.open_file(file)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(file)


_READERS = {"csv": _csv, "parquet": _parquet, "json": _json, "arrow": _arrow}


def fitted(batch: pa.RecordBatch, schema: pa.Schema, name: str) -> pa.RecordBatch:
    """A batch in the columns of the whole table: what it lacks is null. Raises `Unreadable`."""
    with _readable(name):
        columns = [
            batch.column(field.name).cast(field.type)
            if field.name in batch.schema.names
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)
