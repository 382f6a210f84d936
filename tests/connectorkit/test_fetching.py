import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf.duration_pb2 import Duration

from connectorkit.bounds import Bounds, effective
from connectorkit.fetching import Item, framed, table_header
from connectorkit.fetching import table as events_of_table
from connectorkit.pieces import Event, Piece, serialized
from connectorkit.previews import preview
from connectorkit.profiles import profile
from connectorkit.tables import TABLE_FORMATS
from grants.claims import Grant
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from servicekit.status import InvalidField


def grant(**bounds: float) -> Grant:
    now = datetime.now(UTC)
    return Grant(
        grant_id="g",
        owner="o",
        caller="c",
        source_id="s",
        source_type="postgresql",
        source_version=1,
        operations=frozenset({"read"}),
        issued_at=now,
        expires_at=now + timedelta(minutes=1),
        **bounds,  # type: ignore[arg-type]
    )


def sample(rows: int) -> pa.Table:
    return pa.table({"id": range(rows), "name": [f"name {number}" for number in range(rows)]})


async def batches(table: pa.Table) -> AsyncIterator[pa.RecordBatch]:
    for batch in table.to_batches(max_chunksize=5000):
        yield batch


async def fetched(
    source: AsyncIterator[pa.RecordBatch], schema: pa.Schema, format: pb.Format, limits: Bounds
) -> list[pb.FetchResponse]:
    header = table_header("t", schema, format)
    async with Limiter("encode", 1) as threads:
        events = framed(source, header=header, schema=schema, limits=limits, threads=threads)
        return [decoded(event) async for event in events]


def decoded(event: Event) -> pb.FetchResponse:
    """As a client has it."""
    return pb.FetchResponse.FromString(serialized(event))


def kinds(events: list[pb.FetchResponse]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


def body(events: list[pb.FetchResponse]) -> bytes:
    return b"".join(event.piece for event in events)


def rows_of(format: pb.Format, data: bytes) -> int:
    if format == pb.FORMAT_PARQUET:
        return int(pq.read_table(io.BytesIO(data)).num_rows)
    if format == pb.FORMAT_ARROW:
        return int(pa.ipc.open_stream(data).read_all().num_rows)
    return data.count(b"\n") - 1


@pytest.mark.parametrize("format", TABLE_FORMATS)
async def test_framed_tells_header_pieces_summary_complete(format: pb.Format) -> None:
    table = sample(12_000)
    events = await fetched(batches(table), table.schema, format, Bounds())
    told = kinds(events)
    assert told[0] == "header" and told[-2:] == ["summary", "complete"]
    assert set(told[1:-2]) <= {"piece", "progress"}
    summary, data = events[-2].summary, body(events)
    assert summary.sha256 == hashlib.sha256(data).hexdigest()
    assert (summary.rows, summary.bytes, summary.truncated) == (12_000, len(data), False)
    assert events[-1].complete == pb.Complete(items=1, rows=12_000, bytes=len(data))


@pytest.mark.req("P9")
@pytest.mark.parametrize("limit", [1, 4999, 5000, 5001, 19_999, 20_000, 20_001])
@pytest.mark.parametrize("format", TABLE_FORMATS)
async def test_row_limit_is_exact_and_told(format: pb.Format, limit: int) -> None:
    table = sample(20_000)
    events = await fetched(batches(table), table.schema, format, Bounds(max_rows=limit))
    assert rows_of(format, body(events)) == min(limit, 20_000) == events[-2].summary.rows
    cut = f"row limit of {limit}" if limit < 20_000 else ""
    assert events[-2].summary.truncated_by == cut
    assert events[-2].summary.truncated == bool(cut)


@pytest.mark.req("P9")
@pytest.mark.parametrize("limit", [3_000, 20_000, 77_777])
@pytest.mark.parametrize("format", TABLE_FORMATS)
async def test_byte_limit_is_kept_and_told(format: pb.Format, limit: int) -> None:
    table = sample(20_000)
    events = await fetched(batches(table), table.schema, format, Bounds(max_bytes=limit))
    assert len(body(events)) <= limit
    assert events[-2].summary.truncated_by == f"byte limit of {limit}"
    assert rows_of(format, body(events)) == events[-2].summary.rows


async def test_progress_is_told_while_the_source_is_silent() -> None:
    told = asyncio.Event()

    async def silent() -> AsyncIterator[pa.RecordBatch]:
        await told.wait()
        yield sample(1).to_batches()[0]

    schema, item, seen = sample(0).schema, Item(), list[str]()
    async with Limiter("encode", 1) as threads:
        header = table_header("t", schema, pb.FORMAT_CSV)
        async for event in events_of_table(
            item,
            silent(),
            header=header,
            schema=schema,
            limits=Bounds(),
            threads=threads,
            progress_s=0.01,
        ):
            seen.append(str(decoded(event).WhichOneof("event")))
            if seen.count("progress") == 2:
                told.set()
    assert seen[:3] == ["header", "progress", "progress"]
    assert [event for event in seen if event != "progress"] == ["header", "piece", "summary"]


async def test_error_of_the_source_comes_through() -> None:
    async def torn() -> AsyncIterator[pa.RecordBatch]:
        yield sample(1).to_batches()[0]
        raise InvalidField("x", "torn")

    with pytest.raises(InvalidField, match="torn"):
        await fetched(torn(), sample(0).schema, pb.FORMAT_CSV, Bounds())


async def test_source_is_closed_when_the_reader_leaves() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[pa.RecordBatch]:
        try:
            while True:
                yield sample(10).to_batches()[0]
        finally:
            closed.set()

    schema = sample(0).schema
    async with Limiter("encode", 1) as threads:
        header = table_header("t", schema, pb.FORMAT_CSV)
        events = framed(endless(), header=header, schema=schema, limits=Bounds(), threads=threads)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Piece):
                    break
        assert closed.is_set()


