"""Public benchmarks are read as their authors lay them out, and what is missing is named."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from training.evaluation.benchmarks import coda, dabench, dabstep
from training.evaluation.benchmarks.reading import BenchmarkError
from training.evaluation.dataset import Reference
from training.evaluation.questions import Benchmark, NoQuestions, Part, chosen
from training.evaluation.scoring import Given, judged


def lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))


# InfiAgent-DABench

FARE: dict[str, Any] = {
    "id": 0,
    "question": "Calculate the mean fare.",
    "concepts": ["Summary Statistics"],
    "constraints": "Use the arithmetic mean.",
    "format": '@mean_fare[mean]\n@rows[count]\nwhere "mean" has two decimals.',
    "file_name": "a table.csv",
    "level": "easy",
}
LABEL = {"id": 0, "common_answers": [["mean_fare", "34.65"], ["rows", 891]]}


def make_dabench(folder: Path) -> Path:
    data = folder / "data"
    other = {**FARE, "id": 5, "level": "hard"}
    lines(data / "da-dev-questions.jsonl", [FARE, other])
    lines(data / "da-dev-labels.jsonl", [{**LABEL, "id": 5}, LABEL])
    (data / "da-dev-tables").mkdir()
    (data / "da-dev-tables" / "a table.csv").write_text("fare\n1\n")
    return folder


@pytest.mark.req("T5")
def test_dabench(tmp_path: Path) -> None:
    easy, hard = dabench.read(make_dabench(tmp_path))
    assert (easy.name, hard.name) == ("dabench-easy", "dabench-hard")
    (question,) = easy.questions
    assert question.id == "dabench-0" and question.data == ("lake:dabench/a table.csv",)
    assert FARE["format"] in question.text and "arithmetic mean" in question.text
    assert easy.files == {
        "dabench/a table.csv": tmp_path / "data" / "da-dev-tables" / "a table.csv"
    }
    right = judged(question, Given("@mean_fare[34.650] and @rows[891.0]"))
    assert right.right
    partly = judged(question, Given("@mean_fare[34.65] and @rows[890]"))
    assert (partly.lacks, partly.credit) == (("@rows[891]",), 0.5)
    assert not judged(question, Given("The mean is 34.65 of 891 rows.")).credit
    # the folder of the data itself will do
    assert dabench.read(tmp_path / "data") == [easy, hard]


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        ("da-dev-questions.jsonl", "the file of questions is not there"),
        ("da-dev-labels.jsonl", "the file of labels is not there"),
        ("da-dev-tables/a table.csv", "has no a table.csv"),
    ],
)
def test_dabench_that_is_not_whole(tmp_path: Path, gone: str, why: str) -> None:
    folder = make_dabench(tmp_path)
    (folder / "data" / gone).unlink()
    with pytest.raises(BenchmarkError, match=why):
        dabench.read(folder)


def test_dabench_without_a_label_or_a_field(tmp_path: Path) -> None:
    folder = make_dabench(tmp_path)
    lines(folder / "data" / "da-dev-labels.jsonl", [LABEL])
    with pytest.raises(BenchmarkError, match="question 5 has no label"):
        dabench.read(folder)
    without = {name: value for name, value in FARE.items() if name != "format"}
    lines(folder / "data" / "da-dev-questions.jsonl", [without])
    with pytest.raises(BenchmarkError, match="row 1 has no format"):
        dabench.read(folder)
    (folder / "data" / "da-dev-questions.jsonl").write_text("{not json\n")
    with pytest.raises(BenchmarkError, match="cannot be read"):
        dabench.read(folder)


# DABstep

TASK = {
    "task_id": "5",
    "question": "Which issuing country has the highest number of transactions?",
    "guidelines": "Answer must be just the country code.",
    "level": "easy",
    "answer": "NL",
}
HIDDEN = {**TASK, "task_id": "6", "answer": ""}
HARD = {**TASK, "task_id": "1273", "level": "hard", "answer": "0.120132"}


def make_dabstep(folder: Path) -> Path:
    lines(folder / "data" / "tasks" / "all.jsonl", [{**TASK, "answer": ""}, HIDDEN])
    lines(folder / "data" / "tasks" / "dev.jsonl", [TASK, HARD])
    context = folder / "data" / "context"
    context.mkdir()
    (context / "payments.csv").write_text("a\n1\n")
    (context / "manual.md").write_text("# Manual\n")
    return folder


@pytest.mark.req("T5")
def test_dabstep(tmp_path: Path) -> None:
    easy, hard = dabstep.read(make_dabstep(tmp_path))
    assert [each.id for each in (*easy.questions, *hard.questions)] == [
        "dabstep-5",
        "dabstep-1273",
    ]
    (question,) = easy.questions
    assert question.data == ("lake:dabstep/manual.md", "lake:dabstep/payments.csv")
    assert set(easy.files) == {"dabstep/manual.md", "dabstep/payments.csv"}
    assert "Guidelines: Answer must be just" in question.text and "Final answer:" in question.text
    assert judged(question, Given("Most are Dutch, with 29,622 of them.\nFinal answer: NL")).right
    assert not judged(question, Given("Most are Belgian.\nFinal answer: BE")).right


def test_dabstep_as_parquet(tmp_path: Path) -> None:
    folder = make_dabstep(tmp_path)
    expected = dabstep.read(folder)
    for stem in ("all", "dev"):
        path = folder / "data" / "tasks" / f"{stem}.jsonl"
        pd.read_json(path, lines=True, dtype=False).to_parquet(path.with_suffix(".parquet"))
        path.unlink()
    assert dabstep.read(folder / "data") == expected


def test_dabstep_that_cannot_be_scored(tmp_path: Path) -> None:
    folder = make_dabstep(tmp_path)
    (folder / "data" / "tasks" / "dev.jsonl").unlink()
    with pytest.raises(BenchmarkError, match="kept by the leaderboard"):
        dabstep.read(folder)
    (folder / "data" / "tasks" / "all.jsonl").unlink()
    with pytest.raises(BenchmarkError, match="the file of tasks is not there"):
        dabstep.read(folder)
    with pytest.raises(BenchmarkError, match="the folder of tasks is not there"):
        dabstep.read(tmp_path / "elsewhere")


# CoDA-Bench

CODA = {
    "instance_id": 0,
    "question": "What is the percentage of missing values in the RBC feature?",
    "answer": "38%",
    "answer_guidelines": "Answer must be a percentage integer formatted as 'XX%'.",
    "reference_code": "print('38%')",
    "dataset": "ckdisease",
    "notebook": "eda",
    "release_community": "community_26",
    "data_path": "data/community_26/full_community/ckdisease/kidney.csv",
}


def make_coda(folder: Path, above: str = "communities") -> Path:
    other = {**CODA, "instance_id": 1, "release_community": "community_3"}
    (folder / "coda_bench.json").write_text(json.dumps([CODA, other]))
    (folder / "coda_bench_hard.json").write_text(json.dumps([other]))
    for community in ("community_26", "community_3"):
        file = folder / above / community / "full_community" / "ckdisease" / "kidney.csv"
        file.parent.mkdir(parents=True)
        file.write_text("rbc\n1\n")
    return folder


@pytest.mark.req("T5")
@pytest.mark.parametrize("above", ["communities", "data"])
def test_coda(tmp_path: Path, above: str) -> None:
    first, second = coda.read(make_coda(tmp_path, above))
    assert (first.name, second.name) == ("community_26", "community_3")
    (question,) = first.questions
    assert question.id == "coda-0" and question.data == ("lake",)
    assert "coda/community_26/" in question.text and "'XX%'" in question.text
    # what an agent has to find by itself is not given away
    assert "kidney" not in question.text and "print(" not in question.text
    assert list(first.files) == ["coda/community_26/ckdisease/kidney.csv"]
    assert judged(question, Given("It is so.\n\n**Final answer:** 38 %")).right
    assert not judged(question, Given("Final answer: 39%")).right
    (hard,) = coda.read(tmp_path, hard=True)
    assert hard == second


def test_coda_without_a_community(tmp_path: Path) -> None:
    folder = make_coda(tmp_path)
    (folder / "communities" / "community_3").rename(folder / "elsewhere")
    with pytest.raises(BenchmarkError, match="does not hold the files of community_3"):
        coda.read(folder)
    (only,) = coda.read(folder, ["community_26"])
    assert only.name == "community_26"


# Chosen


def test_a_benchmark_is_chosen(tmp_path: Path) -> None:
    folder = make_dabench(tmp_path)
    both = chosen(Part.ALL, [], [], Benchmark.DABENCH, folder)
    assert [(each.part, each.question.id) for each in both] == [
        ("dabench", "dabench-0"),
        ("dabench", "dabench-5"),
    ]
    (one,) = chosen(Part.ALL, ["dabench-hard"], [], Benchmark.DABENCH, folder)
    assert one.question.expects[0] == Reference("34.65", "dabench", "mean_fare")
    lines(folder / "tasks" / "dev.jsonl", [TASK])
    (folder / "context").mkdir()
    (folder / "context" / "x.csv").write_text("a\n")
    assert len(chosen(Part.ALL, [], [], Benchmark.DABSTEP, folder)) == 1
    make_coda(folder)
    assert len(chosen(Part.ALL, ["community_3"], [], Benchmark.CODA, folder)) == 1
    assert len(chosen(Part.ALL, [], [], Benchmark.CODA_HARD, folder)) == 1
    for benchmark, place in ((Benchmark.CODA, None), (None, folder)):
        with pytest.raises(NoQuestions, match="go together"):
            chosen(Part.ALL, [], [], benchmark, place)
