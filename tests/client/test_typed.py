"""What a type checker sees of the client from outside of this repository."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SNIPPET = """
from isobath_client import Isobath
from isobath_client.events import Completed

isobath = Isobath.from_env()
answer = isobath.ask("How many?", data="sales", max_rows=0)
reveal_type(answer.figures[0].read())
reveal_type(isobath.runs.get("run-1"))
reveal_type(isobath.sources.check("sales").ok)
isobath.ask("How many?", dta="sales")
for event in isobath.stream("How many?"):
    match event:
        case Completed(answer=text):
            reveal_type(text)
"""


@pytest.mark.slow
def test_client_is_typed_for_its_users(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "snippet.py"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    revealed = re.findall(r'Revealed type is "([^"]+)"', told)
    assert revealed == ["bytes", "isobath.analyst.v1.analyst_pb2.Run", "bool", "str"], told
    assert re.findall(r"error: (.*)", told)[0].startswith('Unexpected keyword argument "dta"')
