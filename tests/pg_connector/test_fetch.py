import asyncio
import csv
import hashlib
import io
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1.connector_pb2_grpc import ConnectorServiceStub
from servicekit.channels import channel, streaming
from servicekit.status import RemoteFault
from tests.pg_connector.conftest import Platform, body, limits

TYPES = """
SELECT 1::int2 AS i2, 2::int4 AS i4, 3::int8 AS i8, 1.5::float4 AS f4, 0.1::float8 AS f8,
  true AS b, 12.50::numeric(6,2) AS n, 1.23456789012345678901::numeric AS free, 'tæxt' AS t,
  'ab'::char(4) AS c, '6ecd8c99-4036-403d-bf84-cf8400f67836'::uuid AS u,
  date '2026-01-02' AS d, timestamp '2026-01-02 03:04:05.678901' AS ts,
  timestamptz '2026-01-02 03:04:05+02' AS tz, time '01:02:03' AS tm,
  interval '1 month 2 days' AS iv, '{"a": 1.0}'::jsonb AS j, '\\xdead'::bytea AS raw,
  ARRAY[1,2,NULL] AS arr, ARRAY['a','b'] AS words, ARRAY[date '2026-01-01'] AS days,
  inet '10.0.0.1' AS ip, int4range(1,5) AS r, point(1,2) AS p, row(1,'x') AS rec,
  date '0044-03-15 BC' AS old, NULL AS nothing
"""


async def arrow(platform: Platform, what: str, **fields: Any) -> pa.Table:
    events = await platform.fetch(what, format=pb.FORMAT_ARROW, **fields)
    return pa.ipc.open_stream(body(events)).read_all()


@pytest.mark.req("P4")
async def test_fetch_of_a_path_streams_the_whole_relation(platform: Platform) -> None:
    events = await platform.fetch("public.orders")
    header, summary, complete = events[0].header, events[-2].summary, events[-1].complete
    assert (header.name, header.format) == ("orders", pb.FORMAT_CSV)
    assert [(c.name, c.type, c.arrow_type, c.nullable) for c in header.columns] == [
        ("id", "bigint", "int64", False),
        ("customer_id", "integer", "int32", False),
        ("amount", "numeric(12,2)", "decimal128(12, 2)", False),
        ("note", "text", "string", True),
        ("at", "timestamp with time zone", "timestamp[us, tz=UTC]", False),
    ]
    data = body(events)
    lines = data.decode().splitlines()
    assert lines[0] == "id,customer_id,amount,note,at" and len(lines) == 10_001
    assert lines[1] == '1,2,0.01,"x,""y""",2026-01-01 00:01:00+00'
    assert lines[2] == "2,3,0.02,,2026-01-01 00:02:00+00"
    assert lines[3] == '3,4,0.03,"",2026-01-01 00:03:00+00'
    assert summary.sha256 == hashlib.sha256(data).hexdigest()
    assert (summary.rows, summary.truncated) == (10_000, False)
    assert complete == pb.Complete(items=1, rows=10_000, bytes=len(data))


@pytest.mark.parametrize("path", ["orders", "public.orders", '"public"."orders"', '"orders"'])
async def test_path_is_found_by_each_of_its_spellings(platform: Platform, path: str) -> None:
    table = await arrow(platform, path, limits=limits(max_rows=1))
    assert table.num_rows == 1


async def test_odd_names_are_quoted(platform: Platform) -> None:
    grant = await platform.grant()
    request = pb.FetchRequest(grant=grant, selection=pb.Selection(path="Odd Name.Table.1"))
    events = [event async for event in platform.stub.Fetch(request)]
    assert events[0].header.name == "Odd Name.Table.1"
    assert body(events) == b'"a ""b"\n'


async def test_only_the_wanted_columns_are_read(platform: Platform) -> None:
    table = await arrow(platform, "public.customers", columns=["region", "id"])
    assert table.column_names == ["region", "id"] and table.num_rows == 100
    with pytest.raises(RemoteFault) as caught:
        await platform.fetch("public.customers", columns=["nosuch"])
    assert caught.value.reason == "INVALID_FIELD"


