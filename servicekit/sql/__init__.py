"""A service's own database, SQLite or PostgreSQL: transactions, migrations, signals."""

from servicekit.sql.database import Database, opened
from servicekit.sql.migrations import migrate
from servicekit.sql.signals import Signals
from servicekit.sql.standing import standing

__all__ = ["Database", "Signals", "migrate", "opened", "standing"]
