"""The ways to read Azure Blob Storage, in turn in one run: this connector's, azure-storage-blob at
its best settings, obstore, and plain sockets with the same window.

    python -m bench.blob_fetch --mib 256 --small 1000 --listed 100000 --rounds 3

The server is one that costs next to nothing, once without and once with latency, and then Azurite,
which costs more than all its clients. Peers that are not installed are left out.
"""

import argparse
import asyncio
import base64
import importlib.util
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psutil
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.blob.aio import ContainerClient

from bench.blob_server import ETAG, serving
from bench.measuring import Way, interleaved, told
from dev.azurite import azurite
from servicekit.secrets import Secret
from services.blob_connector.azure import Blob, Container
from services.blob_connector.downloads import Window, arriving, spans
from services.blob_connector.identity import connect
from services.blob_connector.ranges import signature_of
from services.blob_connector.settings import Settings

MIB = 1024 * 1024
SMALL = 20 * 1024
KEY = base64.b64encode(b"of no account at all").decode()
_OWN = Settings()
WINDOW = Window.of(_OWN)


@dataclass(frozen=True)
class Served:
    """Where blobs lie. `signed`: the query of an address for who signs nothing, as sockets do."""

    url: str
    container: str = "c"
    account: str = "bench"
    key: str = KEY
    signed: str = ""

    @property
    def credential(self) -> dict[str, str]:
        return {"account_name": self.account, "account_key": self.key}


def blob(number: int, size: int) -> Blob:
    return Blob(f"b{number}/{size}", size, etag=ETAG.strip('"'))


@asynccontextmanager
async def on_azurite(sizes: list[int]) -> AsyncIterator[tuple[Served, list[Blob]]]:
    """Blobs of these sizes, of bytes that nothing can make smaller."""
    with TemporaryDirectory() as folder:
        async with azurite(Path(folder)) as server, server.container() as container:
            piece = os.urandom(4 * MIB)
            blobs = []
            for number, size in enumerate(sizes):
                client = container.get_blob_client(f"b{number}/{size}")
                pieces = (piece[: size - at] for at in range(0, size, len(piece)))
                told = await client.upload_blob(pieces, length=size)
                blobs.append(Blob(client.blob_name, size, etag=told["etag"].strip('"')))
            signed = generate_container_sas(
                server.account,
                container.container_name,
                account_key=server.key,
                permission=ContainerSasPermissions(read=True),
                expiry=datetime.now(UTC) + timedelta(hours=1),
            )
            name = container.container_name
            yield Served(server.account_url, name, server.account, server.key, signed), blobs


@asynccontextmanager
async def own(at: Served) -> AsyncIterator[Container]:
    config = {"account_url": at.url, "container": at.container}
    secrets = {"account_key": Secret(at.key)}
    place, client = connect(config, secrets, _OWN)
    signature = signature_of(place.way, secrets, place.account, place.signer)
    opened = Container(place, client, _OWN, signature)
    try:
        yield opened
    finally:
        await opened.aclose()


def isobath(at: Served, blobs: list[Blob]) -> Way:
    async def read() -> int:
        async with own(at) as container:
            wanted = spans(blobs, WINDOW.range_bytes)
            return sum([len(data) async for _, data in arriving(container, wanted, WINDOW)])

    return read


def sdk(at: Served, blobs: list[Blob], *, workers: int, chunk: int, ahead: int) -> Way:
    """azure-storage-blob: its own parallel ranges, or several blobs at once."""

    async def read() -> int:
        async with ContainerClient(
            at.url, at.container, credential=at.credential,
            max_single_get_size=chunk, max_chunk_get_size=chunk,
            connection_data_block_size=MIB,
        ) as client:  # fmt: skip
            slots = asyncio.Semaphore(workers)

            async def one(each: Blob) -> int:
                async with slots:
                    stream = await client.get_blob_client(each.name).download_blob(
                        max_concurrency=ahead
                    )
                    return sum([len(data) async for data in stream.chunks()])

            return sum(await asyncio.gather(*map(one, blobs)))

    return read


def obstore_way(at: Served, blobs: list[Blob], *, range_bytes: int, ahead: int) -> Way:
    import obstore
    from obstore.store import AzureStore

    store = AzureStore(
        container_name=at.container, account_name=at.account, account_key=at.key, endpoint=at.url,
        client_options={"allow_http": True},
    )  # fmt: skip

    async def read() -> int:
        slots = asyncio.Semaphore(ahead)

        async def one(each: Blob, start: int) -> int:
            async with slots:
                end = min(start + range_bytes, each.size_bytes)
                return len(await obstore.get_range_async(store, each.name, start=start, end=end))

        parts = [(b, start) for b in blobs for start in range(0, b.size_bytes, range_bytes)]
        return sum(await asyncio.gather(*[one(*part) for part in parts]))

    return read


