"""What Store writes, where it may, and what it leaves where it fails."""

import asyncio
import errno
import hashlib
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from services.file_connector.errors import Exists, Forbidden, NoRoom
from services.file_connector.folders import Folder
from services.file_connector.storing import Writing
from tests.file_connector.conftest import Shelf, fault_of, joined, open_shelf

MIB = 1024 * 1024
pytestmark = pytest.mark.req("B4", "D11")


def files(shelf: Shelf) -> list[str]:
    """All there are, hidden ones too."""
    return sorted(
        str(path.relative_to(shelf.root)) for path in shelf.root.rglob("*") if not path.is_dir()
    )


@pytest.mark.parametrize("pieces", [0, 1, 3, 300])
async def test_pieces_become_one_file(shelf: Shelf, pieces: int) -> None:
    data = [bytes([number % 251]) * 700 for number in range(pieces)]
    told = await shelf.store("out/deep/ü 1.csv", *data)
    whole = b"".join(data)
    assert (told.path, told.size_bytes) == ("out/deep/ü 1.csv", len(whole))
    assert told.md5 == hashlib.md5(whole).hexdigest()
    events = await shelf.fetch("out/deep/ü 1.csv")
    assert joined(events) == whole and events[0].header.etag == told.etag
    assert files(shelf) == ["out/deep/ü 1.csv"]


async def test_store_writes_once_and_over_only_when_asked(shelf: Shelf) -> None:
    await shelf.store("r.csv", b"one")
    fault = await fault_of(shelf.store("r.csv", b"two"))
    assert fault.reason == "ALREADY_EXISTS" and fault.fields["path"] == "r.csv"
    assert joined(await shelf.fetch("r.csv")) == b"one"
    await shelf.store("r.csv", b"three", overwrite=True)
    assert joined(await shelf.fetch("r.csv")) == b"three"
    once = await shelf.grant("write")
    fault = await fault_of(shelf.store("r.csv", b"x", grant=once, overwrite=True))
    assert fault.reason == "BEYOND_GRANT"


async def test_file_that_came_meanwhile_is_not_overwritten(shelf: Shelf) -> None:
    grant, begun, go = await shelf.grant(), asyncio.Event(), asyncio.Event()

    async def requests() -> AsyncIterator[pb.StoreRequest]:
        yield pb.StoreRequest(start=pb.StoreStart(grant=grant, path="r.csv"))
        yield pb.StoreRequest(piece=b"mine")
        begun.set()
        await go.wait()

    call = asyncio.ensure_future(fault_of(shelf.stub.Store(requests())))
    await begun.wait()
    assert await shelf.browse() == []
    shelf.put("r.csv", b"theirs")
    go.set()
    assert (await call).reason == "ALREADY_EXISTS"
    assert joined(await shelf.fetch("r.csv")) == b"theirs" and files(shelf) == ["r.csv"]


async def test_reader_of_a_file_that_is_overwritten_sees_one_or_the_other(shelf: Shelf) -> None:
    """Never a mixture: the one that was opened stays as it is."""
    for round_ in range(5):
        data = bytes([65 + round_]) * 3 * MIB
        await shelf.store("w.bin", data[:MIB], data[MIB:][:MIB], overwrite=True)
        assert set(joined(await shelf.fetch("w.bin"))) == {65 + round_}


async def test_torn_stream_leaves_nothing(shelf: Shelf) -> None:
    grant = await shelf.grant()

    async def requests() -> AsyncIterator[pb.StoreRequest]:
        yield pb.StoreRequest(start=pb.StoreStart(grant=grant, path="torn.bin"))
        for _ in range(6):
            yield pb.StoreRequest(piece=b"x" * MIB)
        await asyncio.Event().wait()

    for wait_s in (0.0, 0.01, 0.1, 0.5):
        call = shelf.stub.Store(requests())
        await asyncio.sleep(wait_s)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    async with asyncio.timeout(1.0):
        while files(shelf):
            await asyncio.sleep(0.01)


async def test_connection_that_breaks_leaves_nothing(shelf: Shelf) -> None:
    """The end of the stream that a lost connection makes is not taken for the writer's."""
    grant = await shelf.grant()
    for number in range(8):
        link = grpc.aio.insecure_channel(shelf.address)
        started = asyncio.Event()

        async def requests(number: int, started: asyncio.Event) -> AsyncIterator[pb.StoreRequest]:
            start = pb.StoreStart(grant=grant, path=f"lost-{number}.bin")
            yield pb.StoreRequest(start=start)
            started.set()
            for _ in range(100):
                yield pb.StoreRequest(piece=b"x" * MIB)
                await asyncio.sleep(0.01)

        call = rpc.ConnectorServiceStub(link).Store(requests(number, started))
        waiting = asyncio.ensure_future(call.wait_for_connection())
        await started.wait()
        await asyncio.sleep(0.02 * number)
        await link.close(grace=None)
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(2.0):
        while files(shelf):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "path", ["", "a/", "../a", "/a", "a/../b", "a\0b", "a\\b", "a*", ".isobath-1"]
)
async def test_name_that_cannot_be_is_refused(shelf: Shelf, path: str) -> None:
    fault = await fault_of(shelf.store(path, b"x"))
    assert fault.reason == "INVALID_FIELD" and fault.fields["field"] == "start.path"
    assert files(shelf) == []


