"""What is right of answers that are not, and how a study is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from training.evaluation.dataset import Number, Question
from training.evaluation.results import Program, Result
from training.evaluation.scoring import Verdict
from training.study import points
from training.study.asking import HELD, held
from training.study.marks import Marks, marks
from training.study.points import Point
from training.study.report import Scored, Study
from training.synthetic.domains import domain
from training.synthetic.themes import Part

pytestmark = pytest.mark.req("T5")

QUESTION = Question("q", "What is the total fine?", ("sales:a.loans",), (Number(3.0),))
NAMED = {"q": frozenset({"fine", "days_kept"})}
RIGHT = Result("kin", "a", QUESTION, Verdict((), 1.0), answer="3", finish="answer")
WRONG = replace(RIGHT, verdict=Verdict(("3",), 0.5), answer="4")
LOOK = Program(1, "look(fine, days_kept)", "ok")


def test_marks_of_a_right_run() -> None:
    run = replace(RIGHT, programs=(LOOK, Program(2, "loans['fine'].sum() + days_kept", "ok")))
    assert marks([run], NAMED) == Marks(1, 1.0, 1.0, 1.0, 2, 1.0, 1.0, 1.0)


def test_marks_in_part() -> None:
    """One program of two ran, and it has one column of two; another run wrote nothing."""
    failed = Program(2, "loans['fine'].total(); days_kept_at", "error", "AttributeError")
    silent = replace(WRONG, answer="", finish="tokens", verdict=Verdict(("3",), 0.0))
    found = marks([replace(WRONG, programs=(LOOK, failed)), silent], NAMED)
    assert found == Marks(2, 0.0, 0.25, 0.5, 2, 0.5, 0.5, 0.25)


def test_marks_of_the_first_program_are_not_for_columns() -> None:
    """It looks at all of them, whatever is asked."""
    assert marks([replace(RIGHT, programs=(LOOK,))], NAMED).columns == 0.0


def test_marks_of_a_question_that_names_no_column() -> None:
    assert marks([RIGHT], {"q": frozenset()}).columns == 0.0
    assert marks([], {}).runs == 0


def test_held_asks_as_many_of_each_part_and_none_that_is_trained_on() -> None:
    asked = held(seed=2, count=7)
    for part in HELD:
        assert sum(each.part == part for each in asked.asked) == 7
    assert asked.named.keys() == {each.question.id for each in asked.asked}
    assert any(asked.named.values())
    for each in asked.asked:
        columns = [name.replace("_", " ") for name in asked.named[each.question.id]]
        assert all(column in each.question.text for column in columns)
    trained = {domain(Part.TRAIN, 1, number).name for number in range(50)}
    measured = {domain(part, 1, number).name for part in HELD for number in range(50)}
    assert {each.domain.name for each in asked.asked}.isdisjoint(trained | measured)


CURVE = [
    Point(30.0, 10, 4000, 1e-3, 2.5),
    Point(60.0, 20, 9000, 5e-4, 1.25, 1.5, 1.75, "checkpoint-20"),
]
FIT = {
    "parameters": 1234567, "width": 128, "layers": 2, "vocabulary": 900, "minutes": 1.0,
    "device": "cpu", "steps": 20, "batch": 1, "epochs": 2.0, "tokens_seen": 9000,
    "conversations": {"train": 10},
}  # fmt: skip


def test_points_come_back_from_the_table(tmp_path: Path) -> None:
    points.write(CURVE, tmp_path / "curve.csv")
    assert points.read(tmp_path / "curve.csv") == CURVE


def test_study_is_told() -> None:
    scored = [Scored("after 1 min", 1.0, {"kin": Marks(4, 0.25, 0.5, 0.75, 6, 1.0, 0.5, 0.1)})]
    study = Study(FIT, CURVE, scored)
    told = study.as_markdown()
    assert "A Qwen3 of 1,234,567 parameters (width 128, 2 layers, 900 tokens)" in told
    assert "| 1.0 | 20 | 1.250 | 1.500 | 1.750 |" in told
    assert "| after 1 min | kin | 4 | 25% | 50% | 75% | 100% | 50% | 10% |" in told
    kept = study.as_json()
    assert [each["step"] for each in kept["curve"]] == [20]
    assert kept["scores"][0]["marks"]["kin"]["right"] == 0.25
