"""A folder from code in the sandbox: real sandbox, real connector."""

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling
from tests.file_connector.conftest import Shelf
from tests.sandbox.boxes import TIERS, Box, place

READING = """
files = sources['files']
frame = files.read('sales/*.csv')
print(type(frame).__name__, frame.region.tolist(), frame.amount.sum())
print(sorted(files.list(glob='**').path))
print(files.query("SELECT count(*) AS n FROM 'sales/*.csv' WHERE amount > $1", [2]).n[0])
print(open(files.download('sales/North.csv', 'north.csv')).read().split())
for path in ('other/x.csv', '../secret.csv', '/etc/hostname', 'sales/link.csv'):
    try:
        files.read(path)
    except (OSError, sources.SourceError) as error:
        print(type(error).__name__)
"""
WRITING = """
import pandas as pd
files = sources['files']
pd.DataFrame({'n': [1, 2]}).to_csv('n.csv', index=False)
told = files.upload('n.csv', files['write_prefix'] + 'n.csv')
print(told['path'], told['size_bytes'], bool(told['etag']))
for path, more in (('results/other/n.csv', {}), ('results/r1/n.csv', {'overwrite': True}),
                   ('results/r1/../n.csv', {}), ('results/r1/n.csv', {}), ('n.csv', {})):
    try:
        files.upload('n.csv', path, **more)
    except OSError as error:
        print(type(error).__name__, path)
"""
pytestmark = pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox")


async def attach(box: Box, grant: str, writes: str = "", folder: str = "") -> None:
    source = pb.Source(name="files", source_id="ds-files", type="local_file", grant=grant)
    source.MergeFrom(pb.Source(write_grant=writes, write_prefix=folder))
    request = pb.AttachSourcesRequest(session_id=box.id, run_id="run", sources=[source])
    await calling(box.stub.AttachSources(request))


@pytest.mark.req("X1", "X4", "D11")
async def test_code_in_the_sandbox_reads_files_under_its_grant(shelf: Shelf) -> None:
    for region, amount in (("North", 2), ("South", 3)):
        shelf.put(f"sales/{region}.csv", f"region,amount\n{region},{amount}\n")
    shelf.put("other/x.csv", b"a\n1\n")
    (shelf.root / "sales" / "link.csv").symlink_to(shelf.root / "other" / "x.csv")
    (shelf.root.parent / "secret.csv").write_bytes(b"kept")
    grant = await shelf.grant("read", "list", scopes=["sales/"])
    async with place(TIERS[0], connectors=(shelf.address,)) as sandbox, sandbox.box() as box:
        await attach(box, grant)
        ran = await box.run(READING)
    assert ran.traceback == ""
    assert ran.out == (
        "DataFrame ['North', 'South'] 5\n"
        "['sales/North.csv', 'sales/South.csv']\n"
        "1\n"
        "['region,amount', 'North,2']\n"
        "PermissionError\nPermissionError\nPermissionError\nPermissionError\n"
    )


@pytest.mark.req("B4", "X4", "D11")
async def test_code_in_the_sandbox_writes_where_its_run_may_and_nowhere_else(shelf: Shelf) -> None:
    config = {"writable_folders": ["results/"]}
    grant = await shelf.grant("read", "list", config=config)
    writes = await shelf.grant("write", scopes=["results/r1/"], config=config)
    async with place(TIERS[0], connectors=(shelf.address,)) as sandbox, sandbox.box() as box:
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
    )
    assert (shelf.root / "results/r1/n.csv").read_bytes() == b"n\n1\n2\n"
