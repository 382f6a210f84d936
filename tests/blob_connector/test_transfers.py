"""Downloads that are torn, changed, held up, cancelled or too slow."""

import asyncio
import base64
import io
from typing import Any

import grpc
import pytest
from azure.storage.blob import BlobBlock, ContentSettings

from isobath.connector.v1 import connector_pb2 as pb
from isobath.credentials.v1 import credentials_pb2 as credentials
from servicekit.ports import free_port
from servicekit.status import decode
from tests.blob_connector.conftest import Lake, fault_of, joined
from tests.blob_connector.proxy import Proxy

MIB = 1024 * 1024
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")


def noise(size: int) -> bytes:
    """Each 4 KiB differs, so that a range in the wrong place shows."""
    return b"".join(at.to_bytes(8, "big") * 512 for at in range(-(-size // 4096)))[:size]


async def put(lake: Lake, name: str, data: bytes) -> None:
    await lake.container.upload_blob(name, io.BytesIO(data), overwrite=True)


async def reading(lake: Lake, path: str, grant: str, **request: Any) -> Any:
    return lake.stub.Fetch(
        pb.FetchRequest(grant=grant, selection=pb.Selection(path=path), **request)
    )


@pytest.mark.req("B6", "S5")
async def test_torn_download_resumes_where_it_was_torn(lake: Lake, proxy: Proxy) -> None:
    data = noise(6 * MIB)
    await put(lake, "big.bin", data)
    grant = await lake.grant(config=lake.through(proxy))
    proxy.cuts = [MIB // 2, 2 * MIB, 3 * MIB + 17, 5 * MIB]
    assert joined(await lake.fetch("big.bin", grant=grant)) == data
    assert not proxy.cuts
    # what was torn came again, not the whole
    assert proxy.passed < len(data) + 4 * 2 * 256 * 1024 + MIB


@pytest.mark.req("B6", "S5")
async def test_download_torn_for_ever_is_told(lake: Lake, proxy: Proxy) -> None:
    await put(lake, "big.bin", noise(MIB))
    grant = await lake.grant(config=lake.through(proxy))
    await lake.browse(grant=grant)
    proxy.cut_every = 100_000
    fault = await fault_of(lake.fetch("big.bin", grant=grant))
    assert fault.reason == "CHECKSUM_MISMATCH" and fault.fields["path"] == "big.bin"
    assert "did not arrive whole" in fault.message and fault.remedy


@pytest.mark.req("S5")
async def test_busy_server_is_asked_again(lake: Lake, proxy: Proxy) -> None:
    await put(lake, "a.bin", b"here")
    grant = await lake.grant(config=lake.through(proxy))
    proxy.busy = 2
    assert joined(await lake.fetch("a.bin", grant=grant)) == b"here"
    assert proxy.answered_busy == 2


@pytest.mark.req("S5", "B6")
async def test_server_busy_for_ever_is_unreachable(lake: Lake, proxy: Proxy) -> None:
    grant = await lake.grant(config=lake.through(proxy))
    proxy.busy = 1000
    fault = await fault_of(lake.browse(grant=grant))
    assert fault.reason == "SOURCE_UNREACHABLE" and "503" in fault.message
    # once, and the retries that the settings allow
    assert proxy.answered_busy == 3


@pytest.mark.req("D4", "B6")
async def test_host_that_is_not_there_is_unreachable(lake: Lake) -> None:
    url = f"http://127.0.0.1:{free_port()}/account"
    grant = await lake.grant(config={"account_url": url})
    fault = await fault_of(lake.browse(grant=grant))
    assert fault.code is grpc.StatusCode.UNAVAILABLE
    assert fault.reason == "SOURCE_UNREACHABLE" and "127.0.0.1" in fault.fields["host"]
    checked = await lake.stub.Check(pb.CheckRequest(grant=grant))
    assert [(s.name, s.passed, s.reason) for s in checked.steps] == [
        ("reach", False, "SOURCE_UNREACHABLE")
    ]


@pytest.mark.req("B6")
@pytest.mark.parametrize("format", [pb.FORMAT_RAW, pb.FORMAT_ARROW])
async def test_blob_changed_in_the_middle_is_told(lake: Lake, format: Any) -> None:
    data = b"n,text\n" + b"12345,some words of a line\n" * 1_200_000
    await put(lake, "big.csv", data)
    grant = await lake.grant()
    # one that is not read further, for the flow control of gRPC holds it up
    call = await reading(lake, "big.csv", grant, format=format)
    async for event in call:
        if event.piece:
            break
    await put(lake, "big.csv", data + b"1,more\n")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for event in call:
            assert not event.HasField("complete")
    fault = decode(raised.value)
    assert fault.reason == "CHANGED_MEANWHILE" and fault.fields["path"] == "big.csv"


@pytest.mark.req("B6")
async def test_bytes_that_miss_their_md5_are_told(lake: Lake) -> None:
    client = lake.container.get_blob_client("wrong.bin")
    await client.stage_block("AAAA", b"what was sent")
    settings = ContentSettings(content_md5=bytearray(16))
    await client.commit_block_list([BlobBlock("AAAA")], content_settings=settings)
    fault = await fault_of(lake.fetch("wrong.bin"))
    assert fault.reason == "CHECKSUM_MISMATCH" and "MD5" in fault.message
    # of a part it says nothing
    assert joined(await lake.fetch("wrong.bin", offset_bytes=5)) == b"was sent"


@pytest.mark.req("C7")
@pytest.mark.parametrize("format", [pb.FORMAT_RAW, pb.FORMAT_ARROW])
async def test_cancelling_stops_the_download(lake: Lake, proxy: Proxy, format: Any) -> None:
    await put(lake, "big.csv", b"n,text\n" + b"12345,some words of a line\n" * 1_200_000)
    grant = await lake.grant(config=lake.through(proxy))
    call = await reading(lake, "big.csv", grant, format=format)
    async for event in call:
        if event.piece:
            break
    call.cancel()
    before = -1
    while before != proxy.passed:
        before = proxy.passed
        await asyncio.sleep(0.3)
    # nothing of it runs any more, and the next call is served
    assert await lake.browse(grant=grant) == ["big.csv"]
    assert not [t for t in asyncio.all_tasks() if t.get_name() == "fetch ahead"]


@pytest.mark.req("C7")
async def test_cancelling_while_the_server_is_silent_frees_everything(
    lake: Lake, proxy: Proxy
) -> None:
    await put(lake, "t.csv", b"a\n" + b"1\n" * 2_000_000)
    grant = await lake.grant(config=lake.through(proxy))
    await lake.browse(grant=grant)
    proxy.gate.clear()
    call = lake.stub.Fetch(
        pb.FetchRequest(grant=grant, selection=pb.Selection(path="t.csv"), format=pb.FORMAT_CSV)
    )
    waiting = asyncio.ensure_future(call.read())
    await asyncio.sleep(0.3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    proxy.gate.set()
    # no thread is held: as many tables at once as there are threads are read
    assert (await asyncio.gather(*(lake.table("t.csv", grant=grant) for _ in range(3))))[0].num_rows


async def test_time_limit_is_told(lake: Lake, proxy: Proxy) -> None:
    await put(lake, "a.bin", noise(MIB))
    grant = await lake.grant(config=lake.through(proxy))
    await lake.browse(grant=grant)
    proxy.gate.clear()
    limits = pb.Limits()
    limits.timeout.FromMilliseconds(300)
    fault = await fault_of(lake.fetch("a.bin", grant=grant, limits=limits))
    assert fault.reason == "DEADLINE_EXCEEDED" and "0.3 s" in fault.message
    proxy.gate.set()
    assert len(joined(await lake.fetch("a.bin", grant=grant))) == MIB


@pytest.mark.req("D3")
@pytest.mark.parametrize("format", [pb.FORMAT_RAW, pb.FORMAT_ARROW])
async def test_source_revoked_in_the_middle_ends_the_stream(lake: Lake, format: Any) -> None:
    await put(lake, "big.csv", b"n,text\n" + b"12345,some words of a line\n" * 1_200_000)
    grant = await lake.grant()
    call = await reading(lake, "big.csv", grant, format=format)
    async for event in call:
        if event.piece:
            break
    await lake.credentials.DeleteSecret(credentials.DeleteSecretRequest(source_id=lake.name))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for event in call:
            assert not event.HasField("complete")
    assert decode(raised.value).reason == "GRANT_REVOKED"


async def test_part_of_a_blob_is_as_asked(lake: Lake) -> None:
    data = noise(MIB)
    await put(lake, "a.bin", data)
    await put(lake, "b.bin", data)
    whole = await lake.fetch("a.bin")
    assert whole[0].header.size_bytes == MIB
    for offset, length in ((0, 1), (256 * 1024 - 1, 2), (MIB - 1, 0), (MIB, 0), (5, 10 * MIB)):
        part = joined(await lake.fetch("a.bin", offset_bytes=offset, length_bytes=length))
        assert part == (data[offset : offset + length] if length else data[offset:])
    for wrong in ({"offset_bytes": MIB + 1}, {"offset_bytes": -1}, {"length_bytes": -1}):
        assert (await fault_of(lake.fetch("a.bin", **wrong))).reason == "INVALID_FIELD"
    assert (await fault_of(lake.fetch("*.bin", offset_bytes=1))).reason == "INVALID_FIELD"


@pytest.mark.req("B7")
async def test_limits_are_told_with_their_numbers(lake: Lake, proxy: Proxy) -> None:
    for name in ("a.bin", "b.bin", "c.csv"):
        await put(lake, name, b"n\n" + b"1\n" * 500)
    through = lake.through(proxy)
    small = await lake.grant(config=through, max_bytes=1500)
    assert len(joined(await lake.fetch("a.bin", grant=small))) == 1002
    fault = await fault_of(lake.fetch("*.bin", grant=small))
    assert fault.reason == "TOO_LARGE" and fault.code is grpc.StatusCode.OUT_OF_RANGE
    assert (fault.fields["size_bytes"], fault.fields["limit_bytes"]) == (
        "2004",
        "498",
    )  # 1002 are used
    # a part of a blob weighs what the part weighs
    limits = pb.Limits(max_bytes=100)
    assert (await fault_of(lake.fetch("a.bin", limits=limits))).reason == "TOO_LARGE"
    assert len(joined(await lake.fetch("a.bin", limits=limits, length_bytes=100))) == 100
    # the rows of a table are cut instead, and that is told
    events = await lake.fetch("c.csv", limits=limits, format=pb.FORMAT_CSV)
    assert len(joined(events)) <= 100
    summary = next(event.summary for event in events if event.HasField("summary"))
    assert summary.truncated_by == "byte limit of 100"


@pytest.mark.req("B2", "B8")
async def test_many_small_blobs_keep_their_order(lake: Lake) -> None:
    names = [f"many/{number:03d}.bin" for number in range(120)]
    for name in names:
        await put(lake, name, b"" if name.endswith("7.bin") else name.encode() * 30)
    events = await lake.fetch("many/*.bin")
    found: dict[str, bytes] = {}
    for event in events:
        if event.HasField("header"):
            found[event.header.name] = b""
        elif event.piece:
            found[list(found)[-1]] += event.piece
    assert list(found) == names
    assert all(
        data == (b"" if n.endswith("7.bin") else n.encode() * 30) for n, data in found.items()
    )
    assert events[-1].complete.items == 120


async def test_md5_of_a_good_blob_is_kept_and_held(lake: Lake) -> None:
    data = noise(MIB)
    await put(lake, "a.bin", data)
    kept = (await lake.container.get_blob_client("a.bin").get_blob_properties()).content_settings
    assert base64.b64encode(kept.content_md5 or b"")
    assert joined(await lake.fetch("a.bin")) == data
