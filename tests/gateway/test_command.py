"""The `isobath` command against a gateway: background runs, threads, and lists for programs."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyarrow import ipc
from typer.main import get_command
from typer.testing import CliRunner

from isobath_client.cli import app
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform


async def isobath(platform: Platform, *words: str, typed: str = "", **environ: str) -> Any:
    where = {"ISOBATH_ADDRESS": platform.grpc_address, "ISOBATH_API_KEY": KEY}
    return await invoked(words, {**where, **environ}, typed)


async def invoked(words: Sequence[str], environ: Mapping[str, str], typed: str = "") -> Any:
    return await asyncio.to_thread(
        CliRunner().invoke, app, words, env=environ, input=typed, prog_name="isobath"
    )


async def lines(platform: Platform, *words: str) -> list[dict[str, Any]]:
    ran = await isobath(platform, *words, "--json")
    assert ran.exit_code == 0, ran.output
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.req("T3")
async def test_conversation_of_a_run_is_a_line_of_a_file_of_records(platform: Platform) -> None:
    run = (await platform.chat()).json()["run_id"]
    served = (await platform.http.get(f"/v1/runs/{run}/conversation")).json()
    assert await lines(platform, "runs", "conversation", run) == [served]
    told = await isobath(platform, "runs", "conversation", run)
    assert told.stdout.startswith("[user]\n# Instruction\nHow many?")
    assert told.stdout.endswith("[assistant]\n<Answer>nothing left to say</Answer>\n")
    gone = await isobath(platform, "runs", "conversation", "run-none")
    assert gone.exit_code == 1 and "there is no run" in gone.stderr


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
    assert told.exit_code == 0 and f"isobath runs watch {told.stdout.strip()}" in told.stderr


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


@pytest.mark.req("C3")
async def test_pipe_gets_the_answer_and_stderr_the_steps(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format("print(42)"), ANSWER.format("It is **42**.")]
    asking = ("ask", "-", "-d", "shop:public.orders")
    ran = await isobath(platform, *asking, typed="How many?\n")
    assert ran.exit_code == 0 and ran.stdout == "It is **42**.\n"
    assert "Program 1" in ran.stderr and "shop: orders.csv" in ran.stderr
    assert "\x1b" not in ran.output


async def test_events_are_json_lines(platform: Platform, tmp_path: Path) -> None:
    platform.models.turns = [ANSWER.format("It is 42.")]
    events = await lines(platform, "ask", "How many?", "--save", str(tmp_path / "saved"))
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["completed"]["answer"] == "It is 42."
    assert (tmp_path / "saved" / "report.md").is_file()
    watched = await lines(platform, "runs", "watch", events[0]["run_id"])
    assert watched == events
    (shown,) = await lines(platform, "runs", "show", events[0]["run_id"])
    assert (shown["question"], shown["answer"]) == ("How many?", "It is 42.")


async def test_failed_run_ends_with_1(platform: Platform) -> None:
    await platform.source()
    ran = await isobath(platform, "ask", "How many?", "-d", "shop=SELECT FORM")
    assert ran.exit_code == 1 and "failed (QUERY_FAILED)" in ran.stderr and not ran.stdout


@pytest.mark.req("D1", "D2", "D4")
async def test_source_is_added_by_a_script(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("planted-password\n")
    words = ("sources", "add", "--type", "double", "--name", "shop", "--set", "host=12")
    secret = f"password={tmp_path / 'password'}"
    (made,) = await lines(platform, *words, "--set", "port=5432", "--secret-file", secret)
    assert made["secrets_set"] == ["password"] and made["check"]["ok"] is True
    # by the schema: a name of digits is a text
    assert json.loads(made["config_json"]) == {"host": "12", "port": 5432}
    again = (*words[:4], "--name", "two", "--set", "host=db", "--secret-env", "password=PLANTED")
    ran = await isobath(platform, *again, PLANTED="planted")
    assert ran.exit_code == 0 and "two is ds-" in ran.stdout and "✓ authenticate" in ran.stdout
    platform.connector.refuses_password = True
    described = ("sources", "update", "two", "--description", "of the tests")
    assert (await isobath(platform, *described)).exit_code == 0
    resigned = ("sources", "update", "two", "--secret-env", "password=PLANTED")
    ran = await isobath(platform, *resigned, PLANTED="wrong")
    assert ran.exit_code == 1 and "wrong password" in ran.stdout and "sources edit" in ran.stderr
    assert "of the tests" in (await isobath(platform, "sources", "show", "two")).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--type", "dubble", "--name", "x", "--set", "a=b"), "double"),
        (("--type", "double", "--name", "x", "--set", "port=many"), "a whole number"),
        (("--type", "double", "--name", "x", "--set", "port"), "NAME=VALUE"),
        (("--type", "double", "--name", "x", "--secret-env", "password=UNSET_1"), "UNSET_1"),
        (("--type", "double"), "--name"),
        ((), "--type"),
    ],
)
async def test_wrong_script_is_told_what_is_wrong(
    platform: Platform, words: tuple[str, ...], told: str
) -> None:
    ran = await isobath(platform, "sources", "add", *words, COLUMNS="200")
    assert ran.exit_code == 2 and told in ran.stderr
    secret = await isobath(platform, "sources", "add", "--type", "double", "--name", "x",
                           "--secret-env", "planted-password")  # fmt: skip
    assert secret.exit_code == 2 and "planted-password" not in secret.output


@pytest.mark.req("P3", "P10")
async def test_query_is_written_as_asked(platform: Platform, tmp_path: Path) -> None:
    await platform.source()
    for given, bound in {"north": "['north']", "7": "[7]", '"7"': "['7']"}.items():
        words = ("query", "shop", "SELECT $1", "--param", given)
        assert await lines(platform, *words) == [{"sql": "SELECT $1", "bound": bound}]
    csv = await isobath(platform, "sources", "query", "shop:public.orders")
    assert csv.stdout == "region,count\nnorth,3\nsouth,4\n"
    arrow = tmp_path / "orders.arrow"
    saved = await isobath(platform, "query", "shop:public.orders", "-o", str(arrow))
    assert saved.exit_code == 0 and ipc.open_stream(arrow.read_bytes()).read_all().num_rows == 2
    table = await isobath(platform, "query", "shop:public.orders", "--format", "table")
    assert "north" in table.stdout and "," not in table.stdout
    cut = await isobath(platform, "query", "shop:public.orders", "--limit", "1")
    assert cut.stdout == "region,count\nnorth,3\n" and "cut by" in cut.stderr
    torn = tmp_path / "torn.csv"
    refused = await isobath(platform, "query", "shop=SELECT FORM", "-o", str(torn))
    assert refused.exit_code == 1 and not list(tmp_path.glob("torn*"))


async def test_preview_and_statistics_are_shown(platform: Platform) -> None:
    await platform.source()
    shown = await isobath(platform, "sources", "preview", "shop", "public.orders", "-n", "1")
    assert "north" in shown.stdout and "south" not in shown.stdout
    told = await isobath(platform, "sources", "statistics", "shop", "public.orders")
    assert "3.5" in told.stdout and "exact" in told.stdout


@pytest.mark.req("S6")
async def test_errors_say_what_to_do(platform: Platform) -> None:
    await platform.source("sales")
    near = await isobath(platform, "sources", "check", "sale")
    assert near.exit_code == 1 and "Did you mean sales?" in near.stderr
    away = await isobath(platform, "--address", "127.0.0.1:9", "models")
    assert away.exit_code == 1 and "127.0.0.1:9" in away.stderr and "make up" in away.stderr
    keyless = await invoked(["models"], {"ISOBATH_HOME": "/nowhere", "ISOBATH_API_KEY": ""})
    assert keyless.exit_code == 1 and "ISOBATH_API_KEY" in keyless.stderr
    unread = await isobath(platform, "--api-key-file", "/nowhere", "models")
    assert unread.exit_code == 1 and "cannot be read" in unread.stderr
    for ran in (near, away, keyless, unread):
        assert "Traceback" not in ran.output and not ran.stdout


async def test_key_and_address_stand_before_the_command(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    words = ["--address", platform.grpc_address, "--api-key-file", str(tmp_path / "key"), "whoami"]
    ran = await invoked(words, {"ISOBATH_ADDRESS": "127.0.0.1:9", "ISOBATH_API_KEY": "isb-wrong"})
    assert ran.exit_code == 0 and "default" in ran.stdout
    version = await invoked(["--version"], {})
    assert version.exit_code == 0 and version.stdout.startswith("isobath ")


async def test_files_are_sent_saved_and_removed(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    (sent,) = await lines(platform, "files", "upload", str(tmp_path / "note.txt"))
    target = tmp_path / "back.txt"
    (saved,) = await lines(platform, "files", "download", sent["id"], str(target))
    assert saved["path"] == str(target) and target.read_text() == "hello"
    (removed,) = await lines(platform, "files", "remove", sent["id"])
    assert removed["removed"] and await lines(platform, "files", "list") == []


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


COMMANDS = list(commands(get_command(app)))


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(p) for p, _ in COMMANDS])
def test_help_has_an_example_and_every_word_a_meaning(path: tuple[str, ...], command: Any) -> None:
    assert f"isobath {' '.join(path)}" in command.epilog and command.help
    assert [each.name for each in command.params if not getattr(each, "help", None)] == []


PRINTING = [path for path, command in COMMANDS if path not in {("sources", "edit")}]


@pytest.mark.parametrize("path", PRINTING, ids=" ".join)
def test_what_prints_prints_json_too(path: tuple[str, ...]) -> None:
    command = dict(COMMANDS)[path]
    assert "--json" in {option for each in command.params for option in each.opts}
