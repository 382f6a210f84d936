"""What moves: bounded in memory, stopped when nobody listens, and told when the file changes."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from isobath.credentials.v1 import credentials_pb2 as credentials
from servicekit.health import wait_ready
from servicekit.ports import free_port
from servicekit.status import decode
from services.file_connector import fetching, folders, listing
from services.file_connector.folders import Folder, Looking
from tests.file_connector.conftest import Shelf, fault_of, joined, open_shelf

MIB = 1024 * 1024
ROOT = Path(__file__).parents[2]
LINE = b"1234567,some words of a line that says little,2026-01-01\n"


def large(shelf: Shelf, name: str, size: int) -> bytes:
    data = b"id,text,day\n" + LINE * (size // len(LINE) + 1)
    shelf.put(name, data)
    return data


async def reading(shelf: Shelf, path: str, **request: Any) -> Any:
    """A stream of which the first piece was read."""
    selection = pb.Selection(path=path)
    grant = request.pop("grant", None) or await shelf.grant()
    call = shelf.stub.Fetch(pb.FetchRequest(grant=grant, selection=selection, **request))
    async for event in call:
        if event.piece:
            return call
    raise AssertionError("no piece came")


@pytest.mark.req("B6", "D11")
@pytest.mark.parametrize("format", [pb.FORMAT_RAW, pb.FORMAT_ARROW])
@pytest.mark.parametrize("how", ["grown", "cut", "replaced", "rewritten"])
async def test_file_changed_in_the_middle_is_told(shelf: Shelf, format: Any, how: str) -> None:
    data = large(shelf, "big.csv", 48 * MIB)
    call = await reading(shelf, "big.csv", format=format)
    place = shelf.root / "big.csv"
    match how:
        case "grown":
            with place.open("ab") as file:
                file.write(b"1,more,\n")
        case "cut":
            os.truncate(place, 1000)
        case "rewritten":
            with place.open("r+b") as file:
                file.write(data[: 2 * MIB].replace(b"1234567", b"7654321"))
        case "replaced":
            # what is read goes on as it was: the file that was opened
            (shelf.root / "new.csv").write_bytes(b"id\n")
            (shelf.root / "new.csv").replace(place)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for event in call:
            assert not event.HasField("complete")
    fault = decode(raised.value)
    assert fault.reason == "CHANGED_MEANWHILE" and fault.fields["path"] == "big.csv"


@pytest.mark.req("C7", "D11")
@pytest.mark.parametrize("format", [pb.FORMAT_RAW, pb.FORMAT_CSV, pb.FORMAT_PARQUET])
async def test_cancelling_stops_the_reading(
    shelf: Shelf, format: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a second nothing of the file is open any more; the fixture sees that nothing else is
    left."""
    large(shelf, "big.csv", 48 * MIB)
    call = await reading(shelf, "big.csv", format=format)
    call.cancel()
    async with asyncio.timeout(1.0):
        while is_open(shelf.root / "big.csv"):
            await asyncio.sleep(0.01)


def is_open(place: Path) -> bool:
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(each.readlink())
        except OSError:
            continue
    return place in found


