"""The README's own commands, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Platform

pytestmark = pytest.mark.slow
README = (ROOT / "README.md").read_text()


def block(language: str, holding: str) -> str:
    """The fenced block of a language that holds a word."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(each for each in found if holding in each)


@pytest.fixture
def place(platform: Platform, tmp_path: Path) -> Path:
    """A folder in which `.isobath` is the home of the running platform."""
    (tmp_path / ".isobath").symlink_to(platform.home)
    return tmp_path


@pytest.mark.req("C3")
def test_curl_of_the_readme_streams_an_answer(platform: Platform, place: Path) -> None:
    command = block("sh", "curl").replace("http://127.0.0.1:8200", platform.ready["http"])
    ran = subprocess.run(["bash", "-euc", command], cwd=place, capture_output=True, text=True)
    assert "<Answer>" in ran.stdout and "data: [DONE]" in ran.stdout, ran.stdout[-2000:]


@pytest.mark.req("C3")
def test_snippet_of_the_readme_names_the_late_carrier(place: Path) -> None:
    snippet = block("python", "OpenAI")
    ran = subprocess.run(
        [sys.executable, "-c", snippet], cwd=place, capture_output=True, text=True, check=True
    )
    assert "Halden Freight" in ran.stdout.split("<Answer>")[1]


def test_command_of_the_readme_asks_over_grpc(platform: Platform, place: Path) -> None:
    command = [sys.executable, "-m", "isobath_client.cli", "ask", "How many orders are there?"]
    environ = {**os.environ, "ISOBATH_HOME": str(platform.home)}
    command += ["--data", "sales=SELECT * FROM orders LIMIT 500", "--save", "saved"]
    ran = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "500" in ran.stdout
    assert (place / "saved" / "report.md").is_file()