async def test_source_allows_what_its_settings_say(shelf: Shelf) -> None:
    grant = await shelf.grant(config={"writable_folders": ["results/", "out/*.csv"]})
    await shelf.store("results/a/b.csv", b"x", grant=grant)
    await shelf.store("out/b.csv", b"x", grant=grant)
    for path in ("b.csv", "results", "results.csv", "out/a/b.csv", "out/b.txt"):
        fault = await fault_of(shelf.store(path, b"x", grant=grant))
        assert fault.reason == "SOURCE_FORBIDDEN" and "writable_folders" in fault.message
    nothing = await shelf.grant(config={"writable_folders": []})
    assert (await fault_of(shelf.store("b.csv", b"x", grant=nothing))).reason == "SOURCE_FORBIDDEN"
    assert files(shelf) == ["out/b.csv", "results/a/b.csv"]


async def test_operator_allows_writing_or_nobody_does(tmp_path: Path) -> None:
    async with open_shelf(tmp_path, writable_roots=()) as shelf:
        fault = await fault_of(shelf.store("b.csv", b"x"))
        assert fault.reason == "SOURCE_FORBIDDEN" and "WRITABLE_ROOTS" in fault.remedy
        assert not (await shelf.check(folder="")).writable and files(shelf) == []


async def test_size_limit_leaves_nothing(tmp_path: Path) -> None:
    async with open_shelf(tmp_path, max_file_bytes=1000) as shelf:
        fault = await fault_of(shelf.store("b.csv", b"x" * 600, b"x" * 600))
        assert fault.reason == "TOO_LARGE" and fault.fields["limit_bytes"] == "1000"
        small = await shelf.grant(max_bytes=100)
        fault = await fault_of(shelf.store("b.csv", b"x" * 101, grant=small))
        assert fault.reason == "TOO_LARGE" and files(shelf) == []


async def test_messages_in_another_order_are_refused(shelf: Shelf) -> None:
    grant = await shelf.grant()
    start = pb.StoreRequest(start=pb.StoreStart(grant=grant, path="b.csv"))
    for requests in ([pb.StoreRequest(piece=b"x")], [], [start, start]):
        fault = await fault_of(shelf.stub.Store(iter(requests)))
        assert fault.reason == "INVALID_FIELD" and files(shelf) == []


# What the disk says


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder("data", str(tmp_path), (), None, writable=True)  # type: ignore[arg-type]


def write(place: Folder, path: str, data: bytes, *, overwrite: bool = False) -> None:
    writing = Writing(place, path, overwrite=overwrite)
    try:
        writing.begin()
        writing.write(data)
        writing.commit()
    finally:
        writing.close()


def test_full_disk_is_told_and_leaves_nothing(place: Folder, tmp_path: Path) -> None:
    """The limit of a process stands in for the disk's: the system refuses the same call."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(NoRoom, match=r"out/b\.csv"):
            write(place, "out/b.csv", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_system_without_hard_links_is_written_all_the_same(
    place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    write(place, "b.csv", b"one")
    with pytest.raises(Exists):
        write(place, "b.csv", b"two")
    assert (tmp_path / "b.csv").read_bytes() == b"one" and os.listdir(tmp_path) == ["b.csv"]


def test_file_in_the_way_of_a_folder_is_told(place: Folder, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(Forbidden, match=r"a/b\.csv cannot be written"):
        write(place, "a/b.csv", b"one")
    (tmp_path / "c").mkdir()
    for overwrite in (False, True):
        with pytest.raises(Forbidden):
            write(place, "c", b"one", overwrite=overwrite)


def test_written_file_is_for_its_account_and_group(place: Folder, tmp_path: Path) -> None:
    write(place, "b.csv", b"one")
    assert (tmp_path / "b.csv").stat().st_mode & 0o137 == 0
    assert (tmp_path / "b.csv").stat().st_nlink == 1


@pytest.mark.req("S6")
async def test_writer_that_is_refused_while_it_sends_is_told_why(shelf: Shelf) -> None:
    """Also one that sends on when the connector has made up its mind."""
    beyond = await shelf.grant("write", scopes=["results/"])
    for _ in range(40):
        fault = await fault_of(shelf.store("n.csv", *[b"x" * 1000] * 20, grant=beyond))
        assert fault.reason == "BEYOND_GRANT"
