"""The replicas of the inference service, as the gateway asks them: over real gRPC."""

import asyncio
import socket
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest

from isobath.inference.v1 import inference_pb2 as pb
from servicekit import context
from servicekit.server import Server
from servicekit.status import RemoteFault
from services.gateway.errors import ServiceLost
from services.gateway.models import Models, reaching
from tests.inference.scripted import Scripted, replica


def asking(text: str, model: str = "") -> pb.GenerateRequest:
    message = pb.Message(role=pb.ROLE_USER, content=text)
    return pb.GenerateRequest(messages=[message], model=model)


async def answer(
    models: Models, text: str, *, key: str = "thread", seconds: float = 20.0, model: str = ""
) -> str:
    said = []
    request = asking(text, model)
    async with aclosing(models.generate(request, key=key, seconds=seconds)) as events:
        async for event in events:
            said.append(event.delta.text)
    return "".join(said)


@dataclass
class Fleet:
    engines: list[Scripted]
    servers: list[Server]
    models: Models
    stacks: list[AsyncExitStack]

    def asked(self) -> list[int]:
        return [len(each.seen) for each in self.engines]

    async def crash(self, number: int) -> None:
        self.servers[number].hurry()
        await self.stacks[number].aclose()


@asynccontextmanager
async def fleet(count: int):
    async with AsyncExitStack() as stack:
        engines = [Scripted() for _ in range(count)]
        stacks = [await stack.enter_async_context(AsyncExitStack()) for _ in engines]
        pairs = zip(stacks, engines, strict=True)
        servers = [await own.enter_async_context(replica(engine)) for own, engine in pairs]
        addresses = [server.address for server in servers]
        models = await stack.enter_async_context(reaching(addresses, None, None))
        yield Fleet(engines, servers, models, stacks)


async def test_many_answers_share_one_call(no_leaks):
    async with fleet(1) as found:
        texts = [f"n{number} and more" for number in range(100)]
        said = await asyncio.gather(*(answer(found.models, text) for text in texts))
    assert said == [text + " " for text in texts]


@pytest.mark.req("K3")
async def test_a_thread_stays_with_its_replica_and_threads_spread(no_leaks):
    async with fleet(3) as found:
        for _ in range(4):
            await answer(found.models, "hello", key="thread-1")
        assert sorted(found.asked()) == [0, 0, 4]
        for number in range(30):
            await answer(found.models, "hello", key=f"thread-{number}")
        assert min(found.asked()) >= 3


async def test_a_busy_replica_is_passed_over(no_leaks):
    async with fleet(2) as found, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(answer(found.models, "hold on", key="same thread"))
        for _ in range(8):
            await wait_for_one(found.engines)
        assert max(found.asked()) <= 6
        for engine in found.engines:
            engine.go_on.set()


async def wait_for_one(engines: list[Scripted]) -> None:
    held = [asyncio.ensure_future(engine.held.acquire()) for engine in engines]
    done, left = await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for engine, task in zip(engines, held, strict=True):
        if task in done and len(done) > 1:
            engine.held.release()
            done.discard(task)


@pytest.mark.req("K3")
async def test_what_a_full_replica_refuses_another_answers(no_leaks):
    async with fleet(2) as found:
        found.engines[0].full = True
        for number in range(6):
            assert await answer(found.models, "hello", key=f"t{number}") == "hello "


@pytest.mark.req("T4", "K3")
async def test_adapter_that_some_replicas_serve_already_is_asked_of_those(no_leaks, tmp_path):
    async with fleet(2) as found:
        await found.engines[1].load_adapter("ours", tmp_path)
        for number in range(6):
            assert await answer(found.models, "hello", key=f"t{number}", model="ours") == "hello "
        assert found.asked() == [0, 6]
        with pytest.raises(RemoteFault) as fault:
            await answer(found.models, "hello", model="theirs")
        assert fault.value.reason == "NOT_FOUND"


async def test_one_that_is_full_and_alone_says_so_at_once(no_leaks):
    async with fleet(1) as found:
        with pytest.raises(RemoteFault) as fault:
            await answer(found.models, "full")
        assert fault.value.reason == "TOO_BUSY" and fault.value.retry_after_s == 2.0
        assert found.asked() == [1]


@pytest.mark.req("K3")
async def test_a_replica_that_is_lost_before_its_first_word_costs_nothing(no_leaks):
    async with fleet(2) as found:
        await found.crash(0)
        for number in range(6):
            assert await answer(found.models, "hello", key=f"t{number}") == "hello "
        assert found.asked()[1] == 6


async def test_one_that_is_lost_in_the_middle_is_told_and_not_asked_twice(no_leaks):
    async with fleet(2) as found:
        events = found.models.generate(asking("hold on"), key="k", seconds=20)
        async with aclosing(events):
            first = await anext(events)
            assert first.delta.text == "hold "
            await found.crash(found.asked().index(1))
            with pytest.raises(ServiceLost):
                await anext(events)
        assert sum(found.asked()) == 1


