"""A gateway that stops leaves its runs to another one, in the middle of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dev.postgres import Postgres
from tests.gateway.conftest import ANSWER, CODE, Platform, question
from tests.gateway.doubles import HANG
from tests.gateway.several import beside, several
from tests.gateway.test_several import WISH, begun, stands, watched

pytestmark = pytest.mark.req("K3", "C8", "S8")


class Gate:
    """Where the model waits, until it is let go on."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.open.wait()


@dataclass
class Stopping:
    """`one` stays; `leaving` stops when it is told to."""

    one: Platform
    leaving: Platform
    stack: contextlib.AsyncExitStack
    gate: Gate

    async def stop(self) -> "asyncio.Task[None]":
        """As SIGTERM does; from then on it leaves its runs."""
        task = asyncio.create_task(self.stack.aclose())
        while True:
            try:
                answer = await self.leaving.http.get("/readyz")
            except httpx.TransportError:
                return task
            if answer.status_code == 503:
                return task
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def stopping(
    folder: Path, postgres: Postgres, linger_s: float = 0.0, **overrides: Any
) -> AsyncIterator[Stopping]:
    async with (
        several(folder, postgres, 1, **overrides) as (one,),
        contextlib.AsyncExitStack() as stack,
    ):
        leaving = await stack.enter_async_context(beside(one, linger_s=linger_s))
        one.models.held = gate = Gate()  # type: ignore[assignment]
        yield Stopping(one, leaving, stack, gate)
        gate.open.set()


@pytest_asyncio.fixture
async def pair(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Stopping]:
    async with stopping(tmp_path, postgres, hand_over_s=20.0) as made:
        yield made


def sequences(events: list[dict[str, Any]]) -> list[int]:
    return [int(each["sequence"]) for each in events]


async def test_run_goes_on_with_another_gateway_as_if_nothing_had_been(pair: Stopping) -> None:
    one = pair.one
    await one.source()
    one.models.turns = [
        CODE.format("x = 41\nsave('a.csv', b'1,2')"),
        CODE.format("print(x + 1)") + HANG,
        ANSWER.format("It is 42, see [a](a.csv)."),
    ]
    run = await begun(pair.leaving, data_sources=[{"source": "shop", "table": "public.orders"}])
    await pair.gate.reached.wait()

    got, first = list[dict[str, Any]](), asyncio.Event()

    async def attached() -> None:
        async for event in watched(pair.leaving, run):
            got.append(event)
            first.set()

    watching = asyncio.create_task(attached())
    await first.wait()
    stopped = await pair.stop()
    grants = len(one.sandbox.attached)
    pair.gate.open.set()
    done = await stands(one, run, "completed")
    await stopped
    seen = [each async for each in watched(one, run)]
    assert sequences(seen) == [*range(1, len(seen) + 1)]
    # who watched the gateway that stopped has missed nothing, and got nothing twice
    await watching
    assert got == seen
    kinds = [next(iter(each.keys() - {"run_id", "sequence", "at"})) for each in seen]
    assert kinds.count("started") == kinds.count("completed") == 1 and "notice" not in kinds
    # the kernel is the same one, and what was used before counts
    outputs = "".join(e["program_output"]["text"] for e in seen if "program_output" in e)
    assert outputs == "42\n"
    assert (done["usage"]["rounds"], done["usage"]["prompt_tokens"]) == (2, 300)
    assert done["usage"]["fetched_rows"] == 2
    # links to files of programs that ran before lead there, and the report has all programs
    answer = seen[-1]["completed"]
    text = "".join(e["block_text"]["text"] for e in seen if "block_text" in e)
    assert "[a](a.csv)" not in text and "[a](" in text
    report = next(each for each in answer["files"] if each["name"] == "report.md")
    content = (
        await one.http.get(
            f"/v1/files/{report['file_id' if 'file_id' in report else 'id']}/content"
        )
    ).text
    assert "Program 1" in content and "Program 2" in content
    # new grants, and the sources are attached and taken away once each
    assert len(one.sandbox.attached) == grants
    (sources,) = one.sandbox.attached.values()
    assert sources[0].grant
    for _ in range(100):
        if one.sandbox.detached == [run]:
            break
        await asyncio.sleep(0.02)
    assert one.sandbox.detached == [run]


