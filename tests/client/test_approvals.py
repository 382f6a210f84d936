"""A person who approves: at the terminal, by command, from Python."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isobath_client import AsyncIsobath, Isobath
from isobath_client.events import ApprovalDecided, ApprovalRequested, Completed
from tests.client.pseudo import Terminal
from tests.client.test_terminal import sitting
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform
from tests.gateway.test_approvals import WISH, begun, stands
from tests.gateway.test_command import isobath, lines

pytestmark = pytest.mark.req("C4", "X4")
ROOT = Path(__file__).resolve().parents[2]


def programs(platform: Platform, count: int) -> None:
    platform.models.turns = [*[CODE.format(WISH)] * count, ANSWER.format("It is.")]


async def test_person_at_the_terminal_is_asked(platform: Platform) -> None:
    await platform.source(approval=["query"])
    programs(platform, 3)

    def work(terminal: Terminal) -> None:
        terminal.expect("would send this to shop:")
        terminal.expect("SELECT 1")
        terminal.expect("with 7")
        terminal.expect("Approve?")
        terminal.type("what\n")
        terminal.expect("Approve?")
        terminal.type("n\n")
        terminal.expect("Why not?")
        terminal.type("too wide\n")
        terminal.expect("refused: too wide")
        terminal.expect("[False] too wide")
        terminal.expect("Approve?")
        terminal.type("a\n")
        terminal.expect("approved")
        terminal.expect("approved as before")

    code, screen = await sitting(platform, work, "ask", "How many?", "-d", "shop")
    assert code == 0, screen.text
    assert "It is." in screen.text and screen.text.count("Approve?") == 3


async def test_who_cannot_be_asked_is_told_how(platform: Platform) -> None:
    await platform.source()
    programs(platform, 1)
    # a process of its own: what is captured in this one is captured from all its threads
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "isobath_client.cli"),
        *("ask", "How many?", "-d", "shop", "--approval", "query"),
        env={**os.environ, "ISOBATH_ADDRESS": platform.grpc_address, "ISOBATH_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run = ""
    while not run:
        await asyncio.sleep(0.05)
        listed = (await platform.http.get("/v1/runs")).json()["data"]
        run = next((each["id"] for each in listed if each["status"] == "waiting"), "")
    (pending,) = await lines(platform, "runs", "approvals", run)
    assert pending["requested"]["query"]["sql"] == "SELECT 1"
    shown = await isobath(platform, "runs", "approvals", run)
    assert "pending" in shown.stdout and "SELECT 1" in shown.stdout
    approved = await isobath(platform, "runs", "approve", run, "--comment", "yes")
    assert (approved.exit_code, approved.stdout) == (0, "approved: SELECT 1\n")
    answer, steps = await asked.communicate()
    assert asked.returncode == 0 and answer.decode().strip() == "It is."
    told = f"isobath runs approve {run} {pending['requested']['approval_id']}"
    assert told in steps.decode()


async def test_command_refuses(platform: Platform) -> None:
    run = await begun(platform, WISH)
    refused = await isobath(platform, "runs", "refuse", run, "--comment", "no", "--json")
    assert json.loads(refused.stdout)["decided"]["comment"] == "no"
    await stands(platform, run, "completed")
    late = await isobath(platform, "runs", "approve", run)
    assert late.exit_code == 1 and "waits for 0 approvals" in late.stderr


async def test_source_is_guarded_and_not_any_more(platform: Platform) -> None:
    await platform.source()
    guarded = await isobath(platform, "sources", "guard", "shop", "write", "query")
    assert guarded.stdout == "shop waits for approval of: query, write\n"
    assert (
        "waits for approval: query, write"
        in (await isobath(platform, "sources", "show", "shop")).stdout
    )
    none = await isobath(platform, "sources", "guard", "shop")
    assert none.stdout == "shop waits for approval of: nothing\n"


async def test_python_decides(platform: Platform) -> None:
    await platform.source(approval=["query"])
    programs(platform, 1)
    seen: list[Any] = []
    async with AsyncIsobath(platform.grpc_address, api_key=KEY) as client:
        async for event in client.stream("How many?", data="shop"):
            seen.append(event)
            if isinstance(event, ApprovalRequested):
                assert (event.sql, event.parameters, event.operation) == ("SELECT 1", (7,), "query")
                assert event.expires_at > event.at
                await client.runs.decide(event.run_id, True, comment="yes")
        asked = next(each for each in seen if isinstance(each, ApprovalRequested))
        decided = next(each for each in seen if isinstance(each, ApprovalDecided))
        assert (decided.approval_id, decided.approved) == (asked.approval_id, True)
        assert (decided.how, decided.comment) == ("person", "yes")
        assert isinstance(seen[-1], Completed) and seen[-1].usage.waited_s > 0
        (kept,) = await client.runs.approvals(asked.run_id)
        assert kept.decided.decided_by == decided.decided_by
        with pytest.raises(ValueError, match="'sql' cannot need an approval"):
            await client.sources.guard("shop", ["sql"])


async def test_page_on_approvals_shows_what_works(platform: Platform) -> None:
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/approvals.md").read_text(), re.DOTALL
    )
    await platform.source("sales", approval=["query"])
    wish = "wishes('query', 'SELECT count(*) FROM public.customers')"
    platform.models.turns = [
        CODE.format(f"{wish}\nprint(decided[0].approved)"),
        ANSWER.format("7."),
    ]
    printed: list[object] = []

    def run() -> None:
        with Isobath(platform.grpc_address, api_key=KEY) as client:
            names = {"ApprovalRequested": ApprovalRequested, "Completed": Completed}
            exec(code, {"isobath": client, "print": printed.append, **names})

    await asyncio.to_thread(run)
    assert printed == ["7."]
    assert "True" in platform.models.requests[1].messages[-1].content
