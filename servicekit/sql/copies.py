"""All rows of a database as lines of JSON, the same whichever database they came from or go to."""

import asyncio
import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

from sqlalchemy import MetaData, Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.archives import Archive, ArchiveDamaged

BATCH = 500
# Alembic's own table: migrations make it
_REVISIONS = "alembic_version"
_PLACE = "tables/{}.jsonl.gz"
_NUL = "\x00"


async def tables(connection: AsyncConnection) -> Sequence[Table]:
    """As they are there, those that others refer to first."""
    metadata = MetaData()
    await connection.run_sync(metadata.reflect)
    return [table for table in metadata.sorted_tables if table.name != _REVISIONS]


async def written(connection: AsyncConnection, archive: Archive) -> dict[str, Any]:
    """Every table, as the transaction sees it; their columns and counts of rows by name."""
    return {
        table.name: await _write(connection, archive, table) for table in await tables(connection)
    }


async def _write(connection: AsyncConnection, archive: Archive, table: Table) -> dict[str, Any]:
    rows = 0
    with archive.adding(_PLACE.format(table.name)) as sink:
        packed = gzip.GzipFile(fileobj=cast(IO[bytes], sink), mode="wb", compresslevel=3, mtime=0)
        with packed:
            result = await connection.stream(select(table).execution_options(yield_per=BATCH))
            async for some in result.partitions():
                await asyncio.to_thread(_write_lines, packed, some)
                rows += len(some)
    return {"columns": [column.name for column in table.columns], "rows": rows}


def _write_lines(packed: gzip.GzipFile, rows: Sequence[Any]) -> None:
    lines = (json.dumps([_plain(value) for value in row], ensure_ascii=False) for row in rows)
    packed.write("".join(f"{line}\n" for line in lines).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return value


async def loaded(connection: AsyncConnection, archive: Archive, told: dict[str, Any]) -> None:
    """Rows into tables of the same form, which are empty. Raises `ArchiveDamaged`."""
    is_postgresql = connection.dialect.name == "postgresql"
    for table in await tables(connection):
        if table.name in told:
            await _load(connection, archive, table, told[table.name], is_postgresql=is_postgresql)
            if is_postgresql:
                await _count_on(connection, table)


async def _load(
    connection: AsyncConnection,
    archive: Archive,
    table: Table,
    told: dict[str, Any],
    *,
    is_postgresql: bool,
) -> None:
    # PostgreSQL's texts hold no NUL, which SQLite's may
    nul = "\N{REPLACEMENT CHARACTER}" if is_postgresql else _NUL
    batches = _read(archive, table.name, told["columns"], nul)
    loaded = 0
    while rows := await asyncio.to_thread(next, batches, None):
        await connection.execute(table.insert(), rows)
        loaded += len(rows)
    if loaded != told["rows"]:
        raise ArchiveDamaged(archive.folder, table.name, "has not as many rows as it had")


def _read(
    archive: Archive, table: str, columns: Sequence[str], nul: str
) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    with gzip.open(archive.folder / _PLACE.format(table), "rt", encoding="utf-8") as lines:
        # not by `splitlines`: texts hold other ends of lines too
        for line in lines:
            values = [_restored(value, nul) for value in json.loads(line)]
            rows.append(dict(zip(columns, values, strict=True)))
            if len(rows) == BATCH:
                yield rows
                rows = []
    if rows:
        yield rows


def _restored(value: Any, nul: str) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    if isinstance(value, str) and nul != _NUL:
        return value.replace(_NUL, nul)
    return value


async def _count_on(connection: AsyncConnection, table: Table) -> None:
    """Numbers that PostgreSQL gives begin behind those that came."""
    for column in table.primary_key.columns:
        told = {"table": f'"{table.name}"', "column": column.name}
        query = text("SELECT pg_get_serial_sequence(:table, :column)")
        if sequence := await connection.scalar(query, told):
            largest = await connection.scalar(select(func.max(column)))
            if largest is not None:
                await connection.execute(select(func.setval(sequence, largest)))


async def are_empty(connection: AsyncConnection) -> bool:
    """Whether there is no row in any table."""
    for table in await tables(connection):
        if (await connection.execute(select(table).limit(1))).first() is not None:
            return False
    return True
