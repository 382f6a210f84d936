"""Metrics to scale by, as they are scraped."""

import asyncio

import pytest
from prometheus_client import generate_latest

from servicekit.metrics import REGISTRY
from services.inference.engines.bounded import BoundedEngine
from services.inference.engines.metered import MeteredEngine
from services.inference.models import Load, Message, Request, Role
from tests.inference.scripted import Scripted


def scraped(name: str) -> float:
    lines = generate_latest(REGISTRY).decode().splitlines()
    (value,) = (line.split()[-1] for line in lines if line.split()[0] == name)
    return float(value)


@pytest.mark.req("S7")
async def test_metrics_tell_load_and_times(no_leaks):
    inner = Scripted(told=Load(0, 0, 0, 0.25))
    engine = MeteredEngine(BoundedEngine(inner, slots=1, queue=5))
    first = scraped("isobath_inference_first_token_seconds_count")
    between = scraped("isobath_inference_between_tokens_seconds_count")

    async def ask(text: str) -> None:
        async for _ in engine.generate(Request((Message(Role.USER, text),))):
            pass

    tasks = [asyncio.create_task(ask("hold on please")) for _ in range(3)]
    await inner.held.acquire()
    assert scraped("isobath_inference_running") == 1
    assert scraped("isobath_inference_waiting") == 2
    assert scraped("isobath_inference_slots") == 1
    assert scraped("isobath_inference_cache_used_ratio") == 0.25
    inner.go_on.set()
    await asyncio.gather(*tasks)
    assert scraped("isobath_inference_running") == 0
    assert scraped("isobath_inference_first_token_seconds_count") == first + 3
    assert scraped("isobath_inference_between_tokens_seconds_count") == between + 6
