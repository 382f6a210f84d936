from typing import Any

import pytest

from tests.training.data.runs import message, run, said, turns
from training.data import record, upstream
from training.data.record import Record
from training.data.selection import (
    BROKEN,
    POOR,
    Bar,
    answer,
    cause,
    corrected,
    failed_last,
    with_correction,
)

TRACEBACK = "Traceback (most recent call last):\n  File x\nKeyError: 'region'\n"


def why(parsed: Record, score: float | None = None, min_score: float | None = None) -> str:
    scores = {} if score is None else {parsed.run_id: score}
    bar = Bar(min_score)
    return cause(BROKEN, parsed, scores, bar) or cause(POOR, parsed, scores, bar)


@pytest.mark.req("T3")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"state": "failed"}, "not completed"),
        ({"state": "cancelled"}, "not completed"),
        ({"ended_by": "rounds"}, "not ended by an answer"),
        ({"ended_by": ""}, "not ended by an answer"),
        ({"cut": True}, "cut to the context"),
        ({"messages": []}, "nothing written by the model"),
        ({"feedback": [said("", "It is the South.")]}, ""),
        ({"messages": [message("user", "?")]}, "nothing written by the model"),
        ({"messages": turns(answer="no tag")}, "no answer"),
        ({"messages": turns(answer="<Answer>\n \n</Answer>")}, "no answer"),
        ({"messages": turns()[:3]}, "no answer"),
        ({"messages": turns(output=TRACEBACK)}, "last program failed"),
        (
            {"messages": turns(output="x\n[Timeout]: execution exceeded 120 seconds\n")},
            "last program failed",
        ),
        ({"messages": turns(output="\n[Died]: the kernel ended (oom); …")}, "last program failed"),
        ({"messages": turns(output="\n[Interrupted]\n")}, "last program failed"),
        ({"messages": turns(output="[Error] 12 lines of the log\n")}, ""),
        ({"messages": turns(output="status [Timeout] 3\n")}, ""),
        ({"feedback": [said("up")]}, ""),
        ({"feedback": [said("down")]}, "feedback down"),
        ({"feedback": [said("down", "It is the South.")]}, ""),
        ({"feedback": [said("down", " ")]}, "feedback down"),
        ({"feedback": [said("down"), said("up", at="2026-11-05T00:00:00Z")]}, ""),
    ],
)
def test_cause_of_a_drop(fields: dict[str, Any], expected: str) -> None:
    assert why(record.parsed(run(**fields))) == expected


@pytest.mark.parametrize(
    ("score", "min_score", "expected"),
    [
        (0.4, 0.5, "score too low"),
        (0.5, 0.5, ""),
        (None, 0.5, "score too low"),
        (None, None, ""),
        (0.0, None, ""),
        (None, 0.0, ""),
    ],
)
def test_score(score: float | None, min_score: float | None, expected: str) -> None:
    assert why(record.parsed(run()), score, min_score) == expected


def test_a_program_that_failed_before_the_last_is_no_fault() -> None:
    said_first = turns(output=TRACEBACK)[:-1]
    messages = [
        *said_first,
        message("assistant", "<Code>\nx\n</Code>"),
        message("execute", "12\n"),
        turns()[-1],
    ]
    assert not failed_last(record.parsed(run(messages=messages)))


@pytest.mark.parametrize(
    ("output", "failed"), [("12\n", False), (TRACEBACK, True), ("[Error]: no module\n", True)]
)
def test_failure_in_upstreams_form(output: str, failed: bool) -> None:
    content = f"<Code>x</Code>\n<Execute>\n{output}</Execute>\n<Answer>a</Answer>"
    raw = {"messages": [message("user", "?"), message("assistant", content)]}
    assert failed_last(upstream.parsed(raw)) is failed


@pytest.mark.req("T3")
def test_correction_takes_the_place_of_the_answer() -> None:
    parsed = record.parsed(run(feedback=[said("down", "It is the South.")]))
    assert corrected(parsed) == "It is the South."
    better = with_correction(parsed)
    assert better.messages[:-1] == parsed.messages[:-1]
    assert better.messages[-1].content == (
        "<Analyze>\nSo it is.\n</Analyze>\n<Answer>\nIt is the South.\n</Answer>"
    )
    assert answer(better) == "It is the South."
    assert with_correction(record.parsed(run())) == record.parsed(run())


def test_correction_keeps_masks_before_the_answer() -> None:
    content = "<Code>x</Code><Execute>1</Execute><Answer>a</Answer>"
    parsed = upstream.parsed({"messages": [message("user", "?"), message("assistant", content)]})
    told = record.Feedback("down", correction="b")
    better = with_correction(Record(**{**vars(parsed), "feedback": (told,)}))
    (span,) = better.messages[-1].masked
    assert better.messages[-1].content[slice(*span)] == "<Execute>1</Execute>"
    assert answer(better) == "b"
