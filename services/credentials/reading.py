"""The audit as an operator reads it, also beside the running service."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from servicekit.chain import Head
from services.credentials import audit
from services.credentials.app import keys_of
from services.credentials.errors import StoreUnusable
from services.credentials.home import Home
from services.credentials.sealing import Seal
from services.credentials.settings import Settings


def exported(settings: Settings) -> Iterator[str]:
    """Raises StoreUnusable."""
    with closing(_opened(Home(settings.home))) as db:
        yield from audit.lines(db)


def verified(settings: Settings) -> Head:
    """Against the head that the service sealed. Raises ChainBroken, StoreDamaged, StoreUnusable."""
    home = Home(settings.home)
    with closing(_opened(home)) as db:
        seal = Seal(keys_of(settings).held())
        db.execute("BEGIN")  # one view of records and head, while the service goes on writing
        return audit.verified(db, seal)


def _opened(home: Home) -> sqlite3.Connection:
    if not home.database.exists():
        raise StoreUnusable(f"there is no store in {home.folder}")
    return sqlite3.connect(f"{home.database.absolute().as_uri()}?mode=ro", uri=True)
