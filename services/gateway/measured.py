"""How much the file store holds, looked at now and then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from servicekit import logs
from servicekit.sql import Database
from services.gateway import metrics
from services.gateway.store.tables import FileRow

EVERY_S = 60.0
_log = logs.get(__name__)


async def measure(database: Database) -> None:
    """Tell the metrics."""
    query = select(func.count(), func.coalesce(func.sum(FileRow.size_bytes), 0))
    async with database.begin() as session:
        files, size = (await session.execute(query.select_from(FileRow))).one()
    metrics.FILES.set(files)
    metrics.FILE_BYTES.set(int(size))


@asynccontextmanager
async def measuring(database: Database) -> AsyncIterator[None]:
    """Measures beside everything else, until the end of the block."""
    _tell_pool(database)

    async def again() -> None:
        while True:
            try:
                await measure(database)
            except (SQLAlchemyError, OSError) as fault:
                _log.warning("files_not_measured", error=type(fault).__name__)
            await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(again(), name="size of the file store")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _tell_pool(database: Database) -> None:
    pool = database.engine.sync_engine.pool
    if isinstance(pool, QueuePool):
        # SQLAlchemy gives no other way to its bound
        most = pool.size() + max(0, pool._max_overflow)
        metrics.tell_database(used=pool.checkedout, idle=pool.checkedin, most=lambda: most)
