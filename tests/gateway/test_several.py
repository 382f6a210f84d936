"""Whole gateways beside each other: whichever is asked, a run is the same run."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from dev.postgres import Postgres
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from tests.gateway.conftest import ANSWER, CODE, Platform, question
from tests.gateway.doubles import HANG
from tests.gateway.several import several

pytestmark = pytest.mark.req("K3")
WISH = "wishes('query', 'SELECT 1')\nprint([d.approved for d in decided])"


@pytest_asyncio.fixture
async def pair(tmp_path: Path, postgres: Postgres) -> AsyncIterator[list[Platform]]:
    async with several(tmp_path, postgres) as gateways:
        yield gateways


async def begun(gateway: Platform, **more: Any) -> str:
    started = await gateway.http.post("/v1/runs", json=question(**more))
    assert started.status_code == 202, started.text
    return str(started.json()["id"])


async def stands(gateway: Platform, run: str, state: str) -> dict[str, Any]:
    for _ in range(600):
        told = dict((await gateway.http.get(f"/v1/runs/{run}")).json())
        if told["status"] == state:
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(f"{run} is {told}, not {state}")


async def watched(
    gateway: Platform, run: str, after: int = 0
) -> AsyncGenerator[dict[str, Any], None]:
    headers = {"last-event-id": str(after)}
    path = f"/v1/runs/{run}/events"
    async with gateway.http.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])


@pytest.mark.req("C8")
async def test_run_is_the_same_whichever_gateway_is_asked(pair: list[Platform]) -> None:
    one, other = pair
    one.models.turns = [CODE.format("print(6 * 7)"), ANSWER.format("It is 42.")]
    run = await begun(one)
    seen = [each async for each in watched(other, run)]
    assert [int(each["sequence"]) for each in seen] == [*range(1, len(seen) + 1)]
    assert seen[-1]["completed"]["answer"] == "It is 42."
    for gateway in pair:
        stub = rpc.AnalystServiceStub(gateway.grpc)
        watch = stub.WatchRun(analyst.WatchRunRequest(run_id=run, from_sequence=3))
        told = [each.event.sequence async for each in watch]
        assert told == [*range(3, len(seen) + 1)]
    there, here = [(await each.http.get(f"/v1/runs/{run}")).json() for each in pair]
    assert there == here and there["status"] == "completed"
    assert there["last_sequence"] == len(seen)


@pytest.mark.req("C8")
async def test_client_hops_from_gateway_to_gateway_and_misses_nothing(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with several(tmp_path, postgres, 3) as gateways:
        gateways[0].models.turns = [
            *(CODE.format(f"print({number})") for number in range(6)),
            ANSWER.format("so"),
        ]
        run = await begun(gateways[0])
        seen: list[int] = []
        for hop in range(200):
            events = watched(gateways[hop % 3], run, seen[-1] if seen else 0)
            async with contextlib.aclosing(events):
                taken, ended = 0, False
                async for event in events:
                    seen.append(int(event["sequence"]))
                    taken, ended = taken + 1, "completed" in event
                    if taken == 7:
                        break
            if ended:
                break
        assert ended and seen == [*range(1, len(seen) + 1)]


@pytest.mark.req("C7")
@pytest.mark.parametrize("what", ["model", "program"])
async def test_run_is_cancelled_from_another_gateway(pair: list[Platform], what: str) -> None:
    one, other = pair
    turn = {"model": "<Analyze>hm" + HANG, "program": CODE.format("wait_for_ever()")}[what]
    held = {"model": one.models.held, "program": one.sandbox.held}[what]
    one.models.turns = [turn]
    run = await begun(one)
    await held.reached.wait()
    cancelled = await other.http.post(f"/v1/runs/{run}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    await held.stopped.wait()
    again = await other.http.post(f"/v1/runs/{run}/cancel")
    assert again.json() == cancelled.json()


@pytest.mark.req("C7")
async def test_client_that_leaves_the_other_gateway_cancels_its_run(pair: list[Platform]) -> None:
    one, other = pair
    one.models.turns = ["<Analyze>hm" + HANG]
    key = {"idempotency-key": "once"}
    run = (await one.http.post("/v1/runs", json=question(), headers=key)).json()["id"]
    await one.models.held.reached.wait()
    asked = {**question(), "stream": True}
    async with other.http.stream(
        "POST", "/v1/chat/completions", json=asked, headers=key
    ) as response:
        async for line in response.aiter_lines():
            if "block_text" in line:
                break
    await stands(one, run, "cancelled")


async def test_approval_is_decided_from_another_gateway(pair: list[Platform]) -> None:
    one, other = pair
    await one.source(approval=["query"])
    one.models.turns = [CODE.format(WISH), CODE.format(WISH), ANSWER.format("It is.")]
    run = await begun(one, data_sources=[{"source": "shop"}])
    await stands(other, run, "waiting")
    address = f"/v1/runs/{run}/approvals"
    (pending,) = (await other.http.get(address)).json()["data"]
    body = {"approved": True, "approval_id": pending["id"], "comment": "yes"}
    told = (await other.http.post(address, json=body)).json()
    assert (told["status"], told["how"], told["comment"]) == ("approved", "person", "yes")
    assert told["decided_by"].startswith("key-")
    same = await other.http.post(address, json=body)
    assert same.status_code == 200
    contrary = await other.http.post(address, json={**body, "approved": False})
    assert contrary.status_code == 409
    for _ in range(200):
        listed = (await other.http.get(address)).json()["data"]
        if len(listed) == 2:
            break
        await asyncio.sleep(0.05)
    # two at once, one at each gateway: one of them is late
    answers = await asyncio.gather(
        *(
            gateway.http.post(address, json={"approved": approved, "approval_id": listed[1]["id"]})
            for gateway, approved in ((one, True), (other, False))
        )
    )
    assert sorted(each.status_code for each in answers) == [200, 409]
    await stands(other, run, "completed")
    late = await other.http.post(address, json={"approved": False, "approval_id": pending["id"]})
    assert late.status_code == 409


@pytest.mark.req("S8")
async def test_run_whose_gateway_is_lost_is_told_by_another(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with several(tmp_path, postgres, lease_s=5.0) as (one, other):
        await told_by_another(one, other)


async def told_by_another(one: Platform, other: Platform) -> None:
    one.models.turns = [CODE.format("wait_for_ever()")]
    run = await begun(one, thread_id="t-1")
    await one.sandbox.held.reached.wait()
    await lose(one, run)
    seen = [each async for each in watched(other, run)]
    assert seen[-1]["failed"]["reason"] == "RUN_INTERRUPTED"
    assert [int(each["sequence"]) for each in seen] == [*range(1, len(seen) + 1)]
    # that gateway was not dead: it learns that the run is not its own, and stops it
    await one.sandbox.held.stopped.wait()
    assert [each async for each in watched(one, run)] == seen
    one.models.turns = [ANSWER.format("again")]
    again = await other.http.post("/v1/chat/completions", json=question(thread_id="t-1"))
    assert again.status_code == 200, again.text


async def lose(gateway: Platform, run: str) -> None:
    """As if its gateway had not renewed the run's lease."""
    url = gateway.settings.database_url
    assert url is not None
    engine = create_async_engine(url.reveal())
    async with engine.begin() as connection:
        for_ever = "UPDATE run_leases SET holder = 'gone', ends_ms = 0 WHERE run_id = :run"
        await connection.execute(text(for_ever), {"run": run})
    await engine.dispose()


