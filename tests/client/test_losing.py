"""Connections that break off, before a real gateway."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dev.certs import issue
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import AsyncIsobath, Isobath, Retries
from isobath_client.errors import Unauthenticated, Unavailable
from isobath_client.events import Completed, Event, Text
from tests.client.passage import Passage, passage
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform
from tests.gateway.doubles import HANG
from tests.gateway.test_lake import Releasable


@pytest_asyncio.fixture
async def way(platform: Platform) -> AsyncIterator[Passage]:
    async with passage(platform.grpc_address) as opened:
        yield opened


@pytest.mark.req("C8")
async def test_stream_that_breaks_off_goes_on_where_it_was(
    platform: Platform, way: Passage
) -> None:
    held = platform.sandbox.held = Releasable()
    platform.models.turns = [
        CODE.format("wait_for_ever = print\nwait_for_ever()"),
        ANSWER.format("one"),
    ]
    events: list[Event] = []
    async with AsyncIsobath(way.address, api_key=KEY) as isobath:
        async for event in isobath.stream("How many?"):
            events.append(event)
            if held.reached.is_set() and not held.released.is_set():
                way.closed = True
                way.cut()
                held.released.set()
                asyncio.get_running_loop().call_later(0.5, setattr, way, "closed", False)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], Completed) and events[-1].answer == "one"
    assert way.connections == 2


@pytest.mark.req("C8")
async def test_blocking_stream_goes_on_too(platform: Platform, way: Passage) -> None:
    held = platform.sandbox.held = Releasable()
    platform.models.turns = [
        CODE.format("wait_for_ever = print\nwait_for_ever()"),
        ANSWER.format("one"),
    ]

    def work() -> str:
        with Isobath(way.address, api_key=KEY) as isobath:
            return isobath.ask("How many?").answer

    asking = asyncio.create_task(asyncio.to_thread(work))
    async with asyncio.timeout(30):
        await held.reached.wait()
        way.cut()
        held.released.set()
        assert await asking == "one"
    assert way.connections == 2


@pytest.mark.req("C8", "S5")
async def test_question_whose_answer_was_lost_is_asked_once(
    platform: Platform, way: Passage
) -> None:
    platform.models.turns = [ANSWER.format("one"), ANSWER.format("two")]
    async with AsyncIsobath(way.address, api_key=KEY) as isobath:
        await isobath.models()
        way.mute = True
        asking = asyncio.create_task(isobath.ask("How many?"))
        async with asyncio.timeout(30):
            while not [run async for run in _runs(platform)]:
                await asyncio.sleep(0.05)
            await way.swallowed.wait()
            way.mute = False
            way.cut()
            assert (await asking).answer == "one"
        assert len([run async for run in isobath.runs.list()]) == 1


async def _runs(platform: Platform) -> AsyncIterator[str]:
    for run in (await platform.http.get("/v1/runs")).json()["data"]:
        yield run["id"]


@pytest.mark.req("S5")
async def test_call_without_effect_is_made_again(platform: Platform, way: Passage) -> None:
    way.closed = True
    patient = Retries(attempts=20, first_s=0.05, most_s=0.2)
    async with AsyncIsobath(way.address, api_key=KEY, retries=patient) as isobath:
        asyncio.get_running_loop().call_later(0.5, setattr, way, "closed", False)
        assert [model.id for model in await isobath.models()]


@pytest.mark.req("S5")
async def test_call_with_effect_is_not(platform: Platform, way: Passage) -> None:
    async with AsyncIsobath(way.address, api_key=KEY) as isobath:
        await isobath.models()
        way.mute = True
        adding = asyncio.create_task(
            isobath.sources.add("shop", "double", config={"host": "db"}, secrets={"password": "x"})
        )
        async with asyncio.timeout(30):
            await way.swallowed.wait()
            way.mute = False
            way.cut()
            with pytest.raises(Unavailable):
                await adding


async def test_gateway_that_stays_away_is_given_up(platform: Platform, way: Passage) -> None:
    held = platform.sandbox.held = Releasable()
    platform.models.turns = [CODE.format("wait_for_ever()")]
    hasty = Retries(first_s=0.01, most_s=0.1, resume_s=0.5)
    async with AsyncIsobath(way.address, api_key=KEY, retries=hasty) as isobath:
        with pytest.raises(Unavailable):
            async for event in isobath.stream("How many?"):
                if held.reached.is_set() and not isinstance(event, Text):
                    way.closed = True
                    way.cut()
    held.released.set()


@pytest.mark.req("S3")
async def test_tls_is_spoken_where_the_address_says_so(platform: Platform, tmp_path: Path) -> None:
    files = issue(tmp_path, ["gateway"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.cert("gateway"), files.key("gateway"))
    tls.set_alpn_protocols(["h2"])
    async with passage(platform.grpc_address, tls=tls) as way:
        async with AsyncIsobath(f"https://{way.address}", api_key=KEY, ca=files.ca) as isobath:
            assert await isobath.models()
        name = way.address.replace("127.0.0.1", "localhost")
        pem = files.ca.read_bytes()
        async with AsyncIsobath(name, api_key=KEY, ca=pem) as isobath:
            assert await isobath.models()
        never = Retries(attempts=1)
        async with AsyncIsobath(name, api_key=KEY, tls=True, retries=never) as isobath:
            with pytest.raises(Unavailable):
                await isobath.models()


async def test_client_of_the_environment(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    environ = {"ISOBATH_ADDRESS": platform.grpc_address}
    file = {"ISOBATH_API_KEY_FILE": str(tmp_path / "key")}
    async with AsyncIsobath.from_env({**environ, **file}) as isobath:
        assert (await isobath.status()).services
    async with AsyncIsobath.from_env({**environ, "ISOBATH_API_KEY": "isb-wrong"}) as isobath:
        with pytest.raises(Unauthenticated):
            await isobath.status()


@pytest.mark.req("C7", "C8")
async def test_question_that_is_interrupted_as_it_begins_is_cancelled(
    platform: Platform, way: Passage
) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]
    async with AsyncIsobath(way.address, api_key=KEY) as isobath:
        await isobath.models()
        way.mute = True
        asking = asyncio.create_task(isobath.ask("How many?"))
        async with asyncio.timeout(30):
            await way.swallowed.wait()
            way.mute = False
            asking.cancel()
            way.cut()
            with pytest.raises(asyncio.CancelledError):
                await asking
            (run,) = [run async for run in isobath.runs.list()]
            while (await isobath.runs.get(run.run_id)).state != analyst.RUN_STATE_CANCELLED:
                await asyncio.sleep(0.05)
