"""The audit as an operator reads it, also beside the running service."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from servicekit.chain import Head
from servicekit.secrets import Secret
from services.credentials import audit, shared
from services.credentials.app import keys_of
from services.credentials.errors import StoreUnusable
from services.credentials.home import Home
from services.credentials.sealing import Seal
from services.credentials.settings import Settings
from services.credentials.store import Db, FileDb, Row


def exported(settings: Settings) -> Iterator[str]:
    """Raises StoreUnusable."""
    if settings.database_url is not None:
        yield from _exported(settings, settings.database_url)
        return
    with closing(_opened(Home(settings.home))) as db:
        yield from audit.lines(FileDb(db))


def verified(settings: Settings) -> Head:
    """Against the head that the service sealed. Raises ChainBroken, StoreDamaged, StoreUnusable."""
    if settings.database_url is not None:
        return asyncio.run(_verified(settings, settings.database_url))
    home = Home(settings.home)
    with closing(_opened(home)) as db:
        seal = Seal(keys_of(settings, home).held())
        db.execute("BEGIN")  # one view of records and head, while the service goes on writing
        return audit.verified(FileDb(db), seal)


def _exported(settings: Settings, url: Secret) -> Iterator[str]:
    opened, after = shared.reading(url, partial(keys_of, settings)), 0
    with asyncio.Runner() as runner:
        store = runner.run(opened.__aenter__())
        try:
            while found := runner.run(store.run(partial(_page, after))):
                yield from (line for _, line in found)
                after = found[-1][0]
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _page(after: int, db: Db, _: Seal) -> list[Row]:
    return audit.page(db, after)


async def _verified(settings: Settings, url: Secret) -> Head:
    async with shared.reading(url, partial(keys_of, settings)) as store:
        return await store.run(audit.verified, snapshot=True)


def _opened(home: Home) -> sqlite3.Connection:
    if not home.database.exists():
        raise StoreUnusable(f"there is no store in {home.folder}")
    return sqlite3.connect(f"{home.database.absolute().as_uri()}?mode=ro", uri=True)
