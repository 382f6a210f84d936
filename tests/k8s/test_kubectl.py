"""Which kubectl renders."""

import sys
from pathlib import Path

import pytest

from dev import kubectl


def test_one_that_is_too_old_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, told in (("old", "v1.20.2"), ("new", "v1.37.0"), ("odd", "what?")):
        program = tmp_path / name / "kubectl"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho 'Client Version: {told}'\n")
        program.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for name in ("old", "odd"):
        monkeypatch.setenv("PATH", f"{tmp_path / name}:/bin")
        assert kubectl.usable() is None
    monkeypatch.setenv("PATH", f"{tmp_path / 'new'}:/bin")
    assert kubectl.usable() == str(tmp_path / "new" / "kubectl")
