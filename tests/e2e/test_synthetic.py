"""Conversations at scale: a platform of its own, and records of what was answered right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training.data.record import parsed
from training.synthetic.domains import domain
from training.synthetic.themes import Part

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.req("T3"), pytest.mark.slow]


def test_generation_keeps_what_is_right_and_takes_schemas_away(tmp_path: Path) -> None:
    output = tmp_path / "runs.jsonl"
    told = _generate(output, 4)
    records = [parsed(json.loads(line)) for line in output.read_text().splitlines()]
    assert len(records) == 4
    for each in records:
        assert each.state == "completed"
        assert each.messages[0].content.startswith("# Instruction\n")
        assert [m.role for m in each.messages[1:4]] == ["assistant", "execute", "assistant"]
        assert each.messages[-1].content.rstrip().endswith("</Answer>")
    asked = {q.text for n in range(8) for q in domain(Part.STRANGE, 4, n).questions}
    assert {each.question for each in records} <= asked
    assert "4 conversations of" in told
    # there are as many as are wanted: no platform is started
    assert "4 conversations of" in _generate(output, 4, "--resume")
    assert len(output.read_text().splitlines()) == 4


def _generate(output: Path, count: int, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "training.synthetic", "--conversations", str(count), "--seed", "4",
         "--part", "strange", "--output", output, *options],
        cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
