"""`make eval` starts a platform of its own, asks it, tells what came of it, and leaves nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.req("T5")
def test_questions_of_both_sources_are_asked_and_scored(tmp_path: Path) -> None:
    asked = ["web-visitors", "retail-regulars"]
    chosen = [part for each in asked for part in ("--question", each)]
    command = [sys.executable, "-m", "training.evaluation", *chosen, "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert {each["question"]["id"] for each in results} == set(asked)
    assert all(each["answer"] and each["rounds"] and not each["failed"] for each in results)
    assert "| seen | " in (tmp_path / "report.md").read_text()
    assert "| all | " in done.stdout
