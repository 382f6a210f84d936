"""The gateway's own database, of which `tables` says what it holds."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from servicekit import sql
from servicekit.sql import Database, migrations

MIGRATIONS = Path(__file__).parent / "migrations"


def opened(url: str, schema_wait_s: float = 0.0) -> AbstractAsyncContextManager[Database]:
    """With its schema up to date: by a migration, or after `schema_wait_s` at most by another
    process's. Closed on leaving. Raises `SchemaBehind`."""
    return sql.opened(url, MIGRATIONS, schema_wait_s=schema_wait_s)


def unmigrated(url: str) -> AbstractAsyncContextManager[Database]:
    """With its schema as it is."""
    return sql.opened(url)


def newest() -> str:
    """What the schema of this version is called."""
    return migrations.newest(MIGRATIONS)