async def test_types_are_exact(platform: Platform) -> None:
    table = await arrow(platform, TYPES)
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds.pop("n") == "decimal128(6, 2)"
    assert kinds == {
        "i2": "int16", "i4": "int32", "i8": "int64", "f4": "float", "f8": "double", "b": "bool",
        "free": "string", "t": "string", "c": "string", "u": "string",
        "d": "date32[day]", "ts": "timestamp[us]", "tz": "timestamp[us, tz=UTC]",
        "tm": "time64[us]", "iv": "string", "j": "string", "raw": "binary",
        "arr": "list<item: int32>", "words": "list<item: string>", "days": "list<item: date32[day]>",
        "ip": "string", "r": "string", "p": "string", "rec": "string", "old": "date32[day]",
        "nothing": "string",
    }  # fmt: skip
    row = table.drop_columns(["old"]).to_pylist()[0]
    assert Decimal(row["n"]) == Decimal("12.50") and row["free"] == "1.23456789012345678901"
    assert (row["t"], row["c"], row["f8"]) == ("tæxt", "ab  ", 0.1)
    assert row["u"] == "6ecd8c99-4036-403d-bf84-cf8400f67836"
    assert (row["d"], row["tm"]) == (date(2026, 1, 2), time(1, 2, 3))
    assert row["ts"] == datetime(2026, 1, 2, 3, 4, 5, 678901)
    assert row["tz"] == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert (row["iv"], row["j"], row["raw"]) == ("1 mon 2 days", '{"a": 1.0}', b"\xde\xad")
    assert (row["arr"], row["words"], row["days"]) == ([1, 2, None], ["a", "b"], [date(2026, 1, 1)])
    assert (row["ip"], row["r"], row["p"], row["rec"]) == ("10.0.0.1", "[1,5)", "(1,2)", "(1,x)")
    assert table.column("old").cast(pa.int32()).to_pylist() == [-735_160]


@pytest.mark.parametrize("value", ["date 'infinity'", "timestamptz '-infinity'"])
async def test_infinity_is_told_and_not_lost(platform: Platform, value: str) -> None:
    with pytest.raises(RemoteFault, match="infinity") as caught:
        await arrow(platform, f"SELECT {value} AS x")
    assert caught.value.reason == "UNREADABLE_FORMAT" and "text" in caught.value.remedy
    table = await arrow(platform, f"SELECT ({value})::text AS x")
    assert table.column("x").to_pylist() == [value.split("'")[1]]
    csv = body(await platform.fetch(f"SELECT {value} AS x")).decode()
    assert csv == f"x\n{value.split(chr(39))[1]}\n"


async def test_parquet_is_a_file(platform: Platform) -> None:
    events = await platform.fetch("orders", format=pb.FORMAT_PARQUET)
    table = pq.read_table(io.BytesIO(body(events)))
    assert table.num_rows == 10_000
    assert str(table.schema.field("amount").type) == "decimal128(12, 2)"


async def test_parameters_are_bound(platform: Platform) -> None:
    table = await arrow(
        platform,
        "SELECT $1::int AS a, $2::text AS b, $3::date AS c, $4::numeric AS d, $5::bool AS e, $6::int AS f",
        parameters=[
            pb.Parameter(integer=7),
            pb.Parameter(text="'; DROP TABLE orders; --"),
            pb.Parameter(text="2026-02-03"),
            pb.Parameter(number=1.25),
            pb.Parameter(boolean=True),
            pb.Parameter(),
        ],
    )
    assert table.to_pylist() == [
        {
            "a": 7,
            "b": "'; DROP TABLE orders; --",
            "c": date(2026, 2, 3),
            "d": "1.25",
            "e": True,
            "f": None,
        }
    ]


@pytest.mark.parametrize("given", [[], [pb.Parameter(text="no number")]])
async def test_unfit_parameters_are_told(platform: Platform, given: list[pb.Parameter]) -> None:
    with pytest.raises(RemoteFault, match="parameter") as caught:
        await platform.fetch("SELECT $1::int AS a", parameters=given)
    assert caught.value.reason == "QUERY_FAILED" and "no number" not in caught.value.message


async def test_show_and_explain_and_duplicate_names_and_comments(platform: Platform) -> None:
    assert (await arrow(platform, "SHOW server_version_num")).num_rows == 1
    assert (await arrow(platform, "EXPLAIN SELECT 1")).num_rows >= 1
    twice = await arrow(platform, "SELECT 1 AS a, inet '::1' AS a -- done")
    assert twice.column_names == ["a", "a"] and twice.column(1).to_pylist() == ["::1"]
    assert (await arrow(platform, "TABLE customers ;")).num_rows == 100


@pytest.mark.req("P9")
@pytest.mark.parametrize("limit", [1, 63, 64, 65, 9_999, 10_000, 10_001])
async def test_row_limit_is_exact(platform: Platform, limit: int) -> None:
    events = await platform.fetch("orders", limits=limits(max_rows=limit))
    summary = events[-2].summary
    assert summary.rows == body(events).count(b"\n") - 1 == min(limit, 10_000)
    assert summary.truncated_by == (f"row limit of {limit}" if limit < 10_000 else "")


