"""Blobs read as tables: what people's files are really like."""

import gzip
import io
import json
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectorkit.files import csvs, jsons
from connectorkit.files.csvs import Enough
from connectorkit.files.schemas import Found, distinct, unified
from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, fault_of, joined
from tests.blob_connector.proxy import Proxy

MIB = 1024 * 1024
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")


async def put(lake: Lake, name: str, data: bytes | str, **more: Any) -> None:
    raw = data.encode() if isinstance(data, str) else data
    await lake.container.upload_blob(name, io.BytesIO(raw), **more)


def types(told: Any) -> dict[str, str]:
    return {column.name: column.arrow_type for column in told.columns}


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


# CSV


@pytest.mark.req("C1")
async def test_csv_column_that_changes_its_kind_late_is_read_whole(lake: Lake) -> None:
    """The first hundred thousand lines look like numbers and dates; the last ones do not."""
    head = "id,code,amount,day,seen\n" + "1,7,3,2026-01-01,\n" * 200_000
    await put(lake, "late.csv", head + "2,A7,2.5,2026-01-01 10:00:00,yes\n")
    table = await lake.table("late.csv")
    assert table.num_rows == 200_001
    last = table.slice(200_000).to_pylist()[0]
    assert last["code"] == "A7" and last["amount"] == 2.5 and last["seen"] == "yes"
    assert str(last["day"]) == "2026-01-01 10:00:00"
    assert types(await lake.inspect("late.csv"))["code"] == "int64"  # of its first block


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a;b\n1;x\n", {"a": [1], "b": ["x"]}),
        (b"a\tb\n1\tx\n", {"a": [1], "b": ["x"]}),
        (b"a|b\n1|x\n", {"a": [1], "b": ["x"]}),
        (b'"a,b",c\n1,2\n', {"a,b": [1], "c": [2]}),
        (b"\xef\xbb\xbfa,b\r\n1,x\r\n", {"a": [1], "b": ["x"]}),
        ("a,b\n1,Größe\n".encode("cp1252"), {"a": [1], "b": ["Größe"]}),
        ("a,b\n1,Größe\n".encode("utf-16"), {"a": [1], "b": ["Größe"]}),
        (b'a,b\n1,"two\nlines, and a comma"\n', {"a": [1], "b": ["two\nlines, and a comma"]}),
        (b"id,id,\n1,2,3\n", {"id": [1], "id_2": [2], "column_3": [3]}),
        (b"country,n\nNA,NA\nDE,1\n,\n", {"country": ["NA", "DE", None], "n": [None, 1, None]}),
        (b"only\nx\ny\n", {"only": ["x", "y"]}),
        (b"a,b\n", {"a": [], "b": []}),
        (
            b"n,t\n" + b"1,x\n" * 40_000 + b"1,Gr\xf6\xdfe\n",
            {"n": [1] * 40_001, "t": ["x"] * 40_000 + ["Größe"]},
        ),
        (b"n\n9223372036854775808\n", {"n": [9223372036854775808.0]}),
    ],
)
async def test_csv_is_read_as_it_is_written(
    lake: Lake, data: bytes, expected: dict[str, list[Any]]
) -> None:
    await put(lake, "t.csv", data)
    assert (await lake.table("t.csv")).to_pydict() == expected
    assert list(types(await lake.inspect("t.csv"))) == list(expected)
    await put(lake, "t.csv.gz", gzip.compress(data))
    assert (await lake.table("t.csv.gz")).to_pydict() == expected


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("t.csv", b"", "empty"),
        ("t.csv", b"a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        ("t.csv.gz", b"a,b\n1,2\n", "gz"),
        ("t.parquet", b"PAR1 and then nothing PAR1", "parquet"),
        ("t.json", b"[1, 2, 3]", "no object"),
        ("t.json", b'[{"a": 1}', "does not end"),
        ("t.json", b'{"a": 1}\n{"b"', "json"),
        ("t.json", b"[" * 100_000, "deeply"),
        ("t.json", b'[{"a":' * 100_000, "deeply"),
        ("t.arrow", b"ARROW1 nothing", "arrow"),
        ("t.feather", b"nothing at all", "arrow"),
        ("t.json", b"", "no rows"),
    ],
)
async def test_what_is_no_table_is_told_with_its_name(
    lake: Lake, name: str, data: bytes, why: str
) -> None:
    await put(lake, name, data)
    csv = partial(lake.fetch, format=pb.FORMAT_CSV)
    for call in (lake.inspect, lake.preview, csv):
        fault = await fault_of(call(name))
        assert fault.reason == "UNREADABLE_FORMAT", fault
        assert fault.fields["path"] == name and why in fault.message
    assert joined(await lake.fetch(name)) == data


