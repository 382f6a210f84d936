import asyncio

import pytest

from services.inference.engines.bounded import BoundedEngine
from services.inference.errors import TooBusy
from services.inference.models import Load, Message, Request, Role
from tests.inference.scripted import Scripted


def asking(text: str, priority: int = 0) -> Request:
    return Request((Message(Role.USER, text),), priority=priority)


async def drained(engine: BoundedEngine, request: Request) -> None:
    async for _ in engine.generate(request):
        pass


async def queued(engine: BoundedEngine, *requests: Request) -> list["asyncio.Task[None]"]:
    tasks = []
    for request in requests:
        tasks.append(asyncio.create_task(drained(engine, request)))
        await asyncio.sleep(0)
    return tasks


async def test_waiting_answers_begin_by_priority_then_by_age(no_leaks):
    inner = Scripted()
    engine = BoundedEngine(inner, slots=1, queue=9)
    first = await queued(engine, asking("hold"))
    others = await queued(engine, asking("late", 5), asking("b", 1), asking("c", 1), asking("a", 0))
    inner.go_on.set()
    await asyncio.gather(*first, *others)
    assert [request.messages[0].content for request in inner.seen] == [
        "hold",
        "a",
        "b",
        "c",
        "late",
    ]


async def test_what_waits_within_the_engine_counts_as_waiting(no_leaks):
    inner = Scripted(told=Load(1, 1, 2, 0.5))
    engine = BoundedEngine(inner, slots=2, queue=9)
    tasks = await queued(engine, asking("hold"), asking("hold"), asking("x"))
    assert engine.load() == Load(running=1, waiting=2, slots=2, cache_used_fraction=0.5)
    inner.go_on.set()
    await asyncio.gather(*tasks)


async def test_queue_full_is_refused(no_leaks):
    inner = Scripted()
    engine = BoundedEngine(inner, slots=1, queue=1)
    tasks = await queued(engine, asking("hold"), asking("x"))
    with pytest.raises(TooBusy) as busy:
        await drained(engine, asking("y"))
    assert busy.value.retry_after_s
    inner.go_on.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("when", ["waiting", "handed over", "running"])
async def test_cancelled_answer_gives_its_slot_on(no_leaks, when):
    inner = Scripted()
    engine = BoundedEngine(inner, slots=1, queue=9)
    holder, second, third = await queued(engine, asking("hold"), asking("hold 2"), asking("x"))
    if when == "waiting":
        second.cancel()
        inner.go_on.set()
        await asyncio.gather(holder, third)
    elif when == "handed over":
        holder.cancel()
        while not holder.done():
            await asyncio.sleep(0)
        second.cancel()
        await third
    else:
        holder.cancel()
        await inner.held.acquire()
        await inner.held.acquire()
        second.cancel()
        await third
    assert engine.load().running == 0 and engine.load().waiting == 0