async def test_run_that_is_taken_while_a_gateway_stops_goes_with_another(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with stopping(tmp_path, postgres, linger_s=3.0) as pair:
        pair.one.models.turns = [ANSWER.format("yes")]
        stopped = await pair.stop()
        run = await begun(pair.leaving, thread_id="t-1")
        seen = [each async for each in watched(pair.leaving, run)]
        assert seen[-1]["completed"]["answer"] == "yes"
        assert sequences(seen) == [*range(1, len(seen) + 1)]
        pair.one.models.turns = [ANSWER.format("too")]
        asked = question(thread_id="t-1")
        again = await pair.leaving.http.post("/v1/chat/completions", json=asked)
        assert again.status_code == 200 and "too" in again.text
        await stopped


async def test_client_that_is_sent_away_has_not_left_its_run(pair: Stopping) -> None:
    one = pair.one
    one.models.turns = [CODE.format("print(1)") + HANG, ANSWER.format("yes")]
    asked = {**question(), "stream": True}
    path, run = "/v1/chat/completions", ""
    with contextlib.suppress(httpx.TransportError):
        async with pair.leaving.http.stream("POST", path, json=asked) as response:
            async for line in response.aiter_lines():
                if line.startswith(": run "):
                    run = line.removeprefix(": run ").strip()
                if run and pair.gate.reached.is_set():
                    stopped = await pair.stop()
                    break
    pair.gate.open.set()
    await stands(one, run, "completed")
    await stopped


@pytest.mark.req("C7")
async def test_run_that_was_left_is_cancelled_and_approved_like_any(pair: Stopping) -> None:
    one = pair.one
    await one.source(approval=["query"])
    one.models.turns = [
        CODE.format(WISH),
        CODE.format("print(1)") + HANG,
        CODE.format(WISH),
        CODE.format("wait_for_ever()"),
    ]
    run = await begun(pair.leaving, data_sources=[{"source": "shop"}])
    await stands(pair.leaving, run, "waiting")
    address = f"/v1/runs/{run}/approvals"
    body = {"approved": True, "rest_of_run": True}
    assert (await pair.leaving.http.post(address, json=body)).status_code == 200
    await pair.gate.reached.wait()
    stopped = await pair.stop()
    pair.gate.open.set()
    await one.sandbox.held.reached.wait()
    told = (await one.http.get(address)).json()["data"]
    assert [each["how"] for each in told] == ["person", "rest_of_run"]
    cancelled = await one.http.post(f"/v1/runs/{run}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    await stopped


@pytest.mark.parametrize("what", ["changed", "deleted"])
async def test_source_that_is_not_as_it_was_is_told(pair: Stopping, what: str) -> None:
    one = pair.one
    id = await one.source()
    one.models.turns = [CODE.format("print(1)") + HANG, ANSWER.format("yes")]
    run = await begun(pair.leaving, data_sources=[{"source": "shop"}])
    await pair.gate.reached.wait()
    stopped = await pair.stop()
    if what == "changed":
        change = {"secrets": {"password": "another"}}
        assert (await one.http.patch(f"/v1/data-sources/{id}", json=change)).status_code == 200
    else:
        assert (await one.http.delete(f"/v1/data-sources/{id}")).status_code == 200
    pair.gate.open.set()
    await stands(one, run, "completed")
    seen = [each async for each in watched(one, run)]
    (notice,) = [each["notice"]["text"] for each in seen if "notice" in each]
    assert "shop" in notice and ("changed" in notice or "no longer there" in notice)
    await stopped


async def test_program_that_waits_for_a_person_is_interrupted_when_the_drain_ends(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with stopping(tmp_path, postgres, hand_over_s=0.5) as pair:
        one = pair.one
        await one.source(approval=["query"])
        one.models.turns = [CODE.format(WISH)]
        run = await begun(pair.leaving, data_sources=[{"source": "shop"}])
        await stands(one, run, "waiting")
        await (await pair.stop())
        told = await stands(one, run, "interrupted")
        assert told["error"]["reason"] == "RUN_INTERRUPTED"
        seen = [each async for each in watched(one, run)]
        assert sequences(seen) == [*range(1, len(seen) + 1)]
        assert seen[-1]["failed"]["reason"] == "RUN_INTERRUPTED"
        for _ in range(100):
            if one.sandbox.detached == [run]:
                break
            await asyncio.sleep(0.02)
        assert one.sandbox.detached == [run]