async def test_line_longer_than_a_block_is_read(lake: Lake) -> None:
    long = "x" * (2 * MIB)
    await put(lake, "wide.csv", "n,text\n" + "1,short\n" * 1000 + f"2,{long}\n")
    assert (await lake.table("wide.csv"))["text"][1000].as_py() == long


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet='a1, ";|\n€.-', max_size=8), min_size=1, max_size=4), st.data())
def test_csv_texts_survive(names: list[str], data: st.DataObject) -> None:
    """Whatever stands in quotes comes back, by the names that it was given."""
    import csv

    names = [f"n{number}{name}" for number, name in enumerate(names)]
    cells = st.text(alphabet='ab, ";|\n€', min_size=1, max_size=8).map(lambda text: f"t{text}")
    rows = data.draw(
        st.lists(st.lists(cells, min_size=len(names), max_size=len(names)), min_size=1)
    )
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([names, *rows])
    raw = sink.getvalue().encode()
    schema, block = csvs.schema_of("t.csv", lambda: io.BytesIO(raw), Enough())  # type: ignore[arg-type, return-value]
    read = list(csvs.batches("t.csv", lambda: io.BytesIO(raw), schema, block))  # type: ignore[arg-type, return-value]
    table = pa.Table.from_batches(read, schema)
    assert table.schema.names == names
    assert [list(row.values()) for row in table.to_pylist()] == rows


# JSON


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1, "b": "x"}, {"a": 2.5, "c": null}]',
        '  [ {"a": 1, "b": "x"},\n{"a": 2.5,"c":null} ] ',
        '{"a": 1, "b": "x"}\n{"a": 2.5, "c": null}\n',
        '\n{"a": 1, "b": "x"}\n\n\n{"a": 2.5, "c": null}',
        '\ufeff[{"a": 1, "b": "x"}, {"a": 2.5, "c": null}]',
        '{"count": 2, "items": [{"a": 1, "b": "x"}, {"a": 2.5, "c": null}]}',
    ],
)
async def test_json_of_each_shape_is_one_table(lake: Lake, text: str) -> None:
    await put(lake, "t.json", text)
    expected = {"a": [1.0, 2.5], "b": ["x", None], "c": [None, None]}
    assert (await lake.table("t.json")).to_pydict() == expected


async def test_json_values_of_several_kinds_become_text(lake: Lake) -> None:
    rows: list[dict[str, Any]] = [{"v": n, "deep": {"k": n}} for n in range(20_000)]
    rows += [{"v": "text", "deep": {"k": "é"}, "late": [1]}, {"v": {"x": 1}}]
    await put(lake, "t.json", json.dumps(rows))
    table = await lake.table("t.json")
    assert table.num_rows == 20_002
    assert table["v"].to_pylist()[-3:] == ["19999", "text", '{"x": 1}']
    assert table["deep"].to_pylist()[-2] == '{"k": "é"}'
    assert table["late"].to_pylist()[-2] == [1]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=3),
            st.none() | st.booleans() | st.text(max_size=20) | st.integers(-5, 5) | st.floats(),
            max_size=3,
        ),
        max_size=8,
    ),
    st.integers(1, 30),
    st.booleans(),
)
def test_json_rows_are_found_wherever_the_text_is_cut(
    rows: list[dict[str, Any]], size: int, lines: bool
) -> None:
    text = "\n".join(map(json.dumps, rows)) if lines and len(rows) > 1 else json.dumps(rows)

    class Dribbling(io.BytesIO):
        def read(self, wanted: int | None = -1) -> bytes:
            return super().read(size)

    found = list(jsons.rows(Dribbling(text.encode())))  # type: ignore[arg-type]
    assert json.dumps(found) == json.dumps(rows)


# Parquet and Arrow


@pytest.mark.req("D10")
async def test_preview_and_profile_of_a_large_blob_read_little_of_it(
    lake: Lake, proxy: Proxy
) -> None:
    lines = b"id,text\n" + b"1234567,some words that make the line longer\n" * 800_000
    import numpy

    values = numpy.random.default_rng(1).random((16, 100_000))
    table = pa.table({f"c{n}": values[n] for n in range(16)})
    await put(lake, "big.csv", lines)
    await put(lake, "big.parquet", parquet(table, row_group_size=10_000, compression="none"))
    grant = await lake.grant(config=lake.through(proxy))
    for name, size in (("big.csv", len(lines)), ("big.parquet", 12_800_000)):
        proxy.passed = 0
        shown = await lake.preview(name, 5, grant=grant)
        with pa.ipc.open_stream(shown.arrow) as reader:
            assert reader.read_all().num_rows == 5 and shown.truncated
        await lake.inspect(name, grant=grant)
        told = await lake.stub.Profile(pb.ProfileRequest(grant=grant, path=name))
        assert told.basis.startswith("sample of the first 20,000 rows")
        assert ("exact by the footers" in told.basis) == name.endswith("parquet")
        assert told.sampled_rows == 20_000
        assert told.rows == (100_000 if name.endswith("parquet") else 0)
        # of three times the whole; sockets take some megabytes ahead of who reads a stream
        assert proxy.passed < 3 * size * (0.5 if name.endswith("csv") else 0.25)
    proxy.passed = 0
    told = await lake.inspect("big.parquet", grant=grant)
    assert told.rows == 100_000 and told.rows_exact and proxy.passed < 1.5 * MIB


