"""The `isobath` command against a gateway: background runs, threads, and lists for programs."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from isobath_client.cli import app
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform


async def isobath(platform: Platform, *words: str) -> Any:
    environ = {"ISOBATH_ADDRESS": platform.grpc_address, "ISOBATH_API_KEY": KEY}
    return await asyncio.to_thread(CliRunner().invoke, app, words, env=environ)


async def lines(platform: Platform, *words: str) -> list[dict[str, Any]]:
    ran = await isobath(platform, *words, "--json")
    assert ran.exit_code == 0, ran.output
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.req("C8")
async def test_question_in_the_background_is_followed_later(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format("print(6 * 7)"), ANSWER.format("It is 42.")]
    asking = ("ask", "How many?", "-d", "shop:public.orders", "--background")
    (run,) = await lines(platform, *asking)
    watched = await isobath(platform, "runs", "watch", run["run_id"])
    assert "It is 42." in watched.stdout
    (listed,) = await lines(platform, "runs", "list")
    assert (listed["run_id"], listed["state"]) == (run["run_id"], "RUN_STATE_COMPLETED")
    told = await isobath(platform, *asking)
    assert told.exit_code == 0 and "isobath runs watch run-" in told.stdout


async def test_background_leaves_nothing_to_save(platform: Platform) -> None:
    ran = await isobath(platform, "ask", "How many?", "--background", "--save", "here")
    assert ran.exit_code == 2 and "export" in ran.output and not platform.models.requests


@pytest.mark.req("C5")
async def test_threads_are_listed_read_and_removed(platform: Platform) -> None:
    platform.models.turns = [ANSWER.format("It is [42].")]
    assert (await isobath(platform, "ask", "How many [of all]?")).exit_code == 0
    (thread,) = await lines(platform, "threads", "list")
    id = thread["thread_id"]
    assert "How many [of all]?" in (await isobath(platform, "threads", "list")).stdout
    shown = (await isobath(platform, "threads", "show", id)).stdout
    assert "How many [of all]?" in shown and "It is [42]." in shown and "report.md" in shown
    (read,) = await lines(platform, "threads", "show", id)
    assert [each["role"] for each in read["messages"]] == ["user", "assistant"]
    assert (await isobath(platform, "threads", "remove", id)).exit_code == 0
    assert await lines(platform, "threads", "list") == []
    gone = await isobath(platform, "threads", "show", id)
    assert gone.exit_code == 1 and "Traceback" not in gone.output


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("models",), "is_agent", True),
        (("sources", "list"), "name", "shop"),
        (("sources", "browse", "shop", "public"), "path", "public.orders"),
        (("sources", "schema", "shop", "public.orders"), "rows", "2"),
        (("files", "list"), "name", "report.md"),
    ],
)
async def test_lists_are_json_for_programs_and_tables_for_people(
    platform: Platform, words: tuple[str, ...], key: str, value: object
) -> None:
    await platform.source()
    platform.models.turns = [ANSWER.format("one")]
    await isobath(platform, "ask", "How many?")
    found = await lines(platform, *words)
    assert value in [each.get(key) for each in found]
    shown = await isobath(platform, *words)
    assert shown.exit_code == 0 and not shown.stdout.startswith("{")
