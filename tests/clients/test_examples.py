"""The examples of docs/openai.md, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import ROOT, Running, environment

pytestmark = [pytest.mark.clients, pytest.mark.req("C3")]
PAGE = (ROOT / "docs" / "openai.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PROXY = "http://127.0.0.1:4000/v1"


@pytest.fixture
def place(running: Running, tmp_path: Path) -> Path:
    """A folder in which `.isobath` is the home of the running platform."""
    (tmp_path / ".isobath").symlink_to(running.home)
    return tmp_path


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_example_prints_an_answer(running: Running, place: Path, number: int) -> None:
    code = BLOCKS[number].replace(PROXY, running.proxy.base)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment(), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ("orders" in ran.stdout and "completed" in ran.stdout) or "Nordvik" in ran.stdout
    assert "rule-based analyst" in ran.stdout


def test_page_has_an_example_of_each_client() -> None:
    for word in ("chat.completions", "responses.create", "ChatOpenAI", "litellm.", PROXY, "httpx"):
        assert any(word in block for block in BLOCKS), word
