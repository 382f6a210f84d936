"""What a conversation holds is what the model saw; what counts is what the model wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.runs import message, run, turns
from training.data import record, upstream
from training.data.conversation import Conversation, conversation, dumped, parsed
from training.data.formats import messages

# without surrogates: no text that a model saw holds them
TEXT = st.text(max_size=30)
PLATFORM = st.sampled_from(["Execute", "File"])
# what a model writes between blocks of the platform
WORDS = st.text(alphabet="abc \n.", max_size=20)


def of(raw: object) -> Conversation:
    return conversation(record.parsed(raw))


def line(made: Conversation) -> str:
    return dumped(messages.row(made))


@pytest.mark.req("T3")
def test_what_the_model_wrote_in_this_run_is_trained() -> None:
    earlier = [message("user", "Before?"), message("assistant", "<Answer>\nYes.\n</Answer>")]
    made = of(run(messages=turns(earlier=[message("system", "Be brief."), *earlier])))
    assert [(turn.role, turn.train) for turn in made.turns] == [
        ("system", False),
        ("user", False),
        ("assistant", False),
        ("user", False),
        ("assistant", True),
        ("execute", False),
        ("assistant", True),
    ]
    assert [turn.role for turn in made.completion] == ["assistant", "execute", "assistant"]
    assert made.prompt + made.completion == made.turns


@pytest.mark.req("T3")
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "execute"]), TEXT), min_size=1))
def test_nothing_is_added_and_nothing_left_out(said: list[tuple[str, str]]) -> None:
    made = of(run(messages=[message(*each) for each in said]))
    assert [(turn.role, turn.content) for turn in made.turns] == said
    last = max((at for at, (role, _) in enumerate(said) if role == "user"), default=-1)
    for at, turn in enumerate(made.turns):
        assert turn.train is (turn.role == "assistant" and at > last)


@pytest.mark.req("T3")
@given(st.lists(st.one_of(WORDS.map(lambda text: ("", text)), st.tuples(PLATFORM, TEXT))))
def test_masked_is_exactly_what_the_platform_wrote(parts: list[tuple[str, str]]) -> None:
    parts = [(tag, text.replace("<", "").replace("`", "")) for tag, text in parts]
    blocks = [(tag, f"<{tag}>{text}</{tag}>" if tag else text) for tag, text in parts]
    content = "".join(text for _, text in blocks)
    raw = {"messages": [message("user", "?"), message("assistant", content)]}
    made = conversation(upstream.parsed(raw)).turns[1]
    assert made.content == content
    assert "".join(text for text, _ in made.pieces()) == content
    written = "".join(text for tag, text in blocks if not tag)
    assert "".join(text for text, counts in made.pieces() if counts) == written


def test_upstreams_turns_are_all_trained() -> None:
    raw = {
        "id": "x-1",
        "conversations": [
            {"from": "human", "value": "a"},
            {"from": "gpt", "value": "<Execute>1</Execute>b"},
            {"from": "human", "value": "c"},
            {"from": "gpt", "value": "<Answer>d</Answer>"},
        ],
    }
    parsed = upstream.parsed(raw)
    assert (parsed.run_id, parsed.state, parsed.ended_by) == ("x-1", "completed", "answer")
    made = conversation(parsed)
    assert [(turn.train, turn.masked) for turn in made.turns] == [
        (False, ()),
        (True, ((0, 20),)),
        (False, ()),
        (True, ()),
    ]


@pytest.mark.parametrize(
    ("content", "masked"),
    [
        ("a<Execute>1</Execute>b", ["<Execute>1</Execute>"]),
        (
            "a<Execute>1</Execute>\n<File>f.png</File>b",
            ["<Execute>1</Execute>", "<File>f.png</File>"],
        ),
        ("a<Execute>never closed", ["<Execute>never closed"]),
        ("<Execute>```\n</Execute>b```", ["<Execute>```\n</Execute>"]),
        ("a\n```\n<Execute>in a fence</Execute>\n```\nb", []),
        ("a\n```python\nx\n```\n<Execute>1</Execute>", ["<Execute>1</Execute>"]),
        (
            "<Code>\n```python\nprint('<Execute>')\n```\n</Code>\n<Execute>2</Execute>",
            ["<Execute>2</Execute>"],
        ),
        ("no block", []),
    ],
)
def test_blocks_of_the_platform_in_upstreams_text(content: str, masked: list[str]) -> None:
    assert [content[start:end] for start, end in upstream.masked(content)] == masked


def test_line_is_read_as_it_was_written() -> None:
    content = "a<Execute>1</Execute>b é \u2028"
    made = conversation(
        upstream.parsed({"messages": [message("user", "?"), message("assistant", content)]}), "key"
    )
    assert parsed(json.loads(line(made))) == made
    assert "\n" not in line(made)
    assert json.loads(line(made))["messages"][0] == {"role": "user", "content": "?", "train": False}
    assert json.loads(line(made))["messages"][1]["masked"] == [[1, 21]]
