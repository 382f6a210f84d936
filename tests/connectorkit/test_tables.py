import csv
import io
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectorkit import tables
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import Unsupported

TABLE_FORMATS = [pb.FORMAT_CSV, pb.FORMAT_PARQUET, pb.FORMAT_ARROW]


def sample(rows: int) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "name": [f"name, {number}" for number in range(rows)],
            "price": pa.array(
                [Decimal(number) / 100 for number in range(rows)], pa.decimal128(12, 2)
            ),
        }
    )


def read(format: pb.Format, data: bytes) -> pa.Table:
    if format == pb.FORMAT_PARQUET:
        return pq.read_table(io.BytesIO(data))
    if format == pb.FORMAT_ARROW:
        return pa.ipc.open_stream(data).read_all()
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    return pa.table({name: [row[at] for row in rows[1:]] for at, name in enumerate(rows[0])})


def encoded(format: pb.Format, table: pa.Table) -> bytes:
    file = tables.encoder(format, table.schema)
    parts = [piece for batch in table.to_batches(max_chunksize=5000) for piece in file.write(batch)]
    return b"".join(parts + file.finish())


def lines(batch: pa.RecordBatch) -> bytes:
    file = tables.encoder(pb.FORMAT_CSV, batch.schema)
    return b"".join(file.write(batch)).split(b"\n", 1)[1]


@pytest.mark.parametrize("format", TABLE_FORMATS)
def test_encoder_round_trip_keeps_rows(format: pb.Format) -> None:
    table = sample(40_000)
    got = read(format, encoded(format, table))
    assert got.num_rows == 40_000
    if format != pb.FORMAT_CSV:
        assert got.equals(table)


@pytest.mark.parametrize("format", [pb.FORMAT_CSV, pb.FORMAT_ARROW])
def test_size_is_what_is_written(format: pb.Format) -> None:
    table = sample(1000)
    file = tables.encoder(format, table.schema)
    told = file.overhead_bytes + sum(file.size(batch) for batch in table.to_batches())
    assert told == len(encoded(format, table))


def test_raw_is_no_format_of_a_table() -> None:
    with pytest.raises(Unsupported, match="FORMAT_RAW"):
        tables.encoder(pb.FORMAT_RAW, sample(0).schema)


@pytest.mark.parametrize("format", TABLE_FORMATS)
def test_empty_table_is_a_whole_file(format: pb.Format) -> None:
    got = read(format, encoded(format, sample(0)))
    assert got.num_rows == 0 and got.column_names == ["id", "name", "price"]


def test_csv_tells_null_from_empty_text() -> None:
    batch = pa.RecordBatch.from_pydict({"a": ["", None, 'x"y', "l\nm"], "b": [1, 2, None, 4]})
    assert lines(batch) == b'"",1\n,2\n"x""y",\n"l\nm",4\n'


def test_csv_of_sliced_batch_writes_its_own_rows_only() -> None:
    batch = pa.RecordBatch.from_pydict({"a": ["p", "q", "r", "s"]}).slice(1, 2)
    assert lines(batch) == b'"q"\n"r"\n'


def test_csv_writes_every_kind_of_value() -> None:
    table = pa.table(
        {
            "b": [True],
            "f": [0.1],
            "d": [Decimal("1.50")],
            "day": [date(2026, 1, 2)],
            "at": pa.array([datetime(2026, 1, 2, 3)], pa.timestamp("us", "UTC")),
            "raw": [b"\xde\xad"],
            "list": [[1, None]],
            "map": [{"k": "ü"}],
            "dict": pa.array(["x"]).dictionary_encode(),
            "nothing": pa.nulls(1),
        }
    )
    assert lines(table.to_batches()[0]).decode() == (
        'true,0.1,1.50,2026-01-02,2026-01-02 03:00:00.000000Z,"\\xdead",'
        '"[1, null]","{""k"": ""ü""}","x",\n'
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text()), min_size=1))
def test_csv_is_read_back_by_another_reader(rows: list[tuple[str | None, str | None]]) -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array([row[at] for row in rows], pa.string()) for at in (0, 1)], names=["a", "b"]
    )
    data = lines(batch)
    got = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert got == [[value or "" for value in row] for row in rows]


def test_columns_tell_the_source_type() -> None:
    field = tables.field_of("price", pa.decimal128(12, 2), "numeric(12,2)", nullable=False)
    column = tables.columns(pa.schema([field, pa.field("x", pa.int8())]))
    assert [(c.type, c.arrow_type, c.nullable) for c in column] == [
        ("numeric(12,2)", "decimal128(12, 2)", False),
        ("int8", "int8", True),
    ]


def test_pieces_are_bounded() -> None:
    sizes = [len(piece) for piece in tables.pieces(bytes(2_500_000))]
    assert sizes == [1_048_576, 1_048_576, 402_848]


def test_pieces_of_large_and_small_writes_are_whole_and_bounded() -> None:
    wide = pa.table({"a": ["x" * 3_000_000, "y", "z" * 1_048_576] * 3})
    file = tables.encoder(pb.FORMAT_ARROW, wide.schema)
    parts = [piece for batch in wide.to_batches(max_chunksize=1) for piece in file.write(batch)]
    assert max(map(len, parts)) == tables.PIECE_BYTES
    assert read(pb.FORMAT_ARROW, b"".join(parts + file.finish())).equals(wide)
