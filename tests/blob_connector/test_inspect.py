"""What is told of a blob without downloading it: kinds, sheets, dialects, folders, statistics."""

import bz2
import gzip
import io
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import orc

from connectorkit.files.footers import Extent, whole
from connectorkit.files.partitions import columns_of, keys_of
from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, fault_of
from tests.blob_connector.test_sql import parquet, put

# of the Azure SDK, for blobs of the tests
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")


async def profile_of(lake: Lake, path: str) -> pb.ProfileResponse:
    told: pb.ProfileResponse = await lake.stub.Profile(
        pb.ProfileRequest(grant=await lake.grant(), path=path)
    )
    return told


def workbook(*sheets: tuple[str, list[list[Any]]], hidden: str = "") -> bytes:
    book, sink = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        sheet.sheet_state = "hidden" if title == hidden else "visible"
        for row in rows:
            sheet.append(row)
    book.save(sink)
    return sink.getvalue()


@pytest.mark.req("D10")
async def test_sheet_of_excel_is_a_table(lake: Lake) -> None:
    rows: list[list[object]] = [
        ["id", "name", "", "day", "ok", "id"],
        [1, "é", None, datetime(2026, 1, 2), True, 1.5],
        [2, None, None, None, False, 2],
        [None, 7, None, datetime(2026, 1, 3, 4, 5), None, None],
    ]
    data = workbook(("Notes", [["x"]]), ("Empty", []), ("Jan", rows), ("Feb", []), hidden="Notes")
    await put(lake, "book.xlsx", data)
    told = await lake.inspect("book.xlsx")
    assert dict(told.entry.properties)["sheets"] == "Notes, Empty, Jan, Feb"
    assert told.entry.properties["sheet"] == "Jan"
    table = await lake.table("book.xlsx")
    assert table.column_names == ["id", "name", "column_3", "day", "ok", "id_2"]
    assert [str(kind) for kind in table.schema.types] == [
        *("int64", "string", "null", "timestamp[us]", "bool", "double"),
    ]
    assert table.column("name").to_pylist() == ["é", None, "7"]
    assert (await lake.preview("book.xlsx", 2)).truncated


@pytest.mark.parametrize("data", [b"no zip", b"", workbook(("Empty", []))])
async def test_workbook_that_is_none_is_told(lake: Lake, data: bytes) -> None:
    await put(lake, "book.xlsx", data)
    fault = await fault_of(lake.inspect("book.xlsx"))
    assert fault.reason == "UNREADABLE_FORMAT" and "book.xlsx" in fault.message


async def test_orc_is_read_by_its_footer_and_by_columns(lake: Lake) -> None:
    sink = io.BytesIO()
    orc.write_table(pa.table({"a": list(range(1000)), "b": ["x"] * 1000}), sink)
    await put(lake, "t.orc", sink.getvalue())
    told = await lake.inspect("t.orc")
    assert told.rows == 1000 and told.rows_exact
    assert (await lake.table("t.orc", columns=["a"])).to_pydict() == {"a": list(range(1000))}
    assert (await profile_of(lake, "t.orc")).columns[0].maximum == "999"


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", b"a;b\n1;x\n2;y\n"),
        ("t.tsv", b"a\tb\n1\tx\n2\ty\n"),
        ("t.json", b'[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]'),
        ("t.ndjson", b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'),
    ],
)
async def test_compressed_texts_are_read(lake: Lake, name: str, data: bytes, ending: str) -> None:
    await put(lake, name + ending, PACKED[ending](data))
    told = await lake.inspect(name + ending)
    assert [column.name for column in told.columns] == ["a", "b"]
    assert (await lake.table(name + ending)).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("data", "encoding", "delimiter"),
    [
        (b"a,b\n1,x\n", "utf8", ","),
        ("a;b\n1;Größe\n".encode("cp1252"), "cp1252", ";"),
        ("a|b\n1|x\n".encode("utf-16"), "utf-16", "|"),
        ("\ufeffa\tb\n1\tx\n".encode(), "utf8", "\t"),
    ],
)
async def test_dialect_and_encoding_are_told(
    lake: Lake, data: bytes, encoding: str, delimiter: str
) -> None:
    await put(lake, "t.csv", data)
    told = dict((await lake.inspect("t.csv")).entry.properties)
    assert (told["encoding"], told["delimiter"]) == (encoding, delimiter)


