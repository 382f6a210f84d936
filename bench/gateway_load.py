"""Clients of a streaming server, as cheap as they can be: `python -m bench.gateway_load`.

It reads one `Load` as JSON from its input, opens the streams, and says {"open": seconds} once each
had a token. A line `begin` starts a window, a line `end` closes it, and what came within it is said
as a `Seen`; then the streams are closed. Times between a token's making and its coming are taken
from the text itself, see `bench.gateway_engine`.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from bench.gateway_engine import MODEL, Script
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as analyst_rpc
from isobath.inference.v1 import inference_pb2 as inference
from servicekit.channels import channel, streaming
from servicekit.secrets import Secret
from services.gateway.models import reaching

# of the message's text, not of the typed event beside it
_MADE = re.compile(rb'"content":"(\d+) ')


@dataclass(frozen=True)
class Load:
    """`kind`: http, chat (gRPC), or engine, which asks it without a gateway."""

    kind: str
    address: str
    streams: int
    script: Script
    key: str = ""
    model: str = ""

    @classmethod
    def read(cls, text: str) -> "Load":
        given = json.loads(text)
        return cls(**given | {"script": Script(**given["script"])})


@dataclass
class Seen:
    """Within the window: tokens and bytes that came, and how old each token was, in ns."""

    tokens: int = 0
    size: int = 0
    ages: list[int] = field(default_factory=list)

    def token(self, made_ns: int) -> None:
        self.tokens += 1
        self.ages.append(time.monotonic_ns() - made_ns)

    def text(self) -> str:
        ages = sorted(self.ages)
        at = {f"p{p}": ages[len(ages) * p // 100] / 1e6 if ages else 0.0 for p in (5, 50, 95, 99)}
        return json.dumps({"tokens": self.tokens, "size": self.size, **at})


class Clients:
    """All streams; `seen` is None outside of the window."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.seen: Seen | None = None
        self.left = load.streams
        self.all_open = asyncio.Event()

    def opened(self) -> None:
        self.left -= 1
        if not self.left:
            self.all_open.set()


class Reader(asyncio.Protocol):
    """One stream over HTTP."""

    def __init__(self, clients: Clients, request: bytes) -> None:
        self._clients = clients
        self._request = request
        self._rest = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        held = self._rest + data
        end = held.rfind(b"\n\n")
        whole, self._rest = held[: end + 2], held[end + 2 :]
        made = _MADE.findall(whole)
        if made and not self._open:
            self._open = True
            self._clients.opened()
        if seen := self._clients.seen:
            seen.size += len(data)
            seen.tokens += len(made)
            seen.ages += [now - int(each) for each in made]


def request(load: Load) -> bytes:
    """The question as HTTP/1.1."""
    messages = [{"role": "user", "content": load.script.text()}]
    body = json.dumps({"model": load.model, "stream": True, "messages": messages}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {load.address}\r\n"
        f"authorization: Bearer {load.key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _http(clients: Clients) -> None:
    host, _, port = clients.load.address.rpartition(":")
    asked = request(clients.load)
    loop = asyncio.get_running_loop()
    transports = []
    try:
        for _ in range(clients.load.streams):
            made = await loop.create_connection(lambda: Reader(clients, asked), host, int(port))
            transports.append(made[0])
        await asyncio.Event().wait()
    finally:
        for each in transports:
            each.abort()


def _taking(clients: Clients) -> Callable[[str], None]:
    fresh = True

    def take(text: str) -> None:
        nonlocal fresh
        if not text[:1].isdecimal():
            return
        if fresh:
            fresh = False
            clients.opened()
        if clients.seen:
            clients.seen.token(int(text.partition(" ")[0]))

    return take


async def _chat(clients: Clients) -> None:
    load = clients.load
    message = analyst.ChatMessage(role="user", content=load.script.text())
    asked = analyst.ChatRequest(model=load.model, messages=[message])
    async with channel(load.address, token=Secret(load.key)) as link, asyncio.TaskGroup() as group:
        stub = analyst_rpc.AnalystServiceStub(link)

        async def one() -> None:
            take = _taking(clients)
            async with streaming(stub.Chat(asked)) as call:
                async for response in call:
                    if response.event.HasField("block_text"):
                        take(response.event.block_text.text)

        for _ in range(load.streams):
            group.create_task(one())


async def _engine(clients: Clients) -> None:
    load = clients.load
    message = inference.Message(role=inference.ROLE_USER, content=load.script.text())
    asked = inference.GenerateRequest(model=MODEL, messages=[message])
    async with reaching([load.address], None, None) as models, asyncio.TaskGroup() as group:

        async def one() -> None:
            take = _taking(clients)
            async for event in models.generate(asked, key="", seconds=600):
                if event.HasField("delta"):
                    take(event.delta.text)

        for _ in range(load.streams):
            group.create_task(one())


_KINDS = {"http": _http, "chat": _chat, "engine": _engine}


async def _serve() -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    load = Load.read((await lines.readline()).decode())
    clients = Clients(load)
    started = time.monotonic()
    running = asyncio.create_task(_KINDS[load.kind](clients))
    # a client that fails is heard of
    running.add_done_callback(lambda _: clients.all_open.set())
    try:
        await clients.all_open.wait()
        if running.done():
            await running
        print(json.dumps({"open": time.monotonic() - started}), flush=True)
        await lines.readline()
        clients.seen = seen = Seen()
        await lines.readline()
        clients.seen = None
        print(seen.text(), flush=True)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def spec(load: Load) -> bytes:
    """For the input of this program."""
    return json.dumps(asdict(load)).encode() + b"\n"


if __name__ == "__main__":
    asyncio.run(_serve())
