"""What to scale by: how busy the engine is, and how long its tokens take."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import REGISTRY
from services.inference.engines.port import Engine
from services.inference.models import Completion, Event, Load, Message, Model, Request, TokenCount

RUNNING = Gauge("isobath_inference_running", "Answers under way.", registry=REGISTRY)
WAITING = Gauge("isobath_inference_waiting", "Answers that wait for a slot.", registry=REGISTRY)
SLOTS = Gauge("isobath_inference_slots", "Answers at once at most.", registry=REGISTRY)
CACHE = Gauge(
    "isobath_inference_cache_used_ratio",
    "Of the KV cache; 0 where the engine has none.",
    registry=REGISTRY,
)
FIRST_TOKEN = Histogram(
    "isobath_inference_first_token_seconds",
    "From the request to the first delta, waiting included.",
    buckets=[0.01 * 2**n for n in range(14)],
    registry=REGISTRY,
)
BETWEEN_TOKENS = Histogram(
    "isobath_inference_between_tokens_seconds",
    "From one delta to the next of the same answer.",
    buckets=[0.001 * 2**n for n in range(14)],
    registry=REGISTRY,
)
TOKENS = Counter(
    "isobath_inference_tokens",
    "By kind: prompt, of these cached, and completion.",
    ("kind",),
    registry=REGISTRY,
)


class MeteredEngine:
    """An engine, and its metrics beside."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        RUNNING.set_function(lambda: self.load().running)
        WAITING.set_function(lambda: self.load().waiting)
        SLOTS.set_function(lambda: self.load().slots)
        CACHE.set_function(lambda: self.load().cache_used_fraction or 0.0)

    def models(self) -> Sequence[Model]:
        return self._engine.models()

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        last, seconds = time.perf_counter(), FIRST_TOKEN
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                now = time.perf_counter()
                if isinstance(event, Completion):
                    _count(event)
                else:
                    seconds.observe(now - last)
                    last, seconds = now, BETWEEN_TOKENS
                yield event

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return await self._engine.count_tokens(model, messages)

    def load(self) -> Load:
        return self._engine.load()

    async def aclose(self) -> None:
        await self._engine.aclose()


def _count(ended: Completion) -> None:
    usage = ended.usage
    TOKENS.labels("prompt").inc(usage.prompt_tokens)
    TOKENS.labels("cached").inc(usage.cached_tokens)
    TOKENS.labels("completion").inc(usage.completion_tokens)