def sockets(at: Served, blobs: list[Blob], *, workers: int) -> Way:
    """The floor: threads that read ranges of the same size, so many at once."""
    parts = urlsplit(at.url)
    address = (parts.hostname or "", parts.port or 0)

    def work(wanted: list[tuple[Blob, int]]) -> int:
        total, buffer = 0, memoryview(bytearray(MIB))
        with socket.create_connection(address) as link:
            while wanted:
                each, start = wanted.pop()
                end = min(start + WINDOW.range_bytes, each.size_bytes)
                path = f"{parts.path}/{at.container}/{each.name}?{at.signed}".rstrip("?")
                head = f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
                link.sendall(f"{head}range: bytes={start}-{end - 1}\r\n\r\n".encode())
                seen = b""
                while b"\r\n\r\n" not in seen:
                    seen += link.recv(65536)
                assert b" 206 " in seen.partition(b"\r\n")[0]
                left = end - start - len(seen.partition(b"\r\n\r\n")[2])
                while left:
                    left -= link.recv_into(buffer, min(left, MIB))
                total += end - start
        return total

    async def read() -> int:
        loop = asyncio.get_running_loop()
        step = WINDOW.range_bytes
        wanted = [(b, start) for b in blobs for start in range(0, b.size_bytes, step)]
        with ThreadPoolExecutor(workers) as threads:
            jobs = [loop.run_in_executor(threads, work, wanted) for _ in range(workers)]
            return sum(await asyncio.gather(*jobs))

    return read


def listing(at: Served, count: int) -> dict[str, Way]:
    at = replace(at, container=f"n{count}")

    async def isobath_list() -> int:
        async with own(at) as container:
            found = 0
            async for _ in container.all(""):
                found += 1
            assert found == count
            return found

    async def bare() -> int:
        async with ContainerClient(at.url, at.container, credential=at.credential) as client:
            found = 0
            async for _ in client.list_blobs():
                found += 1
            return found

    return {"isobath": isobath_list, "azure-storage-blob, bare pager": bare}


def large(at: Served, blobs: list[Blob]) -> dict[str, Way]:
    ways = {
        "sockets, 2 x 8 MiB": sockets(at, blobs, workers=_OWN.ranges_ahead),
        "sockets, 4 x 8 MiB": sockets(at, blobs, workers=_OWN.ranges_most),
        "isobath, 2 to 4 x 8 MiB": isobath(at, blobs),
        "azure-storage-blob, 8 x 4 MiB": sdk(at, blobs, workers=1, chunk=4 * MIB, ahead=8),
        "azure-storage-blob, 8 x 16 MiB": sdk(at, blobs, workers=1, chunk=16 * MIB, ahead=8),
    }
    if importlib.util.find_spec("obstore"):
        ways["obstore, 2 x 8 MiB"] = obstore_way(at, blobs, range_bytes=8 * MIB, ahead=2)
        ways["obstore, 8 x 8 MiB"] = obstore_way(at, blobs, range_bytes=8 * MIB, ahead=8)
    return ways


def small(at: Served, blobs: list[Blob]) -> dict[str, Way]:
    ways = {
        "sockets, 16 at once": sockets(at, blobs, workers=WINDOW.requests),
        "isobath, 16 at once": isobath(at, blobs),
        "azure-storage-blob, 8 workers": sdk(at, blobs, workers=8, chunk=4 * MIB, ahead=1),
        "azure-storage-blob, 16 workers": sdk(at, blobs, workers=16, chunk=4 * MIB, ahead=1),
    }
    if importlib.util.find_spec("obstore"):
        ways["obstore, 16 at once"] = obstore_way(at, blobs, range_bytes=MIB, ahead=16)
    return ways


async def measure(asked: argparse.Namespace) -> None:
    names = [name for name in ("azure-storage-blob", "aiohttp", "obstore") if _there(name)]
    print(", ".join(f"{name} {version(name)}" for name in names))
    for latency in asked.latency:
        async with serving(latency) as url:
            one = [blob(0, asked.mib * MIB)]
            many = [blob(number, SMALL) for number in range(asked.small)]
            await _both(f"{latency} ms", Served(url), one, many, asked.rounds)
    if asked.azurite:
        sizes = [asked.mib * MIB, *[SMALL] * asked.small]
        async with on_azurite(sizes) as (at, blobs):
            await _both("Azurite", at, blobs[:1], blobs[1:], asked.rounds)
    async with serving() as url:
        ways = listing(Served(url), asked.listed)
        await _told(f"list of {asked.listed} blobs", ways, asked.rounds)


async def _both(server: str, at: Served, one: list[Blob], many: list[Blob], rounds: int) -> None:
    size = one[0].size_bytes // MIB
    await _told(f"{size} MiB, {server}", large(at, one), rounds)
    await _told(f"{len(many)} blobs of 20 KiB, {server}", small(at, many), rounds)


def _there(name: str) -> bool:
    return importlib.util.find_spec(name.replace("-", ".")) is not None


async def _told(title: str, ways: dict[str, Way], rounds: int) -> None:
    pids = dict.fromkeys(ways, psutil.Process().pid)
    found = await interleaved(ways, rounds=rounds, pids=pids)
    print(f"\n{title}\n{told(found, base=next(iter(ways)), pids=pids)}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--listed", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--azurite", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--latency", type=float, nargs="*", default=[0, 20])
    asyncio.run(measure(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
