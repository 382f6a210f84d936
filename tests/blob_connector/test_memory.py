"""The service as a process of its own: it starts, and its memory does not follow the blob."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from dev.azurite import Azurite
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.health import wait_ready
from servicekit.ports import free_port
from tests.blob_connector.conftest import Lake, open_lake

MIB = 1024 * 1024
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def process(credentials: str) -> AsyncIterator[tuple[int, rpc.ConnectorServiceStub]]:
    """`python -m services.blob_connector`, ended by SIGTERM, cleanly."""
    address = f"127.0.0.1:{free_port()}"
    variables = {
        "ISOBATH_BLOB_CONNECTOR_SERVER_BIND": address,
        "ISOBATH_BLOB_CONNECTOR_CREDENTIALS": credentials,
        "ISOBATH_BLOB_CONNECTOR_MAX_BLOB_BYTES": str(256 * MIB),
        "ISOBATH_BLOB_CONNECTOR_MAX_REQUEST_BYTES": str(256 * MIB),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.blob_connector", cwd=ROOT, env={**os.environ, **variables}
    )
    try:
        await wait_ready(address, 30)
        async with grpc.aio.insecure_channel(address) as link:
            yield child.pid, rpc.ConnectorServiceStub(link)
    finally:
        child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 20) == 0


async def peak_while(pid: int, call: object) -> tuple[int, int]:
    """How far the memory grew while a stream was read, and how much was read."""
    watched = psutil.Process(pid)
    before = most = watched.memory_info().rss
    size = 0
    async for event in call:  # type: ignore[attr-defined]
        size += len(event.piece)
        most = max(most, watched.memory_info().rss)
    return most - before, size


@pytest.mark.slow
@pytest.mark.req("B8")
async def test_memory_does_not_follow_the_size_of_the_blob(
    azurite: Azurite, tmp_path: Path
) -> None:
    async with open_lake(azurite, tmp_path) as lake, process(lake.vault) as (pid, stub):
        await _put(lake, "small.csv", 1)
        await _put(lake, "large.csv", 224)
        grant = await lake.grant()
        # ranges on their way, Arrow's blocks ahead of its reader, and what gRPC holds
        for format, most in ((pb.FORMAT_RAW, 64), (pb.FORMAT_CSV, 144), (pb.FORMAT_PARQUET, 144)):
            # the small one loads what reading needs, so that the large one is measured alone
            for name, size in (("small.csv", 1), ("large.csv", 224)):
                selection = pb.Selection(path=name)
                call = stub.Fetch(pb.FetchRequest(grant=grant, selection=selection, format=format))
                grown, read = await peak_while(pid, call)
                assert read >= size * MIB or format == pb.FORMAT_PARQUET
            assert grown < most * MIB, (format, grown // MIB)


async def _put(lake: Lake, name: str, size: int) -> None:
    line = b"1234567,some words of a line that says little,2026-01-01\n"
    data = b"id,text,day\n" + line * (-(-size * MIB // len(line)) + 1)
    await lake.container.upload_blob(name, io.BytesIO(data))
