"""Threads that move between real sandboxes: several gateways, replicas that stop or die, full ones,
and runs that go on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling
from servicekit.testing import Leaks
from services.gateway import analysis, sandboxes
from services.gateway.placement import Placement, Placements
from services.gateway.sandboxes import Sandboxes, Session
from services.gateway.store import database
from tests.gateway.conftest import ANSWER, CODE, Platform, platform_of
from tests.sandbox.boxes import Box, Ran
from tests.sandbox.fleet import OWNER, Member, fleet


@asynccontextmanager
async def gateways(
    members: list[Member], folder: Path, count: int = 2
) -> AsyncIterator[tuple[list[Sandboxes], Placements]]:
    async with AsyncExitStack() as stack:
        url = f"sqlite+aiosqlite:///{folder / 'x.db'}"
        tables = [
            Placements(await stack.enter_async_context(database.opened(url))) for _ in range(count)
        ]
        addresses = [each.address for each in members]
        made = [
            await stack.enter_async_context(sandboxes.reaching(addresses, table, None, None))
            for table in tables
        ]
        yield made, tables[0]


async def run(session: Session, code: str) -> Ran:
    box = Box(session.stub, "")
    box.id = session.id
    return await box.run(code)


async def attach(session: Session, run_id: str = "run") -> None:
    request = pb.AttachSourcesRequest(session_id=session.id, run_id=run_id)
    await calling(session.stub.AttachSources(request))


async def detach(session: Session, run_id: str = "run") -> None:
    request = pb.DetachSourcesRequest(session_id=session.id, run_id=run_id)
    await calling(session.stub.DetachSources(request))


async def placed_at(table: Placements, thread: str) -> str:
    placed = await table.get(OWNER, thread)
    assert placed is not None
    return placed.replica


@pytest.mark.req("K3", "C5", "S8")
async def test_what_is_idle_leaves_a_replica_that_stops_while_two_gateways_look(
    no_leaks: Leaks, tmp_path: Path
) -> None:
    async with (
        fleet(3, drain_s=60.0) as members,
        gateways(members, tmp_path) as (asking, table),
    ):
        threads = [f"t{number}" for number in range(9)]
        for number, thread in enumerate(threads):
            session = await asking[number % 2].open(OWNER, thread, seconds=60)
            await run(session, f"open('f', 'w').write('{thread}')")
        places = {thread: await placed_at(table, thread) for thread in threads}
        assert len(set(places.values())) == 3
        leaving = members[0]
        async with asyncio.timeout(45):
            await leaving.drain()
        for number, thread in enumerate(threads):
            at = await placed_at(table, thread)
            assert at != leaving.address
            assert at == places[thread] or places[thread] == leaving.address
            session = await asking[number % 2].open(OWNER, thread, seconds=60)
            assert not session.lost
            assert (await run(session, "print(open('f').read())")).out == f"{thread}\n"
        # nobody is sent where nobody is
        for number in range(6):
            await asking[number % 2].open(OWNER, f"new{number}", seconds=60)


@pytest.mark.req("K3", "X6")
async def test_what_a_run_holds_leaves_when_it_lets_go(no_leaks: Leaks, tmp_path: Path) -> None:
    async with (
        fleet(2, drain_s=60.0) as members,
        gateways(members, tmp_path) as (asking, table),
    ):
        session = await asking[0].open(OWNER, "t", seconds=60)
        await attach(session)
        await run(session, "x = 1\nopen('f', 'w').write('kept')")
        at = await placed_at(table, "t")
        (leaving,) = (each for each in members if each.address == at)
        stopping = asyncio.create_task(leaving.drain())
        await leaving.server.draining.wait()
        # long enough for both to have tried
        for _ in range(4):
            assert (await run(session, "print(x)")).out == "1\n"
            await asyncio.sleep(1.0)
        # another gateway that takes the run over finds its session
        again = await asking[1].open(OWNER, "t", seconds=60)
        assert again.id == session.id
        assert (await run(again, "print(x)")).out == "1\n"
        await detach(session)
        async with asyncio.timeout(30):
            await stopping
        moved = await asking[1].open(OWNER, "t", seconds=60)
        assert not moved.lost and (await run(moved, "print(open('f').read())")).out == "kept\n"


@pytest.mark.req("K3")
async def test_a_thread_whose_replica_is_full_moves_with_its_files(
    no_leaks: Leaks, tmp_path: Path
) -> None:
    async with (
        fleet(2, sessions=1, wait_s=0.3) as members,
        gateways(members, tmp_path) as (asking, table),
    ):
        await run(await asking[0].open(OWNER, "t", seconds=60), "open('f', 'w').write('x')")
        at = await placed_at(table, "t")
        (full,) = (each for each in members if each.address == at)
        # a run of somebody else has put its session away
        other = Box(full.stub, "other")
        opened = await other.open()
        request = pb.AttachSourcesRequest(session_id=opened.session_id, run_id="r")
        await calling(full.stub.AttachSources(request))
        session = await asking[1].open(OWNER, "t", seconds=60)
        assert not session.lost and await placed_at(table, "t") != at
        assert (await run(session, "print(open('f').read())")).out == "x\n"


@pytest.mark.req("K3", "S8")
async def test_a_move_that_its_gateway_left_in_the_middle_is_gone_on_with(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "AWAY_S", 0.5)
    async with (
        fleet(3) as members,
        gateways(members, tmp_path) as (asking, table),
    ):
        await run(await asking[0].open(OWNER, "t", seconds=60), "open('f', 'w').write('x')")
        at = await placed_at(table, "t")
        old, new, other = sorted(members, key=lambda each: each.address != at)
        seen = Placement(OWNER, "t", at, version=1, used=True)
        assert await table.change(seen, seen.moved_to(new.address))
        # which of them took it, nobody knows any more
        await new.take("t", old)
        session = await asking[1].open(OWNER, "t", seconds=60)
        assert not session.lost and (await run(session, "print(open('f').read())")).out == "x\n"
        settled = await table.get(OWNER, "t")
        assert settled is not None and settled.origins == ()
        # and one that died before it took anything
        assert await table.change(settled, settled.moved_to(other.address))
        await other.crash()
        session = await asking[0].open(OWNER, "t", seconds=60)
        assert not session.lost and (await run(session, "print(open('f').read())")).out == "x\n"
        assert await placed_at(table, "t") != other.address


@pytest.mark.req("K3", "S8")
async def test_when_the_replica_that_has_it_dies_the_thread_begins_anew(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "AWAY_S", 0.5)
    async with (
        fleet(2) as members,
        gateways(members, tmp_path) as (asking, table),
    ):
        await run(await asking[0].open(OWNER, "t", seconds=60), "open('f', 'w').write('x')")
        at = await placed_at(table, "t")
        (dead,) = (each for each in members if each.address == at)
        await dead.crash()
        session = await asking[1].open(OWNER, "t", seconds=60)
        assert session.lost
        assert (await run(session, "import os\nprint(os.listdir())")).out == "[]\n"
        assert not (await asking[0].open(OWNER, "t", seconds=60)).lost


# Whole runs


def notices(events: list[dict[str, Any]]) -> list[str]:
    return [each["notice"]["text"] for each in events if "notice" in each]


async def events_of(platform: Platform, run_id: str) -> list[dict[str, Any]]:
    listed = await platform.http.get(f"/v1/runs/{run_id}/events")
    assert listed.status_code == 200, listed.text
    lines = [line[6:] for line in listed.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


@pytest.mark.req("K3", "C4", "X6")
async def test_a_run_goes_on_while_its_sandbox_is_replaced(no_leaks: Leaks, tmp_path: Path) -> None:
    async with (
        fleet(2, drain_s=10.0) as members,
        platform_of(tmp_path, sandbox=tuple(each.address for each in members)) as platform,
    ):
        platform.models.turns = [
            CODE.format("x = 1\nopen('f', 'w').write('kept')\nimport time\ntime.sleep(60)"),
            CODE.format("print(open('f').read(), 'x' in globals())"),
            ANSWER.format("done"),
        ]
        asking = asyncio.create_task(platform.chat(thread_id="t"))
        leaving = await having(members)
        await leaving.drain()
        answered = await asking
        assert answered.status_code == 200, answered.text
        text = answered.json()["choices"][0]["message"]["content"]
        assert "its sandbox was stopped" in text and "kept False" in text and "done" in text
        assert "variables of earlier programs are lost, files are kept" in text
        told = platform.models.requests[-1].messages[-1].content
        assert "kept False" in told
        # the thread goes on where it is now
        platform.models.turns = [
            CODE.format("print(open('f').read())"),
            ANSWER.format("and again"),
        ]
        answered = await platform.chat(thread_id="t")
        assert "kept" in answered.json()["choices"][0]["message"]["content"]


async def having(members: list[Member]) -> Member:
    """The one where a program runs."""
    async with asyncio.timeout(30):
        while True:
            for each in members:
                for folder in (each.home / "workspaces").iterdir():
                    if (folder / "f").exists():
                        return each
            await asyncio.sleep(0.05)


@pytest.mark.req("K3", "S8")
async def test_a_run_whose_sandbox_dies_ends_with_an_error_and_the_next_one_works(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "AWAY_S", 0.5)
    async with (
        fleet(2) as members,
        platform_of(tmp_path, sandbox=tuple(each.address for each in members)) as platform,
    ):
        platform.models.turns = [
            CODE.format("open('f', 'w').write('x')\nimport time\ntime.sleep(60)")
        ]
        asking = asyncio.create_task(platform.chat(thread_id="t"))
        dying = await having(members)
        await dying.crash()
        async with asyncio.timeout(20):
            answered = await asking
        assert answered.status_code == 503, answered.text
        error = answered.json()["error"]
        assert error["reason"] == "SERVICE_UNAVAILABLE" and error["remedy"]
        platform.models.turns = [
            CODE.format("import os\nprint(os.listdir())"),
            ANSWER.format("done"),
        ]
        answered = await platform.chat(thread_id="t")
        assert "[]" in answered.json()["choices"][0]["message"]["content"]
        run_id = (await platform.http.get("/v1/runs")).json()["data"][0]["id"]
        assert analysis.FILES_LOST in notices(await events_of(platform, run_id))
