"""SQL over files, through the contract, against the real Azurite."""

import asyncio
import gzip
import io
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, fault_of, joined, open_lake

# of the Azure SDK, for blobs of the tests
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")
ENDLESS = "SELECT count(*) FROM range(10000000000) a(i), range(1000) b(j) WHERE i % 7 = j % 3"


def busy() -> set[int]:
    """Processes of queries that have worked for a while."""
    return {child.pid for child in psutil.Process().children() if _works(child)}


def _works(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it ended between the two looks, or is not yet reaped
        ours = "connectorkit.files.sql.child" in child.cmdline()
        return ours and sum(child.cpu_times()[:2]) > 1.3
    return False


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


async def put(lake: Lake, name: str, data: bytes | str) -> None:
    body = io.BytesIO(data.encode() if isinstance(data, str) else data)
    await lake.container.upload_blob(name, body)


async def events_of(lake: Lake, sql: str, *parameters: pb.Parameter, **request: Any) -> list[Any]:
    grant = request.pop("grant", None) or await lake.grant()
    selection = pb.Selection(query=pb.Query(sql=sql, parameters=parameters))
    call = lake.stub.Fetch(pb.FetchRequest(grant=grant, selection=selection, **request))
    return [event async for event in call]


async def table_of(lake: Lake, sql: str, *parameters: pb.Parameter, **request: Any) -> pa.Table:
    events = await events_of(lake, sql, *parameters, format=pb.FORMAT_ARROW, **request)
    with pa.ipc.open_stream(joined(events)) as reader:
        return reader.read_all()


async def sales(lake: Lake) -> None:
    for month in (1, 2):
        regions, amounts = ["n", "s", "n"], [month * 1.5, 2.0, 3.0]
        data = parquet(pa.table({"region": regions, "amount": amounts}))
        await put(lake, f"sales/2026-0{month}/a.parquet", data)
    await put(lake, "sales/notes.txt", "no table")


@pytest.mark.req("D1", "B2")
async def test_query_over_a_glob_of_files(lake: Lake) -> None:
    await sales(lake)
    sql = "SELECT region, sum(amount) AS a FROM 'sales/2026-*/*.parquet' GROUP BY 1 ORDER BY 1"
    assert (await table_of(lake, sql)).to_pydict() == {"region": ["n", "s"], "a": [10.5, 4.0]}
    csv = joined(await events_of(lake, sql))
    assert csv == b'region,a\n"n",10.5\n"s",4\n'


TYPES = {
    "12.50::DECIMAL(10,2)": ("decimal128(10, 2)", Decimal("12.50")),
    "sum(9223372036854775807::BIGINT)": ("decimal128(38, 0)", Decimal(9223372036854775807)),
    "18446744073709551615::UBIGINT": ("uint64", 18446744073709551615),
    "date '2026-02-28'": ("date32[day]", date(2026, 2, 28)),
    "timestamp '2026-02-28 01:02:03.000004'": (
        "timestamp[us]",
        datetime(2026, 2, 28, 1, 2, 3, 4),
    ),
    "timestamptz '2026-02-28 01:00:00+01'": (
        "timestamp[us, tz=UTC]",
        datetime(2026, 2, 28, tzinfo=UTC),
    ),
    "time '01:02:03'": ("time64[us]", time(1, 2, 3)),
    "timetz '10:00:00+02'": ("string", "10:00:00+02"),
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID": (
        "string",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    "'\\xAB'::BLOB": ("binary", b"\xab"),
    "[1, NULL]::INT[]": ("list<l: int32>", [1, None]),
    "{'a': 1, 'b': 'x'}": ("struct<a: int32, b: string>", {"a": 1, "b": "x"}),
    "map {'k': 1}": ("map<string, int32>", [("k", 1)]),
    "'{\"a\": 1}'::JSON": ("string", '{"a": 1}'),
    "'101'::BIT": ("string", "101"),
    "'b'::ENUM('a', 'b')": ("string", "b"),
    "340282366920938463463374607431768211455::UHUGEINT": (
        "string",
        "340282366920938463463374607431768211455",
    ),
    "'nan'::DOUBLE < 1": ("bool", False),
    "NULL": ("null", None),
}


@pytest.mark.req("P3")
async def test_types_arrive_exactly(lake: Lake) -> None:
    columns = ", ".join(f"{sql} AS c{at}" for at, sql in enumerate(TYPES))
    table = await table_of(lake, f"SELECT {columns}")
    for at, (sql, (kind, value)) in enumerate(TYPES.items()):
        column = table.column(f"c{at}")
        assert (str(column.type), column.to_pylist()) == (kind, [value]), sql
    for format in (pb.FORMAT_CSV, pb.FORMAT_PARQUET):
        assert joined(await events_of(lake, f"SELECT {columns}", format=format))


@pytest.mark.req("P9")
async def test_limits_of_rows_and_bytes_cut_and_are_told(lake: Lake) -> None:
    sql = "SELECT i, md5(i::VARCHAR) AS m FROM range(200000) t(i)"
    events = await events_of(lake, sql, limits=pb.Limits(max_rows=5))
    summary = next(event.summary for event in events if event.HasField("summary"))
    assert summary.rows == 5 and summary.truncated_by == "row limit of 5"
    events = await events_of(lake, sql, limits=pb.Limits(max_bytes=10_000))
    summary = next(event.summary for event in events if event.HasField("summary"))
    assert 9_000 < summary.bytes <= 10_000 and summary.truncated_by == "byte limit of 10000"
    events = await events_of(lake, "SELECT 1 AS a", limits=pb.Limits(max_rows=1))
    assert not next(event.summary for event in events if event.HasField("summary")).truncated
    whole = await table_of(lake, sql)
    assert whole.num_rows == 200_000 and whole.column("i").to_pylist() == list(range(200_000))


@pytest.mark.req("P10")
async def test_parameters_are_bound(lake: Lake) -> None:
    await put(lake, "a.csv", "n,s\n1,x\n2,it's\n")
    sql = "SELECT n FROM 'a.csv' WHERE s = $1 OR n = $2"
    found = await table_of(lake, sql, pb.Parameter(text="it's"), pb.Parameter(integer=7))
    assert found.to_pydict() == {"n": [2]}
    call = events_of(lake, "SELECT $1", pb.Parameter(binary=b"x"))
    assert (await fault_of(call)).reason == "INVALID_FIELD"


@pytest.mark.req("P5")
async def test_error_marks_its_place_in_the_callers_text(lake: Lake) -> None:
    await put(lake, "a.csv", "n\n1\n")
    fault = await fault_of(events_of(lake, "SELECT n\nFROM 'a.csv' AS é\nWHERE nope > 1"))
    assert fault.reason == "QUERY_FAILED" and fault.fields["line"] == "3"
    assert fault.fields["position"] == "34" and "LINE 3: WHERE nope > 1" in fault.message
    assert "lake://" not in fault.message and "Candidate" in fault.message
    fault = await fault_of(events_of(lake, "SELECT 'x'::INT FROM 'a.csv'"))
    assert fault.reason == "QUERY_FAILED" and "LINE 1" in fault.message
    fault = await fault_of(events_of(lake, "SELECT * FROM 'none/*.csv'"))
    assert fault.reason == "PATH_NOT_FOUND" and "none/*.csv" in fault.message


async def test_files_of_each_kind_and_writing_are_read(lake: Lake) -> None:
    await put(lake, "a;b.tsv", "x\ty\n1\té\n")
    await put(lake, "l.csv.gz", gzip.compress(b"x;y\n2;z\n"))
    await put(lake, "o.json", '[{"x": 3, "y": {"z": [1]}}]')
    await put(lake, "n.ndjson", '{"x": 4}\n{"x": 5}\n')
    await put(lake, "it's [1]/x.parquet", parquet(pa.table({"x": [6]})))
    sql = (
        "SELECT x FROM 'a;b.tsv' UNION ALL SELECT x FROM 'l.csv.gz' UNION ALL "
        "SELECT x FROM 'o.json' UNION ALL SELECT x FROM 'n.ndjson' UNION ALL "
        "SELECT x FROM 'it''s [1]/x.parquet' ORDER BY 1"
    )
    assert (await table_of(lake, sql)).to_pydict() == {"x": [1, 2, 3, 4, 5, 6]}


async def test_folders_of_partitions_are_columns_and_others_are_not_read(lake: Lake) -> None:
    for year in (2025, 2026):
        for month in (1, 11):
            data = parquet(pa.table({"v": [year * 100 + month]}))
            await put(lake, f"t/year={year}/month={month}/p.parquet", data)
    sql = "SELECT year, month, v FROM 't/**/*.parquet' WHERE year = 2026 ORDER BY month"
    found = await table_of(lake, sql)
    assert found.to_pydict() == {"year": [2026, 2026], "month": [1, 11], "v": [202601, 202611]}


async def test_preview_of_a_query(lake: Lake) -> None:
    await sales(lake)
    selection = pb.Selection(query=pb.Query(sql="SELECT * FROM 'sales/*/*.parquet'"))
    request = pb.PreviewRequest(grant=await lake.grant(), selection=selection, rows=4)
    told = await lake.stub.Preview(request)
    with pa.ipc.open_stream(told.arrow) as reader:
        assert reader.read_all().num_rows == 4
    assert told.truncated and [column.type for column in told.columns] == ["VARCHAR", "DOUBLE"]


# Bounds


@pytest.mark.req("P6")
async def test_query_past_its_time_is_stopped(lake: Lake) -> None:
    limits = pb.Limits(timeout=Duration(seconds=2))
    began = monotonic()
    fault = await fault_of(events_of(lake, ENDLESS, limits=limits))
    assert fault.reason == "QUERY_TIMEOUT" and fault.fields["timeout_s"] == "2"
    assert monotonic() - began < 5 and not busy()


@pytest.mark.req("P6", "C7")
async def test_cancelled_query_is_gone_soon(lake: Lake) -> None:
    task = asyncio.create_task(events_of(lake, ENDLESS))
    while not busy():
        await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(10):
        while busy():
            await asyncio.sleep(0.02)


@pytest.mark.req("B8")
async def test_query_beyond_its_memory_is_told(azurite: Any, tmp_path: Path, no_leaks: Any) -> None:
    async with open_lake(azurite, tmp_path, query_memory_bytes=64 * 1024 * 1024) as lake:
        for sql in (
            "SELECT md5(i::VARCHAR) AS m FROM range(30000000) t(i) ORDER BY m",
            "SELECT repeat('x', 4000000000) AS a",
            "SELECT list(i) FROM range(500000000) t(i)",
        ):
            fault = await fault_of(events_of(lake, sql))
            assert fault.reason == "QUERY_FAILED", fault
        assert (await table_of(lake, "SELECT 1 AS a")).num_rows == 1


async def test_as_many_queries_run_as_may(azurite: Any, tmp_path: Path, no_leaks: Any) -> None:
    async with open_lake(azurite, tmp_path, queries=1, query_wait_s=0.2) as lake:
        task = asyncio.create_task(events_of(lake, ENDLESS))
        await asyncio.sleep(2)
        fault = await fault_of(events_of(lake, "SELECT 1"))
        assert fault.reason == "TOO_BUSY"
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.req("B6")
async def test_blob_that_changes_meanwhile_is_told(lake: Lake) -> None:
    data = parquet(pa.table({"x": list(range(200_000))}), row_group_size=10_000)
    await put(lake, "x.parquet", data)
    selection = pb.Selection(query=pb.Query(sql="SELECT x, repeat('y', 500) AS y FROM 'x.parquet'"))
    request = pb.FetchRequest(grant=await lake.grant(), selection=selection)

    async def changed_meanwhile() -> None:
        seen = 0
        async for _ in lake.stub.Fetch(request):
            seen += 1
            if seen == 2:
                await lake.container.upload_blob("x.parquet", io.BytesIO(data), overwrite=True)

    assert (await fault_of(changed_meanwhile())).reason == "CHANGED_MEANWHILE"


@pytest.mark.req("B8", "B6")
async def test_query_reads_no_more_than_it_may(azurite: Any, tmp_path: Path, no_leaks: Any) -> None:
    async with open_lake(azurite, tmp_path, query_read_bytes=300_000) as lake:
        lines = "id,text\n" + "".join(f"{n},some words of a line\n" for n in range(5_000))
        for part in range(4):
            await put(lake, f"t/{part}.csv", lines)
        found = await table_of(lake, "SELECT count(*) AS n FROM 't/0.csv'")
        assert found.to_pydict() == {"n": [5_000]}
        fault = await fault_of(events_of(lake, "SELECT count(*) AS n FROM 't/*.csv'"))
        assert fault.reason == "TOO_LARGE" and "300,000 bytes" in fault.message and fault.remedy


@pytest.mark.req("B8")
async def test_little_is_read_of_a_large_set(lake: Lake) -> None:
    """Two of ten columns, one row group of ten in one of four files: by the log's own figures."""
    rows = 100_000
    for part in range(4):
        columns = {f"c{n}": [float(n + i % 977) for i in range(rows)] for n in range(8)}
        ids = list(range(part * rows, (part + 1) * rows))
        table = pa.table({"id": ids, "amount": [i * 0.5 for i in ids], **columns})
        await put(lake, f"big/{part}.parquet", parquet(table, row_group_size=10_000))
    with capture_logs() as logged:
        sql = "SELECT sum(amount) AS a FROM 'big/*.parquet' WHERE id BETWEEN 150000 AND 159999"
        found = await table_of(lake, sql)
    read = next(each for each in logged if each["event"] == "query_over_files")
    assert found.to_pydict() == {"a": [sum(i * 0.5 for i in range(150_000, 160_000))]}
    assert 0 < read["bytes_read"] < read["bytes_there"] / 10, read
    print({key: read[key] for key in ("bytes_read", "bytes_there")})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 40_000 + "1" + ")" * 40_000,
        "SELECT 1" + " + 1" * 24_000,
        "SELECT " + "[" * 30_000 + "]" * 30_000,
        "SELECT 1" + " UNION SELECT 1" * 6_000,
        "SELECT '" + "x" * 100_001 + "'",
        "SELECT '\0'",
    ],
    ids=["parentheses", "sums", "lists", "unions", "long", "nul"],
)
async def test_statement_made_to_break_the_parser_breaks_nothing(lake: Lake, sql: str) -> None:
    fault = await fault_of(events_of(lake, sql, limits=pb.Limits(timeout=Duration(seconds=5))))
    assert fault.reason in {
        "QUERY_NOT_READ_ONLY",
        "QUERY_FAILED",
        "INVALID_FIELD",
        "QUERY_TIMEOUT",
    }
    assert (await table_of(lake, "SELECT 1 AS a")).num_rows == 1
