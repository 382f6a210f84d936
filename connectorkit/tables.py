"""Arrow tables as bytes: CSV, Parquet and Arrow IPC, in pieces, without holding the whole."""

import csv
import io
from collections import deque
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from connectorkit import texts
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import Unsupported

PIECE_BYTES = 1024 * 1024
# A row group: large enough to compress and to skip by, small enough to be held, together with what
# is made of it.
_GROUP_BYTES = 4 * PIECE_BYTES
_GROUP_ROWS = 128 * 1024
CONTENT_TYPES = {
    pb.FORMAT_CSV: "text/csv; charset=utf-8",
    pb.FORMAT_PARQUET: "application/vnd.apache.parquet",
    pb.FORMAT_ARROW: "application/vnd.apache.arrow.stream",
}
TABLE_FORMATS = tuple(CONTENT_TYPES)
# what Arrow's CSV writer does not take, or writes as bytes that need be no text
_WITHOUT_TEXT = (
    pa.types.is_nested,
    pa.types.is_duration,
    pa.types.is_interval,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
)


def columns(schema: pa.Schema) -> list[pb.Column]:
    """The columns in Arrow's words; a field's metadata may bring the source's own type ("type")."""
    return [
        pb.Column(
            name=field.name,
            type=source_type(field),
            arrow_type=str(field.type),
            nullable=field.nullable,
            readable=True,
        )
        for field in schema
    ]


def source_type(field: pa.Field) -> str:
    told = (field.metadata or {}).get(b"type")
    return told.decode() if told else str(field.type)


def field_of(name: str, kind: pa.DataType, told: str, *, nullable: bool = True) -> pa.Field:
    """A field that remembers its type in the source's own words."""
    return pa.field(name, kind, nullable, {"type": told})


class Encoder(Protocol):
    """Bytes of one file. What `write` and `finish` give, joined, is the file. Not for two threads
    at once. `overhead_bytes` is what comes besides the rows, at most, where it can be told."""

    overhead_bytes: int

    def size(self, batch: pa.RecordBatch) -> int:
        """How many bytes the batch makes: exact for CSV and Arrow, its size in memory for
        Parquet, which is seldom larger."""
        ...

    def write(self, batch: pa.RecordBatch) -> list[bytes]: ...

    def finish(self) -> list[bytes]: ...


def encoder(format: int, schema: pa.Schema) -> Encoder:
    match format:
        case pb.FORMAT_UNSPECIFIED | pb.FORMAT_CSV:
            return CsvEncoder(schema)
        case pb.FORMAT_PARQUET:
            return ParquetEncoder(schema)
        case pb.FORMAT_ARROW:
            return ArrowEncoder(schema)
    raise Unsupported(
        f"a table is not given as {_name(format)}",
        ability="format",
        remedy="Ask for FORMAT_CSV, FORMAT_PARQUET or FORMAT_ARROW.",
    )


def _name(format: int) -> str:
    known = {value.number: value.name for value in pb.Format.DESCRIPTOR.values}
    return str(known.get(format, format))


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]


class _Sink(io.RawIOBase):
    """A file that is carried off while it is written."""

    def __init__(self) -> None:
        self._parts = deque[memoryview]()
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: object) -> int:
        part = data if isinstance(data, bytes) else bytes(memoryview(data))  # type: ignore[arg-type]
        self._parts.append(memoryview(part))
        self._written += len(part)
        return len(part)

    def taken(self) -> list[bytes]:
        """What was written since, in pieces; never more than one of them is held twice."""
        taken = list[bytes]()
        while self._parts:
            taken.append(self._piece())
        return taken

    def _piece(self) -> bytes:
        parts, room = list[memoryview](), PIECE_BYTES
        while self._parts and room:
            part = self._parts.popleft()
            if len(part) > room:
                self._parts.appendleft(part[room:])
                part = part[:room]
            parts.append(part)
            room -= len(part)
        return b"".join(parts)


class CsvEncoder:
    """RFC 4180: NULL is an empty field, every text stands in quotes. What CSV has no word for is
    written as text: binary as \\x and hex, lists and structs as JSON."""

    overhead_bytes = 0

    def __init__(self, schema: pa.Schema) -> None:
        self._head = header_line(schema)
        self.overhead_bytes = len(self._head)
        self._options = pa.csv.WriteOptions(include_header=False)

    def size(self, batch: pa.RecordBatch) -> int:
        return len(self._lines(batch))

    def write(self, batch: pa.RecordBatch) -> list[bytes]:
        data, self._head = self._head + self._lines(batch), b""
        return pieces(data)

    def finish(self) -> list[bytes]:
        data, self._head = self._head, b""
        return pieces(data)

    def _lines(self, batch: pa.RecordBatch) -> bytes:
        out = io.BytesIO()
        pa.csv.write_csv(written(batch), out, self._options)
        return out.getvalue()


def header_line(schema: pa.Schema) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(schema.names)
    return line.getvalue().encode()


def written(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, in types that text can be made of."""
    arrays = [_writable(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _writable(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _writable(column.dictionary_decode())
    if any(holds(kind) for holds in _WITHOUT_TEXT):
        return texts.text_array(column)
    return column


class ParquetEncoder:
    """Row groups of up to 4 MiB, zstd. Only texts are told by a dictionary: most numbers take less
    time, memory and space without."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = _Sink()
        named_texts = [field.name for field in schema if pa.types.is_string(field.type)]
        self._writer = pq.ParquetWriter(
            self._sink, schema, compression="zstd", use_dictionary=named_texts
        )
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = self._rows = 0
        # the footer: schema twice, a row group's statistics
        self.overhead_bytes = 1024 + 512 * len(schema)

    def size(self, batch: pa.RecordBatch) -> int:
        return int(batch.nbytes)

    def write(self, batch: pa.RecordBatch) -> list[bytes]:
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._bytes >= _GROUP_BYTES or self._rows >= _GROUP_ROWS:
            self._write_group()
        return self._sink.taken()

    def finish(self) -> list[bytes]:
        if self._rows:
            self._write_group()
        self._writer.close()
        return self._sink.taken()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._writer.write_table(table, row_group_size=_GROUP_ROWS)
        self._waiting, self._bytes, self._rows = [], 0, 0


class ArrowEncoder:
    """An IPC stream; buffers are compressed by nobody, so that a reader can map them."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = pa.ipc.new_stream(self._sink, schema)
        # the schema's message and the mark of the end (8 bytes)
        self.overhead_bytes = schema.serialize().size + 8

    def size(self, batch: pa.RecordBatch) -> int:
        return int(pa.ipc.get_record_batch_size(batch))

    def write(self, batch: pa.RecordBatch) -> list[bytes]:
        self._writer.write_batch(batch)
        return self._sink.taken()

    def finish(self) -> list[bytes]:
        self._writer.close()
        return self._sink.taken()