async def test_columns_that_are_not_asked_for_are_not_read(lake: Lake, proxy: Proxy) -> None:
    rows = 400_000
    wide = pa.table({f"c{n}": [float(n)] * rows for n in range(8)})
    options = {"compression": "none", "use_dictionary": False}
    await put(lake, "wide.parquet", parquet(wide, **options))
    grant = await lake.grant(config=lake.through(proxy))
    table = await lake.table("wide.parquet", grant=grant, columns=["c5", "c2"])
    assert table.schema.names == ["c5", "c2"] and table.num_rows == rows
    assert proxy.passed < 8 * rows * 8 * 0.6
    fault = await fault_of(lake.fetch("wide.parquet", format=pb.FORMAT_CSV, columns=["nope"]))
    assert fault.reason == "INVALID_FIELD" and "nope" in fault.message


@pytest.mark.req("P3")
async def test_types_of_parquet_are_kept(lake: Lake) -> None:
    from datetime import UTC, date, datetime

    table = pa.table(
        {
            "d": pa.array([Decimal("1.20"), None], pa.decimal128(12, 2)),
            "t": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "day": [date(2026, 1, 1), None],
            "list": [[1, 2], None],
            "struct": [{"x": 1}, None],
            "bytes": [b"\x00\xff", None],
            "cat": pa.array(["a", None]).dictionary_encode(),
        }
    )
    await put(lake, "t.parquet", parquet(table))
    found = await lake.table("t.parquet")
    assert found.to_pylist() == table.to_pylist()
    assert types(await lake.inspect("t.parquet"))["d"] == "decimal128(12, 2)"
    assert b"1.20" in joined(await lake.fetch("t.parquet", format=pb.FORMAT_CSV))


# Several blobs as one table


@pytest.mark.req("C1", "B2")
async def test_glob_unites_the_columns_of_its_blobs(lake: Lake) -> None:
    await put(lake, "m/1.csv", "id,zip\n1,12345\n")
    await put(lake, "m/2.csv", "id,zip,new\n2,AB1,x\n")
    await put(lake, "m/3.csv", "")
    await put(lake, "m/4.csv", "new,id\ny,3.5\n")
    table = await lake.table("m/*.csv")
    assert table.to_pydict() == {
        "id": [1.0, 2.0, 3.5],
        "zip": ["12345", "AB1", None],
        "new": [None, "x", "y"],
    }
    told = await lake.inspect("m/*.csv")
    assert list(told.members) == ["m/1.csv", "m/2.csv", "m/3.csv", "m/4.csv"]
    assert not told.HasField("rows")


async def test_blobs_that_make_no_table_are_named(lake: Lake) -> None:
    await put(lake, "p/1.parquet", parquet(pa.table({"a": [1]})))
    await put(lake, "p/2.parquet", parquet(pa.table({"a": ["x"]})))
    fault = await fault_of(lake.inspect("p/*.parquet"))
    assert fault.reason == "UNREADABLE_FORMAT"
    assert all(word in fault.message for word in ("'a'", "p/1.parquet", "p/2.parquet", "int64"))


async def test_blob_without_an_ending_is_known_by_its_content_type(lake: Lake) -> None:
    from azure.storage.blob import ContentSettings

    kind = ContentSettings(content_type="text/csv; charset=utf-8")
    await put(lake, "export", "a,b\n1,2\n", content_settings=kind)
    assert (await lake.table("export")).to_pydict() == {"a": [1], "b": [2]}
    await put(lake, "picture.png", b"\x89PNG")
    told = await lake.inspect("picture.png")
    assert told.entry.size_bytes == 4 and not told.columns
    assert (await fault_of(lake.preview("picture.png"))).reason == "UNREADABLE_FORMAT"


# Pure


def test_names_of_columns_are_made_distinct() -> None:
    assert distinct(["a", "", "a", "a_2", "a", ""]) == [
        "a",
        "column_2",
        "a_3",
        "a_2",
        "a_4",
        "column_6",
    ]


@given(st.lists(st.sampled_from(["", "a", "a_2", "b", "column_1"]), max_size=8))
def test_distinct_names_are_distinct_and_keep_what_stands_alone(names: list[str]) -> None:
    found = distinct(names)
    assert len(set(found)) == len(found) == len(names)
    assert all(
        new == old for new, old in zip(found, names, strict=True) if old and names.count(old) == 1
    )


KINDS = st.sampled_from([pa.null(), pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.date32()])


@given(st.lists(st.dictionaries(st.sampled_from("abc"), KINDS, min_size=1), min_size=1, max_size=4))
def test_texts_always_make_one_table(schemas: list[dict[str, pa.DataType]]) -> None:
    found = [
        Found(str(n), pa.schema(list(each.items())), loose=True) for n, each in enumerate(schemas)
    ]
    whole = unified(found)
    assert set(whole.names) == {name for each in schemas for name in each}
    for name in whole.names:
        kinds = {each[name] for each in schemas if name in each}
        assert len(kinds) > 1 or whole.field(name).type in kinds
