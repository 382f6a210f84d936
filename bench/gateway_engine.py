"""An inference service whose answers tell when each token was given out, and a sandbox double:
`python -m bench.gateway_engine PORT`.

Everything but the engine is the service's own: contract, multiplexing, batching of a tick. What an
answer is like stands in the question, as a `Script` in JSON. Each delta begins with the time at
which it was made, in nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from isobath.inference.v1 import inference_pb2_grpc as rpc
from isobath.sandbox.v1 import sandbox_pb2_grpc as sandbox_rpc
from servicekit import logs
from servicekit.server import Server, ServerSettings, serving
from services.inference.models import (
    Completion,
    Delta,
    Event,
    Finish,
    Load,
    Message,
    Model,
    Request,
    TokenCount,
    Usage,
)
from services.inference.servicer import ALLOW, SERVICE, STATUSES, InferenceServicer
from tests.gateway.doubles import Sandbox

MODEL = "scripted"
_SCRIPT = re.compile(r'\{"tokens".*?\}')


@dataclass(frozen=True)
class Script:
    """`together`: as an engine's step has it, all answers get their token in one tick; else each at
    a time of its own. `tagged`: the answer is an analyst's, in blocks."""

    tokens: int
    every_s: float
    together: bool = True
    tagged: bool = False

    def text(self) -> str:
        return json.dumps(asdict(self))


class Ticks:
    """Wakes whoever waits, all at once, every so many seconds."""

    def __init__(self) -> None:
        self._waiting: dict[float, list[asyncio.Future[None]]] = {}

    async def tick(self, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        if every_s not in self._waiting:
            self._waiting[every_s] = []
            loop.call_at((loop.time() // every_s + 1) * every_s, self._ring, every_s)
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting[every_s].append(waiting)
        await waiting

    def _ring(self, every_s: float) -> None:
        for waiting in self._waiting.pop(every_s):
            if not waiting.done():
                waiting.set_result(None)


class ScriptedEngine:
    """The engine's port."""

    def __init__(self) -> None:
        self._ticks = Ticks()
        self._running = 0

    def models(self) -> Sequence[Model]:
        return [Model(MODEL, "scripted", "says what its question asks for")]

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        found = _SCRIPT.search("".join(each.content for each in request.messages))
        assert found is not None
        script = Script(**json.loads(found[0]))
        self._running += 1
        try:
            if script.tagged:
                yield Delta("<Analyze>\n", 1)
            at = asyncio.get_running_loop().time() + script.every_s * random.random()
            for number in range(script.tokens):
                yield Delta(_text(number), 1)
                at += script.every_s
                await self._pause(script, at)
            if script.tagged:
                yield Delta("</Analyze>\n<Answer>so it is</Answer>", 1)
            yield Completion(Finish.STOP, usage=Usage(100, script.tokens))
        finally:
            self._running -= 1

    async def _pause(self, script: Script, at: float) -> None:
        if script.together:
            await self._ticks.tick(script.every_s)
        else:
            await asyncio.sleep(at - asyncio.get_running_loop().time())

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return TokenCount(sum(len(each.content) for each in messages) // 4, estimated=False)

    def load(self) -> Load:
        return Load(self._running, 0, 10_000)

    async def aclose(self) -> None:
        return


def _text(number: int) -> str:
    """A word; now and then a line ends, or a quote has to be escaped."""
    return f"{time.monotonic_ns()} " + ("\n" if number % 16 == 15 else ('"' if number % 8 else "a"))


@asynccontextmanager
async def mount(server: Server, _: None) -> AsyncIterator[None]:
    servicer, sandbox = InferenceServicer(ScriptedEngine(), server.draining), Sandbox()
    server.register(
        SERVICE,
        lambda to: rpc.add_InferenceServiceServicer_to_server(servicer, to),
        statuses=STATUSES,
        allow=ALLOW,
    )
    server.register(
        Sandbox.NAME, lambda to: sandbox_rpc.add_SandboxServiceServicer_to_server(sandbox, to)
    )
    yield


async def _serve(port: int) -> None:
    async with serving(mount, None, ServerSettings(bind=f"127.0.0.1:{port}", drain_s=1.0)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    logs.configure("inference", level="ERROR")
    asyncio.run(_serve(int(sys.argv[1])))
