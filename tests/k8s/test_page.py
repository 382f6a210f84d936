"""What docs/kubernetes.md tells is there, and what it says to run runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dev.manifests import K8S, OVERLAYS, Combination, components, rendered

ROOT = K8S.parent
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
COMMANDS = re.findall(r"^    ((?:kubectl|python|make|kind) .+)$", PAGE, re.MULTILINE)


def test_page_names_every_overlay_and_component() -> None:
    for name in (*OVERLAYS, *components()):
        assert f"`{name}`" in PAGE, name


@pytest.mark.parametrize("command", [each for each in COMMANDS if "apply -k" in each])
def test_overlays_that_are_applied_render(command: str) -> None:
    folder = Path(shlex.split(command)[-1])
    assert folder.parent == Path("k8s/overlays")
    assert rendered(Combination(folder.name))


def test_commands_of_ours_run(tmp_path: Path) -> None:
    for name in ("gateway-url", "credentials-url"):
        (tmp_path / name).write_text("postgresql+asyncpg://a:b@db.example.com/isobath")
    ours = [each.partition(" | ")[0] for each in COMMANDS if each.startswith("python ")]
    assert ours
    for command in ours:
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and "Secret" in done.stdout, done.stderr


def test_files_that_are_applied_exist() -> None:
    for command in COMMANDS:
        for word in command.split():
            if word.startswith("k8s/"):
                assert (ROOT / word).exists(), command


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in COMMANDS:
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile
