"""The commands: what is refused before anything starts, and what a finished evaluation ends with."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training.evaluation.made import asks, result
from training.evaluation import __main__ as command
from training.evaluation.__main__ import Engines, app
from training.evaluation.dataset import Number
from training.evaluation.ledger import NAME, Header, ledger, read
from training.evaluation.questions import Part, chosen
from training.evaluation.results import Result as Outcome
from training.evaluation.scoring import Given, judged


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def answered(folder: Path, *, right: bool) -> None:
    """As if the one question of the domain web had been answered."""
    (asked,) = chosen(Part.SEEN, ["web"], ["web-visitors"], None, None)
    (number,) = asked.question.expects
    assert isinstance(number, Number)
    answer = f"There were {number.value if right else 1:.0f}."
    made = Outcome(
        "seen", "web", asked.question, judged(asked.question, Given(answer)), answer=answer,
        run_id="run-1", finish="answer",
    )  # fmt: skip
    with ledger(folder, Header("rules")) as told:
        told(made)


@pytest.mark.req("T5")
@pytest.mark.parametrize("first", [(), ("run",)])
@pytest.mark.parametrize(("right", "code"), [(True, 0), (False, 1)])
def test_what_is_finished_is_reported(
    tmp_path: Path, first: tuple[str, ...], right: bool, code: int
) -> None:
    answered(tmp_path, right=right)
    scores = tmp_path / "scores.jsonl"
    done = run(
        *first, "--domain", "web", "--question", "web-visitors", "--output", tmp_path, "--resume",
        "--at-least", "0.5", "--scores", scores,
    )  # fmt: skip
    assert done.exit_code == code, done.output
    assert "1 of 1 are answered already" in done.output
    assert str(tmp_path / "report.html") in done.output.replace("\n", "")
    assert json.loads(scores.read_text()) == {"run_id": "run-1", "score": float(right)}
    assert "Evaluation of rules" in (tmp_path / "report.html").read_text()
    assert "# Evaluation of rules" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--domain", "nonesuch"), "no question is of that part, domain and id"),
        (("--benchmark", "dabench"), "--benchmark and --folder go together"),
        (("--folder", "."), "--benchmark and --folder go together"),
        (("--benchmark", "dabench", "--folder", "."), "the file of questions is not there"),
        (("--engine", "vllm"), "ISOBATH_MODEL"),
        (("--repeat", "0"), "repeat"),
        (("compare", "here", "there"), "results.jsonl is not there"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ISOBATH_MODEL", raising=False)
    done = run(*arguments)
    assert done.exit_code == 2
    assert why in done.output.replace("\n", "")
    assert not list(tmp_path.iterdir())


def test_another_evaluation_is_not_written_over_by_taking_it_up(tmp_path: Path) -> None:
    answered(tmp_path, right=True)
    before = (tmp_path / NAME).read_text()
    done = run("--domain", "web", "--adapter", "mine", "--output", tmp_path, "--resume")
    assert done.exit_code == 2 and "name another folder" in done.output
    assert (tmp_path / NAME).read_text() == before


@pytest.mark.req("T5")
def test_what_was_interrupted_is_kept_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(tmp_path / "made", right=True)
    _, (made,) = read(tmp_path / "made")

    async def interrupted(*_: object, told: Callable[[Outcome], None], **__: object) -> None:
        told(made)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    monkeypatch.setattr(command, "evaluated", interrupted)
    done = run("--domain", "web", "--output", tmp_path / "out")
    assert done.exit_code == 128 + signal.SIGINT
    assert "--resume asks the rest" in done.output and not (tmp_path / "out/report.html").exists()
    assert read(tmp_path / "out") == (Header("rules"), [made])
    scores = tmp_path / "scores.jsonl"
    assert run("report", tmp_path / "out", "--scores", scores).exit_code == 0
    assert "web-visitors" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads(scores.read_text())["score"] == 1.0


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    with ledger(tmp_path, Header("rules")):
        pass
    done = run("report", tmp_path)
    assert done.exit_code == 2 and "holds no answer yet" in done.output


@pytest.mark.req("T5")
def test_compare(tmp_path: Path) -> None:
    question = asks(Number(1))
    for name, answer in (("base", "2"), ("tuned", "1")):
        with ledger(tmp_path / name, Header("vllm", name)) as told:
            told(result(question, answer))
    done = run("compare", tmp_path / "base", tmp_path / "tuned", "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "# tuned beside base" in done.output and "won by tuned: 1" in done.output
    assert "tuned beside base" in (tmp_path / "out" / "comparison.html").read_text()
    assert done.output.startswith((tmp_path / "out" / "comparison.md").read_text())
    alike = run("compare", tmp_path / "base", tmp_path / "base", "--output", tmp_path / "out")
    assert f"{tmp_path / 'base'} beside" in alike.output.replace("\n", "")


def test_an_adapters_folder_is_served_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adapters" / "sales").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    setting = "ISOBATH_INFERENCE_VLLM_ADAPTERS_FOLDER"
    settings, given = command._settings(Engines.VLLM, "base", "adapters/sales")
    assert settings.model == given["ISOBATH_MODEL"] == "base"
    assert given[setting] == str(tmp_path / "adapters")
    for engine, adapter in ((Engines.VLLM, "sales"), (Engines.VLLM, "")):
        assert setting not in command._settings(engine, "base", adapter)[1]
