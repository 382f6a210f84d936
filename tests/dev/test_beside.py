"""What is put beside packages that an image came with: what it lacks, and nothing that it has."""

import subprocess
import sys
from pathlib import Path

import pytest

from dev.beside import missing

ROOT = Path(__file__).resolve().parents[2]
LOCK = """\
# by hand
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
Beta_Two[extra]==2.0 ; python_version >= '3.11' \\
    --hash=sha256:ba
gamma==3.0 \\
    --hash=sha256:ca
"""


@pytest.mark.req("K2")
def test_what_is_there_in_any_version_stays() -> None:
    assert missing(LOCK, {"alpha", "beta-two", "gamma"}) == ""
    found = missing(LOCK, {"beta-two"})
    assert found.splitlines()[0] == "alpha==1.0 \\"
    assert "beta" not in found.lower()
    assert found.count("--hash=") == 3
    assert missing(LOCK, set()).count("==") == 3


@pytest.mark.req("K2")
def test_a_whole_lock_is_there_where_it_was_installed() -> None:
    """This environment has all that the inference service needs."""
    words = [sys.executable, str(ROOT / "dev/beside.py"), str(ROOT / "requirements/inference.txt")]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    # but for what is of other systems only
    assert [line for line in told.splitlines() if "==" in line and " ; " not in line] == []
