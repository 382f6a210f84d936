"""A connector over a real socket, with real Arrow, whose source is what each test needs.

It stands in for pg_connector and blob_connector where a test wants a failure that no real source
gives on demand. It does not verify grants: a grant here is the plain list of what it allows."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pyarrow as pa
import pyarrow.csv

from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.server import Server
from servicekit.status import Fault, Status, StatusTable

NAME = "isobath.connector.v1.ConnectorService"
PIECE = 64 * 1024


class Refused(Fault):
    def metadata(self) -> dict[str, str]:
        return {"operation": "read", "path": "secret.table"}


class Missing(Fault):
    pass


class Wrong(Fault):
    def metadata(self) -> dict[str, str]:
        return {"sqlstate": "42703", "position": "8", "hint": "perhaps n"}


class Torn(Fault):
    pass


STATUSES: StatusTable = {
    Refused: Status(grpc.StatusCode.PERMISSION_DENIED, "BEYOND_GRANT"),
    Missing: Status(grpc.StatusCode.NOT_FOUND, "PATH_NOT_FOUND"),
    Wrong: Status(grpc.StatusCode.FAILED_PRECONDITION, "QUERY_FAILED"),
    Torn: Status(grpc.StatusCode.UNAVAILABLE, "SOURCE_UNREACHABLE"),
}
FILES = {
    "web/a.csv": b"x,y\n1,2\n",
    "web/b.csv": b"x,y\n3,4\n",
    "../../evil.csv": b"z\n1\n",
}


@dataclass
class Seen:
    grants: list[str] = field(default_factory=list)
    queries: list[pb.Query] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class Double(rpc.ConnectorServiceServicer):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def Describe(self, request: pb.DescribeRequest, _: object) -> pb.DescribeResponse:
        return pb.DescribeResponse(type="double", title="Double", code_notes="ask it")

    async def Browse(self, request: pb.BrowseRequest, _: object) -> pb.BrowseResponse:
        self._allow(request.grant, "list")
        if not request.path and not request.glob:
            schema = pb.Entry(path="public", name="public", kind=pb.ENTRY_KIND_SCHEMA)
            return pb.BrowseResponse(entries=[schema])
        start = int(request.page_token or 0)
        entries = [
            pb.Entry(path=f"public.t{n}", name=f"t{n}", kind=pb.ENTRY_KIND_TABLE, row_estimate=n)
            for n in range(start, min(start + 2, 5))
        ]
        return pb.BrowseResponse(
            entries=entries, next_page_token=str(start + 2) if start + 2 < 5 else ""
        )

    async def Inspect(self, request: pb.InspectRequest, _: object) -> pb.InspectResponse:
        self._allow(request.grant, "list")
        columns = [pb.Column(name="n", type="bigint", arrow_type="int64")]
        return pb.InspectResponse(columns=columns, rows=3, rows_exact=True)

    async def Fetch(self, request: pb.FetchRequest, _: object) -> AsyncIterator[pb.FetchResponse]:
        self._allow(request.grant, "read")
        what = request.selection
        if what.WhichOneof("what") == "query":
            self._seen.queries.append(what.query)
            async for each in self._query(what.query, request):
                yield each
            return
        async for each in self._path(what.path, request):
            yield each

    async def Store(self, requests: AsyncIterator[pb.StoreRequest], _: object) -> pb.StoreResponse:
        path, content = "", b""
        async for request in requests:
            if request.WhichOneof("event") == "start":
                self._allow(request.start.grant, "write")
                path = request.start.path
            content += request.piece
        self._seen.stored[path] = content
        return pb.StoreResponse(path=path, size_bytes=len(content), etag="e")

    def _allow(self, grant: str, operation: str) -> None:
        self._seen.grants.append(grant)
        if operation not in grant.split(","):
            raise Refused("the grant does not reach that far", remedy="Ask for less.")

    async def _query(
        self, query: pb.Query, request: pb.FetchRequest
    ) -> AsyncIterator[pb.FetchResponse]:
        if query.sql == "WRONG":
            raise Wrong('column "m" does not exist')
        if query.sql == "SLOW":
            async for each in self._wait(b""):
                yield each
        count = int(query.sql.removeprefix("ROWS "))
        asked, limit = count, request.limits.max_rows
        if limit:
            count = min(count, limit)
        table = pa.table({"n": range(count), "name": [f"é{n}" for n in range(count)]})
        for each in whole("query", table_bytes(table, request.format), request.format, count):
            if count < asked and each.WhichOneof("event") == "summary":
                each.summary.truncated, each.summary.truncated_by = True, "row limit"
            yield each
        yield pb.FetchResponse(complete=pb.Complete(items=1))

    async def _wait(self, first: bytes) -> AsyncIterator[pb.FetchResponse]:
        self._seen.waiting.set()
        try:
            yield pb.FetchResponse(header=pb.Header(name="slow", format=pb.FORMAT_RAW))
            if first:
                yield pb.FetchResponse(piece=first)
            await asyncio.Event().wait()
        finally:
            self._seen.cancelled.set()

    async def _path(self, path: str, request: pb.FetchRequest) -> AsyncIterator[pb.FetchResponse]:
        if path == "torn.bin":
            yield pb.FetchResponse(header=pb.Header(name=path, format=pb.FORMAT_RAW))
            yield pb.FetchResponse(piece=b"half")
            raise Torn("the source went away")
        if path == "false.bin":
            *first, last = whole(path, b"data", pb.FORMAT_RAW)
            last.summary.sha256 = "0" * 64
            for each in (*first, last):
                yield each
            return
        if path == "slow.bin":
            async for each in self._wait(b"begun"):
                yield each
        names = [name for name in FILES if name == path or path.endswith("*")]
        if not names:
            raise Missing(f"no blob {path!r}")
        if request.format == pb.FORMAT_ARROW:
            table = pa.concat_tables(
                pa.csv.read_csv(pa.BufferReader(FILES[name])) for name in names
            )
            for each in whole(path, table_bytes(table, request.format), request.format):
                yield each
        else:
            for name in names:
                for each in whole(name, FILES[name], pb.FORMAT_RAW):
                    yield each
        yield pb.FetchResponse(complete=pb.Complete(items=len(names)))


def table_bytes(table: pa.Table, kind: int) -> bytes:
    sink = pa.BufferOutputStream()
    if kind == pb.FORMAT_ARROW:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=10_000)
    else:
        pa.csv.write_csv(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def whole(
    name: str, content: bytes, kind: "pb.Format", rows: int | None = None
) -> Iterator[pb.FetchResponse]:
    kind = kind or pb.FORMAT_CSV
    yield pb.FetchResponse(header=pb.Header(name=name, format=kind, size_bytes=len(content)))
    for start in range(0, len(content), PIECE):
        yield pb.FetchResponse(piece=content[start : start + PIECE])
    digest = hashlib.sha256(content).hexdigest()
    yield pb.FetchResponse(summary=pb.Summary(rows=rows, bytes=len(content), sha256=digest))


@asynccontextmanager
async def mount(server: Server, seen: Seen) -> AsyncIterator[None]:
    server.register(
        NAME,
        lambda target: rpc.add_ConnectorServiceServicer_to_server(Double(seen), target),
        statuses=STATUSES,
    )
    yield