@pytest.mark.req("C7", "D11")
@pytest.mark.parametrize("call", ["Browse", "Inspect"])
async def test_cancelling_stops_the_look_through_a_tree(
    shelf: Shelf, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        shelf.put(f"{number}/a.csv", b"a\n1\n")
    looks, names = threading.Event(), Folder._names

    def slow(self: Folder, at: int, path: str) -> list[str]:
        looks.set()
        time.sleep(0.05)  # 300 of them take 15 s
        return names(self, at, path)

    monkeypatch.setattr(Folder, "_names", slow)
    grant = await shelf.grant()
    asked: Any = (
        shelf.stub.Browse(pb.BrowseRequest(grant=grant, glob="**"))
        if call == "Browse"
        else shelf.stub.Inspect(pb.InspectRequest(grant=grant, path="**/*.csv"))
    )
    waiting = asyncio.ensure_future(asked.code())
    await asyncio.to_thread(looks.wait)
    asked.cancel()
    await waiting
    async with asyncio.timeout(1.0):
        while is_open(shelf.root):
            await asyncio.sleep(0.01)


@pytest.mark.req("P6", "D11")
async def test_time_limit_ends_the_reading(shelf: Shelf) -> None:
    large(shelf, "big.csv", 48 * MIB)
    limits = pb.Limits()
    limits.timeout.FromMilliseconds(20)
    fault = await fault_of(shelf.fetch("big.csv", format=pb.FORMAT_PARQUET, limits=limits))
    assert fault.reason == "DEADLINE_EXCEEDED" and "0.02 s" in fault.message


@pytest.mark.req("D3", "D11")
async def test_stream_of_a_deleted_source_ends(shelf: Shelf) -> None:
    large(shelf, "big.csv", 64 * MIB)
    call = await reading(shelf, "big.csv")
    await shelf.credentials.DeleteSecret(credentials.DeleteSecretRequest(source_id=shelf.name))
    await asyncio.sleep(0.5)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in call:
            pass
    assert decode(raised.value).reason == "GRANT_REVOKED"


@pytest.mark.req("B8", "D11")
async def test_progress_is_told(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PROGRESS_S", 0.0)
    data = large(shelf, "big.csv", 12 * MIB)
    events = await shelf.fetch("big.csv")
    told = [event.progress.bytes for event in events if event.HasField("progress")]
    assert told == sorted(told) and told[0] == 4 * MIB and told[-1] < len(data)
    assert joined(events) == data


async def test_page_of_a_large_tree_goes_on_with_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_LOOKED", 7)
    async with open_shelf(tmp_path) as shelf:
        for number in range(9):
            for name in ("a.csv", "b.txt", "c.txt"):
                shelf.put(f"f{number}/{name}", b"a\n1\n")
        grant = await shelf.grant()
        first = await shelf.stub.Browse(pb.BrowseRequest(grant=grant, glob="f8/*"))
        assert [entry.path for entry in first.entries] == ["f8/a.csv", "f8/b.txt", "f8/c.txt"]
        pages, token = 0, ""
        found = []
        while pages == 0 or token:
            page = await shelf.stub.Browse(
                pb.BrowseRequest(grant=grant, glob="**/*.csv", page_token=token)
            )
            found += [entry.path for entry in page.entries]
            token, pages = page.next_page_token, pages + 1
        assert found == [f"f{number}/a.csv" for number in range(9)] and pages > 3


async def test_pattern_that_looks_too_far_or_matches_too_much_is_told(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        shelf.put(f"{number}.csv", b"a\n1\n")
    monkeypatch.setattr(listing, "MAX_MEMBERS", 3)
    fault = await fault_of(shelf.inspect("*.csv"))
    assert fault.reason == "INVALID_FIELD" and "more than 3 files" in fault.message
    monkeypatch.setattr(listing, "MAX_LOOKED_FOR_MEMBERS", 2)
    fault = await fault_of(shelf.inspect("*.txt"))
    assert fault.reason == "INVALID_FIELD" and "more than 2 entries" in fault.message


def test_walk_in_pages_of_any_size_gives_each_file_once(tmp_path: Path) -> None:
    """In the order of whole names, which a page's token goes by."""
    names = ["a", "a-b/c", "a.b", "a0", "b/a/x", "b/a.x", "b/a0", "b-/x", "é/x", "z"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = Folder("data", str(tmp_path), (), None)  # type: ignore[arg-type]

    def after(last: str, most: int) -> list[str]:
        looking = Looking(most, threading.Event())
        return [each.name for each in folder.tree("", last, looking)]

    whole = after("", 1000)
    assert whole == sorted(names)
    for at, name in enumerate(whole):
        assert after(name, 1000) == whole[at + 1 :]
    assert isinstance(next(folder.level("", "", Looking(9, threading.Event()))), folders.File)


# As a process of its own


@asynccontextmanager
async def process(shelf: Shelf) -> AsyncIterator[tuple[int, rpc.ConnectorServiceStub]]:
    """`python -m services.file_connector`, ended by SIGTERM, cleanly."""
    address = f"127.0.0.1:{free_port()}"
    prefix = "ISOBATH_FILE_CONNECTOR_"
    variables = {
        "SERVER_BIND": address,
        "CREDENTIALS": shelf.vault,
        "ROOTS": f"data={shelf.root}",
        "WRITABLE_ROOTS": "data",
        "MAX_FILE_BYTES": str(512 * MIB),
        "MAX_REQUEST_BYTES": str(512 * MIB),
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.file_connector"),
        cwd=ROOT,
        env={**os.environ, **{prefix + name: value for name, value in variables.items()}},
    )
    try:
        await wait_ready(address, 30)
        async with grpc.aio.insecure_channel(address) as link:
            yield child.pid, rpc.ConnectorServiceStub(link)
    finally:
        child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 20) == 0


async def peak_while(pid: int, call: Any) -> tuple[int, int]:
    """How far the memory grew while a stream was read, and how much was read."""
    watched = psutil.Process(pid)
    before = most = watched.memory_info().rss
    size = 0
    async for event in call:
        size += len(event.piece)
        most = max(most, watched.memory_info().rss)
    return most - before, size


@pytest.mark.slow
@pytest.mark.req("B8", "D11")
async def test_memory_does_not_follow_the_size_of_the_file(shelf: Shelf) -> None:
    async with process(shelf) as (pid, stub):
        large(shelf, "small.csv", MIB)
        large(shelf, "large.csv", 224 * MIB)
        grant = await shelf.grant()
        # pieces on their way, Arrow's blocks ahead of its reader, and what gRPC holds
        for format, most in ((pb.FORMAT_RAW, 48), (pb.FORMAT_CSV, 144), (pb.FORMAT_PARQUET, 144)):
            # the small one loads what reading needs, so that the large one is measured alone
            for name, size in (("small.csv", MIB), ("large.csv", 224 * MIB)):
                selection = pb.Selection(path=name)
                call = stub.Fetch(pb.FetchRequest(grant=grant, selection=selection, format=format))
                grown, read = await peak_while(pid, call)
                assert read >= size or format == pb.FORMAT_PARQUET
            assert grown < most * MIB, (format, grown // MIB)


@pytest.mark.slow
@pytest.mark.req("B8", "B4", "D11")
async def test_memory_does_not_follow_what_is_written(shelf: Shelf) -> None:
    async with process(shelf) as (pid, stub):
        grant, watched = await shelf.grant(), psutil.Process(pid)
        before, grown = watched.memory_info().rss, 0

        async def requests() -> AsyncIterator[pb.StoreRequest]:
            nonlocal grown
            yield pb.StoreRequest(start=pb.StoreStart(grant=grant, path="out.bin"))
            for number in range(256):
                yield pb.StoreRequest(piece=bytes([number]) * MIB)
                grown = max(grown, watched.memory_info().rss - before)

        told = await stub.Store(requests())
        assert told.size_bytes == (shelf.root / "out.bin").stat().st_size == 256 * MIB
        assert grown < 48 * MIB, grown // MIB
