import asyncio
import threading

import pytest

from servicekit.limits import Limiter
from services.inference.engines.embedded import EmbeddedEngine
from services.inference.models import (
    Completion,
    Delta,
    Finish,
    Message,
    Model,
    Request,
    Role,
    Sampling,
)

TEXT = (
    "<Analyze>\nLook first,  then\n\tcount. </Analyze>\n<Code>\nprint('a b  c')\n</Code>\ntoo much"
)


@pytest.fixture
async def engine():
    threads = Limiter("embedded", 1)
    yield EmbeddedEngine(lambda messages: TEXT, Model("m", "rules", "d"), threads)
    await threads.aclose()


def asking(**fields) -> Request:
    return Request((Message(Role.USER, "how many rows"),), **fields)


async def answered(engine: EmbeddedEngine, request: Request) -> tuple[list[str], Completion]:
    *deltas, completion = [event async for event in engine.generate(request)]
    assert isinstance(completion, Completion)
    return [d.text for d in deltas if isinstance(d, Delta)], completion


async def test_text_streams_in_small_deltas_without_loss(no_leaks, engine):
    deltas, completion = await answered(engine, asking())
    assert "".join(deltas) == TEXT and len(deltas) > 3
    assert max(len(delta.split()) for delta in deltas) <= 4
    assert completion.finish is Finish.STOP and completion.usage.estimated
    assert completion.usage.prompt_tokens > 0


async def test_text_ends_with_the_code_where_asked(no_leaks, engine):
    deltas, completion = await answered(engine, asking(stop_after_code=True))
    assert "".join(deltas).endswith("</Code>") and completion.matched_stop == "</Code>"


async def test_text_over_the_limit_ends_with_length(no_leaks, engine):
    deltas, completion = await answered(engine, asking(sampling=Sampling(max_tokens=4)))
    assert TEXT.startswith("".join(deltas)) and completion.finish is Finish.LENGTH
    assert completion.usage.completion_tokens <= 4


async def test_cancel_between_deltas_ends_it(no_leaks, engine):
    events = engine.generate(asking())
    await anext(events)
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_respond_runs_off_the_loop(no_leaks):
    where: list[str] = []

    def respond(messages) -> str:
        where.append(threading.current_thread().name)
        return "x"

    engine = EmbeddedEngine(respond, Model("m", "rules", "d"), Limiter("embedded", 1))
    await answered(engine, asking())
    await engine.aclose()
    assert where[0].startswith("embedded")


async def test_respond_that_fails_is_raised(no_leaks):
    def respond(messages) -> str:
        raise ZeroDivisionError

    engine = EmbeddedEngine(respond, Model("m", "rules", "d"), Limiter("embedded", 1))
    with pytest.raises(ZeroDivisionError):
        await answered(engine, asking())
    await asyncio.shield(engine.aclose())
