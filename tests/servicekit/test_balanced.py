"""Calls over several replicas of a service: real servers that come, drain, go and die."""

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from servicekit.channels import calling, channel, faults, streaming
from servicekit.names import Names, is_several, listed
from servicekit.ports import free_port
from servicekit.server import Server, ServerSettings
from servicekit.status import RemoteFault
from servicekit.testing import running
from tests.servicekit.probe import Probe, method, mount


@dataclass
class Fleet:
    """Servers of one service, by number."""

    probes: list[Probe] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    stacks: list[AsyncExitStack] = field(default_factory=list)

    async def add(self, bind: str = "127.0.0.1:0", linger_s: float = 0.0) -> int:
        probe, stack = Probe(), AsyncExitStack()
        served = ServerSettings(bind=bind, drain_s=5.0, linger_s=linger_s)
        server = await stack.enter_async_context(running((mount, probe), server_settings=served))
        self.probes.append(probe)
        self.servers.append(server)
        self.stacks.append(stack)
        return len(self.servers) - 1

    async def stop(self, number: int) -> None:
        await self.stacks[number].aclose()

    async def kill(self, number: int) -> None:
        self.servers[number].hurry()
        await self.stop(number)

    @property
    def addresses(self) -> str:
        return ",".join(server.address for server in self.servers)


@asynccontextmanager
async def fleet(count: int, linger_s: float = 0.0):
    found = Fleet()
    try:
        for _ in range(count):
            await found.add(linger_s=linger_s)
        yield found
    finally:
        for number in range(len(found.servers)):
            await found.kill(number)


@asynccontextmanager
async def reached(found: Fleet, *repeatable: str):
    async with channel(found.addresses, repeatable=repeatable) as opened:
        yield opened


@pytest.mark.parametrize(
    ("address", "each"),
    [
        ("127.0.0.1:1", None),
        ("unix:/run/x.sock", None),
        ("a:1,b:2", ("a:1", "b:2")),
        ("ipv4:10.0.0.1:1, 10.0.0.2:1", ("10.0.0.1:1", "10.0.0.2:1")),
        ("dns:///name:1", ("dns:///name:1",)),
        ("a:1,", ("a:1",)),
    ],
)
def test_an_address_may_be_several(address, each):
    assert is_several(address) == (each is not None)
    assert listed(address) == (each or (address,))


@pytest.mark.req("K3")
async def test_calls_are_shared_by_the_replicas(no_leaks):
    async with fleet(2) as found, reached(found) as opened:
        await told_apart(opened, found)
        holding = [asyncio.ensure_future(method(opened, "Unary")(b"wait")) for _ in range(2)]
        async with asyncio.timeout(5):
            await asyncio.gather(*(probe.started.wait() for probe in found.probes))
        for probe in found.probes:
            probe.finish.set()
        assert await asyncio.gather(*holding) == [b"wait", b"wait"]


@pytest.mark.req("K3")
async def test_every_kind_of_call_goes_through(no_leaks):
    async def requests():
        yield b"a"
        yield b"b"

    async with fleet(2) as found, reached(found) as opened:
        assert await method(opened, "Unary")(b"x") == b"x"
        assert [each async for each in faults(method(opened, "ServerStream")(b"y"))] == [
            b"first",
            b"y",
        ]
        assert await method(opened, "ClientStream")(requests()) == b"ab"
        assert [each async for each in faults(method(opened, "Both")(requests()))] == [b"a", b"b"]


@pytest.mark.req("K3")
async def test_a_replica_that_is_not_serving_gets_no_calls(no_leaks):
    async with fleet(2) as found, reached(found, "Unary") as opened:
        await told_apart(opened, found)
        found.servers[0].set_serving(False)
        await until(lambda: not up(opened, found.servers[0]))
        found.probes[0].finish.set()
        waiting = [asyncio.ensure_future(method(opened, "Unary")(b"wait")) for _ in range(3)]
        await asyncio.wait_for(found.probes[1].started.wait(), 5)
        found.probes[1].finish.set()
        await asyncio.gather(*waiting)
        assert not found.probes[0].started.is_set()


@pytest.mark.req("K3")
async def test_a_rolling_restart_under_load_fails_no_call(no_leaks):
    """Nothing may be repeated here: what is refused for a drain was not begun."""
    async with fleet(2, linger_s=0.2) as found, reached(found) as opened:
        ports = [server.address for server in found.servers]
        answers = 0
        ended = asyncio.Event()

        async def load() -> None:
            nonlocal answers
            while not ended.is_set():
                assert await calling(method(opened, "Unary")(b"x")) == b"x"
                answers += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(load())
            for number, address in enumerate(ports):
                before = answers
                await found.stop(number)
                again = await found.add(address, linger_s=0.2)
                await until(lambda: up(opened, found.servers[again]))  # noqa: B023
                await until(lambda: answers > before + 20)  # noqa: B023
            ended.set()


@pytest.mark.req("S5")
async def test_what_was_never_sent_is_sent_elsewhere_whatever_it_is(no_leaks):
    async with fleet(1) as found:
        dead = f"127.0.0.1:{free_port()}"
        async with channel(f"{dead},{found.addresses}") as opened:
            for _ in range(6):
                assert await method(opened, "Unary")(b"x") == b"x"


