"""Put worlds into a platform's PostgreSQL and Azurite, and register them as its sources."""

import io
import secrets
from collections.abc import Mapping
from typing import Any

import asyncpg

from dev.assembly import Parts
from dev.registration import Source
from servicekit.secrets import Secret
from training.examples.world import World

RESULTS = "results/"


async def loaded(parts: Parts, worlds: Mapping[str, World]) -> list[Source]:
    """The sources, to be registered."""
    found: list[Source] = []
    for name, world in worlds.items():
        if world.database is not None:
            found.append(await _database(parts, name, world))
        if world.lake is not None:
            found.append(await _lake(parts, world))
    return found


async def _database(parts: Parts, name: str, world: World) -> Source:
    assert world.database is not None
    reader, password = f"reader_{name}", secrets.token_urlsafe(18)
    await parts.postgres.execute(f"CREATE DATABASE {name}")
    await parts.postgres.execute(f"CREATE ROLE {reader} LOGIN PASSWORD '{password}'")
    connection = await asyncpg.connect(parts.postgres.dsn_of(name))
    try:
        await connection.execute(world.schema)
        for table, frame in world.tables.items():
            content = io.BytesIO(frame.to_csv(index=False, header=False).encode())
            await connection.copy_to_table(
                table, source=content, columns=list(frame.columns), format="csv"
            )
        # with statistics, so that what prompts tell of rows is the same each time
        await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}")
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    server = parts.postgres
    config: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "database": name,
        "user": reader,
        **world.database.config,
    }
    secret = {"password": Secret(password)}
    return Source(world.database.name, "postgresql", world.database.description, config, secret)


async def _lake(parts: Parts, world: World) -> Source:
    assert world.lake is not None
    async with parts.azurite.service() as service:
        container = service.get_container_client(world.lake.name)
        await container.create_container()
        for path, content in world.files.items():
            await container.upload_blob(path, content)
    config = {
        "account_url": parts.azurite.account_url,
        "container": world.lake.name,
        "write_prefixes": [RESULTS],
        **world.lake.config,
    }
    secret = {"account_key": Secret(parts.azurite.key)}
    return Source(world.lake.name, "azure_blob", world.lake.description, config, secret)