async def test_leaving_an_answer_frees_the_engine_and_the_others_go_on(no_leaks):
    async with fleet(1) as found:
        engine = found.engines[0]
        other = asyncio.create_task(answer(found.models, "hold other"))
        events = found.models.generate(asking("hold this"), key="k", seconds=20)
        async with aclosing(events):
            await anext(events)
        async with asyncio.timeout(5):
            while "hold this" not in engine.freed:
                await asyncio.sleep(0.01)
        assert "hold other" not in engine.freed
        engine.go_on.set()
        assert await other == "hold other "


async def test_the_deadline_is_the_answers_own(no_leaks):
    async with fleet(1) as found:
        with pytest.raises(RemoteFault) as fault:
            await answer(found.models, "hold on", seconds=0.3)
        assert fault.value.reason == "DEADLINE_EXCEEDED"
        assert await answer(found.models, "hello") == "hello "


async def test_faults_are_those_of_the_service(no_leaks):
    async with fleet(2) as found:
        with pytest.raises(RemoteFault) as fault:
            await answer(found.models, "refuse")
        assert fault.value.reason == "MODEL_REFUSED" and fault.value.fields["status"] == "400"
        assert fault.value.remedy and "hidden" not in str(fault.value)
        assert sum(found.asked()) == 1


async def test_a_call_is_not_bound_by_the_first_callers_deadline(no_leaks):
    async with fleet(1) as found:
        soon = asyncio.get_running_loop().time() + 0.2
        with context.entered(context.Incoming("r-1", deadline=soon)):
            assert await answer(found.models, "hello") == "hello "
        await asyncio.sleep(0.3)
        holding = asyncio.create_task(answer(found.models, "hold on"))
        await found.engines[0].held.acquire()
        found.engines[0].go_on.set()
        assert await holding == "hold on "


async def test_a_server_that_drains_ends_its_answers_first_and_others_take_the_next(no_leaks):
    async with fleet(2) as found:
        events = found.models.generate(asking("hold on"), key="k", seconds=20)
        async with aclosing(events):
            await anext(events)
            draining = found.asked().index(1)
            stopping = asyncio.create_task(found.stacks[draining].aclose())
            await asyncio.wait_for(found.servers[draining].draining.wait(), 5)
            assert await answer(found.models, "hello", key="k") == "hello "
            found.engines[draining].go_on.set()
            rest = [event async for event in events]
        await asyncio.wait_for(stopping, 2)
    assert rest[0].delta.text == "on " and rest[-1].HasField("completion")


async def test_addresses_of_a_name_are_replicas(no_leaks, monkeypatch):
    async with fleet(2) as found:
        ports = [server.port for server in found.servers]
        listed = [ports[0]]

        async def getaddrinfo(host, port, **_):
            assert host == "inference"
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (1,)
            ]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        async with reaching([f"dns:///inference:{listed[0]}"], None, None) as models:
            assert list(await models.channels()) == [f"127.0.0.1:{ports[0]}"]
            assert await answer(models, "hello") == "hello "


async def test_replicas_that_come_and_go_are_followed(no_leaks, monkeypatch):
    monkeypatch.setattr("servicekit.replicas.LOOK_UP_S", 0.0)
    async with fleet(2) as found:
        first, second = (server.address for server in found.servers)
        addresses = [first]
        async with reaching(addresses, None, None) as models:
            events = models.generate(asking("hold on"), key="k", seconds=20)
            async with aclosing(events):
                await anext(events)
                addresses[:] = [second]
                assert await answer(models, "hello") == "hello "
                # what runs on the one that left runs on
                found.engines[0].go_on.set()
                assert [event.delta.text async for event in events] == ["on ", ""]
            assert list(await models.channels()) == [second]
        assert found.asked() == [1, 1]


async def test_nobody_there(no_leaks):
    async with reaching(["127.0.0.1:1"], None, None) as models:
        with pytest.raises(ServiceLost):
            await models.list_models()
    async with reaching(["dns:///no.such.name.invalid:1"], None, None) as models:
        with pytest.raises(ServiceLost):
            await answer(models, "hello")


async def test_request_ids_travel_with_each_answer(no_leaks):
    async with fleet(1) as found:
        with context.entered_request("mine-1"), pytest.raises(RemoteFault) as fault:
            await answer(found.models, "crash")
        assert "mine-1" in fault.value.message


@pytest.mark.req("K3")
async def test_replicas_restart_one_after_the_other_and_no_turn_fails(no_leaks):
    async with fleet(2) as found, asyncio.TaskGroup() as group:
        ended, answered = asyncio.Event(), 0

        async def turns(key: str) -> None:
            nonlocal answered
            while not ended.is_set():
                assert await answer(found.models, "one two three", key=key) == "one two three "
                answered += 1

        for number in range(8):
            group.create_task(turns(f"thread-{number}"))
        for number in range(2):
            before = answered
            server = found.servers[number]
            await found.stacks[number].aclose()
            again = replica(found.engines[number], bind=server.address)
            await found.stacks[number].enter_async_context(again)
            async with asyncio.timeout(20):
                while answered < before + 50:
                    await asyncio.sleep(0.01)
        ended.set()
