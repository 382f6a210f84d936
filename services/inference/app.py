"""Puts the chosen engine behind the contract."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import openai

from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.channels import channel
from servicekit.limits import Limiter
from servicekit.server import Server
from services.inference.engines import vllm
from services.inference.engines.bounded import BoundedEngine
from services.inference.engines.embedded import EmbeddedEngine
from services.inference.engines.metered import MeteredEngine
from services.inference.engines.openai import OpenAIEngine
from services.inference.engines.port import Adapters, Engine
from services.inference.engines.rules import respond
from services.inference.model_key import ModelKey
from services.inference.models import Model
from services.inference.servicer import ALLOW, SERVICE, STATUSES, InferenceServicer
from services.inference.settings import Settings

_RULES_THREADS = 2


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        engine, adapters = await _engine(server, settings, stack)
        stack.push_async_callback(engine.aclose)
        if adapters is not None and (folder := settings.vllm_adapters_folder) is not None:
            every_s = settings.vllm_adapters_watch_s
            await stack.enter_async_context(vllm.following(adapters, folder, every_s))
        servicer = InferenceServicer(engine, server.draining, adapters)
        server.register(
            SERVICE,
            lambda target: rpc.add_InferenceServiceServicer_to_server(servicer, target),
            statuses=STATUSES,
            allow=ALLOW,
        )
        yield


async def _engine(
    server: Server, settings: Settings, stack: AsyncExitStack
) -> tuple[Engine, Adapters | None]:
    if settings.engine == "vllm":
        found = await vllm.opened(settings, lambda: server.give_up("vLLM's process has died"))
        return _bounded(found, settings), found
    if settings.engine == "openai":
        key = await _key(server, settings, stack)
        return _bounded(_openai(settings, key), settings), None
    return _bounded(_rules(settings), settings), None


async def _key(
    server: Server, settings: Settings, stack: AsyncExitStack
) -> str | Callable[[], Awaitable[str]]:
    if not settings.credentials:
        return settings.openai_api_key.reveal()
    opened = channel(
        settings.credentials,
        token=settings.token,
        tls=server.tls,
        repeatable=frozenset({"ReadModelKey"}),
    )
    return ModelKey(await stack.enter_async_context(opened))


def _bounded(engine: Engine, settings: Settings) -> Engine:
    return MeteredEngine(BoundedEngine(engine, slots=settings.slots, queue=settings.queue))


def _rules(settings: Settings) -> Engine:
    model = Model(
        settings.public_model,
        "rules",
        "A rule-based analyst: no language model, no GPU. It computes what it reports.",
        settings.context_tokens,
    )
    threads = Limiter("rules", _RULES_THREADS)
    return EmbeddedEngine(respond, model, threads)


def _openai(settings: Settings, key: str | Callable[[], Awaitable[str]]) -> Engine:
    client = openai.AsyncOpenAI(
        base_url=settings.openai_base_url,
        api_key=key,
        # retried by the engine, which knows whether anything was given out
        max_retries=0,
        timeout=openai.Timeout(settings.stall_timeout_s, connect=settings.connect_timeout_s),
    )
    description = f"{settings.model} on a model server"
    model = Model(settings.public_model, "openai", description, settings.context_tokens)
    return OpenAIEngine(
        client,
        model,
        upstream=settings.model,
        protocol=settings.protocol,
        retries=settings.openai_retries,
    )
