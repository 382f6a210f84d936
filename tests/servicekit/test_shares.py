"""How many replicas there are, by asking them."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from servicekit.ports import free_port
from servicekit.server import ServerSettings
from servicekit.shares import Replicas
from servicekit.testing import running
from tests.servicekit.probe import Probe, mount

pytestmark = pytest.mark.req("K3", "P7")


async def told(replicas: Replicas, until: list[int], heard: list[int]) -> None:
    async with asyncio.timeout(10):
        while heard[-len(until) :] != until:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("given", "count"), [("", 1), ("1", 1), ("3", 3)])
async def test_a_number_is_taken_as_it_is(given: str, count: int) -> None:
    heard: list[int] = []
    await Replicas(given).follow(heard.append)
    assert heard == [count]


async def test_those_that_answer_count_as_they_come_and_go(no_leaks: object) -> None:
    ports, heard = [free_port() for _ in range(3)], list[int]()
    replicas = Replicas(",".join(f"127.0.0.1:{port}" for port in ports))
    following = asyncio.create_task(replicas.follow(heard.append, every_s=0.01))
    async with AsyncExitStack() as stack:
        await told(replicas, [1], heard)
        for port in ports[:2]:
            settings = ServerSettings(bind=f"127.0.0.1:{port}", drain_s=1.0)
            await stack.enter_async_context(running((mount, Probe()), server_settings=settings))
        await told(replicas, [2], heard)
    await told(replicas, [1], heard)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_one_that_drains_counts_until_it_is_gone(no_leaks: object) -> None:
    async with running((mount, Probe())) as one, running((mount, Probe())) as other:
        replicas, heard = Replicas(f"{one.address},{other.address}"), list[int]()
        following = asyncio.create_task(replicas.follow(heard.append, every_s=0.01))
        await told(replicas, [2], heard)
        one.set_serving(False)
        assert await replicas.living() == 2
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_name_counts_by_its_addresses(no_leaks: object, monkeypatch) -> None:
    hosts = ["127.0.0.1", "127.0.0.2"]

    async def getaddrinfo(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    replicas = Replicas("dns:///pg-connector:50052")
    assert await replicas.living() == 2
    hosts.append("127.0.0.3")
    assert await replicas.living() == 3
