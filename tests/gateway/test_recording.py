"""Records of all owners' runs, for who runs the gateway; and what clearing leaves of them."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from dev.azurite import Azurite
from dev.postgres import Postgres
from servicekit.limits import Limiter
from servicekit.sql import Database
from services.gateway import conversations
from services.gateway.bytestore.folder import FolderStore
from services.gateway.bytestore.settings import FilesSettings
from services.gateway.conversation import Message
from services.gateway.record import Transcript
from services.gateway.store import database
from services.gateway.store.tables import FeedbackRow, now_ms
from services.gateway.upkeep import recording
from services.gateway.upkeep.recording import moment
from services.gateway.upkeep.retention import DAY_MS, Retention, rules
from services.gateway.upkeep.settings import KeepSettings
from tests.gateway.places import KINDS, Place, command, place_of, process
from tests.gateway.stores import (
    run_row,
    store,
    store_url,
)

__all__ = ["store", "store_url"]
pytestmark = [pytest.mark.req("T3", "S8"), pytest.mark.usefixtures("no_leaks")]


async def filled(rows: Database) -> None:
    """Runs of two owners, one of them without a conversation, one with a large one."""
    states = {"run-a": "completed", "run-b": "failed", "run-c": "interrupted", "run-d": "cancelled"}
    states |= {"run-e": "working", "run-f": "completed", "run-g": "completed"}
    async with rows.begin() as session:
        for number, (id, state) in enumerate(states.items()):
            row = run_row(id, created_ms=number * DAY_MS, state=state)
            row.owner = "bob-the-owner" if id == "run-b" else "ada-the-owner"
            row.model = "tuned" if id == "run-d" else "m"
            session.add(row)
            await session.flush()
            if id in ("run-e", "run-f"):
                continue
            transcript = Transcript(f"{id}?", (("shop", "double"),), (Message("user", id),))
            kept = conversations.row_of(id, transcript, ended_by="answer", cut=False)
            kept.content = None if id == "run-g" else kept.content
            session.add(kept)
        session.add(
            FeedbackRow(
                run_id="run-a",
                caller="key-of-ada",
                rating="up",
                comment="ü",
                correction="",
                created_ms=5,
            )
        )


WHICH: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "all": ((), ["run-a", "run-b", "run-c", "run-d"]),
    "since a day": (("--since", "1970-01-02"), ["run-b", "run-c", "run-d"]),
    "since a moment": (("--since", "1970-01-03T00:00:00+00:00"), ["run-c", "run-d"]),
    "an owner": (("--owner", "bob-the-owner"), ["run-b"]),
    "a model": (("--model", "tuned"), ["run-d"]),
    "a state": (("--state", "failed"), ["run-b", "run-c"]),
    "both": (("--state", "completed", "--since", "1970-01-02"), []),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_records_of_all_owners_are_written_to_a_private_file(
    kind: str, tmp_path: Path, postgres: Postgres, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in several batches
    monkeypatch.setattr(recording, "_BATCH", 2)
    async with place_of(kind, tmp_path / "home", postgres, azurite) as place:
        async with database.opened(place.url) as rows:
            await filled(rows)
        output = tmp_path / "runs.jsonl"
        output.write_text("of others, and for all to read")
        output.chmod(0o644)
        code, said = await command(place, "conversations", "--output", str(output))
        assert code == 0, said
        assert said.splitlines() == [
            f"4 records in {output}",
            "runs whose conversation was too large to keep: 1 left out",
            "runs of which no conversation was kept: 1 left out",
        ]
        assert stat.S_IMODE(output.stat().st_mode) == 0o600
        assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
        text = output.read_text()
        told = [json.loads(each) for each in text.splitlines()]
        assert [each["run_id"] for each in told] == WHICH["all"][1]
        assert [each["state"] for each in told] == ["completed", "failed", "failed", "cancelled"]
        assert told[0]["messages"] == [{"role": "user", "content": "run-a"}]
        assert [(each["rating"], each["comment"]) for each in told[0]["feedback"]] == [("up", "ü")]
        # whose they are is not told, nor who said what of them
        assert "owner" not in text and "key-of" not in text
        for words, ids in WHICH.values():
            code, said = await command(place, "conversations", "--output", str(output), *words)
            assert code == 0, said
            lines = output.read_text().splitlines()
            assert [json.loads(each)["run_id"] for each in lines] == ids, words


async def test_records_go_to_stdout_and_what_is_wrong_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    url = f"sqlite+aiosqlite:///{home / 'gateway.db'}"
    place = Place(url, FilesSettings(), home, {"ISOBATH_GATEWAY_HOME": str(home)})
    nothing = await command(place, "conversations", "--output", str(tmp_path / "x"))
    assert nothing[0] == 1 and "no gateway's database" in nothing[1]
    async with database.opened(url) as rows:
        await filled(rows)
    code, out, err = await process(place, "conversations", "--output", "-")
    assert code == 0 and len(out.splitlines()) == 4
    assert err.startswith("4 records in -\n")
    nowhere = await command(place, "conversations", "--output", str(tmp_path / "no" / "x"))
    assert nowhere[0] == 1 and "No such file" in nowhere[1]
    with pytest.raises(SystemExit):
        await command(place, "conversations", "--output", "x", "--since", "yesterday")


async def test_file_that_could_not_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    url = f"sqlite+aiosqlite:///{home / 'gateway.db'}"
    async with database.opened(url) as rows:
        await filled(rows)

    async def full(*_: object) -> list[bytes]:
        raise OSError("No space left on device")

    monkeypatch.setattr(conversations, "lines", full)
    place = Place(url, FilesSettings(), home, {"ISOBATH_GATEWAY_HOME": str(home)})
    output = tmp_path / "runs.jsonl"
    output.write_text("before\n")
    code, said = await command(place, "conversations", "--output", str(output))
    assert (code, output.read_text()) == (1, "before\n") and "No space left" in said
    assert {each.name for each in tmp_path.iterdir()} == {"home", "runs.jsonl"}


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-02", DAY_MS),
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00.5Z", 500),
    ],
)
def test_moment_without_a_zone_is_utcs(text: str, ms: int) -> None:
    assert moment(text) == ms


async def test_clearing_removes_what_is_not_to_be_kept(store: Database, tmp_path: Path) -> None:
    await filled(store)
    retention = Retention(store, FolderStore(tmp_path, Limiter("of tests", 1)))
    kept = KeepSettings(plain_runs_days=0.0)
    assert rules(kept, now_ms()) == []
    (rule,) = rules(replace(kept, conversations=False), now_ms())
    assert (rule.what, await retention.count(rule)) == ("conversations", 5)
    assert await retention.apply(rule) == 5
    found = await conversations.find(store, conversations.Which())
    assert (found.run_ids, found.too_large, found.missing) == ([], 0, 6)
    # runs are cleared with all that is kept of them
    (rule,) = rules(replace(kept, plain_runs_days=1.0), now_ms())
    assert await retention.apply(rule) == 6
    async with store.begin() as session:
        assert (await session.scalars(select(FeedbackRow.run_id))).all() == []
