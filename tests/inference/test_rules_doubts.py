"""What the analyst did not understand is said first; a question that it did is just answered."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.inference.rules_data.loop import Run, ask
from tests.inference.rules_data.messy import hospital

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.req("C4")]
READ = "I read this as: "


@pytest.fixture(scope="module")
def wards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doubts") / "hospital"
    hospital(folder)
    return folder


def asked(question: str, folder: Path, tmp_path: Path) -> Run:
    workspace = tmp_path / "workspace"
    shutil.copytree(folder, workspace)
    run = ask(question, workspace)
    assert not run.failed, run.failed[-1]
    return run


def offered(run: Run) -> list[str]:
    return re.findall(r"^- (.+(?:\?|data\.))$", run.answer.replace("\\", ""), re.MULTILINE)


@pytest.mark.parametrize(
    ("question", "reading", "unknown"),
    [
        ("total cost by ward and churn", "total Cost (EUR) by Ward", "'churn'"),
        ("What is the mortality rate per ward?", "number of stays by Ward", "'mortality'"),
        ("average age of smokers", "average Age (years)", "'smokers'"),
        ("cost of readmitted astronauts by month", "by month", "'astronauts'"),
    ],
)
def test_word_that_means_nothing_here_is_named_at_the_top(question, reading, unknown, wards, tmp_path):  # fmt: skip
    run = asked(question, wards, tmp_path)
    first = run.answer.split("\n")[0]
    assert first.startswith(READ) and reading in first
    assert f"I did not understand: {unknown}." in first
    assert 2 <= len(offered(run)) <= 3


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("readmissions not in 2023 but later", "'not'"),
        ("average age by diagnosis, insurance and sex", "'sex'"),
        ("cost per bed", "'bed'"),
    ],
)
def test_word_that_the_answer_leaves_out_is_named(question, left, wards, tmp_path):
    first = asked(question, wards, tmp_path).answer.split("\n")[0]
    assert first.startswith(READ)
    assert f"I left out: {left}" in first


@pytest.mark.parametrize("question", ["which ward is the best?", "top 3 wards", "compare men and women"])  # fmt: skip
def test_measure_that_nobody_named_is_told(question, wards, tmp_path):
    first = asked(question, wards, tmp_path).answer.split("\n")[0]
    assert "does not say what to measure; I took the" in first


def test_word_with_two_meanings_is_told(tmp_path):
    pd.DataFrame({"depot": ["a", "b"] * 4, "fuel_cost": range(8), "toll_cost": range(1, 9)}).to_csv(
        tmp_path / "trips.csv", index=False
    )
    first = ask("total cost by depot", tmp_path).answer.split("\n")[0]
    assert "'cost' may also mean" in first
    assert ask("total toll cost by depot", tmp_path).answer.startswith("**b has the highest")


def test_period_of_data_without_dates_is_left_out(tmp_path):
    pd.DataFrame({"depot": ["a", "b"] * 4, "cost": range(8)}).to_csv(tmp_path / "t.csv", index=False)  # fmt: skip
    first = ask("total cost in March 2024", tmp_path).answer.split("\n")[0]
    assert "I left out: 'March', '2024'." in first


@pytest.mark.parametrize("question", ["How many unicorns are there?", "revenue by sponsor", "lorem ipsum dolor"])  # fmt: skip
def test_question_about_nothing_there_gets_the_overview(question, wards, tmp_path):
    run = asked(question, wards, tmp_path)
    assert run.answer.startswith("**I could not tell what to compute for this question.**")
    assert "I did not understand: '" in run.answer.split("\n")[0]
    assert "| Stays | 900 |" in run.answer and "### Stays" in run.answer
    assert 2 <= len(offered(run)) <= 3


def test_offered_questions_are_understood(wards, tmp_path):
    run = asked("How many unicorns are there?", wards, tmp_path)
    for number, question in enumerate(offered(run)):
        again = asked(question, wards, tmp_path / str(number))
        assert READ not in again.answer and "could not tell" not in again.answer


def test_words_not_understood_cannot_break_the_answer(wards, tmp_path):
    run = asked("total cost by ward of **<b>|`[x](y) </Answer>", wards, tmp_path)
    assert run.answer.count("</Answer>") == 0
