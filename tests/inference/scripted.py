"""An engine whose steps the test takes itself: it shows what the service makes of any engine."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.server import Server, ServerSettings
from servicekit.testing import open_channel, running
from services.inference.errors import AdapterConflict, AdapterNotFound, ModelRefused, TooBusy
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
)
from services.inference.servicer import SERVICE, STATUSES, InferenceServicer


@dataclass
class Scripted:
    """The text of the last message says what happens: "hold" waits for `go_on` after its first
    delta, "refuse", "full" and "crash" fail, anything else is echoed word by word. `full`: every
    request is refused as too much."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    freed: list[str] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    loaded: dict[str, Path] = field(default_factory=dict)
    closed: bool = False
    full: bool = False
    told: Load = field(default_factory=lambda: Load(0, 0, 0))

    def models(self) -> Sequence[Model]:
        base = Model("base", "scripted", "for tests", 1000)
        return (base, *(Model(n, "scripted", "", 0, "base") for n in self.loaded))

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self.seen.append(request)
        text = request.messages[-1].content
        if text == "refuse":
            raise ModelRefused("no", "hidden detail", model="base", status=400)
        if text == "full" or self.full:
            raise TooBusy(limit="queue", retry_after_s=2.0)
        if text == "crash":
            raise ValueError("hidden detail")
        try:
            for word in text.split():
                yield Delta(word + " ", 1)
                if text.startswith("hold"):
                    self.held.release()
                    await self.go_on.wait()
            yield Completion(Finish.STOP)
        finally:
            self.freed.append(text)

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return TokenCount(sum(len(m.content) for m in messages), estimated=False)

    def load(self) -> Load:
        return self.told

    async def aclose(self) -> None:
        self.closed = True

    async def load_adapter(self, name: str, path: Path) -> Model:
        if not path.is_dir():
            raise AdapterNotFound(str(path))
        if self.loaded.setdefault(name, path) != path:
            raise AdapterConflict(name)
        return self.models()[-1]

    async def unload_adapter(self, name: str) -> bool:
        return self.loaded.pop(name, None) is not None


@asynccontextmanager
async def replica(
    engine: Scripted, *, adapters: bool = True, bind: str = "127.0.0.1:0"
) -> AsyncIterator[Server]:
    @asynccontextmanager
    async def mount(server: Server, _: None) -> AsyncIterator[None]:
        servicer = InferenceServicer(engine, server.draining, engine if adapters else None)
        server.register(
            SERVICE,
            lambda s: rpc.add_InferenceServiceServicer_to_server(servicer, s),
            statuses=STATUSES,
        )
        yield

    settings = ServerSettings(bind=bind, drain_s=2.0)
    async with running((mount, None), server_settings=settings) as server:
        yield server


@asynccontextmanager
async def serving(
    engine: Scripted, *, adapters: bool = True
) -> AsyncIterator[rpc.InferenceServiceStub]:
    async with replica(engine, adapters=adapters) as server, open_channel(server) as channel:
        yield rpc.InferenceServiceStub(channel)
