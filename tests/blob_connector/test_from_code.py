"""A lake from code in the sandbox: real sandbox, real connector, real Azurite."""

import asyncio
import gzip
import io

import pytest

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling
from servicekit.status import RemoteFault
from tests.blob_connector.conftest import Lake
from tests.blob_connector.proxy import Proxy
from tests.blob_connector.test_sql import sales
from tests.sandbox.boxes import TIERS, Box, place

CODE = """
frame = sources['lake'].query(
    "SELECT region, sum(amount) AS amount FROM 'sales/2026-*/*.parquet' GROUP BY 1 ORDER BY 1"
)
print(type(frame).__name__, frame.region.tolist(), frame.amount.tolist())
print(sources['lake'].query("SELECT count(*) AS n FROM 'sales/**/*.parquet' WHERE amount > $1", [2.5]).n[0])
for sql in ("FROM 'other/x.csv'", "FROM read_text('/etc/hostname')"):
    try:
        sources['lake'].query(sql)
    except PermissionError as error:
        print('PermissionError')
"""


WRITING = """
import pandas as pd
lake = sources['lake']
pd.DataFrame({'n': [1, 2]}).to_csv('n.csv', index=False)
told = lake.upload('n.csv', lake['write_prefix'] + 'n.csv')
print(told['path'], told['size_bytes'], bool(told['etag']))
for path, more in (('results/other/n.csv', {}), ('results/r1/n.csv', {'overwrite': True}),
                   ('results/r1/../n.csv', {}), ('results/r1/n.csv', {}), ('n.csv', {})):
    try:
        lake.upload('n.csv', path, **more)
    except OSError as error:
        print(type(error).__name__, path)
try:
    lake.read('results/r1/n.csv')
except PermissionError:
    print('not read')
"""


READING = """
lake = sources['lake']
found = lake.list(glob='**', include=['snapshots'])
old = found[found.path == 'a.csv'].version.tolist()
print(len(old), old[1] == '', lake.read('a.csv', version=old[0]).n.tolist(), lake.read('a.csv').n.tolist())
print(open(lake.download('a.csv', 'old.csv', version=old[0])).read().split())
path = lake.download('l/a.log.gz', unpack=True)
print(path, open(path).read())
try:
    lake.list(glob='**', include=['all'])
except sources.SourceError as error:
    print(error.reason)
"""


async def attach(box: Box, grant: str, writes: str = "", folder: str = "") -> None:
    source = pb.Source(name="lake", source_id="ds-lake", type="azure_blob", grant=grant)
    source.MergeFrom(pb.Source(write_grant=writes, write_prefix=folder))
    request = pb.AttachSourcesRequest(session_id=box.id, run_id="run", sources=[source])
    await calling(box.stub.AttachSources(request))


@pytest.mark.req("X1", "X4", "P10")
@pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox")
async def test_code_in_the_sandbox_queries_files_under_its_grant(lake: Lake) -> None:
    await sales(lake)
    grant = await lake.grant("read", "list", scopes=["sales/"])
    async with place(TIERS[0], connectors=(lake.address,)) as sandbox, sandbox.box() as box:
        await attach(box, grant)
        ran = await box.run(CODE)
    assert ran.traceback == ""
    assert ran.out == ("DataFrame ['n', 's'] [10.5, 4.0]\n3\nPermissionError\nPermissionError\n")


@pytest.mark.req("B4", "X4")
@pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox")
async def test_code_in_the_sandbox_writes_where_its_run_may_and_nowhere_else(lake: Lake) -> None:
    config = {"write_prefixes": ["results/"]}
    grant = await lake.grant("read", "list", scopes=["sales/"], config=config)
    writes = await lake.grant("write", scopes=["results/r1/"], config=config)
    async with place(TIERS[0], connectors=(lake.address,)) as sandbox, sandbox.box() as box:
        await attach(box, grant, writes, "results/r1/")
        ran = await box.run(WRITING)
    assert ran.traceback == ""
    assert ran.out == (
        "results/r1/n.csv 6 True\n"
        "PermissionError results/other/n.csv\n"
        "PermissionError results/r1/n.csv\n"
        "PermissionError results/r1/../n.csv\n"
        "FileExistsError results/r1/n.csv\n"
        "PermissionError n.csv\n"
        "not read\n"
    )
    assert [blob.name async for blob in lake.container.list_blobs()] == ["results/r1/n.csv"]


@pytest.mark.req("B2", "B3", "X1")
@pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox")
async def test_code_in_the_sandbox_reads_earlier_states_and_unpacks(lake: Lake) -> None:
    client = lake.container.get_blob_client("a.csv")
    await client.upload_blob(b"n\n1\n")
    await client.create_snapshot()
    await client.upload_blob(b"n\n2\n", overwrite=True)
    await lake.container.upload_blob("l/a.log.gz", gzip.compress(b"one line"))
    async with place(TIERS[0], connectors=(lake.address,)) as sandbox, sandbox.box() as box:
        await attach(box, await lake.grant("read", "list"))
        ran = await box.run(READING)
    assert ran.traceback == ""
    assert ran.out == "2 True [1] [2]\n['n', '1']\na.log one line\nINVALID_FIELD\n"


@pytest.mark.req("B6", "S5")
@pytest.mark.filterwarnings("ignore:Sending a large body")
@pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox")
async def test_torn_download_leaves_no_file_in_a_workspace(lake: Lake, proxy: Proxy) -> None:
    """While it comes nothing is seen, when it is torn for ever nothing is left, and what was there
    before stays."""
    old, new = b"old," * 100, b"new," * 2_000_000
    grant = await lake.grant("read", "list", config=lake.through(proxy))
    source = pb.Source(name="lake", source_id="ds-lake", type="azure_blob", grant=grant)
    wanted = pb.ImportItem(source=source, selection=connector.Selection(path="big.bin"))
    async with place(TIERS[0], connectors=(lake.address,)) as sandbox, sandbox.box() as box:
        await lake.container.upload_blob("big.bin", old)
        await box.load(wanted)
        await lake.container.upload_blob("big.bin", io.BytesIO(new), overwrite=True)
        proxy.cut_every = 200_000
        coming = asyncio.create_task(box.load(wanted))
        while not coming.done():
            assert await box.files() == {"big.bin": len(old)}
            await asyncio.sleep(0.02)
        with pytest.raises(RemoteFault) as torn:
            await coming
        assert torn.value.reason == "CHECKSUM_MISMATCH"
        assert await box.files() == {"big.bin": len(old)} and await box.read("big.bin") == old
        ran = await box.run("import os; print(sorted(os.listdir()))")
        assert ran.out == "['big.bin']\n"
        proxy.cut_every = 0
        await box.load(wanted)
        assert await box.read("big.bin") == new