async def test_grant_bounds_what_the_request_asks(platform: Platform) -> None:
    grant = await platform.grant(max_rows=10, max_bytes=5_000)
    events = await platform.fetch("orders", grant=grant, limits=limits(max_rows=100))
    assert events[-2].summary.truncated_by == "row limit of 10"
    grant = await platform.grant(max_rows=10, max_bytes=5_000)
    events = await platform.fetch("orders", grant=grant, limits=limits(max_rows=5, max_bytes=60))
    assert events[-2].summary.truncated_by == "byte limit of 60" and len(body(events)) <= 60


async def test_wide_rows_come_in_bounded_pieces(platform: Platform) -> None:
    events = await platform.fetch(
        "SELECT g, repeat('x', 300000) AS w FROM generate_series(1, 60) g"
    )
    assert max(len(event.piece) for event in events) <= 1024 * 1024
    assert events[-2].summary.rows == 60


@pytest.mark.req("P9")
async def test_timeout_is_told(platform: Platform) -> None:
    with pytest.raises(RemoteFault) as caught:
        await platform.fetch("SELECT pg_sleep(60)", limits=limits(seconds=0.3))
    assert caught.value.reason == "QUERY_TIMEOUT"
    assert caught.value.fields["timeout_s"] == "0.3"
    assert (await arrow(platform, "SELECT 1 AS a")).num_rows == 1


@asynccontextmanager
async def cancelling(platform: Platform, request: pb.FetchRequest) -> AsyncIterator[None]:
    async with streaming(platform.stub.Fetch(request)) as call:
        assert (await call.read()).WhichOneof("event") == "header"
        yield


@asynccontextmanager
async def disconnecting(platform: Platform, request: pb.FetchRequest) -> AsyncIterator[None]:
    async with channel(platform.address) as link:
        call = ConnectorServiceStub(link).Fetch(request)
        assert (await call.read()).WhichOneof("event") == "header"
        yield


CLIENT = """
import sys
import grpc
from isobath.connector.v1 import connector_pb2, connector_pb2_grpc
request = connector_pb2.FetchRequest.FromString(sys.stdin.buffer.read())
with grpc.insecure_channel(sys.argv[1]) as link:
    for event in connector_pb2_grpc.ConnectorServiceStub(link).Fetch(request):
        print(event.WhichOneof("event"), flush=True)
"""


@asynccontextmanager
async def dying(platform: Platform, request: pb.FetchRequest) -> AsyncIterator[None]:
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, platform.address), stdin=PIPE, stdout=PIPE
    )
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write(request.SerializeToString())
    client.stdin.close()
    assert await client.stdout.readline() == b"header\n"
    try:
        yield
    finally:
        client.kill()
        await client.communicate()


@pytest.mark.req("P9")
@pytest.mark.parametrize("leaving", [cancelling, disconnecting, dying])
async def test_query_stops_at_the_server_when_its_client_leaves(
    platform: Platform, leaving: Callable[..., AbstractAsyncContextManager[None]]
) -> None:
    request = await platform.request("SELECT pg_sleep(120), 'find me' AS x")
    async with leaving(platform, request):
        while not await platform.activity("find me"):
            await asyncio.sleep(0.02)
    while await platform.activity("find me"):
        await asyncio.sleep(0.02)
    assert (await arrow(platform, "SELECT 1 AS a")).num_rows == 1


ODD_VALUES = """
SELECT n, n % 2 = 0 AS flag, n::int2 AS small, n / 7.0::float8 AS ratio, n * 1.5 AS free,
    (n * 1.25)::numeric(10,3) AS amount, CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN ''
    WHEN 2 THEN E'a,"b"\\n c' ELSE 'plain' END AS words, decode(lpad(to_hex(n), 4, '0'), 'hex') AS raw,
    date '2026-01-01' - n * 500 AS day, timestamptz '2026-01-01 00:00+00' - n * interval '9 days 1.5 s'
    AS at, time '01:02:03' + n * interval '1 ms' AS clock, ARRAY[n, NULL] AS list,
    ARRAY['x,y', NULL, ''] AS texts, jsonb_build_object('n', n) AS json, int4range(n, n + 5) AS range,
    inet '10.0.0.1' + n AS ip, (n || ' days')::interval AS span, 'NaN'::float8 AS nan
FROM generate_series(1, 3000) n
"""


