"""A database from code in the sandbox: real sandbox, real connector, real PostgreSQL."""

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling
from tests.pg_connector.conftest import Platform
from tests.sandbox.boxes import TIERS, place

CODE = """
sales = sources['sales']
frame = sales.query('SELECT n, n * 2.5 AS amount FROM generate_series(1, 3) AS n WHERE n > $1', [1])
print(type(frame).__name__, frame.n.tolist(), frame.amount.tolist())
print('public.orders' in sales.tables().path.tolist(), sales.schema('public.orders').name.tolist()[0])
print(sales.query('SELECT 7 AS x', as_='arrow').column('x').to_pylist(), len(sales.preview('public.orders', 1)))
path = sales.query('SELECT * FROM generate_series(1, 100000) AS n', as_='path')
import pyarrow.parquet as pq
print(path, pq.read_table(path).num_rows)
try:
    sales.query('SELECT wrong FROM public.orders')
except sources.QueryError as error:
    print(error.sqlstate, error.position)
for sql in ('DELETE FROM public.orders', "SELECT pg_read_file('PG_VERSION')", 'SELECT 1; SELECT 2'):
    try:
        sales.query(sql)
    except sources.QueryError as error:
        print(error.reason)
try:
    sales.upload(path, 'x')
except PermissionError:
    print('not written')
"""


@pytest.mark.req("X1", "X4", "P10", "P8")
@pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox")
async def test_code_in_the_sandbox_queries_a_database_under_its_grant(platform: Platform) -> None:
    grant = await platform.grant(operations=["read", "list"])
    source = pb.Source(name="sales", source_id="ds-1", type="postgresql", grant=grant)
    async with (
        place(TIERS[0], connectors=(platform.address,)) as sandbox,
        sandbox.box() as box,
    ):
        request = pb.AttachSourcesRequest(session_id=box.id, run_id="run", sources=[source])
        await calling(box.stub.AttachSources(request))
        ran = await box.run(CODE)
    assert ran.traceback == ""
    assert ran.out == (
        "DataFrame [2, 3] [5.0, 7.5]\n"
        "True id\n"
        "[7] 1\n"
        "sales.parquet 100000\n"
        "42703 8\n"
        "QUERY_NOT_READ_ONLY\nQUERY_NOT_READ_ONLY\nQUERY_NOT_READ_ONLY\n"
        "not written\n"
    )
