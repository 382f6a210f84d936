"""Ranges read by connections of our own, against a server that answers as it is told."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from servicekit.testing import Leaks
from services.blob_connector.links import FAULT_BYTES, ConnectFailed, Links, Reading
from tests.blob_connector.directory import self_signed

BODY = bytes(range(256)) * 40
RANGE = b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nETag: x\r\n\r\n" % len(BODY) + BODY
CHUNKED = (
    b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\nbusy\r\n5\r\n, so!\r\n0\r\n\r\n"
)
LONG = b"HTTP/1.1 400 Bad\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999


def parts(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def fed(reading: Reading, data: bytes, size: int) -> None:
    for part in parts(data, size):
        while part and not reading.done:
            buffer = reading.buffer()
            count = min(len(buffer), len(part))
            buffer[:count] = part[:count]
            reading.took(count)
            part = part[count:]


@pytest.mark.req("B6")
@pytest.mark.parametrize("size", [1, 7, 100, 1_000_000])
def test_answer_is_the_same_however_it_is_cut(size: int) -> None:
    reading = Reading(len(BODY))
    fed(reading, RANGE, size)
    assert reading.done and reading.reusable and reading.answer.body == BODY
    assert reading.answer.status == 206 and reading.answer.headers["etag"] == "x"
    reading = Reading(len(BODY))
    fed(reading, CHUNKED, size)
    assert reading.done and reading.reusable and bytes(reading.answer.body) == b"busy, so!"
    assert reading.answer.status == 503 and reading.answer.headers["retry-after"] == "7"
    reading = Reading(len(BODY))
    fed(reading, LONG, size)
    assert reading.done and not reading.reusable and len(reading.answer.body) == FAULT_BYTES


@pytest.mark.req("B6")
@pytest.mark.parametrize(
    "answer",
    [
        RANGE.replace(b"Content-Length: ", b"Content-Length: 1"),
        RANGE.replace(b"Content-Length: 10240", b"Transfer-Encoding: chunked"),
        RANGE + b"more",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 206 P\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_not_the_range_is_refused(answer: bytes) -> None:
    with pytest.raises(ConnectionError):
        fed(Reading(len(BODY)), answer, 1_000_000)


@dataclass
class Server:
    """Gives `answers` in turn, one for each request; None = close the connection instead."""

    answers: list[bytes | None]
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0)
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(
    answers: Sequence[bytes | None], context: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    told = Server(list(answers))
    server = await asyncio.start_server(told.serve, "127.0.0.1", 0, ssl=context)
    told.port = server.sockets[0].getsockname()[1]
    try:
        yield told
    finally:
        server.close()


@asynccontextmanager
async def opened(stall_s: float = 5.0, ca_file: str | None = None) -> AsyncIterator[Links]:
    made = Links(
        connect_s=5.0, stall_s=stall_s, trusted=lambda: ssl.create_default_context(cafile=ca_file)
    )
    try:
        yield made
    finally:
        await made.aclose()


async def got(links: Links, server: Server, scheme: str = "http") -> bytes:
    url = f"{scheme}://127.0.0.1:{server.port}/c/a%20b?sig=1"
    return bytes((await links.get(url, {"Range": "bytes=0-1"}, len(BODY))).body)


@pytest.mark.req("B6", "C7")
async def test_connection_is_used_again_and_one_closed_at_rest_is_no_fault(
    no_leaks: Leaks,
) -> None:
    async with serving([RANGE, CHUNKED, None, RANGE]) as server, opened() as links:
        assert await got(links, server) == BODY
        assert await got(links, server) == b"busy, so!"
        # the server closes instead of answering: asked again over another connection
        assert await got(links, server) == BODY
        assert server.connections == 2
    head = server.requests[0]
    assert head.startswith(b"GET /c/a%20b?sig=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nRange: bytes=0-1\r\n" in head


@pytest.mark.req("B6", "C7")
async def test_torn_silent_and_absent_servers_are_told(no_leaks: Leaks) -> None:
    async with serving([RANGE[:-1], RANGE, None]) as server, opened(stall_s=0.2) as links:
        with pytest.raises(TimeoutError, match=r"0\.2 s"):
            await got(links, server)
        assert await got(links, server) == BODY
    async with opened() as links:
        with pytest.raises(ConnectFailed):
            await got(links, server)


@pytest.mark.req("C7")
@pytest.mark.parametrize("closing", [True, False])
async def test_closing_and_cancelling_end_what_is_read(no_leaks: Leaks, closing: bool) -> None:
    async with serving([RANGE, RANGE[:1000]]) as server, opened() as links:
        await got(links, server)
        reading = asyncio.create_task(got(links, server))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        if closing:
            await links.aclose()
        else:
            reading.cancel()
        with pytest.raises(ConnectionError if closing else asyncio.CancelledError):
            await reading
        assert server.connections == 1


@pytest.mark.req("C7")
async def test_cancelling_while_it_connects_leaves_no_socket(no_leaks: Leaks) -> None:
    gc.disable()  # it would close what was left
    try:
        for steps in range(24):
            async with serving([RANGE]) as server, opened() as links:
                reading = asyncio.create_task(got(links, server))
                for _ in range(steps):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
        assert await no_leaks.settled() == []
    finally:
        gc.enable()


@pytest.mark.req("B6")
async def test_ranges_come_over_tls_from_who_is_trusted(tmp_path: Path, no_leaks: Leaks) -> None:
    pem = self_signed(tmp_path / "tls.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with serving([RANGE, RANGE], context) as server:
        async with opened(ca_file=str(pem)) as links:
            assert await got(links, server, "https") == BODY
            assert await got(links, server, "https") == BODY
            assert server.connections == 1
        async with opened() as links:
            with pytest.raises(ConnectFailed):
                await got(links, server, "https")
