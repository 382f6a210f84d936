"""The real parts that tests share: one PostgreSQL and one Azurite for a whole run of pytest.

What a test makes in them lives in a database or a container of its own, gone when the test is:

    async def test_rows(postgres: Postgres) -> None:
        async with postgres.database() as name:
            connection = await asyncpg.connect(postgres.dsn_of(name))

    async def test_blobs(azurite: Azurite) -> None:
        async with azurite.container() as container:  # a client of azure-storage-blob (aio)
            await container.upload_blob("a/b.csv", b"1,2")

The fixtures themselves live on a loop of the whole session; the objects belong to no loop.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from dev.azurite import Azurite
from dev.azurite import azurite as start_azurite
from dev.postgres import Postgres
from dev.postgres import postgres as start_postgres


@pytest.fixture(scope="session")
def parts_folder() -> Iterator[Path]:
    """Not one of pytest's own folders: those are closed to the account that PostgreSQL runs as
    under root, and their names are too long for a unix socket."""
    with TemporaryDirectory(prefix="isobath-parts-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(parts_folder: Path) -> AsyncIterator[Postgres]:
    """A PostgreSQL of `.host .port .socket_folder .user .password .dsn .dsn_of(name) .database()
    .execute()`."""
    async with start_postgres(parts_folder / "postgres") as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def azurite(parts_folder: Path) -> AsyncIterator[Azurite]:
    """An Azurite of `.account_url .account .key .connection_string .service() .container()`."""
    async with start_azurite(parts_folder / "azurite") as server:
        yield server
