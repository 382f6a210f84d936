"""Why an answer is not right, what is kept of it, and what the figures say."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.analyst.v1.analyst_pb2 import RunRecord
from tests.training.evaluation.made import asks, failed, result
from training.evaluation.dataset import Number, Reference, Rule, Table, Words
from training.evaluation.ledger import (
    NAME,
    Header,
    LedgerError,
    kept,
    key,
    ledger,
    read,
    records,
    write_scores,
)
from training.evaluation.report.text import written
from training.evaluation.results import Result, decoded, encoded
from training.evaluation.summary import causes, causes_listed, scores, spread_told, table

BOTH, NONE = asks(Number(1), Number(2)), asks(refuses=True, id="none")
RULES = Header("rules")


@pytest.mark.req("T5")
@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (result(BOTH, "1 and 2"), ""),
        (result(BOTH, "1"), "missing part"),
        (result(BOTH, "3"), "wrong value"),
        (result(BOTH, ""), "no answer"),
        (result(BOTH, "3", finish="rounds"), "bound reached: rounds"),
        (result(BOTH, "", finish="time"), "bound reached: time"),
        (result(BOTH, "1 and 2", finish="rounds"), ""),
        (result(BOTH, "This cannot be told."), "refused what can be told"),
        (failed(BOTH), "run failed: MODEL_UNAVAILABLE"),
        (result(NONE, "It is 3."), "answered what cannot be told"),
        (result(NONE, "The data does not contain it."), ""),
    ],
)
def test_cause(outcome: Result, cause: str) -> None:
    assert outcome.cause == cause


def test_figures() -> None:
    results = [result(BOTH, "1 and 2"), result(asks(Number(3), id="other"), "4"), failed(NONE)]
    found = scores(results)
    assert [(each.part, each.right, each.asked) for each in found] == [
        ("shop", 1, 3),
        ("seen", 1, 3),
        ("all", 1, 3),
    ]
    assert found[-1].failed_programs == 2 and found[-1].fetched_rows == 120
    assert found[-1].median_tokens == 1000
    assert causes(results) == [("wrong value", 1), ("run failed: MODEL_UNAVAILABLE", 1)]
    assert causes_listed(results).count(": 1") == 2
    assert table(found).count("| 1 of 3 | 33% |") == 3
    assert spread_told(found[-1], 1) == ""


def test_attempts_have_a_spread() -> None:
    other = asks(Number(5), id="other")
    results = [
        result(BOTH, "1 and 2", attempt=1),
        result(BOTH, "0", attempt=2),
        result(other, "5", attempt=1),
        result(other, "5", attempt=2),
    ]
    score = scores(results)[-1]
    assert (score.asked, score.attempts, score.right) == (2, 4, 3)
    assert score.share == pytest.approx(0.75)
    assert (score.spread.low, score.spread.high) == (0.5, 1.0)
    assert "75.0%" in spread_told(score, 2) and "50.0% to 100.0%" in spread_told(score, 2)


EACH_KIND = asks(
    Number(1.5, percent=True),
    Words(("a", "b")),
    Rule(all_of=("x",), matches="y"),
    Table(("c", "d"), (("e", None), ("f", 2.5))),
    Reference("7", "dabench", "mean"),
)


@pytest.mark.parametrize("one", [result(EACH_KIND, "x"), failed(EACH_KIND), result(NONE, "?")])
def test_a_line_gives_the_result_again(one: Result) -> None:
    assert decoded(json.loads(json.dumps(encoded(one)))) == one


@given(st.text())
def test_whatever_an_answer_holds_is_read_again(answer: str) -> None:
    told = [result(BOTH, answer), result(BOTH, "1")]
    with TemporaryDirectory() as folder:
        with ledger(Path(folder), RULES) as write:
            write(told[0])
            write(told[1])
        assert read(Path(folder)) == (RULES, told)


def test_records_are_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "runs.jsonl"
    run = RunRecord(format="isobath.run/1", run_id="run-1")
    for part in (run.created_at, run.ended_at, run.usage):
        part.SetInParent()
    for more in (False, True, False):
        with records(path, more=more) as write:
            write(run)
        found = [json.loads(line)["run_id"] for line in path.read_text().splitlines()]
        assert found == ["run-1"] * (2 if more else 1)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.req("T5")
def test_an_evaluation_is_taken_up_where_it_was(tmp_path: Path) -> None:
    first, other = asks(Number(1), id="first"), asks(Number(2), id="other")
    third, changed = asks(Number(3), id="third"), asks(Number(4), id="changed")
    wanted = [result(each, "") for each in (first, other, third, changed)]
    by_key = {key(each): each for each in wanted}
    assert kept(tmp_path, RULES, by_key) == []
    with ledger(tmp_path, RULES) as told:
        told(result(first, "1"))
        told(failed(other))
        told(result(asks(Number(9), id="changed"), "9"))
        told(result(asks(Number(9), id="no longer asked"), "9"))
        # nothing waits in a buffer when it is interrupted
        assert len((tmp_path / NAME).read_text().splitlines()) == 5
    with (tmp_path / NAME).open("a") as torn:
        torn.write('{"part": "se')
    before = kept(tmp_path, RULES, by_key)
    assert before == [result(first, "1")]
    with ledger(tmp_path, RULES, before) as told:
        told(result(other, "2"))
    assert read(tmp_path) == (RULES, [result(first, "1"), result(other, "2")])
    with pytest.raises(LedgerError, match="--output"):
        kept(tmp_path, Header("openai", "m"), by_key)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "is not there"),
        ("", "is empty"),
        ("nonsense\n{}\n", "is empty or holds no results"),
        ('{"format": "another"}\n', "is not of the format"),
        ('{"format": "isobath.evaluation/1", "engine": "rules"}\n{"a": 1}\n', "is no result"),
    ],
)
def test_what_is_no_ledger_is_refused(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / NAME).write_text(content)
    with pytest.raises(LedgerError, match=why):
        read(tmp_path)


@pytest.mark.req("T3", "T5")
def test_scores_for_the_data_builder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.jsonl"
    write_scores([result(BOTH, "1 and 2"), result(BOTH, "1"), result(BOTH, "1", run_id="")], path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"run_id": "run-q", "score": 1.0},
        {"run_id": "run-q", "score": 0.5},
    ]


def test_the_text_has_each_answer() -> None:
    told = written("Evaluation of x", [result(BOTH, "1\n\nand more"), failed(NONE)])
    assert "# Evaluation of x" in told and "> 1\n>\n> and more" in told
    assert "missing part; lacks 2" in told and "The model is gone." in told
