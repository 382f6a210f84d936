"""A reading transaction of the connector's own on a database, without service or grant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from services.pg_connector.connecting import teach
from services.pg_connector.places import Place
from services.pg_connector.pools import Held, _Pool
from services.pg_connector.reading import Reading, Share, reading


@asynccontextmanager
async def reading_on(
    connection: Any, timeout_s: float = 30.0, *, snapshot: str = "", **share: Any
) -> AsyncIterator[Reading]:
    place = Place(host="127.0.0.1", port=1, database="somewhere", user="somebody")
    held = Held(_Pool(place), connection)
    async with reading(held, timeout_s, Share(**share), snapshot=snapshot) as work:
        yield work


@asynccontextmanager
async def reading_at(dsn: str, timeout_s: float = 30.0, **share: Any) -> AsyncIterator[Reading]:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        await teach(connection)
        async with reading_on(connection, timeout_s, **share) as work:
            yield work
    finally:
        await connection.close()
