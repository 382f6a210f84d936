"""SQL over files, through the contract, against the real Azurite."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, joined


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


async def put(lake: Lake, name: str, data: bytes | str) -> None:
    await lake.container.upload_blob(name, data.encode() if isinstance(data, str) else data)


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
