"""A TCP proxy between the connector and Azurite, that cuts, holds, refuses and counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

BUSY = (
    b"HTTP/1.1 503 Server busy\r\nx-ms-error-code: ServerBusy\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


def answer(status: str, code: str, message: str, *headers: str, detail: str = "") -> bytes:
    """As Azure answers a refusal: a code, its words, and sometimes the detail of it."""
    more = f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>" if detail else ""
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
    body += f"<Message>{message}\nRequestId:0\nTime:2026-01-01T00:00:00Z</Message>{more}</Error>"
    lines = [f"HTTP/1.1 {status}", f"x-ms-error-code: {code}", "Content-Type: application/xml"]
    lines += [f"Content-Length: {len(body.encode())}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body]).encode()


@dataclass
class Proxy:
    """`answers`: give these instead of what the server would say, one for each new connection.
    `cuts`: tear the connection when so many bytes in all have gone to the client. `cut_every`:
    tear each answer after so many bytes. `busy`: answer that many new connections with 503."""

    target: int
    port: int = 0
    cuts: list[int] = field(default_factory=list)
    cut_every: int = 0
    busy: int = 0
    answers: list[bytes] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answered_busy: int = 0
    passed: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _links: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled only by `proxying`, which waits for it
        finally:
            self._links.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.busy or self.answers:
            self.busy -= bool(self.busy)
            self.answered_busy += 1
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.split(b"\r\n")[0].decode())
            told = self.answers.pop(0) if self.answers else BUSY
            # to HEAD a body would be one too many
            writer.write(
                told.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head[:5] == b"HEAD " else told
            )
            await writer.drain()
            return
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            both = [
                asyncio.ensure_future(self._up(reader, to_server)),
                asyncio.ensure_future(self._down(upstream, writer)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in both:
                    each.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        finally:
            to_server.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            to_server.write(data)
            await to_server.drain()

    async def _down(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = 0
        while data := await upstream.read(65536):
            await self.gate.wait()
            self.passed += len(data)
            own += len(data)
            if self.cuts and self.passed >= self.cuts[0]:
                self.cuts.pop(0)
                return
            if self.cut_every and own >= self.cut_every:
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxying(target: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    proxy.gate.set()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for link in list(proxy._links):
            link.cancel()
        await asyncio.gather(*proxy._links, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 2)
