"""Servers that send what their bench asks for: `python -m bench.grpc_server KIND PORT MIB`.

KIND is fetch (the connector's contract, through what every service is served by), flight (Arrow
Flight) or sockets. It sends pieces of 1 MiB of the same bytes and prints a line once it listens.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyarrow as pa
import pyarrow.flight as flight

from connectorkit.pieces import SERIALIZERS, Event, Piece
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.server import Server, ServerSettings, serving

PIECE_BYTES = 1024 * 1024
BLOCK = bytes(range(256)) * (PIECE_BYTES // 256)
NAME = pb.DESCRIPTOR.services_by_name["ConnectorService"].full_name


class _Connector(rpc.ConnectorServiceServicer):
    """Pieces framed by hand, as connectors send them; with offset_bytes = 1, as protobuf does."""

    def __init__(self, mib: int) -> None:
        self._mib = mib

    async def Fetch(self, request: pb.FetchRequest, context: object) -> AsyncIterator[Event]:
        for _ in range(self._mib):
            yield pb.FetchResponse(piece=BLOCK) if request.offset_bytes else Piece(BLOCK)


async def _fetch(port: int, mib: int) -> None:
    @asynccontextmanager
    async def mount(server: Server, _: None) -> AsyncIterator[None]:
        server.register(
            NAME,
            lambda to: rpc.add_ConnectorServiceServicer_to_server(_Connector(mib), to),
            serializers=SERIALIZERS,
        )
        yield

    async with serving(mount, None, ServerSettings(bind=f"127.0.0.1:{port}")):
        print("listening", flush=True)
        await asyncio.Event().wait()


class _Flight(flight.FlightServerBase):
    def __init__(self, port: int, mib: int) -> None:
        super().__init__(f"grpc://127.0.0.1:{port}")
        self._mib = mib

    def do_get(self, context: object, ticket: flight.Ticket) -> flight.RecordBatchStream:
        array = pa.Array.from_buffers(pa.uint8(), PIECE_BYTES, [None, pa.py_buffer(BLOCK)])
        batch = pa.record_batch([array], ["piece"])
        return flight.GeneratorStream(batch.schema, (batch for _ in range(self._mib)))


def _sockets(port: int, mib: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("listening", flush=True)
        while True:
            link, _ = listener.accept()
            with link:
                for _ in range(mib):
                    link.sendall(BLOCK)


def main() -> None:
    kind, port, mib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if kind == "fetch":
        asyncio.run(_fetch(port, mib))
    elif kind == "flight":
        server = _Flight(port, mib)
        print("listening", flush=True)
        server.serve()
    else:
        _sockets(port, mib)


if __name__ == "__main__":
    main()
