"""GenerateMany: many answers on one stream."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from isobath.inference.v1 import inference_pb2 as pb
from servicekit.channels import faults, streaming
from servicekit.status import RemoteFault
from services.inference.models import Completion, Delta, Finish
from services.inference.multiplex import Outbox
from tests.inference.scripted import Scripted, serving


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


@pytest.fixture
async def stub(engine: Scripted):
    async with serving(engine) as opened:
        yield opened


def start(number: int, text: str) -> pb.GenerateManyRequest:
    messages = [pb.Message(role=pb.ROLE_USER, content=text)]
    return pb.GenerateManyRequest(number=number, start=pb.GenerateRequest(messages=messages))


def cancel(number: int) -> pb.GenerateManyRequest:
    return pb.GenerateManyRequest(number=number, cancel=pb.Cancel())


class Reader:
    """Sorts what arrives by number; reads only as far as it is asked to."""

    def __init__(self, call) -> None:
        self._call = call
        self.batches = 0
        self.text: dict[int, str] = defaultdict(str)
        self.ends: dict[int, Any] = {}

    async def until(self, *numbers: int) -> None:
        while not set(numbers) <= set(self.ends):
            await self.more()

    async def more(self) -> None:
        batch = await self._call.read()
        self.batches += 1
        for event in batch.events:
            assert event.number not in self.ends, "something came after the end"
            kind = event.WhichOneof("event")
            if kind == "delta":
                self.text[event.number] += event.delta.text
            else:
                self.ends[event.number] = getattr(event, kind)


@pytest.fixture
async def call(stub):
    async with streaming(stub.GenerateMany()) as opened:
        yield opened


async def test_many_answers_arrive_whole_and_apart(no_leaks, stub):
    async with streaming(stub.GenerateMany()) as call:
        for number in range(200):
            await call.write(start(number, f"n{number} " + "word " * 10))
        reader = Reader(call)
        await reader.until(*range(200))
        await call.done_writing()
    for number in range(200):
        assert reader.text[number] == f"n{number} " + "word " * 10
        assert isinstance(reader.ends[number], pb.Completion)


async def test_deltas_of_one_tick_come_in_one_message(engine, call):
    for number in range(50):
        await call.write(start(number, "hold on"))
    for _ in range(50):
        await engine.held.acquire()
    reader = Reader(call)
    while len(reader.text) < 50:
        await reader.more()
    before = reader.batches
    engine.go_on.set()
    await reader.until(*range(50))
    # fifty second deltas and fifty completions, all within some ticks
    assert reader.batches - before <= 5


async def test_failures_are_told_inline_and_the_others_go_on(call):
    for number, text in enumerate(["fine", "refuse", "crash", "fine too"]):
        await call.write(start(number, text))
    await call.write(pb.GenerateManyRequest(number=9, start=pb.GenerateRequest(model="nope",
        messages=[pb.Message(role=pb.ROLE_USER, content="x")])))  # fmt: skip
    await call.write(pb.GenerateManyRequest(number=10, start=pb.GenerateRequest()))
    await call.write(pb.GenerateManyRequest(number=11))
    reader = Reader(call)
    await reader.until(0, 1, 2, 3, 9, 10, 11)
    reasons = {n: end.reason for n, end in reader.ends.items() if isinstance(end, pb.Failure)}
    assert reasons == {
        1: "MODEL_REFUSED", 2: "INTERNAL", 9: "NOT_FOUND", 10: "INVALID_FIELD", 11: "INVALID_FIELD",
    }  # fmt: skip
    assert reader.ends[1].code == 9 and reader.ends[1].metadata["status"] == "400"
    assert "hidden" not in reader.ends[2].message and "hidden" not in reader.ends[1].message
    assert reader.text[3] == "fine too "


@pytest.mark.req("C7")
async def test_cancel_frees_one_and_leaves_the_others(engine, call):
    await call.write(start(1, "hold one"))
    await call.write(start(2, "hold two"))
    await engine.held.acquire()
    await engine.held.acquire()
    await call.write(cancel(1))
    await call.write(cancel(77))
    reader = Reader(call)
    await reader.until(1)
    assert reader.ends[1].reason == "CANCELLED" and engine.freed == ["hold one"]
    engine.go_on.set()
    await reader.until(2)
    assert isinstance(reader.ends[2], pb.Completion)


async def test_cancel_right_after_start_still_ends_the_number(call):
    for number in range(20):
        await call.write(start(number, "hold"))
        await call.write(cancel(number))
    reader = Reader(call)
    await reader.until(*range(20))
    assert {end.reason for end in reader.ends.values()} == {"CANCELLED"}


async def test_number_is_free_again_after_its_end(call):
    reader = Reader(call)
    for _ in range(3):
        await call.write(start(1, "again"))
        await reader.until(1)
        reader.ends.clear()
    assert reader.text[1] == "again " * 3


async def test_number_in_use_ends_the_stream(no_leaks, engine, stub):
    async with streaming(stub.GenerateMany(iter([start(1, "hold"), start(1, "x")]))) as call:
        with pytest.raises(RemoteFault) as fault:
            async for _ in faults(call):
                pass
    assert fault.value.reason == "INVALID_FIELD" and fault.value.fields["field"] == "number"
    assert engine.freed == ["hold"]


@pytest.mark.req("C7")
async def test_stream_left_frees_all(no_leaks, engine, stub):
    async with streaming(stub.GenerateMany()) as call:
        for number in range(10):
            await call.write(start(number, "hold"))
        for _ in range(10):
            await engine.held.acquire()
    async with asyncio.timeout(5):
        while len(engine.freed) < 10:
            await asyncio.sleep(0.01)


async def test_half_closed_stream_ends_after_its_answers(stub):
    call = stub.GenerateMany(iter([start(1, "a b"), start(2, "c")]))
    batches = [batch async for batch in call]
    ends = {e.number for b in batches for e in b.events if e.WhichOneof("event") == "completion"}
    assert ends == {1, 2}


async def test_stream_without_a_request_ends(stub):
    assert [batch async for batch in stub.GenerateMany(iter([]))] == []


async def test_outbox_joins_deltas_of_a_slow_reader_but_not_over_an_end():
    outbox = Outbox()
    for piece in ("a", "b"):
        outbox.put(1, Delta(piece, 1))
        outbox.put(2, Delta(piece.upper(), 1))
    outbox.put(1, Completion(Finish.STOP))
    outbox.put(1, Delta("next", 1))
    found = [(e.number, e.delta.text, e.delta.tokens) for e in await outbox.batch()]
    assert found == [(1, "ab", 2), (2, "AB", 2), (1, "", 0), (1, "next", 1)]
