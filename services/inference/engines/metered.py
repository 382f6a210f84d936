"""What to scale by: how busy the engine is, and how long its tokens take."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from prometheus_client import Counter, Gauge, Histogram

from servicekit import tracing
from servicekit.metrics import REGISTRY, SECONDS_BUCKETS
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
ANSWERS = Counter(
    "isobath_inference_answers",
    "Answers that ended: outcome = stop, length, abort, left (the caller went away), or the class "
    "of what went wrong.",
    ("outcome",),
    registry=REGISTRY,
)
SECONDS = Histogram(
    "isobath_inference_seconds",
    "From the request to the end of its answer, waiting included.",
    buckets=SECONDS_BUCKETS,
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
        answer = _Answer(self._engine.models(), request)
        # in a span of its own, which is not the current one: a generator has no context of its own
        request = replace(request, trace=answer.headers())
        try:
            async with aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    answer.take(event)
                    yield event
        except BaseException as error:
            answer.failed(error)
            raise
        finally:
            answer.end()

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return await self._engine.count_tokens(model, messages)

    def load(self) -> Load:
        return self._engine.load()

    async def aclose(self) -> None:
        await self._engine.aclose()


class _Answer:
    """One answer's times, and its span."""

    def __init__(self, models: Sequence[Model], request: Request) -> None:
        self._began = self._last = time.perf_counter()
        self._seconds = FIRST_TOKEN
        self._outcome = "left"
        model = request.model or models[0].id
        self._span = tracing.begin(f"chat {model}", attributes=_asked(model, models[0], request))

    def headers(self) -> Mapping[str, str]:
        return tracing.headers() if self._span is tracing.NOTHING else self._span.headers()

    def take(self, event: Event) -> None:
        if isinstance(event, Completion):
            self._outcome = event.finish.value
            _count(event)
            self._span.tell(_told(event))
            return
        now = time.perf_counter()
        if self._seconds is FIRST_TOKEN:
            self._span.tell({"gen_ai.latency.time_to_first_token": now - self._began})
        self._seconds.observe(now - self._last)
        self._last, self._seconds = now, BETWEEN_TOKENS

    def failed(self, error: BaseException) -> None:
        if not isinstance(error, GeneratorExit | asyncio.CancelledError):
            self._outcome = type(error).__name__
            self._span.fail(self._outcome)

    def end(self) -> None:
        if self._outcome == "left":
            self._span.tell({tracing.CANCELLED: True})
        ANSWERS.labels(self._outcome).inc()
        SECONDS.observe(time.perf_counter() - self._began)
        self._span.end()


def _asked(model: str, default: Model, request: Request) -> tracing.Attributes:
    told: dict[str, tracing.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": default.engine,
        "gen_ai.request.model": model,
    }
    if request.sampling.max_tokens:
        told["gen_ai.request.max_tokens"] = request.sampling.max_tokens
    if request.sampling.temperature is not None:
        told["gen_ai.request.temperature"] = request.sampling.temperature
    return told


def _told(ended: Completion) -> tracing.Attributes:
    return {
        "gen_ai.usage.input_tokens": ended.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": ended.usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": ended.usage.cached_tokens,
        "gen_ai.response.finish_reasons": ended.finish.value,
    }


def _count(ended: Completion) -> None:
    usage = ended.usage
    TOKENS.labels("prompt").inc(usage.prompt_tokens)
    TOKENS.labels("cached").inc(usage.cached_tokens)
    TOKENS.labels("completion").inc(usage.completion_tokens)
