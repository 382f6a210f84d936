"""docs/training.md: its commands are there, with the options that it names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text()
# those of another project, run by `make test-axolotl`
ELSEWHERE = ("accelerate ", "python -m axolotl.")
_PYTHON = re.compile(r"^(?:\.venv-\w+/bin/)?python(?= )")
_SUBCOMMANDS = ("run", "report", "compare", "export", "build", "conversations", "feedback", "runs")


def commands() -> list[str]:
    lines = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)
    return [each for each in lines if not each.startswith(("make ", *ELSEWHERE))]


def program(command: str) -> tuple[str, ...]:
    """Without its options and arguments."""
    words = _PYTHON.sub(sys.executable, command).split()
    last = 3 if words[1] == "-m" else 2 if words[1].endswith(".py") else 1
    while last < len(words) and words[last] in _SUBCOMMANDS:
        last += 2 if words[last] == "runs" else 1
    return tuple(words[:last])


@pytest.fixture(scope="module")
def helped() -> dict[tuple[str, ...], str]:
    """What each program says of itself. A width, or options would be cut."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    started = {
        each: subprocess.Popen(
            [*each, "--help"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        for each in dict.fromkeys(map(program, commands()))
    }
    told = {each: child.communicate()[0] for each, child in started.items()}
    assert {each: child.returncode for each, child in started.items()} == dict.fromkeys(told, 0)
    return told


@pytest.mark.req("T1", "T3", "T4", "T5")
def test_commands_take_the_options_that_are_named(helped: dict[tuple[str, ...], str]) -> None:
    assert len(helped) > 12
    for each in commands():
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", each):
            assert re.search(rf"{option}\b", helped[program(each)]), each
