"""`make eval` starts a platform of its own, asks it, tells what came of it, and leaves nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow

ASKED = ["web-visitors", "retail-regulars", "stock-categories"]


def evaluation(*arguments: str, module: str = "training.evaluation") -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.req("T5")
def test_questions_of_both_sources_are_asked_scored_and_taken_up(tmp_path: Path) -> None:
    chosen = [part for each in ASKED for part in ("--question", each)]
    records, scored = tmp_path / "runs.jsonl", tmp_path / "scores.jsonl"
    output = ("--output", str(tmp_path), "--scores", str(scored), "--records", str(records))
    told = evaluation(*chosen, *output)
    header, *results = lines(tmp_path / "results.jsonl")
    assert header == {
        "format": "isobath.evaluation/1", "engine": "rules", "model": "", "benchmark": ""
    }  # fmt: skip
    assert {each["question"]["id"] for each in results} == set(ASKED)
    for each in results:
        assert each["answer"] and each["run_id"] and each["used"]["rounds"] and not each["failure"]
        assert each["used"]["prompt_tokens"] and each["used"]["fetched_bytes"]
        assert each["programs"]
    assert "| seen | " in (tmp_path / "report.md").read_text()
    assert "| all | " in told and "| several | " in told
    scores = {each["run_id"]: each["score"] for each in lines(scored)}
    assert scores == {each["run_id"]: round(each["verdict"]["credit"], 4) for each in results}

    # the data builder takes both
    runs = lines(records)
    assert {each["run_id"] for each in runs} == set(scores)
    assert all(each["format"] == "isobath.run/1" and each["messages"] for each in runs)
    built = ("--records", str(records), "--output", str(tmp_path / "set"), "--split", "1/0/0")
    evaluation("build", *built, "--scores", str(scored), "--min-score", "1", module="training.data")
    (train,) = (tmp_path / "set").rglob("train.jsonl")
    right = {name for name, score in scores.items() if score == 1}
    assert set() < {each["id"] for each in lines(train)} <= right < set(scores)

    # all is answered: nothing is started
    again = evaluation("run", *chosen, *output, "--resume")
    assert "3 of 3 are answered already" in again and "Azurite" not in again
    assert lines(tmp_path / "results.jsonl") == [header, *results]
    page = (tmp_path / "report.html").read_text()
    assert all(each in page for each in ASKED) and "<script" not in page

    other = tmp_path / "beside"
    told = evaluation("compare", str(tmp_path), str(tmp_path), "--output", str(other))
    assert "No difference" in told and "right either way" in (other / "comparison.html").read_text()
