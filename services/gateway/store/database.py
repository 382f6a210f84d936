"""The gateway's own database, of which `tables` says what it holds."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from servicekit import sql
from servicekit.sql import Database

MIGRATIONS = Path(__file__).parent / "migrations"


def opened(url: str) -> AbstractAsyncContextManager[Database]:
    """With its schema up to date; closed on leaving."""
    return sql.opened(url, MIGRATIONS)
