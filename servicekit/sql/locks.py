"""What only one of several processes on one database does at a time."""

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from servicekit.sql.database import Database


@asynccontextmanager
async def alone(database: Database, name: str) -> AsyncIterator[bool]:
    """Whether no other process is here by that name, and none will be until this one leaves or
    dies. Nobody is waited for. SQLite is one process's own, and never anybody else's.

    Between transactions: it holds a connection with a lock of the session's, and no transaction."""
    if not database.is_postgresql:
        yield True
        return
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        key = {"key": zlib.crc32(name.encode())}
        took = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key)
        try:
            yield bool(took)
        finally:
            # ends the session, and its lock with it
            await connection.invalidate()
