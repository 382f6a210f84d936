"""The study's command: what is asked for, and what it needs."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from training.study.__main__ import CPU, GPU, Size, sized, study

pytestmark = pytest.mark.req("T2")
APP = typer.Typer(pretty_exceptions_enable=False)
APP.command()(study)


def test_sizes_are_those_asked_for_and_the_machines() -> None:
    asked = Size("5M", 0, 0, 0, 4, 0)
    assert sized(asked, CPU) == Size("5M", 300, 12, 2048, 4, 3)
    assert sized(asked, GPU) == Size("5M", 3000, 48, 8192, 4, 5)
    assert sized(Size("", 0, 0, 0, 0, 0), GPU) == GPU


def test_study_without_an_environment_says_how_it_is_made(tmp_path: Path) -> None:
    away = tmp_path / "none" / "python"
    options = ["--output", str(tmp_path / "study"), "--training-python", str(away)]
    done = CliRunner().invoke(APP, options)
    assert done.exit_code == 1
    assert "`make study` makes both environments" in " ".join(done.output.split())
    assert not (tmp_path / "study").exists()


def test_study_with_an_environment_that_lacks_pytorch_is_told(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o700)
    done = CliRunner().invoke(
        APP,
        ["--output", str(tmp_path / "study"), "--training-python", str(python),
         "--vllm-python", str(python)],
    )  # fmt: skip
    assert done.exit_code == 1
    assert "has no PyTorch" in " ".join(done.output.split())
