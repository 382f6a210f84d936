"""Records of a real gateway's runs, over its client, and data sets made of them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner

from isobath_client import Isobath
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform
from tests.training.data.runs import lines, message
from training.data.__main__ import app
from training.data.building import Options, build
from training.data.exporting import export
from training.data.split import Shares

T = TypeVar("T")
pytestmark = pytest.mark.req("T3")
ORDERS = "shop:public.orders"
PROGRAM = CODE.format("print(6 * 7)")
LAST = ANSWER.format("It is **42**.")


async def on(platform: Platform, work: Callable[[Isobath], T]) -> T:
    def within() -> T:
        with Isobath(platform.grpc_address, api_key=KEY) as isobath:
            return work(isobath)

    return await asyncio.to_thread(within)


async def asked(platform: Platform, *turns: str) -> str:
    """A run of these turns of the model; its id."""
    platform.models.turns = list(turns)
    return await on(platform, lambda isobath: isobath.ask("How many?", data=ORDERS).run_id)


async def test_a_run_becomes_a_conversation_word_by_word(
    platform: Platform, tmp_path: Path
) -> None:
    await platform.source()
    run_id = await asked(platform, PROGRAM, LAST)
    records = tmp_path / "runs.jsonl"
    told = await on(platform, lambda isobath: export(isobath.runs, records, limit=10))
    assert told == {"written": 1} and records.stat().st_mode & 0o777 == 0o600
    output = tmp_path / "data"
    build(Options([records], output, shares=Shares(1, 0, 0)), lambda text: None)
    (made,) = lines(output / "messages/train.jsonl")
    assert made["id"] == run_id
    *prompt, program, printed, answer = made["messages"]
    assert prompt[-1]["content"].startswith("# Instruction\nHow many?")
    assert not any(each["train"] for each in prompt)
    assert program == {**message("assistant", PROGRAM), "train": True}
    assert printed == {**message("execute", "42\n"), "train": False}
    assert answer == {**message("assistant", LAST), "train": True}


async def test_runs_are_chosen_by_number_and_time_and_none_is_lost_silently(
    platform: Platform, tmp_path: Path
) -> None:
    await platform.source()
    first = await asked(platform, LAST)
    second = await asked(platform, LAST)

    async def ids(name: str, limit: int, since: datetime | None = None) -> list[str]:
        path = tmp_path / name
        await on(platform, lambda isobath: export(isobath.runs, path, limit=limit, since=since))
        return [each["run_id"] for each in lines(path)]

    assert await ids("all", 10) == [second, first]
    assert await ids("newest", 1) == [second]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await ids("later", 10, later) == []
    assert await ids("today", 10, later - timedelta(hours=2)) == [second, first]


async def test_a_file_that_is_there_is_kept(platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    path = folder / "runs.jsonl"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        await on(platform, lambda isobath: export(isobath.runs, path, limit=10))
    assert path.read_text() == "mine" and list(folder.iterdir()) == [path]


async def test_command_finds_the_platform_and_says_what_it_wrote(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.source()
    await asked(platform, LAST)
    monkeypatch.setenv("ISOBATH_ADDRESS", platform.grpc_address)
    monkeypatch.setenv("ISOBATH_API_KEY", KEY)
    arguments = ["export", "--output", str(tmp_path / "runs.jsonl")]
    first = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert first.exit_code == 0, first.output
    assert f"runs: written 1; records in {tmp_path / 'runs.jsonl'}\n" in first.output
    again = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert again.exit_code == 1 and "name a file that is not" in again.output
    monkeypatch.setenv("ISOBATH_API_KEY", "isb-wrong")
    wrong = await asyncio.to_thread(
        CliRunner().invoke, app, ["export", "--output", str(tmp_path / "other.jsonl")]
    )
    assert wrong.exit_code == 1 and not (tmp_path / "other.jsonl").exists()
    assert "Traceback" not in wrong.output and len(wrong.output) > 20
