"""Lines of a data set, read strictly; and what is held out of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tuning.conversations import Conversation, Message, Unusable, parsed, read
from training.tuning.parting import parted

pytestmark = pytest.mark.req("T1")


def line(**message):
    return {"id": "a", "messages": [{"role": "assistant", "content": "abcdef", **message}]}


def test_spans_are_what_lies_between_the_masked_ones():
    message = parsed(line(train=True, masked=[[0, 1], [3, 5]])).messages[0]
    assert message.spans() == [(1, 3), (5, 6)]
    assert parsed(line(train=True)).messages[0].spans() == [(0, 6)]
    assert parsed(line(masked=[[0, 1]])).messages[0].spans() == []


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
def test_line_that_is_no_conversation_is_told_by_its_field(wrong, told):
    with pytest.raises(ValueError, match=told):
        parsed(wrong)


def test_file_is_told_by_the_number_of_the_line_and_never_by_its_text(tmp_path):
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


def of(sources: list[str]) -> list[Conversation]:
    message = Message("assistant", "x", True)
    return [Conversation(str(at), source, (message,)) for at, source in enumerate(sources)]


@given(
    st.lists(st.sampled_from("abcdef"), min_size=2).filter(lambda each: len(set(each)) > 1),
    st.floats(0.05, 0.5),
    st.integers(0, 9),
)
def test_no_source_is_on_both_sides(sources, share, seed):
    data = of(sources)
    train, held = parted(data, share, seed)
    assert train and held
    assert not {c.source for c in train} & {c.source for c in held}
    assert sorted(train + held, key=lambda c: int(c.id)) == data
    assert parted(data[::-1], share, seed)[1] == held[::-1]


def test_one_source_cannot_be_held_out():
    with pytest.raises(Unusable, match="one source"):
        parted(of(["a", "a"]), 0.1, 7)
    assert parted(of(["a", "a"]), 0.0, 7)[1] == []
