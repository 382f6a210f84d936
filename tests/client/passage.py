"""A TCP passage between a client and a gateway, that cuts, closes and speaks TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Passage:
    """`address` is where it listens. While it is `closed` every connection is refused at once;
    while it is `mute` nothing comes back through it."""

    def __init__(self, to: str) -> None:
        host, _, port = to.rpartition(":")
        self._to = (host, int(port))
        self._links: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""
        self.closed = False
        self.mute = False
        self.swallowed = asyncio.Event()
        self.connections = 0

    def cut(self) -> None:
        """Tear every connection."""
        for each in self._links:
            each.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._links.add(writer)
        try:
            if not self.closed:
                self.connections += 1
                await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # cancelled only by `passage`, which waits for it
        finally:
            self._links.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._to)
        self._links.add(back)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, back, hears=False))
                both.create_task(self._pump(there, writer, hears=True))
        except* OSError:
            pass
        finally:
            self._links.discard(back)
            back.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, hears: bool
    ) -> None:
        while data := await reader.read(64 * 1024):
            if hears and self.mute:
                self.swallowed.set()
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def aclose(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def passage(to: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Passage]:
    """One that is open; `tls` is what it speaks to clients."""
    opened = Passage(to)
    server = await asyncio.start_server(opened.serve, "127.0.0.1", 0, ssl=tls)
    opened.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield opened
    finally:
        server.close()
        await opened.aclose()
        with suppress(OSError):
            await server.wait_closed()