@pytest.mark.req("P3")
async def test_copied_rows_are_those_that_records_give(platform: Platform) -> None:
    copied = await arrow(platform, ODD_VALUES)
    bound = f"SELECT * FROM ({ODD_VALUES}) o WHERE $1"
    records = await arrow(platform, bound, parameters=[pb.Parameter(boolean=True)])
    assert copied.num_rows == records.num_rows == 3000
    # the digits of a cast are known where the plan tells them, and it is not asked with parameters
    assert str(copied.schema.field("amount").type) == "decimal128(10, 3)"
    for name in copied.column_names:
        ours, theirs = copied.column(name), records.column(name).cast(copied.column(name).type)
        assert (
            ours.cast(pa.string()) == theirs.cast(pa.string()) if name == "nan" else ours == theirs
        )


@pytest.mark.req("P3")
async def test_digits_of_a_query_are_those_of_its_columns(platform: Platform) -> None:
    query = (
        "SELECT o.amount, amount::numeric(20,4) AS wide, sum(amount) OVER () AS total, c.name, "
        "avg(amount) OVER () AS mean FROM orders o JOIN customers c ON c.id = o.customer_id "
        "ORDER BY o.at, o.id LIMIT 3"
    )
    table = await arrow(platform, query)
    assert {field.name: str(field.type) for field in table.schema} == {
        "amount": "decimal128(12, 2)", "wide": "decimal128(20, 4)", "total": "string",
        "name": "string", "mean": "string",
    }  # fmt: skip


@pytest.mark.req("P5")
async def test_fault_while_rows_run_is_told(platform: Platform) -> None:
    for format in (pb.FORMAT_CSV, pb.FORMAT_ARROW):
        with pytest.raises(RemoteFault) as caught:
            await platform.fetch("SELECT 1 / (5000 - id) AS x FROM orders", format=format)
        assert caught.value.reason == "QUERY_FAILED"
        assert caught.value.fields["sqlstate"] == "22012"


@pytest.mark.req("P9")
@pytest.mark.parametrize("format", [pb.FORMAT_CSV, pb.FORMAT_ARROW, pb.FORMAT_PARQUET])
async def test_byte_limit_is_kept(platform: Platform, format: pb.Format) -> None:
    events = await platform.fetch("orders", format=format, limits=limits(max_bytes=50_000))
    summary = events[-2].summary
    assert summary.truncated_by == "byte limit of 50000"
    assert 0 < len(body(events)) <= 50_000 and 0 < summary.rows < 10_000


@pytest.mark.req("X4", "P9")
async def test_bounds_of_a_grant_hold_over_all_its_calls(platform: Platform) -> None:
    grant = await platform.grant(max_rows=10)

    async def rows(limit: int) -> int:
        events = await platform.fetch("orders", grant=grant, limits=limits(max_rows=limit))
        return sum(event.summary.rows for event in events)

    with pytest.raises(RemoteFault):
        await platform.fetch("SELECT 1/(id-id) FROM orders", grant=grant)
    assert [await rows(6), await rows(6)] == [6, 4]
    with pytest.raises(RemoteFault) as refused:
        await rows(1)
    assert refused.value.reason == "BEYOND_GRANT" and "used up" in refused.value.message
    assert len(await platform.fetch("orders", grant=await platform.grant(max_rows=1))) > 3


async def test_unbounded_csv_counts_rows_and_not_lines(platform: Platform) -> None:
    sql = "SELECT E'two\\nlines, \"quoted\"' AS x, n FROM generate_series(1, 50000) n"
    events = await platform.fetch(sql)
    data, summary = body(events), events[-2].summary
    assert (summary.rows, events[-1].complete.rows) == (50_000, 50_000)
    assert summary.sha256 == hashlib.sha256(data).hexdigest()
    read = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert read[0] == ["x", "n"] and read[-1] == ['two\nlines, "quoted"', "50000"]
    assert len(read) == 50_001


async def test_unbounded_csv_of_no_rows_is_its_header(platform: Platform) -> None:
    events = await platform.fetch("SELECT 1 AS x WHERE false")
    assert body(events) == b"x\n" and events[-2].summary.rows == 0


@pytest.mark.req("P7")
async def test_connection_that_rested_is_used_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.pg_connector.pools._RESTED_S", 0.0)
    backends = set[str]()
    for _ in range(3):
        table = await arrow(
            platform, "SELECT pid::text FROM pg_stat_activity WHERE query ~ 'find me'"
        )
        backends.update(table.column("pid").to_pylist())
    assert len(backends) == 1