async def test_thread_and_key_are_one_for_all_gateways(pair: list[Platform]) -> None:
    one, other = pair
    one.models.turns = [CODE.format("wait_for_ever()")]
    run = await begun(one, thread_id="t-1")
    await one.sandbox.held.reached.wait()
    busy = await other.http.post("/v1/runs", json=question(thread_id="t-1"))
    assert busy.status_code == 409 and "is going" in busy.json()["error"]["message"]
    deleted = await other.http.delete(f"/v1/responses/resp-{run}")
    assert deleted.status_code in (404, 409)
    await other.http.post(f"/v1/runs/{run}/cancel")
    one.models.turns = [ANSWER.format("free")] * 2
    same = {"headers": {"idempotency-key": "k"}, "json": question(thread_id="t-1")}
    first, second = await asyncio.gather(
        *(each.http.post("/v1/chat/completions", **same) for each in pair)  # type: ignore[arg-type]
    )
    assert first.json()["id"] == second.json()["id"]


@pytest.mark.req("S2")
async def test_quotas_count_in_all_gateways_together(pair: list[Platform]) -> None:
    one, other = pair
    async with one.other("default", quota={"runs_at_once": 1, "requests_per_minute": 6}) as ann:
        at_other = httpx.AsyncClient(
            base_url=other.http.base_url, headers=ann.headers, trust_env=False, timeout=30
        )
        async with at_other:
            one.models.turns = [CODE.format("wait_for_ever()")]
            run = (await ann.post("/v1/runs", json=question())).json()["id"]
            await one.sandbox.held.reached.wait()
            refused = await at_other.post("/v1/runs", json=question())
            assert refused.json()["error"]["details"]["quota"] == "runs_at_once"
            stopped = await at_other.post(f"/v1/runs/{run}/cancel")
            assert stopped.json()["status"] == "cancelled"
            one.models.turns = [ANSWER.format("yes")]
            asked = await at_other.post("/v1/chat/completions", json=question())
            assert asked.status_code == 200
            codes = [
                (await client.get("/v1/models")).status_code
                for client in (ann, at_other, ann, at_other)
            ]
            assert codes == [200, 200, 429, 429]
    for _ in range(100):
        usage = (await other.http.get("/v1/usage")).json()["total"]
        if usage["runs"] == 2:
            break
        await asyncio.sleep(0.05)
    assert (usage["runs"], usage["prompt_tokens"]) == (2, 200)
