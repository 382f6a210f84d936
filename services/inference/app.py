"""Puts the chosen engine behind the contract."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai

from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.limits import Limiter
from servicekit.server import Server
from services.inference.engines import vllm
from services.inference.engines.bounded import BoundedEngine
from services.inference.engines.embedded import EmbeddedEngine
from services.inference.engines.openai import OpenAIEngine
from services.inference.engines.port import Adapters, Engine
from services.inference.engines.rules import respond
from services.inference.models import Model
from services.inference.servicer import ALLOW, SERVICE, STATUSES, InferenceServicer
from services.inference.settings import Settings

_RULES_THREADS = 2


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    engine, adapters = await _engine(server, settings)
    try:
        servicer = InferenceServicer(engine, adapters)
        server.register(
            SERVICE,
            lambda target: rpc.add_InferenceServiceServicer_to_server(servicer, target),
            statuses=STATUSES,
            allow=ALLOW,
        )
        yield
    finally:
        await engine.aclose()


async def _engine(server: Server, settings: Settings) -> tuple[Engine, Adapters | None]:
    if settings.engine == "vllm":
        found = await vllm.opened(settings, lambda: _give_up(server))
        return _bounded(found, settings), found
    engine = _openai(settings) if settings.engine == "openai" else _rules(settings)
    return _bounded(engine, settings), None


def _bounded(engine: Engine, settings: Settings) -> Engine:
    return BoundedEngine(engine, slots=settings.slots, queue=settings.queue)


def _give_up(server: Server) -> None:
    """Not ready from now on, and out by the ordinary way; whoever runs us starts us anew."""
    server.set_serving(False)
    signal.raise_signal(signal.SIGTERM)


def _rules(settings: Settings) -> Engine:
    model = Model(
        settings.public_model,
        "rules",
        "A rule-based analyst: no language model, no GPU. It computes what it reports.",
        settings.context_tokens,
    )
    threads = Limiter("rules", _RULES_THREADS)
    return EmbeddedEngine(respond, model, threads)


def _openai(settings: Settings) -> Engine:
    client = openai.AsyncOpenAI(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.reveal(),
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
