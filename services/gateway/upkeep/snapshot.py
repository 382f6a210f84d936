"""A gateway's rows as they are at one moment, while others go on writing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine


@asynccontextmanager
async def snapshot(url: str, beside: Path) -> AsyncIterator[AsyncConnection]:
    """In a transaction that reads. Of SQLite, a copy in `beside` is read, which is gone on leaving:
    the database itself would take no writer meanwhile."""
    if not url.startswith("sqlite"):
        async with _reading(url) as connection:
            yield connection
        return
    with TemporaryDirectory(prefix=".snapshot-", dir=beside) as folder:
        copy = Path(folder) / "copy.db"
        await asyncio.to_thread(_copy, Path(make_url(url).database or ""), copy)
        async with _reading(f"sqlite+aiosqlite:///{copy}") as connection:
            yield connection


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection
    finally:
        await engine.dispose()


def _copy(source: Path, copy: Path) -> None:
    """By SQLite's own backup, which waits for writers and has them wait a little."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as read, closing(sqlite3.connect(copy)) as written:
        read.backup(written, pages=4096)
