"""Lines of a data set, read strictly."""

import json
from pathlib import Path

import pytest

from training.data.conversation import parsed, read
from training.unusable import Unusable

pytestmark = pytest.mark.req("T1", "T3")


def line(**message: object) -> dict[str, object]:
    return {"id": "a", "messages": [{"role": "assistant", "content": "abcdef", **message}]}


def test_spans_are_what_lies_between_the_masked_ones() -> None:
    turn = parsed(line(train=True, masked=[[0, 1], [3, 5]])).turns[0]
    assert turn.spans() == [(1, 3), (5, 6)]
    assert parsed(line(train=True)).turns[0].spans() == [(0, 6)]
    assert parsed(line(masked=[[0, 1]])).turns[0].spans() == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ([], "list `messages`"),
        ({"messages": ["x"]}, "no object"),
        (line(role="tool"), "role is none of"),
        (line(content=["x"]), "has to be a text"),
        (line(train="yes"), "true or false"),
        (line(role="user", train=True), "what the model wrote"),
        (line(train=True, masked=[[0, 7]]), "within the content"),
        (line(train=True, masked=[[2, 4], [3, 5]]), "do not overlap"),
        (line(train=True, masked=[[1.0, 2]]), r"\[start, end\]"),
    ],
)
def test_line_that_is_no_conversation_is_told_by_its_field(wrong: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parsed(wrong)


def test_file_is_told_by_the_number_of_the_line_and_never_by_its_text(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(line()) + "\n\n" + json.dumps(line(role="secret-role")) + "\n")
    with pytest.raises(Unusable, match=r"data\.jsonl:3: ") as told:
        read(path)
    assert "secret-role" not in str(told.value)
    path.write_text("\n")
    with pytest.raises(Unusable, match="holds no conversation"):
        read(path)
    with pytest.raises(Unusable, match="cannot be read"):
        read(tmp_path / "missing.jsonl")
