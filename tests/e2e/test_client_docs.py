"""The examples of the client's documents, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Platform

pytestmark = pytest.mark.slow


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def place(platform: Platform, tmp_path: Path) -> Path:
    """A folder in which `.isobath` is the home of the running platform."""
    (tmp_path / ".isobath").symlink_to(platform.home)
    return tmp_path


def run(command: list[str], place: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: held for name, held in os.environ.items() if not name.startswith("ISOBATH_")}
    environ = {**kept, "PATH": path}
    return subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True)


@pytest.mark.req("C4", "C6", "P3")
def test_examples_of_the_python_client(place: Path) -> None:
    ran = run([sys.executable, "-c", "\n".join(blocks("sdk.md", "python"))], place)
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert "Nordvik" in ran.stdout and "QUERY_FAILED" in ran.stdout
    assert (place / "report" / "report.md").is_file()


@pytest.mark.req("C4", "D1", "P3")
def test_examples_of_the_command(place: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(blocks("command.md", "sh"))
    ran = run(["bash", "-c", script], place)
    assert ran.returncode == 0, ran.stderr[-4000:] + ran.stdout[-2000:]
    assert "Nordvik" in ran.stdout and "80,000 rows" in ran.stdout
    assert (place / "report" / "report.md").is_file() and (place / "run.html").is_file()
    assert (place / "answer.md").read_text().strip()
    assert (place / "orders.parquet").read_bytes().startswith(b"PAR1")
