import asyncio
import os
from pathlib import Path

import asyncpg
import psutil
import pytest

from dev.postgres import Postgres, PostgresFailed
from dev.postgres import postgres as start_postgres


async def value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_postgres_answers_over_tcp(postgres: Postgres) -> None:
    assert await value(postgres.dsn, "SHOW server_version_num") >= "180000"  # type: ignore[operator]


async def test_postgres_answers_over_unix_socket(postgres: Postgres) -> None:
    assert await value(postgres.socket_dsn, "SELECT inet_server_addr()") is None


@pytest.mark.parametrize("over", ["dsn", "socket_dsn"])
async def test_postgres_with_wrong_password_refuses(postgres: Postgres, over: str) -> None:
    dsn = getattr(postgres, over).replace(postgres.password, "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn)


async def test_postgres_stores_scram_verifiers(postgres: Postgres) -> None:
    verifier = await value(
        postgres.dsn, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'"
    )
    assert str(verifier).startswith("SCRAM-SHA-256$")


async def test_database_is_dropped_with_sessions_in_it(postgres: Postgres) -> None:
    async with postgres.database() as name:
        left_open = await asyncpg.connect(postgres.dsn_of(name))
    exists = await value(postgres.dsn, f"SELECT count(*) FROM pg_database WHERE datname = '{name}'")
    left_open.terminate()
    assert exists == 0


async def test_postgres_stopped_leaves_nothing(parts_folder: Path) -> None:
    folder = parts_folder / "another"
    async with start_postgres(folder) as server:
        process = psutil.Process(server.pid)
        family = [process, *process.children(recursive=True)]
        assert len(family) > 1
        assert list(folder.glob(".s.PGSQL.*"))
    assert not any(each.is_running() for each in family)
    assert not folder.exists()


async def test_postgres_in_closed_or_long_folder_works_elsewhere_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o700)
    folder = tmp_path / ("long" * 25)
    async with start_postgres(folder) as server:
        assert await value(server.socket_dsn, "SELECT 1") == 1
        sockets = server.socket_folder
    assert not folder.exists() and not sockets.exists()


async def test_postgres_cancelled_while_starting_leaves_nothing(parts_folder: Path) -> None:
    folder = parts_folder / "cancelled"
    before = set(psutil.Process().children())
    for delay_s in (0.05, 0.3, 0.6):
        task = asyncio.create_task(_held(folder))
        await asyncio.sleep(delay_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not folder.exists()
        # Only our own children: a server that another test holds starts workers as it likes.
        assert set(psutil.Process().children()) <= before
        assert not [each for each in psutil.process_iter(["cmdline"]) if _names(each, folder)]


def _names(process: psutil.Process, folder: Path) -> bool:
    """Tell whether `process` was started with `folder` in its arguments."""
    return any(os.fspath(folder) in each for each in process.info["cmdline"] or ())


async def _held(folder: Path) -> None:
    async with start_postgres(folder):
        await asyncio.Event().wait()


async def test_postgres_that_cannot_start_says_why(
    parts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("dev.postgres").postgres.SETTINGS, "no_such_setting", "1")
    folder = parts_folder / "failed"
    with pytest.raises(PostgresFailed, match="no_such_setting"):
        async with start_postgres(folder):
            pass
    assert not folder.exists()


async def test_passwords_stand_in_no_process_arguments(postgres: Postgres) -> None:
    process = psutil.Process(postgres.pid)
    assert not any(
        postgres.password in " ".join(each.cmdline()) for each in [process, *process.children()]
    )
    assert os.fspath(postgres.socket_folder) in " ".join(process.cmdline())
