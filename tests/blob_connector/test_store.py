"""What Store writes, and what it leaves where it fails."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import grpc
import pytest

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.status import decode
from tests.blob_connector.conftest import Lake, fault_of, joined
from tests.blob_connector.proxy import Proxy, answer

MIB = 1024 * 1024
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")


async def names(lake: Lake) -> list[str]:
    return [blob.name async for blob in lake.container.list_blobs(include=["uncommittedblobs"])]


@pytest.mark.req("B4")
@pytest.mark.parametrize("pieces", [0, 1, 3, 1000])
async def test_pieces_become_one_blob(lake: Lake, pieces: int) -> None:
    data = [bytes([number % 251]) * 700 for number in range(pieces)]
    told = await lake.store("out/ü 1.csv", *data)
    whole = b"".join(data)
    assert (told.path, told.size_bytes) == ("out/ü 1.csv", len(whole))
    events = await lake.fetch("out/ü 1.csv")
    assert joined(events) == whole
    assert events[0].header.etag == told.etag and events[0].header.content_type == "text/csv"


@pytest.mark.req("B4", "B8")
async def test_large_blob_is_written_in_blocks(lake: Lake) -> None:
    pieces = [bytes([number]) * MIB for number in range(11)]
    assert (await lake.store("big.bin", *pieces, content_type="x/y")).size_bytes == 11 * MIB
    client = lake.container.get_blob_client("big.bin")
    committed, _ = await client.get_block_list("committed")
    assert [block.size for block in committed] == [4 * MIB, 4 * MIB, 3 * MIB]
    events = await lake.fetch("big.bin")
    assert joined(events) == b"".join(pieces) and events[0].header.content_type == "x/y"


@pytest.mark.req("B4")
async def test_blob_that_came_meanwhile_is_not_overwritten(lake: Lake) -> None:
    grant, go = await lake.grant(), asyncio.Event()

    async def requests() -> AsyncIterator[pb.StoreRequest]:
        yield pb.StoreRequest(start=pb.StoreStart(grant=grant, path="r.csv"))
        yield pb.StoreRequest(piece=b"mine" * MIB)
        await go.wait()
        yield pb.StoreRequest(piece=b"mine")

    storing = asyncio.ensure_future(fault_of(lake.stub.Store(requests())))
    await asyncio.sleep(0.5)
    assert not [n async for n in lake.container.list_blob_names()]
    await lake.container.upload_blob("r.csv", b"theirs", overwrite=True)
    go.set()
    fault = await storing
    assert fault.reason in ("ALREADY_EXISTS", "CHANGED_MEANWHILE") and "r.csv" in fault.message
    assert joined(await lake.fetch("r.csv")) == b"theirs"


@pytest.mark.req("B4")
async def test_two_writers_at_once_do_not_mix(lake: Lake) -> None:
    """Who commits first drops the blocks of the other, who is told."""
    one, two = [b"1" * MIB] * 9, [b"2" * MIB] * 9
    told = await asyncio.gather(
        lake.store("w.bin", *one, overwrite=True),
        lake.store("w.bin", *two, overwrite=True),
        return_exceptions=True,
    )
    for fault in (each for each in told if isinstance(each, grpc.RpcError)):
        assert decode(fault).reason == "CHANGED_MEANWHILE"
    assert any(isinstance(each, pb.StoreResponse) for each in told)
    assert joined(await lake.fetch("w.bin")) in (b"".join(one), b"".join(two))


@pytest.mark.req("B4")
async def test_torn_stream_leaves_nothing(lake: Lake) -> None:
    grant = await lake.grant()

    async def requests() -> AsyncIterator[pb.StoreRequest]:
        yield pb.StoreRequest(start=pb.StoreStart(grant=grant, path="torn.bin"))
        for _ in range(6):
            yield pb.StoreRequest(piece=b"x" * MIB)
        await asyncio.Event().wait()

    for wait_s in (0.0, 0.01, 0.1, 0.5):
        call = lake.stub.Store(requests())
        await asyncio.sleep(wait_s)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.sleep(0.5)
    assert [n async for n in lake.container.list_blob_names()] == []


@pytest.mark.req("B4")
async def test_connection_that_breaks_leaves_nothing(lake: Lake) -> None:
    """The end of the stream that a lost connection makes is not taken for the writer's."""
    grant = await lake.grant()
    for number in range(8):
        link = grpc.aio.insecure_channel(lake.address)
        started = asyncio.Event()
        call = rpc.ConnectorServiceStub(link).Store(_pieces(grant, f"lost-{number}.bin", started))
        waiting = asyncio.ensure_future(call.wait_for_connection())
        await started.wait()
        await asyncio.sleep(0.02 * number)
        await link.close(grace=None)
        await asyncio.gather(waiting, return_exceptions=True)
        assert not call.done() or call.cancelled() or await call.code() is not grpc.StatusCode.OK
    await asyncio.sleep(0.5)
    assert [n async for n in lake.container.list_blob_names()] == []


