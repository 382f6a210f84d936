"""The domains' data, put into the PostgreSQL and the Azurite of a platform."""

import asyncio
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import asyncpg
import pandas as pd
from azure.storage.blob.aio import ContainerClient

from dev.assembly import Parts
from dev.samples.load import CONTAINER, DATABASE, READER
from training.evaluation.dataset import Domain

_AT_ONCE = 4
_TYPES = {"i": "bigint", "u": "bigint", "f": "double precision", "b": "boolean", "M": "timestamp"}


async def load(parts: Parts, domains: Collection[Domain]) -> None:
    """Tables in a schema for each domain, which the platform's role may read; files as blobs."""
    connection = await asyncpg.connect(parts.postgres.dsn_of(DATABASE))
    try:
        for domain in domains:
            await _load_tables(connection, domain)
    finally:
        await connection.close()
    turn = asyncio.Semaphore(_AT_ONCE)
    async with parts.azurite.service() as service, asyncio.TaskGroup() as uploads:
        container = service.get_container_client(CONTAINER)
        # domains may share files
        files = {path: content for each in domains for path, content in each.files.items()}
        for path, content in files.items():
            uploads.create_task(_upload(container, path, content, turn))


async def unload(parts: Parts, domain: Domain) -> None:
    """Takes away what `load` put there."""
    connection = await asyncpg.connect(parts.postgres.dsn_of(DATABASE))
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {domain.name} CASCADE")
    finally:
        await connection.close()
    async with parts.azurite.service() as service:
        container = service.get_container_client(CONTAINER)
        for path in domain.files:
            await container.delete_blob(path)


async def _upload(
    container: ContainerClient, path: str, content: bytes | Path, turn: asyncio.Semaphore
) -> None:
    async with turn:
        if isinstance(content, bytes):
            await container.upload_blob(path, content, overwrite=True)
            return
        with await asyncio.to_thread(content.open, "rb") as opened:
            await container.upload_blob(path, opened, overwrite=True)


async def _load_tables(connection: "asyncpg.Connection[asyncpg.Record]", domain: Domain) -> None:
    if not domain.tables:
        return
    schema = domain.name
    await connection.execute(f"CREATE SCHEMA {schema}")
    for name, frame in domain.tables.items():
        columns = ", ".join(f'"{each}" {_type(frame[each])}' for each in frame.columns)
        await connection.execute(f"CREATE TABLE {schema}.{name} ({columns})")
        content = io.BytesIO(frame.to_csv(index=False, header=False).encode())
        await connection.copy_to_table(name, schema_name=schema, source=content, format="csv")
        # of all tables at once it would wait for others that are being loaded, and they for it
        await connection.execute(f"ANALYZE {schema}.{name}")
    await connection.execute(
        f"GRANT USAGE ON SCHEMA {schema} TO {READER};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER}"
    )


def _type(column: "pd.Series[Any]") -> str:
    kind = _TYPES.get(column.dtype.kind, "text")
    if kind != "timestamp":
        return kind
    times = column.dropna()
    return "date" if (times == times.dt.normalize()).all() else kind
