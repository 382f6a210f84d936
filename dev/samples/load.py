"""Put the company into a real PostgreSQL, a real Azure container and a folder."""

import asyncio
import io
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import ContainerClient

from dev.azurite import Azurite
from dev.postgres import Postgres
from dev.samples import planning
from dev.samples.company import YEAR, Company

HERE = Path(__file__).parent
DATABASE = "shop"
CONTAINER = "lake"
READER = "analyst"
UPLOADS_AT_ONCE = 4

# Told what was loaded, and how many rows or blobs of how many are in.
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Login:
    """A role that may read the shop, and do nothing else."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Blob:
    name: str
    content_type: str
    content: bytes


async def load_postgres(postgres: Postgres, company: Company, report: Report) -> Login:
    """Make the database `shop`, fill it, and make a role that reads it."""
    await postgres.execute(f"CREATE DATABASE {DATABASE}")
    connection = await asyncpg.connect(postgres.dsn_of(DATABASE))
    try:
        await connection.execute(_script("schema.sql"))
        await _fill(connection, company, report)
        await connection.execute(_script("indexes.sql"))
        return await _reader(connection)
    finally:
        await connection.close()


async def load_blobs(azurite: Azurite, company: Company, report: Report) -> None:
    """Make the container `lake` and fill it."""
    blobs = await asyncio.to_thread(lambda: list(blobs_of(company)))
    turn, done = asyncio.Semaphore(UPLOADS_AT_ONCE), 0

    async def put(blob: Blob) -> None:
        nonlocal done
        async with turn:
            await _upload(container, blob)
        done += 1
        report(CONTAINER, done, len(blobs))

    async with azurite.service() as service:
        container = service.get_container_client(CONTAINER)
        await container.create_container()
        async with asyncio.TaskGroup() as uploads:
            for blob in blobs:
                uploads.create_task(put(blob))


def blobs_of(company: Company) -> Iterator[Blob]:
    """Every blob of the lake."""
    for month, table in company.shipments.items():
        content = io.BytesIO()
        pyarrow.parquet.write_table(table, content, compression="zstd")
        name = f"shipments/{month}.parquet"
        yield Blob(name, "application/vnd.apache.parquet", content.getvalue())
    for month, table in company.sessions.items():
        yield Blob(f"web/sessions-{month}.csv", "text/csv", _csv(table))
    products = json.dumps(company.products, default=str, indent=1)
    yield Blob("catalogue/products.json", "application/json", products.encode())


def load_files(folder: Path) -> list[str]:
    """What was planned, as files of a folder; those that are there already stay as they are. The
    names of all."""
    files = {
        f"targets/{YEAR}.csv": lambda: _csv(planning.targets(YEAR)),
        "contracts/carriers.xlsx": planning.contracts,
    }
    for name, content in files.items():
        place = folder / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content())
    return list(files)


async def _fill(connection: asyncpg.Connection, company: Company, report: Report) -> None:
    total = sum(table.num_rows for table in company.relations.values())
    done = 0
    for name, table in company.relations.items():
        content = await asyncio.to_thread(_csv, table)
        await connection.copy_to_table(
            name, source=io.BytesIO(content), columns=table.column_names, format="csv", header=True
        )
        done += table.num_rows
        report(DATABASE, done, total)


async def _reader(connection: asyncpg.Connection) -> Login:
    login = Login(READER, secrets.token_urlsafe(18))
    # A utility statement takes no parameters: PostgreSQL itself quotes the password.
    make = await connection.fetchval(
        "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)",
        login.user,
        login.password,
    )
    await connection.execute(make)
    await connection.execute(_script("reader.sql"))
    return login


async def _upload(container: ContainerClient, blob: Blob) -> None:
    await container.upload_blob(
        blob.name,
        blob.content,
        length=len(blob.content),
        content_settings=ContentSettings(content_type=blob.content_type),
    )


def _csv(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pyarrow.csv.write_csv(table, content)
    return content.getvalue()


def _script(name: str) -> str:
    return (HERE / name).read_text()
