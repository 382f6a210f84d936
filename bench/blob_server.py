"""A blob service that costs next to nothing: `python -m bench.blob_server PORT LATENCY_MS`.

It answers ranges of blobs from memory and pages of a container's list, without looking at who asks.
A blob's name tells its size ("any/20480"), a container's how many blobs it lists ("n100000").
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from servicekit.ports import free_port

PAGE = 5000
ETAG = '"0x8DC0000000000000"'
_BLOCK = bytes(range(256)) * 4096 * 65
_RANGE = re.compile(rb"(?:x-ms-range|range): *bytes=(\d+)-(\d*)", re.IGNORECASE)
_HEAD = (
    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: {etag}\r\nx-ms-blob-type: BlockBlob\r\n"
    "Last-Modified: Mon, 01 Jun 2026 00:00:00 GMT\r\nx-ms-version: 2025-01-05\r\n"
    "x-ms-request-id: 0\r\nAccept-Ranges: bytes\r\nContent-Type: {type}\r\n{more}\r\n"
)


class _Server(asyncio.Protocol):
    """One connection; requests one after the other."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._seen = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while b"\r\n\r\n" in self._seen:
            head, _, self._seen = self._seen.partition(b"\r\n\r\n")
            if self._latency_s:
                asyncio.get_running_loop().call_later(self._latency_s, self._answer, head)
            else:
                self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        if "comp=list" in target:
            body = listed(target)
            self._write(_head("200 OK", len(body), type="application/xml"), body)
            return
        size = int(target.partition("?")[0].rsplit("/", 1)[1])
        found = _RANGE.search(head)
        if method == "HEAD" or not found:
            self._write(
                _head("200 OK", size), memoryview(_BLOCK)[: 0 if method == "HEAD" else size]
            )
            return
        first = int(found[1])
        last = min(int(found[2]) if found[2] else size - 1, size - 1)
        more = f"Content-Range: bytes {first}-{last}/{size}\r\n"
        length = last - first + 1
        self._write(_head("206 Partial Content", length, more=more), memoryview(_BLOCK)[:length])

    def _write(self, head: bytes, body: bytes | memoryview) -> None:
        if not self._transport.is_closing():
            self._transport.write(head)
            self._transport.write(body)


def _head(
    status: str, length: int, *, type: str = "application/octet-stream", more: str = ""
) -> bytes:
    return _HEAD.format(status=status, length=length, etag=ETAG, type=type, more=more).encode()


def listed(target: str) -> bytes:
    """One page of "f0/00000.csv" … in name order."""
    parts = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    count = int(unquote(parts.path).rstrip("/").rsplit("/n", 1)[1])
    size = min(int(asked.get("maxresults", PAGE)), PAGE)
    prefix, begin = asked.get("prefix", ""), int(asked.get("marker", "0") or 0)
    lines: list[str] = []
    at = begin
    while at < count and len(lines) < size:
        name = name_of(at, count)
        if name.startswith(prefix):
            lines.append(
                f"<Blob><Name>{name}</Name><Properties><Creation-Time>Mon, 01 Jun 2026 00:00:00 GMT"
                "</Creation-Time><Last-Modified>Mon, 01 Jun 2026 00:00:00 GMT</Last-Modified>"
                f"<Etag>0x8DC</Etag><Content-Length>{at}</Content-Length><Content-Type>text/csv"
                "</Content-Type><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
                "</Properties></Blob>"
            )
        at += 1
    marker = str(at) if at < count else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{"".join(lines)}</Blobs>'
        f"<NextMarker>{marker}</NextMarker></EnumerationResults>"
    ).encode()


def name_of(number: int, count: int) -> str:
    """Seven folders, in name order."""
    return f"f{number * 7 // count}/{number:06d}.csv"


@asynccontextmanager
async def serving(latency_ms: float = 0) -> AsyncIterator[str]:
    """The account's URL, served by a process of its own."""
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.blob_server", str(port), str(latency_ms),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        await child.stdout.readline()
        yield f"http://127.0.0.1:{port}/bench"
    finally:
        child.kill()
        await child.wait()


async def _main(port: int, latency_ms: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(latency_ms / 1000), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
