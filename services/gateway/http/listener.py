"""An ASGI application on an address of its own, within a running loop."""

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Ending:
    """How a service ends. From `draining` on, answers tell their connections to close, and new ones
    are taken still, because balancers learn late; from `closing` on they are not, and what runs has
    `stop_s`, in seconds."""

    draining: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    stop_s: float = 10.0


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to the service."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


class _LastAnswers:
    """The last answer of a connection says that it is the last."""

    def __init__(self, application: ASGIApp, draining: asyncio.Event) -> None:
        self._application, self._draining = application, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and self._draining.is_set():
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await self._application(scope, receive, told)


@asynccontextmanager
async def listening(
    application: ASGIApp, host: str, port: int, ending: Ending | None = None
) -> AsyncIterator[int]:
    """Serves until the end of the block, or until it is closing; gives the port. Raises `OSError`
    when it is taken."""
    ending = ending or Ending()
    listener = socket.create_server((host, port), backlog=1024)
    config = uvicorn.Config(
        _LastAnswers(application, ending.draining),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=math.ceil(ending.stop_s),
        server_header=False,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    closing = asyncio.create_task(_close(server, ending.closing), name="close http")
    try:
        await server.listens.wait()
        yield listener.getsockname()[1]
    finally:
        closing.cancel()
        server.should_exit = True
        await asyncio.gather(task, closing, return_exceptions=True)
        listener.close()
        task.result()


async def _close(server: uvicorn.Server, closing: asyncio.Event) -> None:
    await closing.wait()
    server.should_exit = True
