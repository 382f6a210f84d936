"""The replicas of the sandbox, as several gateways ask them: over real gRPC, on one database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.ports import free_port
from servicekit.replicas import Replicas
from servicekit.server import Server, ServerSettings
from servicekit.status import RemoteFault
from servicekit.testing import Leaks, running
from services.gateway import sandboxes
from services.gateway.errors import ServiceLost
from services.gateway.placement import Placement, Placements
from services.gateway.sandboxes import Sandboxes, Session
from services.gateway.store import database
from tests.gateway.conftest import registering
from tests.gateway.doubles import Sandbox


@dataclass
class Fleet:
    """`doubles` by address; `gateways` share one table."""

    doubles: dict[str, Sandbox]
    servers: dict[str, Server]
    stacks: dict[str, AsyncExitStack]
    gateways: list[Sandboxes]
    table: Placements

    async def open(self, thread: str, gateway: int = 0, seconds: float = 20.0) -> Session:
        return await self.gateways[gateway].open("ann", thread, seconds=seconds)

    def having(self, thread: str) -> list[str]:
        return [address for address, double in self.doubles.items() if thread in double.files]

    async def crash(self, address: str) -> None:
        self.servers[address].hurry()
        await self.stacks[address].aclose()


@asynccontextmanager
async def fleet(count: int, folder: Path, gateways: int = 1) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        doubles, servers, stacks = {}, {}, {}
        for _ in range(count):
            double, own = Sandbox(), await stack.enter_async_context(AsyncExitStack())
            mount = registering(double.NAME, double, rpc.add_SandboxServiceServicer_to_server)
            server = await own.enter_async_context(running((mount, None)))
            doubles[server.address] = double
            servers[server.address], stacks[server.address] = server, own
        url = f"sqlite+aiosqlite:///{folder / 'x.db'}"
        tables = [
            Placements(await stack.enter_async_context(database.opened(url)))
            for _ in range(gateways)
        ]
        reached = [
            await stack.enter_async_context(sandboxes.reaching(list(doubles), table, None, None))
            for table in tables
        ]
        yield Fleet(doubles, servers, stacks, reached, tables[0])


@pytest.mark.req("K3", "C5")
async def test_a_thread_stays_at_its_replica_whichever_gateway_asks(
    no_leaks: Leaks, tmp_path: Path
) -> None:
    async with fleet(3, tmp_path, gateways=2) as found:
        for number in range(24):
            await found.open(f"t{number}", number % 2)
        places = {f"t{n}": found.having(f"t{n}") for n in range(24)}
        assert all(len(at) == 1 for at in places.values())
        assert len({at[0] for at in places.values()}) == 3
        for number in range(24):
            session = await found.open(f"t{number}", (number + 1) % 2)
            assert not session.lost
        assert places == {f"t{n}": found.having(f"t{n}") for n in range(24)}


@pytest.mark.req("K3")
async def test_gateways_that_open_a_thread_at_once_open_one_session(
    no_leaks: Leaks, tmp_path: Path
) -> None:
    async with fleet(3, tmp_path, gateways=3) as found:
        for number in range(10):
            thread = f"t{number}"
            await asyncio.gather(*(found.open(thread, gateway) for gateway in (0, 1, 2, 0, 1, 2)))
            assert len(found.having(thread)) == 1


@pytest.mark.req("K3")
async def test_a_full_replica_is_passed_over(no_leaks: Leaks, tmp_path: Path) -> None:
    async with fleet(3, tmp_path) as found:
        full, *others = found.doubles
        found.doubles[full].room = pb.LoadResponse(slots=4, held=4, busy=4)
        for number in range(12):
            await found.open(f"t{number}")
        assert not found.doubles[full].opened
        # one that said a moment ago that it had room
        for address in others:
            found.doubles[address].room = pb.LoadResponse(slots=4, held=4, busy=4)
        found.doubles[full].room = pb.LoadResponse(slots=4)
        await asyncio.sleep(1.1)
        await found.open("last")
        assert found.having("last") == [full]


@pytest.mark.req("K3")
async def test_a_replica_that_fills_up_meanwhile_hands_the_thread_on(
    no_leaks: Leaks, tmp_path: Path
) -> None:
    async with fleet(2, tmp_path) as found:
        await found.open("first")
        chosen = found.having("first")[0]
        (other,) = set(found.doubles) - {chosen}
        # both said that they had room, a moment ago
        found.doubles[chosen].room = pb.LoadResponse(slots=1, held=1, busy=1)
        for number in range(6):
            await found.open(f"t{number}")
            assert found.having(f"t{number}") == [other]


@pytest.mark.req("K3")
async def test_while_all_are_to_stop_another_one_is_waited_for(
    no_leaks: Leaks, tmp_path: Path
) -> None:
    stopping = pb.LoadResponse(slots=1, held=1, busy=1, draining=True)
    async with fleet(2, tmp_path) as found:
        await found.open("old")
        (at,) = found.having("old")
        (other,) = set(found.doubles) - {at}
        for double in found.doubles.values():
            double.room = stopping
        await asyncio.sleep(1.1)
        opening = [asyncio.create_task(found.open(thread)) for thread in ("old", "new")]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in opening)
        found.doubles[other].room = pb.LoadResponse(slots=4)
        await asyncio.gather(*opening)
        assert other in found.having("old") and found.having("new") == [other]


async def test_all_that_stay_stopping_are_told(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "COMING_S", 0.5)
    async with fleet(2, tmp_path) as found:
        await found.open("old")
        for double in found.doubles.values():
            double.room = pb.LoadResponse(slots=1, held=1, busy=1, draining=True)
        await asyncio.sleep(1.1)
        with pytest.raises(RemoteFault, match="TOO_BUSY"):
            await found.open("old")
        with pytest.raises(ServiceLost):
            await found.open("new")


async def test_all_full_is_told(no_leaks: Leaks, tmp_path: Path) -> None:
    async with fleet(2, tmp_path) as found:
        for double in found.doubles.values():
            double.room = pb.LoadResponse(slots=1, held=1, busy=1)
        with pytest.raises(RemoteFault) as fault:
            await found.open("t")
        assert fault.value.reason == "TOO_BUSY" and fault.value.retry_after_s == 5.0
        # nothing is settled: the next try looks for room again
        spare = next(iter(found.doubles.values()))
        spare.room = pb.LoadResponse(slots=1)
        await asyncio.sleep(1.1)
        await found.open("t")
        assert spare.opened == ["t"]


@pytest.mark.req("K3")
async def test_a_new_thread_does_not_wait_for_a_replica_that_is_away(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "AWAY_S", 60.0)
    async with fleet(2, tmp_path) as found:
        gone, left = found.doubles
        await found.crash(gone)
        for number in range(6):
            async with asyncio.timeout(20):
                await found.open(f"t{number}")
            assert left in found.having(f"t{number}")


@pytest.mark.req("K3", "S8")
async def test_threads_of_a_lost_replica_begin_anew_elsewhere_and_it_is_told(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "AWAY_S", 0.5)
    async with fleet(3, tmp_path, gateways=2) as found:
        await found.open("t")
        (gone,) = found.having("t")
        found.doubles[gone].files.clear()
        await found.crash(gone)
        first, second = await asyncio.gather(found.open("t", 0), found.open("t", 1))
        assert len(found.having("t")) == 1 and found.having("t") != [gone]
        assert first.lost or second.lost
        # it is told once, and not again
        assert not (await found.open("t")).lost


async def test_files_that_went_with_a_restart_are_told(no_leaks: Leaks, tmp_path: Path) -> None:
    async with fleet(1, tmp_path) as found:
        assert not (await found.open("t")).lost
        (double,) = found.doubles.values()
        double.files.clear()
        assert (await found.open("t")).lost
        assert not (await found.open("t")).lost


async def test_a_replica_that_restarts_is_waited_for(no_leaks: Leaks, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"
    address = f"127.0.0.1:{free_port()}"
    double = Sandbox()
    mount = registering(double.NAME, double, rpc.add_SandboxServiceServicer_to_server)
    async with (
        database.opened(url) as opened,
        sandboxes.reaching([address], Placements(opened), None, None) as gateway,
    ):
        opening = asyncio.create_task(gateway.open("ann", "t", seconds=20))
        await asyncio.sleep(0.5)
        settings = ServerSettings(bind=address, drain_s=0.5)
        async with running((mount, None), server_settings=settings):
            await opening
            assert double.opened == ["t"]


async def test_nobody_there(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "AWAY_S", 0.3)
    url = f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"
    for addresses in (["127.0.0.1:1"], ["dns:///no.such.name.invalid:1"], ["unix:/no", "unix:/n"]):
        async with (
            database.opened(url) as opened,
            sandboxes.reaching(addresses, Placements(opened), None, None) as gateway,
        ):
            with pytest.raises(ServiceLost):
                await gateway.open("ann", "t", seconds=20)


@pytest.mark.req("C5", "S8")
async def test_a_thread_is_removed_where_it_is_and_where_it_may_be(
    no_leaks: Leaks, tmp_path: Path
) -> None:
    async with fleet(3, tmp_path) as found:
        await found.open("t")
        (here,) = found.having("t")
        elsewhere = next(address for address in found.doubles if address != here)
        found.doubles[elsewhere].files["t"] = {}
        placed = await found.table.get("ann", "t")
        assert placed is not None and placed.replica == here
        moved = Placement("ann", "t", here, (elsewhere,), placed.version + 1, used=True)
        assert await found.table.change(placed, moved)
        await found.gateways[0].remove("ann", "t")
        assert found.having("t") == [] and await found.table.get("ann", "t") is None
        # of a time before there was a table
        found.doubles[elsewhere].files["old"] = {}
        await found.gateways[0].remove("ann", "old")
        assert found.having("old") == []


async def test_a_replica_that_is_no_longer_listed_is_still_reached(
    no_leaks: Leaks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servicekit.replicas.LOOK_UP_S", 0.0)
    async with fleet(2, tmp_path) as found:
        first, second = found.doubles
        addresses = [first]
        async with sandboxes.reaching(addresses, found.table, None, None) as gateway:
            await gateway.open("ann", "t", seconds=20)
            addresses[:] = [second]
            assert list(await gateway.channels()) == [second]
            await gateway.open("ann", "t", seconds=20)
            await gateway.open("ann", "new", seconds=20)
        assert found.having("t") == [first] and found.having("new") == [second]
        # by a gateway that never saw it listed
        async with sandboxes.reaching([second], found.table, None, None) as gateway:
            await gateway.open("ann", "t", seconds=20)
        assert found.doubles[first].opened == ["t", "t", "t"]


async def test_replicas_are_closed_when_they_are_idle(
    no_leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servicekit.replicas.LOOK_UP_S", 0.0)
    idle: set[str] = set()
    closed: list[str] = []
    addresses = ["127.0.0.1:1", "127.0.0.1:2"]

    def opening(address: str, _: object, stack: AsyncExitStack) -> str:
        stack.callback(closed.append, address)
        return address

    replicas = Replicas(addresses, opening, idle.__contains__)
    assert list(await replicas.listed()) == addresses and len(replicas) == 2
    first = addresses.pop(0)
    assert list(await replicas.listed()) == addresses and await replicas.at(first) == first
    idle.add(first)
    await replicas.listed()
    assert closed == [first] and await replicas.at(first) is None
    assert await replicas.reach(first) == first
    await replicas.aclose()
    assert sorted(closed[1:]) == sorted([first, *addresses])
