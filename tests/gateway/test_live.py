"""What a run that goes holds in memory, and what its readers get whatever their pace."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from services.gateway.http.answering import RunResponse
from services.gateway.http.chat import _Completions
from services.gateway.journal import Journal
from services.gateway.live import Live
from tests.gateway.stores import Part, store, store_url

__all__ = ["store", "store_url"]

TEXT = analyst.BLOCK_KIND_ANALYZE


@pytest_asyncio.fixture
async def part(store: Database) -> AsyncIterator[Part]:
    kept = Part(store)
    yield kept
    await kept.journal.aclose()


@pytest.fixture
def journal(part: Part) -> Journal:
    return part.journal


@pytest_asyncio.fixture
async def live(part: Part) -> Live:
    return await part.begun("run-1")


def numbers(events: Sequence[analyst.Event]) -> list[int]:
    return [event.sequence for event in events]


async def test_written_events_leave_memory_and_are_read_from_the_database(
    journal: Journal, live: Live
) -> None:
    for number in range(40):
        live.text(TEXT, str(number))
        if number % 10 == 9:
            await journal.flush()
    assert live.since(0) is None
    assert numbers(live.since(30) or ()) == [*range(31, 41)]
    assert numbers(await journal.so_far("run-1")) == [*range(1, 41)]


@pytest.mark.req("C8")
async def test_reader_that_lags_gets_every_event_once_and_in_order(
    journal: Journal, live: Live
) -> None:
    live.text(TEXT, "a")
    async with aclosing(journal.batches("run-1")) as batches:
        got = [*await anext(batches)]
        for _ in range(12):
            for _ in range(100):
                live.text(TEXT, "b")
            await journal.flush()
        live.emit(completed=analyst.RunCompleted(answer="c"))
        async for batch in batches:
            got += batch
    assert numbers(got) == [*range(1, 1203)]


async def test_silence_is_told_and_events_after_it_too(journal: Journal, live: Live) -> None:
    async with aclosing(journal.batches("run-1", beat_s=0.02)) as batches:
        assert await anext(batches) == ()
        assert await anext(batches) == ()
        live.text(TEXT, "a")
        assert numbers(await anext(batches)) == [1]
        assert await anext(batches) == ()


async def test_reader_that_is_cancelled_leaves_others_alone(journal: Journal, live: Live) -> None:
    async with aclosing(journal.batches("run-1")) as one, aclosing(journal.batches("run-1")) as two:
        leaving, staying = asyncio.ensure_future(anext(one)), asyncio.ensure_future(anext(two))
        await asyncio.sleep(0)
        leaving.cancel()
        live.text(TEXT, "a")
        assert numbers(await staying) == [1]


@pytest.mark.req("C8")
async def test_writer_writes_by_itself_and_again_after_a_fault(
    journal: Journal, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [OSError("the disk is full")]
    write = journal._write

    async def once_broken(*args: object) -> object:
        if faults:
            raise faults.pop()
        return await write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "_write", once_broken)
    live.text(TEXT, "a")
    async with asyncio.timeout(5):
        while live.written < 1:
            await asyncio.sleep(0.01)
    assert not faults


@pytest.mark.req("C8")
async def test_client_that_does_not_read_costs_no_memory_and_misses_nothing(
    journal: Journal, live: Live
) -> None:
    reads, sent = asyncio.Event(), list[bytes]()

    def batches(_: str, run: str, after: int, beat_s: float | None) -> AsyncGenerator[Any, None]:
        return journal.batches(run, after, beat_s=beat_s)

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        await reads.wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    gateway: Any = SimpleNamespace(
        settings=SimpleNamespace(hold_s=10.0, heartbeat_s=10.0),
        runs=SimpleNamespace(batches=batches, attended=lambda _: nullcontext(lambda: True)),
    )
    rendering = _Completions("run-1", "m", include_usage=False)
    response = RunResponse(gateway, "ada", "run-1", rendering, stream=True, detach=False)
    live.text(TEXT, "a")
    answering = asyncio.create_task(response({"type": "http"}, receive, send))
    for _ in range(30):
        for _ in range(100):
            live.text(TEXT, "word")
        await journal.flush()
    assert len(sent) == 1 and live.since(2800) is None
    live.emit(completed=analyst.RunCompleted(answer="c", finish="answer"))
    reads.set()
    await answering
    # what is read from the database at a time: 16 pages of 64 events at most
    assert max(map(len, sent)) < 16 * 64 * 400
    lines = [line for line in b"".join(sent).splitlines() if line.startswith(b"data: {")]
    told = [int(json.loads(line[6:])["isobath"]["sequence"]) for line in lines]
    assert told == [*range(1, 3003)]
