"""docs/operations.md: its commands, run on the running platform as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from isobath.errors.v1 import errors_pb2
from tests.e2e.conftest import ROOT, Platform

pytestmark = [pytest.mark.slow, pytest.mark.req("S1", "S2", "S7")]
PAGE = (ROOT / "docs" / "operations.md").read_text()
# another target of the gate
ELSEWHERE = {"make scale-out"}


def blocks() -> list[str]:
    found = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [each.strip() for each in found if each.strip() not in ELSEWHERE]


def run(platform: Platform, place: Path, script: str) -> str:
    """In a shell of somebody who has the clone and the platform at hand."""
    if not (place / ".isobath").exists():
        (place / ".isobath").symlink_to(platform.home)
    script = script.replace("http://127.0.0.1:8200", str(platform.ready["http"]))
    ran = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=place,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(place),
            "no_proxy": "*",
        },
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"{script}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
    return ran.stdout


def test_every_command_in_turn(platform: Platform, tmp_path: Path) -> None:
    first, *others = blocks()
    said = [run(platform, tmp_path, f"{first}\n{each}") for each in others]
    whole = "\n".join(said)
    assert "ready" in said[0]
    assert "kim" in said[1] and (tmp_path / "kim.key").read_text().startswith("isb-")
    assert "grants will be signed with" in whole
    assert "with a new password" in whole


def test_keys_are_rotated_and_what_was_there_still_works(
    platform: Platform, tmp_path: Path
) -> None:
    own = blocks()[0]
    told = run(platform, tmp_path, f"{own}\npython -m services.gateway rotate-keys")
    assert re.search(r"signed with \S+; [1-9]\d* secrets encrypted anew", told)
    with platform.http() as http:
        rows = http.post("/v1/data-sources/sales/query", json={"sql": "SELECT 1 AS one"})
        assert rows.json()["rows"] == [[1]]


def test_rotation_without_the_credential_service_says_so(
    platform: Platform, tmp_path: Path
) -> None:
    own = blocks()[0]
    with pytest.raises(AssertionError, match="credentials service does not answer"):
        run(
            platform,
            tmp_path,
            f"{own}\nISOBATH_GATEWAY_CREDENTIALS=127.0.0.1:1 python -m services.gateway rotate-keys",
        )


def test_reasons_that_the_page_explains_exist() -> None:
    table = PAGE[PAGE.index("## Find what is wrong") :]
    values = errors_pb2.ErrorReason.DESCRIPTOR.values
    known = {each.name.removeprefix("ERROR_REASON_") for each in values}
    told = {
        word
        for line in table.splitlines()
        if line.startswith("| `") and not line.startswith("| ---")
        for word in re.findall(r"`([A-Z_]{6,})`", line.split("|")[1])
    }
    assert told and told <= known