@pytest.mark.req("S5")
async def test_a_replica_that_dies_loses_what_may_be_repeated_to_another(no_leaks):
    async with fleet(2) as found, reached(found, "Unary") as opened:
        call = asyncio.ensure_future(method(opened, "Unary")(b"wait"))
        number = await started(found)
        for probe in found.probes:
            if probe is not found.probes[number]:
                probe.finish.set()
        await found.kill(number)
        assert await asyncio.wait_for(call, 10) == b"wait"


@pytest.mark.req("S5")
async def test_a_replica_that_dies_loses_what_may_not_be_repeated(no_leaks):
    async with fleet(2) as found, reached(found) as opened:
        call = method(opened, "Unary")(b"wait")
        number = await started(found)
        await found.kill(number)
        with pytest.raises(RemoteFault):
            await calling(call)
        assert not found.probes[1 - number].started.is_set()


@pytest.mark.req("S5")
async def test_a_stream_is_repeated_before_its_first_message_only(no_leaks):
    async with fleet(2) as found, reached(found, "ServerStream") as opened:
        async with streaming(method(opened, "ServerStream")(b"wait")) as call:
            assert await call.read() == b"first"
            number = await started(found)
            await found.kill(number)
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        assert not found.probes[1 - number].started.is_set()
        async with streaming(method(opened, "ServerStream")(b"x")) as call:
            assert [each async for each in call] == [b"first", b"x"]


async def test_what_a_service_answers_is_not_asked_elsewhere(no_leaks):
    async with fleet(2) as found, reached(found, "Unary") as opened:
        with pytest.raises(RemoteFault) as fault:
            await calling(method(opened, "Unary")(b"narrow"))
        assert fault.value.reason == "TOO_LARGE"


async def test_nobody_there_is_told_before_the_deadline(no_leaks):
    dead = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    async with channel(dead, repeatable=["Unary"]) as opened:
        with pytest.raises(RemoteFault) as fault:
            await calling(method(opened, "Unary")(b"x", timeout=0.2))
        assert fault.value.reason == "SERVICE_UNAVAILABLE"


async def test_one_that_starts_late_is_waited_for(no_leaks):
    found, port = Fleet(), free_port()
    async with channel(f"127.0.0.1:{port},") as opened:
        asking = asyncio.ensure_future(method(opened, "Unary")(b"x"))
        await asyncio.sleep(0)
        await found.add(f"127.0.0.1:{port}")
        assert await asyncio.wait_for(asking, 10) == b"x"
        await found.kill(0)


async def test_leaving_a_stream_cancels_it(no_leaks):
    async with fleet(2) as found, reached(found) as opened:
        async with streaming(method(opened, "ServerStream")(b"wait")) as call:
            assert await call.read() == b"first"
            number = await started(found)
        await asyncio.wait_for(found.probes[number].ended.wait(), 5)


async def test_a_call_that_is_cancelled_is_cancelled_at_the_server(no_leaks):
    async with fleet(2) as found, reached(found) as opened:
        call = method(opened, "Unary")(b"wait")
        number = await started(found)
        call.cancel()
        await asyncio.wait_for(found.probes[number].ended.wait(), 5)


@pytest.mark.req("K3")
async def test_addresses_of_a_name_are_looked_up_anew(no_leaks, monkeypatch):
    hosts = ["127.0.0.1"]

    async def getaddrinfo(host, port, **_):
        if host == "gone":
            raise OSError("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    names = Names(["dns:///here:7", "dns:///gone:7"])
    assert await names.places() == {"127.0.0.1:7": "here"}
    hosts.append("127.0.0.2")
    assert await names.places() == {"127.0.0.1:7": "here"}
    assert await names.places(anew=True) == {"127.0.0.1:7": "here", "127.0.0.2:7": "here"}


async def test_a_replica_that_left_the_name_ends_what_it_has_begun(no_leaks, monkeypatch):
    port = free_port()
    hosts = ["127.0.0.1"]

    async def getaddrinfo(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    found = Fleet()
    await found.add(f"127.0.0.1:{port}")
    await found.add(f"127.0.0.2:{port}")
    async with channel(f"dns:///service:{port}", repeatable=["Unary"]) as opened:
        call = method(opened, "Unary")(b"wait")
        await asyncio.wait_for(found.probes[0].started.wait(), 5)
        hosts[:] = ["127.0.0.2"]
        opened._names._looked_up = float("-inf")  # type: ignore[attr-defined]
        assert await method(opened, "Unary")(b"x") == b"x"
        found.probes[0].finish.set()
        assert await call == b"wait"
    for number in range(2):
        await found.kill(number)


async def started(found: Fleet) -> int:
    waits = [asyncio.ensure_future(probe.started.wait()) for probe in found.probes]
    done, left = await asyncio.wait(waits, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return waits.index(done.pop())


async def told_apart(opened: Any, found: Fleet) -> None:
    """Until a connection to each is ready."""
    await method(opened, "Unary")(b"x")
    for server in found.servers:
        await until(lambda: up(opened, server))  # noqa: B023


def up(opened: Any, server: Server) -> bool:
    replica = opened._replicas.get(server.address)
    ready = grpc.ChannelConnectivity.READY
    return replica is not None and replica.channel.get_state(try_to_connect=True) is ready


async def until(true) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)
