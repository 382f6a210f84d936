"""Connections that read the body of an answer straight into the memory where it is wanted.

asyncio's streams would keep what arrives in buffers of their own first (ADR 0006).
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import numpy as np
from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpResponseParser
from multidict import CIMultiDict

# the most that is kept of an answer which is not the range
FAULT_BYTES = 16 * 1024
_HEAD_BYTES = 64 * 1024
_END = b"\r\n\r\n"
# the service closes a connection later than that
_IDLE_S = 15.0


class ConnectFailed(OSError):
    """There is no connection to the host."""


@dataclass
class Answer:
    """`body` holds the range where the status is 206; else at most `FAULT_BYTES` of the words."""

    status: int = 0
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: memoryview = field(default_factory=lambda: memoryview(b""))


class Driver(Protocol):
    """Sends one GET. Raises `ConnectFailed`, `TimeoutError`, `OSError`."""

    async def get(self, url: str, headers: Mapping[str, str], length: int) -> Answer: ...

    async def aclose(self) -> None: ...


class _Heard:
    """What the parser tells. It does not lead back to the range, whose memory would else wait for
    the collector of cycles."""

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self._headers = headers
        self.words = bytearray()
        self.headed = self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, data: bytes) -> None:
        self.words += data[: FAULT_BYTES - len(self.words)]

    def on_message_complete(self) -> None:
        self.complete = True


class Reading:
    """One answer: gives the memory that the next bytes belong into, and is told how many came.

    The body of a 206 of the wanted length lands in an array of its own; everything else passes
    through the parser. Raises `ConnectionError` for what is not such an answer.
    """

    def __init__(self, length: int) -> None:
        # not cleared, and in huge pages where the system has them
        self._into = np.empty(length, np.uint8).data
        self._head = memoryview(bytearray(_HEAD_BYTES))
        self._filled = 0
        self._straight = self._stays = False
        self.answer = Answer()
        self._heard = _Heard(self.answer.headers)
        self._parser = HttpResponseParser(self._heard)
        self.begun = self.done = self.reusable = False

    def buffer(self) -> memoryview:
        """Never empty while the answer is not done."""
        return (self._into if self._straight else self._head)[self._filled :]

    def took(self, count: int) -> None:
        """So many bytes are in `buffer`."""
        self.begun = True
        self._filled += count
        if self._straight:
            self._end_straight()
        elif self.answer.status:
            self._feed(self._head[: self._filled])
        elif (end := bytes(self._head[: self._filled]).find(_END)) >= 0:
            self._parted(end + len(_END))
        elif self._filled == len(self._head):
            raise ConnectionError("the head of the answer is too long")

    def _parted(self, at: int) -> None:
        rest = self._head[at : self._filled]
        self._feed(self._head[:at])
        if self.done or not self._is_range():
            self._feed(rest)
            return
        if len(rest) > len(self._into):
            raise ConnectionError("more came than was asked for")
        self._into[: len(rest)] = rest
        self._filled, self._straight = len(rest), True
        self._end_straight()

    def _is_range(self) -> bool:
        headers = self.answer.headers
        if self.answer.status != 206:
            return False
        if headers.get("Content-Length") != str(len(self._into)) or "Transfer-Encoding" in headers:
            raise ConnectionError("another range came than was asked for")
        return True

    def _end_straight(self) -> None:
        if self._filled == len(self._into):
            self.answer.body = self._into
            self.done, self.reusable = True, self._stays

    def _feed(self, data: memoryview) -> None:
        self._filled = 0
        if self.done or not data:
            return
        try:
            self._parser.feed_data(bytes(data))
        except HttpParserError as exc:
            raise ConnectionError("it is no HTTP") from exc
        if self._heard.headed and not self.answer.status:
            self.answer.status = self._parser.get_status_code()
            # asked now: behind the end of the answer the parser knows it no more
            self._stays = self._parser.should_keep_alive()
        if self._heard.complete or len(self._heard.words) == FAULT_BYTES:
            self.answer.body = memoryview(self._heard.words)
            self.reusable = self._heard.complete and self._stays
            self.done = True


class _Link(asyncio.BufferedProtocol):
    """One connection; one request after the other."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._reading: Reading | None = None
        self._ended: asyncio.Future[None] | None = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.closed = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionResetError("the connection was closed") if exc is None else exc)
        if not self.closed.done():
            self.closed.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._reading is None or self._reading.done:
            return memoryview(bytearray(1))
        return self._reading.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        reading = self._reading
        if reading is None or reading.done:
            # nothing was asked for
            self.abort()
            return
        self._heard_at = self._loop.time()
        try:
            reading.took(nbytes)
        except ConnectionError as exc:
            self._end(exc)
        if reading.done:
            self._end(None)

    def _end(self, exc: Exception | None) -> None:
        if self._ended is None or self._ended.done():
            return
        if exc is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(exc)

    async def get(self, request: bytes, reading: Reading) -> None:
        """Raises `TimeoutError` when nothing comes for `stall_s`. What was not read to its end
        closes the connection."""
        assert self._transport is not None
        self._reading, self._ended = reading, self._loop.create_future()
        if self.closed.done() or self._transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        self._heard_at = self._loop.time()
        self._transport.write(request)
        self._watch()
        try:
            await self._ended
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if not reading.done or not reading.reusable:
                self.abort()
            # so that an idle connection holds no range
            self._reading = self._ended = None

    def _watch(self) -> None:
        left = self._heard_at + self._stall_s - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._watch)
        else:
            self._end(TimeoutError(f"nothing came for {self._stall_s:g} s"))

    def rest(self) -> None:
        """Close the connection unless it is used again soon."""
        self._timer = self._loop.call_later(_IDLE_S, self.abort)

    def wake(self) -> bool:
        """Whether it may be used again."""
        assert self._timer is not None and self._transport is not None
        self._timer.cancel()
        return not self._transport.is_closing()

    def abort(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()


class Links:
    """Connections to the hosts of one source. `aclose` closes those in use too, whose requests
    then raise `ConnectionError`."""

    def __init__(
        self, *, connect_s: float, stall_s: float, trusted: Callable[[], ssl.SSLContext]
    ) -> None:
        self._connect_s, self._stall_s, self._trusted = connect_s, stall_s, trusted
        self._idle: dict[tuple[str, str], list[_Link]] = {}
        self._open: set[_Link] = set()
        self._closed = False

    async def aclose(self) -> None:
        self._closed = True
        links = list(self._open)
        for link in links:
            link.abort()
        await asyncio.gather(*(link.closed for link in links))

    async def get(self, url: str, headers: Mapping[str, str], length: int) -> Answer:
        """As `Driver`. A connection that the host closed while it rested is not a fault."""
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        host = parts.netloc.rpartition("@")[2]
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1")
        idle = self._idle.setdefault((parts.scheme, host), [])
        while idle:
            link = idle.pop()
            if not link.wake():
                continue
            reading = Reading(length)
            try:
                return await self._got(link, request, reading, idle)
            except ConnectionError:
                if reading.begun or self._closed:
                    raise
        link = await self._connected(parts.scheme, parts.hostname or "", parts.port)
        return await self._got(link, request, Reading(length), idle)

    async def _got(
        self, link: _Link, request: bytes, reading: Reading, idle: list[_Link]
    ) -> Answer:
        await link.get(request, reading)
        if reading.reusable:
            link.rest()
            idle.append(link)
        return reading.answer

    async def _connected(self, scheme: str, host: str, port: int | None) -> _Link:
        secured = scheme == "https"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                kind = socket.SOCK_STREAM
                infos = await loop.getaddrinfo(host, port or (443 if secured else 80), type=kind)
                # asyncio's own race of addresses loses a socket when it is cancelled (Python 3.11)
                connected = await start_connection(infos, happy_eyeballs_delay=0.25)
                _, link = await loop.create_connection(
                    lambda: _Link(self._stall_s),
                    sock=connected,
                    ssl=self._trusted() if secured else None,
                    server_hostname=host if secured else None,
                )
        except OSError as exc:
            raise ConnectFailed(str(exc)) from exc
        if self._closed:
            link.abort()
            raise ConnectionAbortedError("closed meanwhile")
        self._open.add(link)
        link.closed.add_done_callback(lambda _: self._open.discard(link))
        return link
