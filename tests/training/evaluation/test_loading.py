"""The data of questions lies where users have theirs: in a real PostgreSQL and a real Azurite."""

from pathlib import Path

import asyncpg
import pandas as pd
import pytest

from dev.assembly import Parts
from dev.azurite import Azurite
from dev.postgres import Postgres
from dev.samples.load import CONTAINER, DATABASE, READER
from training.evaluation.dataset import Domain
from training.evaluation.loading import load

ROWS = pd.DataFrame(
    {
        "id": [1, 2],
        "amount": [1.5, None],
        "told": ["a, b", None],
        "done": [True, False],
        "on": pd.to_datetime(["2025-01-01", "2025-01-02"]),
        "at": [pd.Timestamp("2025-01-01 12:00"), pd.NaT],
    }
)


@pytest.mark.req("T5")
async def test_tables_and_blobs(postgres: Postgres, azurite: Azurite, tmp_path: Path) -> None:
    shared = tmp_path / "large.csv"
    shared.write_bytes(b"a\n1\n")
    one = Domain("mine", {"mine/x.csv": b"x\n", "shared/large.csv": shared}, {"rows": ROWS}, ())
    other = Domain("other", {"shared/large.csv": shared}, {}, ())
    await postgres.execute(f"CREATE DATABASE {DATABASE}")
    await postgres.execute(f"CREATE ROLE {READER}")
    async with azurite.service() as service:
        container = service.get_container_client(CONTAINER)
        await container.create_container()
        try:
            await load(Parts(postgres, azurite), [one, other])
            found = {
                each.name: await (await container.download_blob(each.name)).readall()
                async for each in container.list_blobs()
            }
            assert found == {"mine/x.csv": b"x\n", "shared/large.csv": b"a\n1\n"}
            await shown(postgres)
        finally:
            await container.delete_container()
            await postgres.execute(f"DROP DATABASE {DATABASE}")
            await postgres.execute(f"DROP ROLE {READER}")


async def shown(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.dsn_of(DATABASE))
    try:
        await connection.execute(f"SET ROLE {READER}")
        first, second = await connection.fetch('SELECT * FROM mine.rows ORDER BY "id"')
        assert (first["id"], first["amount"], first["told"], first["done"]) == (
            1,
            1.5,
            "a, b",
            True,
        )
        assert (str(first["on"]), str(first["at"])) == ("2025-01-01", "2025-01-01 12:00:00")
        assert second["amount"] is None and second["told"] is None and second["at"] is None
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine.more (a int)")
    finally:
        await connection.close()
