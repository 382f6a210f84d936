"""Fetch over gRPC, from one process to another, beside protobuf's own messages, Arrow Flight and
plain sockets, in turn in one run.

    python -m bench.grpc_fetch --mib 1024 --rounds 5

The servers send the same mebibyte again and again, so that nothing but the way itself is measured.
"""

import argparse
import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pyarrow as pa
import pyarrow.flight as flight

from bench.grpc_server import PIECE_BYTES
from bench.measuring import Way, interleaved, told
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.channels import channel
from servicekit.ports import free_port

FLIGHT = "Arrow Flight"


@asynccontextmanager
async def server(kind: str, mib: int) -> AsyncIterator[tuple[int, int]]:
    """Its port and its process."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.grpc_server", kind, str(port), str(mib)), stdout=PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield port, process.pid
    finally:
        process.terminate()
        await process.wait()


def fetching(stub: rpc.ConnectorServiceStub, *, by_hand: bool) -> Way:
    async def fetch() -> int:
        size = 0
        async for event in stub.Fetch(pb.FetchRequest(offset_bytes=0 if by_hand else 1)):
            size += len(event.piece)
        return size

    return fetch


def flying(port: int) -> Way:
    def read() -> int:
        with flight.connect(f"grpc://127.0.0.1:{port}") as client:
            return sum(chunk.data.num_rows for chunk in client.do_get(flight.Ticket(b"")))

    return lambda: asyncio.to_thread(read)


def receiving(port: int) -> Way:
    def read() -> int:
        buffer, size = bytearray(PIECE_BYTES), 0
        with socket.create_connection(("127.0.0.1", port)) as link:
            while count := link.recv_into(buffer):
                size += count
        return size

    return lambda: asyncio.to_thread(read)


async def measured(mib: int, rounds: int) -> str:
    async with AsyncExitStack() as stack:
        port, pid = await stack.enter_async_context(server("fetch", mib))
        link = await stack.enter_async_context(channel(f"127.0.0.1:{port}"))
        stub = rpc.ConnectorServiceStub(link)
        ways = {
            "Fetch": fetching(stub, by_hand=True),
            "Fetch, messages of protobuf": fetching(stub, by_hand=False),
        }
        pids = dict.fromkeys(ways, pid)
        for name, kind, way in ((FLIGHT, "flight", flying), ("sockets", "sockets", receiving)):
            port, pids[name] = await stack.enter_async_context(server(kind, mib))
            ways[name] = way(port)
        seen = await interleaved(ways, rounds=rounds, pids=pids)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    rates = "; ".join(
        f"{name} {each.size / each.median / 1e6:,.0f} MB/s" for name, each in seen.items()
    )
    versions = f"grpcio {grpc.__version__}, pyarrow {pa.__version__}"
    return f"{mib} MiB, {rounds} rounds in turn; {versions}; load {load}\n" + "\n".join(
        [told(seen, base=FLIGHT, pids=pids), rates]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.grpc_fetch")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(asyncio.run(measured(given.mib, given.rounds)))


if __name__ == "__main__":
    main()