async def _pieces(grant: str, path: str, started: asyncio.Event) -> AsyncIterator[pb.StoreRequest]:
    yield pb.StoreRequest(start=pb.StoreStart(grant=grant, path=path))
    for _ in range(3):
        yield pb.StoreRequest(piece=b"x" * 1000)
    started.set()
    await asyncio.sleep(30)


@pytest.mark.req("B7", "B4")
async def test_too_large_is_told_and_leaves_nothing(lake: Lake) -> None:
    grant = await lake.grant(max_bytes=10_000)
    fault = await fault_of(lake.store("a.bin", b"x" * 6000, b"y" * 6000, grant=grant))
    assert fault.reason == "TOO_LARGE" and fault.fields["limit_bytes"] == "10000"
    assert [n async for n in lake.container.list_blob_names()] == []
    assert (await lake.store("a.bin", b"x" * 10_000, grant=grant)).size_bytes == 10_000


@pytest.mark.req("B4", "X4")
async def test_only_allowed_names_are_written(lake: Lake) -> None:
    for path in ("", "a/", "a/../b", "../b", "a\\b", "a\nb", "x" * 1025, "a*.csv"):
        assert (await fault_of(lake.store(path, b"x"))).reason in (
            "INVALID_FIELD",
            "BEYOND_GRANT",
        ), path
    scoped = await lake.grant("write", scopes=["out/"])
    assert (await lake.store("out/a.csv", b"x", grant=scoped)).size_bytes == 1
    for path in ("in/a.csv", "out", "out/../in/a.csv", "outside.csv"):
        fault = await fault_of(lake.store(path, b"x", grant=scoped))
        assert fault.reason == "BEYOND_GRANT" and fault.code is grpc.StatusCode.PERMISSION_DENIED
    confined = await lake.grant(config={"prefix": "mine"}, version=2)
    await lake.store("b.csv", b"x", grant=confined)
    assert sorted([n async for n in lake.container.list_blob_names()]) == [
        "mine/b.csv",
        "out/a.csv",
    ]
    fault = await fault_of(lake.store("x" * 1022, b"x", grant=confined))
    assert fault.reason == "INVALID_FIELD"


async def test_stream_that_does_not_begin_or_begins_twice_is_refused(lake: Lake) -> None:
    start = pb.StoreRequest(start=pb.StoreStart(grant=await lake.grant(), path="a.csv"))
    piece = pb.StoreRequest(piece=b"x")
    for requests in ([], [piece], [start, start], [start, piece, start]):
        fault = await fault_of(lake.stub.Store(iter(requests)))
        assert fault.reason == "INVALID_FIELD"
    assert [n async for n in lake.container.list_blob_names()] == []


async def test_blob_under_a_lease_is_left_alone(lake: Lake) -> None:
    client = await lake.container.upload_blob("a.csv", b"one")
    lease = await client.acquire_lease()
    fault = await fault_of(lake.store("a.csv", b"two", overwrite=True))
    assert fault.reason == "SOURCE_FORBIDDEN" and "lease" in fault.message
    await lease.release()


@pytest.mark.req("B4")
async def test_read_only_sas_may_not_write(lake: Lake) -> None:
    from tests.blob_connector.test_signing import sas

    await lake.secret(sas_token=sas(lake, "rl"))
    fault = await fault_of(lake.store("a.csv", b"x", grant=await lake.grant(version=2)))
    assert fault.reason == "SOURCE_FORBIDDEN" and "write to" in fault.message
    assert "Contributor" in fault.remedy
    # one that may only write cannot look first, and needs not to
    await lake.secret(sas_token=sas(lake, "wc"))
    grant = await lake.grant(version=3)
    assert (await lake.store("a.csv", b"x", grant=grant)).size_bytes == 1
    assert (await fault_of(lake.store("a.csv", b"y", grant=grant))).reason == "ALREADY_EXISTS"


@pytest.mark.req("B4", "S5")
async def test_upload_goes_on_where_it_was_torn_and_keeps_its_md5(lake: Lake, proxy: Proxy) -> None:
    data = bytes(range(256)) * 40_000
    grant = await lake.grant(config=lake.through(proxy))
    busy = answer("503 Busy", "ServerBusy", "Ingress is over the account limit.")
    proxy.answers = [busy]
    # each answer of the account is some hundred bytes: some blocks are sent again
    proxy.cuts = [700, 1500]
    pieces = [data[at : at + 512 * 1024] for at in range(0, len(data), 512 * 1024)]
    told = await lake.store("out/big.bin", *pieces, grant=grant)
    assert told.size_bytes == len(data) and not proxy.answers
    kept = await lake.container.get_blob_client("out/big.bin").get_blob_properties()
    assert kept.content_settings.content_md5 == hashlib.md5(data).digest()
    assert joined(await lake.fetch("out/big.bin")) == data
