"""An ASGI application on an address of its own, within a running loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

STOP_S = 10


@asynccontextmanager
async def listening(application: ASGIApp, host: str, port: int) -> AsyncIterator[int]:
    """Serves until the end of the block; gives the port. Raises `OSError` when it is taken."""
    listener = socket.create_server((host, port), backlog=1024)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_S,
        server_header=False,
    )
    server = uvicorn.Server(config)
    # signals belong to the service, not to this listener
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


class _no_signals:  # stands for a context manager function
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