# Folders


async def partitioned(lake: Lake) -> None:
    for year in (2025, 2026):
        for month in ("01", "11"):
            name = f"t/year={year}/month={month}/day=2026-{month}-05/p.parquet"
            await put(lake, name, parquet(pa.table({"v": [int(month)]})))


@pytest.mark.req("D10")
async def test_partitioned_folders_are_one_table(lake: Lake) -> None:
    await partitioned(lake)
    told = await lake.inspect("t/**/*.parquet")
    assert {column.name: column.type for column in told.columns} == {
        "v": "int64",
        "year": "int64",
        "month": "int64",
        "day": "date32[day]",
    }
    assert told.rows == 4 and len(told.members) == 4
    table = await lake.table("t/**/*.parquet", columns=["month", "v", "year"])
    assert table.column_names == ["month", "v", "year"]
    assert table.column("month").to_pylist() == table.column("v").to_pylist() == [1, 11, 1, 11]
    assert table.column("year").to_pylist() == [2025, 2025, 2026, 2026]
    only = await lake.table("t/year=2026/**/*.parquet", columns=["day"])
    assert only.column("day").to_pylist() == [date(2026, 1, 5), date(2026, 11, 5)]
    assert (await profile_of(lake, "t/**/*.parquet")).columns[1].maximum == "2026"


def test_columns_of_the_files_come_before_those_of_folders() -> None:
    names = ["a=1/b=x/f.csv", "a=__HIVE_DEFAULT_PARTITION__/b=%2F/f.csv"]
    assert columns_of(names, ["b"]) == pa.schema([("a", pa.int64())])
    assert columns_of(names, []).field("b").type == pa.string()
    assert columns_of([*names, "c/f.csv"], []) == pa.schema([])
    assert keys_of(names[1]) == {"a": None, "b": "/"}


# Statistics


@pytest.mark.req("D10")
async def test_statistics_come_from_footers_where_they_suffice(lake: Lake) -> None:
    """The last rows hold the ends, which no sample of the first rows sees."""
    for part in range(2):
        values = [*range(30_000), 10_000_000 + part, None]
        table = pa.table({"n": values, "s": [f"{v}" for v in values], "f": [0.5] * len(values)})
        await put(lake, f"s/{part}.parquet", parquet(table, row_group_size=10_000))
    told = await profile_of(lake, "s/*.parquet")
    numbers = told.columns[0]
    assert told.rows == 60_004 and told.sampled_rows == 20_000
    assert (numbers.minimum, numbers.maximum) == ("0", "10000001")
    assert numbers.null_fraction == pytest.approx(2 / 60_004)
    assert "exact by the footers" in told.basis


async def test_statistics_without_footers_say_their_sample(lake: Lake) -> None:
    lines = "n\n" + "\n".join(str(n) for n in range(30_000))
    await put(lake, "s.csv", lines)
    told = await profile_of(lake, "s.csv")
    assert told.basis == "sample of the first 20,000 rows" and told.sampled_rows == 20_000


@given(st.lists(st.lists(st.none() | st.integers(-5, 5), max_size=4), min_size=1, max_size=4))
def test_extents_of_parts_are_those_of_the_whole(parts: list[list[int | None]]) -> None:
    from connectorkit.files.footers import extents_of

    found = []
    for part in parts:
        sink = io.BytesIO()
        pq.write_table(pa.table({"a": pa.array(part, pa.int64())}), sink, row_group_size=2)
        found.append(extents_of(io.BytesIO(sink.getvalue()))["a"])  # type: ignore[arg-type]
    told, values = whole(found), [v for part in parts for v in part if v is not None]
    assert told.nulls == sum(v is None for part in parts for v in part)
    assert told.known == bool(values)
    assert not values or (told.least, told.greatest) == (min(values), max(values))
    assert not whole([*found, Extent()]).known
