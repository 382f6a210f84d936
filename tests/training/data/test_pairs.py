from typing import Any

import pytest

from tests.training.data.runs import message, run, said, turns
from training.data import pairs, record, upstream
from training.data.record import Record
from training.data.selection import answer


def of(run_id: str = "run-1", **fields: Any) -> Record:
    return record.parsed(run(run_id, **fields))


@pytest.mark.req("T3")
def test_correction_stands_against_the_answer_behind_the_whole_run() -> None:
    parsed = of(feedback=[said("down", "It is the South.")])
    pair = pairs.from_correction(parsed)
    assert pair and pairs.row(pair) == {
        "id": "run-1-correction",
        "prompt": run()["messages"][:-1],
        "chosen": [
            message(
                "assistant",
                "<Analyze>\nSo it is.\n</Analyze>\n<Answer>\nIt is the South.\n</Answer>",
            )
        ],
        "rejected": run()["messages"][-1:],
    }


@pytest.mark.parametrize("feedback", [[], [said("down")], [said("up", answer(of()))]])
def test_no_correction_no_pair(feedback: list[dict[str, str]]) -> None:
    assert pairs.from_correction(of(feedback=feedback)) is None


def test_a_message_with_text_of_the_platform_is_no_side_of_a_pair() -> None:
    text = "<Code>x</Code><Execute>1</Execute><Answer>a</Answer>"
    parsed = upstream.parsed({"messages": [message("user", "?"), message("assistant", text)]})
    told = record.Feedback("down", correction="b")
    assert pairs.from_correction(Record(**{**vars(parsed), "feedback": (told,)})) is None


@pytest.mark.req("T3")
def test_runs_of_one_prompt_differ_first_in_a_message_of_the_model() -> None:
    liked, disliked = of("a"), of("b", messages=turns(answer="<Answer>\n7\n</Answer>"))
    pair = pairs.from_ratings(liked, disliked)
    assert pair and pair.prompt == liked.messages[:3]
    assert (pair.chosen, pair.rejected) == (liked.messages[3], disliked.messages[3])


@pytest.mark.parametrize(
    "other",
    [
        turns(),  # the same
        turns(output="Another day's numbers\n"),
        turns("Another question?"),
        [*turns()[:2], message("assistant", "no program ran")],
    ],
)
def test_what_differs_otherwise_is_no_pair(other: list[dict[str, str]]) -> None:
    assert pairs.from_ratings(of("a"), of("b", messages=other)) is None


@pytest.mark.parametrize(
    ("liked", "disliked", "expected"),
    [
        ([], [1], []),
        ([1], [], []),
        ([1], [2], [(1, 2)]),
        ([1], [2, 3], [(1, 2), (1, 3)]),
        ([1, 2, 3], [4, 5], [(1, 4), (2, 5), (3, 4)]),
    ],
)
def test_each_run_is_in_a_pair(
    liked: list[int], disliked: list[int], expected: list[tuple[int, int]]
) -> None:
    assert list(pairs.matched(liked, disliked)) == expected
