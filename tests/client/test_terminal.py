"""The command before a person: colours, the wizard, figures, Ctrl-C."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.pseudo import Terminal
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform
from tests.gateway.doubles import HANG, PNG


async def sitting(
    platform: Platform, work: Callable[[Terminal], None], *words: str, **environ: str
) -> tuple[int, Terminal]:
    given = {"ISOBATH_ADDRESS": platform.grpc_address, "ISOBATH_API_KEY": KEY, **environ}

    def within() -> tuple[int, Terminal]:
        with Terminal(list(words), given) as terminal:
            work(terminal)
            return terminal.wait(), terminal

    return await asyncio.to_thread(within)


def nothing(_: Terminal) -> None:
    return None


@pytest.mark.req("C6")
async def test_run_is_told_in_colours_with_tables_and_figures(platform: Platform) -> None:
    await platform.source()
    program = f"print(6 * 7)\nshow({PNG!r})\nsave('out.csv', b'region,n\\nnorth,3\\n')"
    platform.models.turns = [CODE.format(program), ANSWER.format("It is **42**.")]
    asking = ("ask", "How many?", "-d", "shop:public.orders")
    code, screen = await sitting(platform, nothing, *asking, TERM_PROGRAM="WezTerm")
    assert code == 0, screen.text
    assert "\x1b[1m42\x1b[0m" in screen.raw and "It is 42." in screen.text
    assert "↓ shop: orders.csv" in screen.text and "2 rows" in screen.text
    assert "Program 1" in screen.text and "north" in screen.text
    # drawn, and where it lies
    assert f"1337;File=inline=1;size={len(PNG)}" in screen.raw
    path = re.search(r"/\S+\.png", screen.text)
    assert path is not None and Path(path[0]).read_bytes() == PNG


@pytest.mark.req("C7")
async def test_ctrl_c_cancels_the_run_and_says_so(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>thinking\nhard{HANG}"]

    def work(terminal: Terminal) -> None:
        terminal.expect("thinking")
        terminal.interrupt()
        terminal.expect("is cancelled")

    code, screen = await sitting(platform, work, "ask", "How many?")
    assert code == 130 and "Traceback" not in screen.text
    async with asyncio.timeout(30):
        await platform.models.held.stopped.wait()


@pytest.mark.req("C7")
async def test_end_of_the_process_cancels_the_run_too(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>thinking\nhard{HANG}"]

    def work(terminal: Terminal) -> None:
        terminal.expect("thinking")
        terminal.end()
        terminal.expect("is cancelled")

    code, _ = await sitting(platform, work, "ask", "How many?")
    assert code == 128 + 15


@pytest.mark.req("C8")
async def test_ctrl_c_leaves_a_watched_run_going(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>thinking\nhard{HANG}"]
    started = await platform.http.post(
        "/v1/runs", json={"messages": [{"role": "user", "content": "How many?"}]}
    )
    run = started.json()["id"]

    def work(terminal: Terminal) -> None:
        terminal.expect("thinking")
        terminal.interrupt()
        terminal.expect("goes on")

    code, _ = await sitting(platform, work, "runs", "watch", run)
    assert code == 130
    assert (await platform.http.get(f"/v1/runs/{run}")).json()["status"] == "working"
    await platform.http.post(f"/v1/runs/{run}/cancel")


@pytest.mark.req("D2", "D4", "D5", "D6")
async def test_wizard_asks_checks_and_tries(platform: Platform) -> None:
    def work(terminal: Terminal) -> None:
        terminal.expect("Name:")
        terminal.type("not a name\n")
        terminal.expect("expected: Letters, digits")
        terminal.type("taken\n")
        terminal.expect("taken is taken")
        terminal.type("shop\n")
        terminal.expect("Description")
        terminal.type("Of the tests\n")
        terminal.expect("Such as db")
        terminal.expect("Host:")
        terminal.type("\n")
        terminal.expect("it is needed")
        terminal.type("db.example.com\n")
        terminal.expect("Further settings (port)?")
        terminal.type("y\n")
        terminal.expect("Port")
        terminal.type("many\n")
        terminal.expect("expected: a whole number")
        terminal.type("5433\n")
        terminal.expect("Password:")
        terminal.type("planted-password\n")
        terminal.expect("✓ authenticate")

    await platform.source("taken")
    code, screen = await sitting(platform, work, "sources", "add")
    assert code == 0, screen.text
    assert "planted-password" not in screen.raw
    made, _ = (await platform.http.get("/v1/data-sources")).json()["data"]
    assert (made["name"], made["description"]) == ("shop", "Of the tests")
    assert made["config"] == {"host": "db.example.com", "port": 5433}
    assert made["secrets_set"] == ["password"]


async def test_edit_goes_through_present_settings(platform: Platform) -> None:
    await platform.source()

    def work(terminal: Terminal) -> None:
        terminal.expect("Description")
        terminal.type("\n")
        terminal.expect("Host [db]:")
        terminal.type("db2\n")
        terminal.expect("Further settings")
        terminal.type("\n")
        terminal.expect("Password:")
        terminal.type("planted\n")
        terminal.expect("✓ authenticate")

    code, screen = await sitting(platform, work, "sources", "edit", "shop")
    assert code == 0, screen.text
    (made,) = (await platform.http.get("/v1/data-sources")).json()["data"]
    assert made["config"] == {"host": "db2"}


async def test_query_is_a_table_and_says_that_there_is_more(platform: Platform) -> None:
    await platform.source()
    words = ("query", "shop:public.orders", "--limit", "1")
    code, screen = await sitting(platform, nothing, *words)
    assert code == 0 and "north" in screen.text and "south" not in screen.text
    assert "1 rows are shown and there are more" in screen.text
