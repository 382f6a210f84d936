"""Which connector serves a type, where several do, some are away, and some come late."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from connectorkit.directory import Directory
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.channels import calling
from servicekit.ports import free_port
from servicekit.server import Server, ServerSettings
from servicekit.testing import running

NAME = "isobath.connector.v1.ConnectorService"


@dataclass
class Replica(rpc.ConnectorServiceServicer):
    """Serves a type, and counts what it was asked."""

    type: str
    checks: int = 0
    asked: list[str] = field(default_factory=list)

    async def Describe(self, request, context):
        self.asked.append("Describe")
        return pb.DescribeResponse(type=self.type, code_notes=f"notes of {self.type}")

    async def Check(self, request, context):
        self.checks += 1
        return pb.CheckResponse()


@asynccontextmanager
async def mount(server: Server, replica: Replica):
    server.register(NAME, lambda to: rpc.add_ConnectorServiceServicer_to_server(replica, to))
    yield


async def start(stack: AsyncExitStack, replica: Replica, bind: str = "127.0.0.1:0") -> str:
    settings = ServerSettings(bind=bind, drain_s=2.0)
    started = running((mount, replica), server_settings=settings)
    return (await stack.enter_async_context(started)).address


async def check(directory: Directory, kind: str) -> None:
    found = await directory.of_type(kind)
    assert found is not None
    await calling(found.stub.Check(pb.CheckRequest()))


async def until_all(directory: Directory, kind: str, *replicas: Replica) -> None:
    """A connection that is not there yet gets no calls."""
    async with asyncio.timeout(10):
        while not all(each.checks for each in replicas):
            await check(directory, kind)


@pytest.mark.req("K3")
async def test_connectors_of_one_type_share_its_calls(no_leaks):
    async with AsyncExitStack() as stack:
        replicas = [Replica("table"), Replica("blob"), Replica("table")]
        listed = [await start(stack, each) for each in replicas]
        async with Directory(listed, None) as found:
            await until_all(found, "table", replicas[0], replicas[2])
            assert not replicas[1].checks
            assert [each.type for each in found.known()] == ["blob", "table"]
            assert await found.of_type("unheard of") is None and found.complete


@pytest.mark.req("K3")
async def test_one_that_goes_away_is_passed_over(no_leaks):
    async with AsyncExitStack() as stack:
        first, second, own = Replica("table"), Replica("table"), AsyncExitStack()
        listed = [await start(own, first), await start(stack, second)]
        async with Directory(listed, None) as found:
            await check(found, "table")
            await own.aclose()
            for _ in range(10):
                await check(found, "table")
            assert second.checks >= 10


@pytest.mark.req("K3")
async def test_one_that_was_away_at_first_joins_the_others(no_leaks, monkeypatch):
    monkeypatch.setattr("connectorkit.directory._AGAIN_S", 0.0)
    async with AsyncExitStack() as stack:
        first, late, port = Replica("table"), Replica("table"), free_port()
        listed = [await start(stack, first), f"127.0.0.1:{port}"]
        async with Directory(listed, None) as found:
            await check(found, "table")
            assert not found.complete
            await start(stack, late, listed[1])
            async with asyncio.timeout(10):
                while not late.checks:
                    await check(found, "table")
                    await asyncio.sleep(0.01)
            assert found.complete


async def test_who_asks_at_once_waits_for_one_asking(no_leaks):
    async with AsyncExitStack() as stack:
        replica = Replica("table")
        async with Directory([await start(stack, replica)], None) as found:
            await asyncio.gather(*(found.of_type("table") for _ in range(5)))
            assert replica.asked == ["Describe"]


async def test_an_entry_may_be_several_addresses(no_leaks):
    async with AsyncExitStack() as stack:
        replicas = [Replica("table"), Replica("table")]
        listed = [await start(stack, each) for each in replicas]
        async with Directory([",".join(listed)], None) as found:
            await until_all(found, "table", *replicas)
