"""How a database stands: whether it answers, and whether its schema is what this code needs."""

from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from servicekit import logs
from servicekit.sql.database import Database
from servicekit.sql.migrations import config, revision

SERVING, UNREACHABLE, MIGRATIONS_PENDING = "SERVING", "UNREACHABLE", "MIGRATIONS_PENDING"
_log = logs.get(__name__)


async def standing(database: Database, folder: Path) -> str:
    """One of the three. A form that this code does not know was made by a later version, beside
    which it works on."""
    try:
        found = await revision(database.engine)
    except (SQLAlchemyError, OSError) as fault:
        _log.warning("database_away", error=type(fault).__name__)
        return UNREACHABLE
    known = _revisions(folder)
    behind = not found or (found in known and found != known[0])
    return MIGRATIONS_PENDING if behind else SERVING


@cache
def _revisions(folder: Path) -> tuple[str, ...]:
    """Those that this code knows, the newest first."""
    every = ScriptDirectory.from_config(config(folder)).walk_revisions()
    return tuple(each.revision for each in every)
