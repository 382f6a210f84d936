"""Workspaces that move between real services: what comes along, what does not, and who has it when
one of the two ends in between."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling, faults, streaming
from servicekit.limits import Limiter
from servicekit.status import RemoteFault
from servicekit.testing import Leaks
from services.sandbox.errors import BrokenTransfer, SandboxFault, WorkspaceFull
from services.sandbox.isolation.port import Account
from services.sandbox.moving import Arrival, Departure
from services.sandbox.peers import Peer
from services.sandbox.workspace import Workspace
from tests.sandbox.boxes import Box
from tests.sandbox.fleet import OWNER, Member, fleet

LOST = "[a fresh kernel: variables of earlier programs are lost, files are kept]\n"


@pytest.mark.req("K3", "C5", "X6")
async def test_files_move_and_variables_do_not(no_leaks: Leaks) -> None:
    async with fleet(2) as (old, new):
        made = "x = 1\nimport os\nos.makedirs('d/e')\nos.makedirs('empty')\n"
        box = await old.box(
            "t",
            made + "open('d/e/f.csv', 'w').write('a,b')\nopen('run.sh', 'w').write('#')"
            "\nos.chmod('run.sh', 0o755)\nos.utime('d/e/f.csv', ns=(10**18, 10**18))",
        )
        taken = await new.take("t", old)
        assert (taken.found, taken.origin) == (True, old.address)
        assert (taken.files, taken.bytes) == (2, 4)
        assert old.workspaces() == [] and len(new.workspaces()) == 1
        with pytest.raises(RemoteFault) as fault:
            await box.files()
        assert fault.value.reason == "NOT_FOUND"
        moved = Box(new.stub, "t")
        opened = await moved.open()
        assert (opened.resumed, opened.fresh, opened.moved_without) == (False, False, 0)
        ran = await moved.run(
            "import os\nprint('x' in globals(), open('d/e/f.csv').read(), os.listdir('empty'),"
            " os.access('run.sh', os.X_OK), os.stat('d/e/f.csv').st_mtime_ns == 10**18)\n"
            "open('d/e/f.csv', 'a').write('!')"
        )
        assert (ran.out, ran.err) == ("False a,b [] True True\n", LOST)
        # once
        assert (await moved.run("1")).err == ""
        assert (await new.take("t", old)).origin == ""


@pytest.mark.req("X6")
async def test_what_a_run_holds_stays(no_leaks: Leaks) -> None:
    async with fleet(2) as (old, new):
        box = await old.box("t", "x = 1")
        await calling(
            old.stub.AttachSources(pb.AttachSourcesRequest(session_id=box.id, run_id="r"))
        )
        taken = await new.take("t", old)
        assert (taken.found, taken.busy_at) == (False, old.address)
        assert (await box.run("print(x)")).out == "1\n" and new.workspaces() == []
        detach = pb.DetachSourcesRequest(session_id=box.id, run_id="r")
        await calling(old.stub.DetachSources(detach))
        async with streaming(box.call("import time\nprint(1, flush=True)\ntime.sleep(60)")) as call:
            async for _ in faults(call):
                break
            assert (await new.take("t", old)).busy_at == old.address
        async with asyncio.timeout(20):
            while not (await new.take("t", old)).found:
                await asyncio.sleep(0.1)


async def test_one_that_was_just_opened_stays(no_leaks: Leaks) -> None:
    async with fleet(2) as (old, new):
        box = Box(old.stub, "t")
        await box.open()
        assert (await new.take("t", old)).busy_at == old.address
        await box.run("1")
        assert (await new.take("t", old)).found


@pytest.mark.req("X3")
async def test_links_and_what_is_no_file_are_left_out_and_told(no_leaks: Leaks) -> None:
    async with fleet(2, workspace_bytes=8 * 2**20) as (old, new):
        await old.box(
            "t",
            "import os, socket\n"
            "open('kept', 'w').write('kept')\n"
            "os.symlink('/etc/passwd', 'link')\n"
            "os.symlink('..', 'up')\n"
            "os.link('kept', 'hard')\n"
            "open('line\\nbreak', 'w').write('x')\n"
            "open(b'\\xff', 'w').write('x')\n"
            "open('.isobath-planted', 'w').write('x')\n"
            "os.makedirs('/'.join('d' * 20))\n"
            "open('/'.join('d' * 16) + '/deep', 'w').write('x')\n"
            "os.chdir('d'); os.symlink('/', 'root'); os.chdir('..')\n",
        )
        # said to be larger than a workspace may be; the watch over the disk looks at it later
        (folder,) = (old.home / "workspaces").iterdir()
        with (folder / "sparse").open("wb") as file:
            file.truncate(2**40)
        os.mkfifo(folder / "pipe")
        taken = await new.take("t", old)
        assert taken.found and taken.files == 2
        box = Box(new.stub, "t")
        opened = await box.open()
        # link, up, pipe, line break, bytes, two that are too deep, d/root, sparse
        assert opened.moved_without == 9
        assert await box.files() == {"kept": 4, "hard": 4}
        ran = await box.run("import os; print(sorted(os.listdir('.')))")
        assert ran.out == "['d', 'hard', 'kept']\n"


async def test_nothing_is_asked_but_peers(no_leaks: Leaks) -> None:
    async with fleet(3, strangers=1) as (old, new, stranger):
        await stranger.box("t", "open('f', 'w')")
        taken = await new.take("t", stranger, "127.0.0.1:1", "169.254.169.254:80")
        assert not taken.found
        assert list(taken.unreachable) == ["169.254.169.254:80", "127.0.0.1:1", stranger.address]
        assert len(stranger.workspaces()) == 1
        taken = await new.take("t", old)
        assert not taken.found and not taken.unreachable


async def test_a_replica_that_is_away_is_told(no_leaks: Leaks) -> None:
    async with fleet(2) as (old, new):
        await old.box("t", "open('f', 'w')")
        await old.crash()
        taken = await new.take("t", old)
        assert not taken.found and list(taken.unreachable) == [old.address]


async def test_owners_are_kept_apart(no_leaks: Leaks) -> None:
    async with fleet(2) as (old, new):
        await old.box("t", "open('f', 'w')")
        assert not (await new.take("t", old, owner="bob")).found
        assert (await new.take("t", old)).found


# Two phases


async def exported(member: Member, thread: str = "t") -> list[pb.ExportWorkspaceResponse]:
    request = pb.ExportWorkspaceRequest(thread_id=thread, owner=OWNER)
    async with streaming(member.stub.ExportWorkspace(request)) as call:
        return [message async for message in faults(call)]


async def forget(member: Member, export_id: str) -> None:
    request = pb.ForgetWorkspaceRequest(thread_id="t", owner=OWNER, export_id=export_id)
    await calling(member.stub.ForgetWorkspace(request))


@pytest.mark.req("K3", "S8")
async def test_who_takes_it_may_die_before_it_is_all_there(no_leaks: Leaks) -> None:
    async with fleet(1) as (old,):
        await old.box("t", "open('f', 'wb').write(b'1' * 20_000_000)")
        request = pb.ExportWorkspaceRequest(thread_id="t", owner=OWNER)
        async with streaming(old.stub.ExportWorkspace(request)) as call:
            async for message in faults(call):
                if message.HasField("piece"):
                    break
        async with asyncio.timeout(20):
            while True:
                try:
                    box = await old.box("t")
                    break
                except RemoteFault as fault:  # it has not heard of the end yet
                    assert fault.reason == "CONFLICT"
        assert await box.files() == {"f": 20_000_000}


@pytest.mark.req("K3", "S8")
async def test_who_takes_it_may_die_before_it_says_that_it_has_it(no_leaks: Leaks) -> None:
    async with fleet(3) as (old, died, third):
        await old.box("t", "open('f', 'w').write('x')")
        messages = await exported(old)
        assert messages[-1].summary.files == 1
        # all of it is somewhere: nobody opens it here until it is settled where
        with pytest.raises(RemoteFault) as fault:
            await old.box("t")
        assert (fault.value.reason, fault.value.fields["kind"]) == ("CONFLICT", "workspace")
        # and whoever looks for it next finds it
        assert (await third.take("t", old, died)).origin == old.address
        assert old.workspaces() == []
        # what was exported before is known no more
        await forget(old, messages[-1].summary.export_id)


@pytest.mark.req("K3")
async def test_it_comes_home_when_the_other_lost_it(no_leaks: Leaks) -> None:
    async with fleet(2) as (old, new):
        await old.box("t", "open('f', 'w').write('x')")
        await exported(old)
        assert (await old.take("t", new)).found
        assert await (await old.box("t")).files() == {"f": 1}


@pytest.mark.req("K3")
async def test_what_was_taken_and_not_forgotten_yields_to_what_was_made_of_it(
    no_leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(*_: Any) -> None:
        raise RemoteFault("lost", code=grpc.StatusCode.UNAVAILABLE, reason="SERVICE_UNAVAILABLE")

    async with fleet(2) as (old, new):
        await old.box("t", "open('f', 'w').write('old')")
        with monkeypatch.context() as patch:
            patch.setattr(Peer, "forget", unheard)
            assert (await new.take("t", old)).found
        assert len(old.workspaces()) == len(new.workspaces()) == 1
        await new.box("t", "open('f', 'w').write('newer')")
        assert (await old.take("t", new)).origin == new.address
        assert await (await old.box("t")).files() == {"f": 5} and new.workspaces() == []


async def test_an_export_that_was_not_the_last_forgets_nothing(no_leaks: Leaks) -> None:
    async with fleet(1) as (old,):
        await old.box("t", "open('f', 'w')")
        first = (await exported(old))[-1].summary.export_id
        second = (await exported(old))[-1].summary.export_id
        with pytest.raises(RemoteFault) as fault:
            await forget(old, first)
        assert fault.value.reason == "CONFLICT" and len(old.workspaces()) == 1
        await forget(old, second)
        await forget(old, second)
        assert old.workspaces() == []


async def test_the_taker_keeps_nothing_that_the_other_keeps(
    no_leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Peer.forget

    async def too_late(self: Peer, thread: str, owner: str, export_id: str) -> None:
        await exported(old)
        await real(self, thread, owner, export_id)

    async with fleet(2) as (old, new):
        await old.box("t", "open('f', 'w')")
        with monkeypatch.context() as patch:
            patch.setattr(Peer, "forget", too_late)
            taken = await new.take("t", old)
        assert (taken.found, taken.busy_at) == (False, old.address)
        assert new.workspaces() == [] and len(old.workspaces()) == 1
        assert (await new.take("t", old)).found


async def test_many_that_take_it_at_once(no_leaks: Leaks) -> None:
    async with fleet(3) as members:
        old, first, second = members
        await old.box("t", "open('f', 'wb').write(b'1' * 5_000_000)")
        takers = (first, second, first, second)
        await asyncio.gather(
            *(each.take("t", old, first, second) for each in takers), return_exceptions=True
        )
        # whatever each was told, one has it
        async with asyncio.timeout(30):
            while not (taken := await first.take("t", old, second)).found:
                assert taken.busy_at
                await asyncio.sleep(0.05)
        assert await (await first.box("t")).files() == {"f": 5_000_000}
        assert [len(each.workspaces()) for each in members] == [0, 1, 0]


# Draining


@pytest.mark.req("K3", "S8")
async def test_a_replica_that_is_to_stop_waits_until_all_has_moved(no_leaks: Leaks) -> None:
    async with fleet(2, drain_s=30.0) as (old, new):
        await old.box("t", "open('f', 'w')")
        box = await old.box("held", "x = 1")
        await calling(
            old.stub.AttachSources(pb.AttachSourcesRequest(session_id=box.id, run_id="r"))
        )
        assert not (await old.load()).draining
        stopping = asyncio.create_task(old.drain())
        await old.server.draining.wait()
        assert (await old.load()).draining
        for thread in ("t", "new"):
            with pytest.raises(RemoteFault) as fault:
                await old.box(thread)
            assert (fault.value.reason, fault.value.fields["limit"]) == ("TOO_BUSY", "draining")
        # the run's own calls are served as before
        assert (await box.run("print(x)")).out == "1\n"
        assert (await box.open()).resumed
        assert (await new.take("t", old)).found
        assert (await new.take("held", old)).busy_at == old.address
        await calling(
            old.stub.DetachSources(pb.DetachSourcesRequest(session_id=box.id, run_id="r"))
        )
        async with asyncio.timeout(20):
            while not (await new.take("held", old)).found:
                await asyncio.sleep(0.1)
            await stopping


@pytest.mark.req("K3", "X6")
async def test_at_the_end_of_its_time_runs_go_on_elsewhere(no_leaks: Leaks) -> None:
    async with fleet(2, drain_s=8.0) as (old, new):
        box = await old.box("held", "open('f', 'w').write('kept')")
        await calling(
            old.stub.AttachSources(pb.AttachSourcesRequest(session_id=box.id, run_id="r"))
        )
        running = asyncio.create_task(box.run("import time\ntime.sleep(60)"))
        stopping = asyncio.create_task(old.drain())
        ran = await running
        assert (ran.finished.outcome, ran.finished.cause) == (pb.OUTCOME_DIED, "drain")
        with pytest.raises(RemoteFault) as fault:
            await box.run("1")
        assert fault.value.reason == "NOT_FOUND"
        async with asyncio.timeout(20):
            while not (await new.take("held", old)).found:
                await asyncio.sleep(0.1)
        ran = await (await new.box("held")).run("print(open('f').read())")
        assert (ran.out, ran.err) == ("kept\n", LOST)
        await stopping


async def test_what_nobody_comes_for_is_not_waited_for(no_leaks: Leaks) -> None:
    async with fleet(2, drain_s=120.0) as (old, _):
        await old.box("t", "open('f', 'w')")
        async with asyncio.timeout(60):
            await old.drain()


async def test_without_peers_nobody_waits(no_leaks: Leaks) -> None:
    async with fleet(1, drain_s=60.0, peers=()) as (alone,):
        await alone.box("t", "open('f', 'w')")
        async with asyncio.timeout(20):
            await alone.drain()


# What is sent, and what is made of it


def folder_of(path: Path, limit: int = 10_000) -> Workspace:
    return Workspace(path, Account.own(), limit)


async def replayed(
    messages: list[pb.ExportWorkspaceResponse],
) -> AsyncIterator[pb.ExportWorkspaceResponse]:
    for message in messages:
        yield message


def entry(path: str, *, folder: bool = False) -> pb.ExportWorkspaceResponse:
    made = pb.WorkspaceEntry(path=path, is_folder=folder, mode=0o700)
    return pb.ExportWorkspaceResponse(entry=made)


def piece(data: bytes) -> pb.ExportWorkspaceResponse:
    return pb.ExportWorkspaceResponse(piece=data)


def whole(*messages: pb.ExportWorkspaceResponse, **wrong: Any) -> list[pb.ExportWorkspaceResponse]:
    """With the summary that belongs to them."""
    digest, files, size = hashlib.sha256(), 0, 0
    for each in messages:
        if each.HasField("entry"):
            files += not each.entry.is_folder
            digest.update(each.entry.SerializeToString(deterministic=True))
        else:
            size += len(each.piece)
            digest.update(each.piece)
    told = {"files": files, "bytes": size, "sha256": digest.hexdigest(), **wrong}
    return [*messages, pb.ExportWorkspaceResponse(summary=pb.ExportSummary(**told))]


@pytest.mark.req("X3")
@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (whole(entry("../out"), piece(b"x")), SandboxFault),
        (whole(entry("/etc/x"), piece(b"x")), SandboxFault),
        (whole(entry("a/../../b"), piece(b"x")), SandboxFault),
        (whole(entry("link/planted"), piece(b"x")), SandboxFault),
        (whole(entry(".isobath-x"), piece(b"x")), SandboxFault),
        (whole(entry("a"), entry("a", folder=True)), SandboxFault),
        (whole(entry("..", folder=True)), SandboxFault),
        (whole(entry("big"), piece(b"x" * 6_000), piece(b"x" * 6_000)), WorkspaceFull),
        (whole(entry("a"), piece(b"x" * 6_000), entry("b"), piece(b"x" * 6_000)), WorkspaceFull),
        (whole(piece(b"of nothing")), BrokenTransfer),
        (whole(entry("d", folder=True), piece(b"of a folder")), BrokenTransfer),
        (whole(entry("a"), piece(b"x"), sha256="0" * 64), BrokenTransfer),
        (whole(entry("a"), piece(b"x"), files=2), BrokenTransfer),
        (whole(entry("a"), piece(b"x"))[:-1], BrokenTransfer),
        ([], BrokenTransfer),
    ],
)
async def test_what_is_sent_is_not_trusted(
    tmp_path: Path, messages: list[pb.ExportWorkspaceResponse], error: type[Exception]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "made"

    async def planted() -> AsyncIterator[pb.ExportWorkspaceResponse]:
        # by nobody whom we know of
        (folder / "link").symlink_to(outside)
        async for message in replayed(messages):
            yield message

    async with Limiter("test", 2) as threads:
        with pytest.raises(error):
            await Arrival(folder_of(folder), threads).take(planted())
    assert list(outside.iterdir()) == [] and not (tmp_path / "out").exists()


names = st.text("abcé.", min_size=1, max_size=5).filter(lambda name: name not in (".", ".."))
trees = st.recursive(
    st.binary(max_size=50), lambda below: st.dictionaries(names, below, max_size=3), max_leaves=12
).filter(lambda tree: isinstance(tree, dict))


def plant(folder: Path, tree: dict[str, Any]) -> None:
    folder.mkdir()
    for name, below in tree.items():
        if isinstance(below, dict):
            plant(folder / name, below)
        else:
            (folder / name).write_bytes(below)


def found(folder: Path) -> dict[str, Any]:
    return {
        each.name: found(each) if each.is_dir() else each.read_bytes() for each in folder.iterdir()
    }


@given(tree=trees)
def test_any_tree_arrives_as_it_left(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]
) -> None:
    base = tmp_path_factory.mktemp("move")
    plant(base / "from", tree)

    async def move() -> pb.ExportSummary:
        async with Limiter("test", 2) as threads:
            departure = Departure(folder_of(base / "from"), threads)
            return await Arrival(folder_of(base / "to"), threads).take(departure.messages())

    summary = asyncio.run(move())
    assert found(base / "to") == tree and summary.left_out == 0


async def test_a_file_that_shrinks_or_grows_meanwhile_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    for name in ("grows", "goes", "turns"):
        (tmp_path / "from" / name).write_bytes(b"x" * 100)
    async with Limiter("test", 2) as threads:
        departure = Departure(folder_of(tmp_path / "from"), threads)
        messages: list[pb.ExportWorkspaceResponse] = []
        async for message in departure.messages():
            if not messages:  # all are listed, and the first is open
                (tmp_path / "from" / "turns").unlink()
                os.symlink("/etc/passwd", tmp_path / "from" / "turns")
                with (tmp_path / "from" / "grows").open("ab") as file:
                    file.write(b"y" * 100)
            messages.append(message)
        summary = await Arrival(folder_of(tmp_path / "to"), threads).take(replayed(messages))
    assert summary.left_out == 1 and sorted(found(tmp_path / "to")) == ["goes", "grows"]
