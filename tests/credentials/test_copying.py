"""Copies of the service's home: whole, while it works, never over another store."""

import asyncio
import datetime
import os
import sys
from pathlib import Path

import pytest

from servicekit import archives
from servicekit.archives import ArchiveUnusable
from servicekit.secrets import Secret
from services.credentials import copying
from services.credentials.copying import CopyRefused
from services.credentials.home import Home
from services.credentials.store import Store, opened
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.vaults.port import Change

pytestmark = pytest.mark.req("S8", "S1")
ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)


async def put(store: Store, number: int) -> None:
    change = Change(f"ds-{number}", "me", {"password": Secret(f"planted-{number}")})
    await EmbeddedVault(store).put(change, NOW)


async def got(store: Store, number: int) -> str:
    record = await EmbeddedVault(store).get(f"ds-{number}")
    return record.fields["password"].reveal()


async def test_secrets_open_after_a_restore(tmp_path: Path) -> None:
    home, new = Home(tmp_path / "home"), Home(tmp_path / "new")
    async with opened(home) as store:
        await put(store, 1)
        made = copying.make(home, tmp_path / "saved")  # at work
        await put(store, 2)
    assert copying.check(tmp_path / "saved").made_at == made.made_at
    copying.restore(new, tmp_path / "saved")
    async with opened(new) as store:
        assert await got(store, 1) == "planted-1"
        await put(store, 3)


async def test_copy_made_while_keys_are_rotated_opens(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    async with opened(home) as store:
        await put(store, 1)
        task = asyncio.create_task(asyncio.to_thread(copying.make, home, tmp_path / "saved"))
        for _ in range(5):
            await store.reseal()
        await task
    copying.restore(Home(tmp_path / "new"), tmp_path / "saved")
    async with opened(Home(tmp_path / "new")) as store:
        assert await got(store, 1) == "planted-1"


async def test_keys_that_change_under_the_copy_are_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    async with opened(home) as store:
        await put(store, 1)
    copy, copies = copying._copy, 0

    def changing(source: Path, target: Path) -> None:
        nonlocal copies
        copies += 1
        copy(source, target)
        if copies <= changes:
            key = home.folder / "store.key"
            key.write_bytes(key.read_bytes() + b"\n")

    monkeypatch.setattr(copying, "_copy", changing)
    changes = 1
    copying.make(home, tmp_path / "saved")
    assert copies == 2
    changes = 100
    with pytest.raises(CopyRefused, match="change all the time"):
        copying.make(home, tmp_path / "again")
    with pytest.raises(ArchiveUnusable):
        copying.check(tmp_path / "again")


async def test_nothing_is_overwritten_and_nothing_torn_is_taken(tmp_path: Path) -> None:
    home, saved = Home(tmp_path / "home"), tmp_path / "saved"
    async with opened(home) as store:
        await put(store, 1)
    copying.make(home, saved)
    with pytest.raises(ArchiveUnusable, match="is not empty"):
        copying.make(home, saved)
    with pytest.raises(CopyRefused, match="there is a store in"):
        copying.restore(home, saved)
    database = saved / "store.db"
    database.write_bytes(database.read_bytes()[:-1] + b"x")
    with pytest.raises(ArchiveUnusable, match=r"store\.db is not what was written"):
        copying.restore(Home(tmp_path / "new"), saved)
    assert not (tmp_path / "new").exists()
    (saved / archives.MANIFEST).unlink()
    with pytest.raises(ArchiveUnusable, match="no whole backup"):
        copying.check(saved)
    with pytest.raises(CopyRefused, match="there is no store"):
        copying.make(Home(tmp_path / "nowhere"), tmp_path / "other")


async def test_copy_is_closed_to_others(tmp_path: Path) -> None:
    async with opened(Home(tmp_path / "home")):
        copying.make(Home(tmp_path / "home"), tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert names == {"store.db", "store.key", archives.MANIFEST}
    for path in (tmp_path / "saved", *(tmp_path / "saved").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_commands_say_what_they_did(tmp_path: Path) -> None:
    async with opened(Home(tmp_path / "home")):
        pass
    saved = str(tmp_path / "saved")
    code, out = await run(tmp_path / "home", "backup", "--to", saved)
    assert code == 0 and out.startswith("whole: 2 files of 20")
    code, out = await run(tmp_path / "home", "restore", "--from", saved)
    assert code == 1 and "there is a store in" in out and "Traceback" not in out


async def run(home: Path, *words: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.credentials", *words,
        cwd=ROOT, env={"PATH": os.environ["PATH"], "ISOBATH_CREDENTIALS_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode()
