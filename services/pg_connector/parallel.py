"""A large scan over several connections on one snapshot."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from servicekit import logs
from services.pg_connector.errors import PgFault
from services.pg_connector.reading import Reading
from services.pg_connector.splitting import Scan, scan_of

T = TypeVar("T")
Part = tuple[Reading, str]
# one more transaction, on that snapshot
More = Callable[[str], AbstractAsyncContextManager[Reading]]
_log = logs.get(__name__)


@dataclass(frozen=True)
class Most:
    """Connections of one scan, for tables of so many MiB or more; and the rows that are wanted,
    0 = all."""

    connections: int
    split_mb: int
    rows: int = 0


# Who may read some columns only may not ask for ctid. A temporary table is seen by one session.
_TABLE = """
SELECT pg_catalog.pg_relation_size(c.oid) AS size_bytes,
    pg_catalog.current_setting('block_size')::bigint AS block_bytes,
    c.reltuples AS rows
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind = 'r' AND a.amname = 'heap'
    AND NOT c.relhassubclass AND c.relpersistence <> 't'
    AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    AND pg_catalog.has_function_privilege('pg_catalog.pg_export_snapshot()', 'EXECUTE')
"""
# Before, a range of ctid was a filter on the whole table.
_RANGES_SINCE = 14


@asynccontextmanager
async def split(
    reading: Reading, sql: str, more: More | None, most: Most
) -> AsyncIterator[list[Part]]:
    """The query in pieces, each with the transaction to run it in; in one where it may not be
    split (no `more`), where the table is small, where a bound on rows is reached sooner than its
    end, and where no other connection is to be had.

    The query has been prepared, so that the table is locked against being rewritten.
    """
    async with AsyncExitStack() as stack:
        may = most.connections > 1 and not reading.held.place.pgbouncer
        scan = scan_of(sql) if more is not None and may else None
        blocks = await _blocks(reading, scan, most) if scan is not None else 0
        readings = [reading]
        if more is not None and blocks:
            snapshot = str((await reading.fetch("SELECT pg_catalog.pg_export_snapshot()"))[0][0])
            readings += await _opened(stack, more, snapshot, most.connections - 1)
        if scan is None or len(readings) == 1:
            yield [(reading, sql)]
        else:
            yield list(zip(readings, scan.ranges(blocks, len(readings)), strict=True))


async def _blocks(reading: Reading, scan: Scan, most: Most) -> int:
    """How many the table has; 0 where it is not to be split."""
    if reading.connection.get_server_version().major < _RANGES_SINCE:
        return 0
    found = await reading.fetch(_TABLE, scan.relation)
    if not found or found[0]["size_bytes"] < max(1, most.split_mb * 1024 * 1024):
        return 0
    if most.rows and found[0]["rows"] > most.rows:
        return 0
    return int(found[0]["size_bytes"] // found[0]["block_bytes"])


async def _opened(stack: AsyncExitStack, more: More, snapshot: str, count: int) -> list[Reading]:
    """As many as there are; that one cannot be had is no fault of the query."""
    opened = list[Reading]()
    try:
        for _ in range(count):
            opened.append(await stack.enter_async_context(more(snapshot)))
    except PgFault as exc:
        _log.info("scan_on_fewer_connections", had=1 + len(opened), why=type(exc).__name__)
    return opened


async def merged(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """What they give, as it comes. The first fault of one ends all; leaving it closes them."""
    coming: asyncio.Queue[tuple[T | None, Exception | None]] = asyncio.Queue(len(sources))
    tasks = [asyncio.create_task(_drain(source, coming), name="scan") for source in sources]
    try:
        for _ in sources:
            while True:
                value, fault = await coming.get()
                if fault is not None:
                    raise fault
                if value is None:
                    break
                yield value
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _drain(
    source: AsyncGenerator[T, None], coming: "asyncio.Queue[tuple[T | None, Exception | None]]"
) -> None:
    """Tells the end by None."""
    try:
        async with aclosing(source):
            async for value in source:
                await coming.put((value, None))
    except Exception as exc:
        await coming.put((None, exc))
    else:
        await coming.put((None, None))