@pytest.mark.req("P9")
@pytest.mark.parametrize(
    ("said", "granted", "default", "ceiling", "holds"),
    [
        (None, 0, 0, 0, 0),
        (None, 0, 10, 0, 10),
        (None, 5, 10, 0, 5),
        (None, 50, 10, 0, 50),
        (None, 50, 10, 20, 20),
        (7, 5, 10, 0, 5),
        (3, 5, 10, 0, 3),
        (0, 5, 10, 0, 5),
        (0, 0, 10, 0, 0),
        (0, 0, 10, 99, 99),
        (1000, 0, 10, 0, 1000),
    ],
)
def test_bound_is_the_tightest(said, granted, default, ceiling, holds) -> None:
    limits = pb.Limits() if said is None else pb.Limits(max_rows=said)
    got = effective(
        limits, grant(max_rows=granted), Bounds(max_rows=default), Bounds(max_rows=ceiling)
    )
    assert got.max_rows == holds


def test_bound_below_zero_is_refused() -> None:
    with pytest.raises(InvalidField) as caught:
        effective(pb.Limits(timeout=Duration(seconds=-1)), grant())
    assert caught.value.metadata() == {"field": "limits.timeout"}


def test_preview_is_cut_to_its_size_and_says_so() -> None:
    table = pa.table({"text": ["x" * 100_000] * 100})
    got = preview(table, 100)
    assert got.truncated and len(got.arrow) <= 4 * 1024 * 1024
    assert 30 < pa.ipc.open_stream(got.arrow).read_all().num_rows < 42


@pytest.mark.req("D10")
def test_profile_counts_what_a_column_holds() -> None:
    table = pa.table(
        {
            "n": pa.array([1, 2, 2, None], pa.int32()),
            "f": [1.0, float("nan"), 3.0, None],
            "t": ["a", "a", "b", None],
            "day": pa.array([1, 2, 3, 3], pa.date32()),
            "list": [[1], [1], [2], None],
            "none": pa.nulls(4),
        }
    )
    n, f, t, day, nested, none = profile(table)
    assert (n.null_fraction, n.distinct, n.minimum, n.maximum) == (0.25, 2, "1", "2")
    assert n.mean == pytest.approx(5 / 3)
    assert (f.minimum, f.maximum, f.mean) == ("1.0", "3.0", 2.0)
    assert (t.top_values[0].value, t.top_values[0].fraction) == ("a", 0.5)
    assert (day.minimum, day.maximum) == ("1970-01-02", "1970-01-04")
    assert nested.top_values[0].value == "[1]"
    assert none.null_fraction == 1.0 and none.distinct == 0 and not none.HasField("minimum")
