"""Each format against what its reader documents and does with it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.runs import message, run, turns
from training.data import record, upstream
from training.data.conversation import Conversation, Turn, conversation
from training.data.formats import FORMATS, axolotl, messages, ms_swift, trl, unsloth

EARLIER = [message("user", "Before?"), message("assistant", "<Answer>\nYes.\n</Answer>")]
END = "<|im_end|>\n"


def of(**fields: Any) -> Conversation:
    return conversation(record.parsed(run(**fields)), "group")


def inline(text: str) -> Conversation:
    raw = {"messages": [message("user", "?"), message("assistant", text)]}
    return conversation(upstream.parsed(raw), "group")


PARTS = st.lists(
    st.one_of(
        st.sampled_from(["a", "\n", " b\n", "<Code>x</Code>\n", "é"]),
        st.sampled_from(["<Execute>\n1\n</Execute>", "<File>f</File>"]),
    ),
    max_size=8,
).map("".join)
ROLES = st.lists(st.sampled_from(["assistant", "execute"]), min_size=1, max_size=6)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Of runs, with earlier answers or without; and of upstream's form."""
    if draw(st.booleans()):
        return inline(draw(PARTS) + "<Answer>x</Answer>")
    written = [message(role, draw(st.text(min_size=1, max_size=8))) for role in draw(ROLES)]
    earlier = draw(st.sampled_from([[], EARLIER, [message("system", "s")]]))
    return of(messages=[*earlier, message("user", "# Instruction\n?"), *written])


def chatml(rows: Sequence[Turn]) -> str:
    """What the model saw, as the chat template renders it."""
    return "".join(f"<|im_start|>{turn.role}\n{turn.content}{END}" for turn in rows)


def trained(rows: Sequence[Turn]) -> str:
    """What counts for the loss: what the model wrote, and the mark that ends its message."""
    parts = []
    for turn in rows:
        parts += [text for text, counts in turn.pieces() if counts]
        parts += ["<|im_end|>"] if turn.train else []
    return "".join(parts)


@pytest.mark.req("T3")
def test_messages_tell_every_mask() -> None:
    assert messages.row(of(messages=turns("?"))) == {
        "id": "run-1",
        "source": "group",
        "messages": [{**each, "train": each["role"] == "assistant"} for each in turns("?")],
    }


# TRL: https://huggingface.co/docs/trl/dataset_formats, "prompt-completion", conversational


@pytest.mark.req("T3")
@given(conversations())
def test_trl_completion_is_what_was_written_and_what_was_printed(made: Conversation) -> None:
    row: Any = trl.row(made)
    assert row.keys() == {"prompt", "completion"}
    for each in (*row["prompt"], *row["completion"]):
        assert each.keys() == {"role", "content"}
    if not any(turn.masked for turn in made.turns):
        whole = [(each["role"], each["content"]) for each in row["prompt"] + row["completion"]]
        assert whole == [(turn.role, turn.content) for turn in made.turns]
        assert len(row["prompt"]) == len(made.prompt)
    assert all(each["role"] == "assistant" for each in row["completion"][:1])


@pytest.mark.req("T3")
def test_trl_earlier_answers_are_in_the_prompt() -> None:
    row: Any = trl.row(of(messages=turns(earlier=EARLIER)))
    assert [each["role"] for each in row["prompt"]] == ["user", "assistant", "user"]
    assert [each["role"] for each in row["completion"]] == ["assistant", "execute", "assistant"]


# Unsloth: https://docs.unsloth.ai/basics/datasets-guide, "ChatML": role and content


@pytest.mark.req("T3")
def test_unsloth_has_conversations_of_role_and_content() -> None:
    row: Any = unsloth.row(of(messages=turns()))
    assert row == {"conversations": turns()}


def test_unsloth_leaves_out_what_would_train_earlier_answers() -> None:
    assert unsloth.row(of(messages=turns(earlier=EARLIER))) is None


@pytest.mark.req("T3")
def test_a_message_in_between_that_is_not_trained_is_told_or_left_out() -> None:
    once = turns()[1:3]
    made = of(messages=[turns()[0], *once, *once, turns()[-1]])
    muted = tuple(replace(turn, train=turn.train and at != 3) for at, turn in enumerate(made.turns))
    made = replace(made, turns=muted)
    assert trl.row(made) is None and unsloth.row(made) is None
    swift_row: Any = ms_swift.row(made)
    assert swift(swift_row["messages"]) == (chatml(made.turns), trained(made.turns))
    axolotl_row: Any = axolotl.row(made)
    assert [each["train"] for each in axolotl_row["messages"]] == [t.train for t in made.turns]


@pytest.mark.parametrize("row", [trl.row, unsloth.row])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<Code>x</Code>\n<Execute>\n1\n</Execute>\n<Answer>a</Answer>",
            [
                ("assistant", "<Code>x</Code>"),
                ("execute", "1\n"),
                ("assistant", "<Answer>a</Answer>"),
            ],
        ),
        (
            "a<Execute>1</Execute>\n<File>f</File>b",
            [("assistant", "a"), ("execute", "1<File>f</File>"), ("assistant", "b")],
        ),
        ("a<Execute>1", [("assistant", "a"), ("execute", "1")]),
        ("<Execute>1</Execute>b", [("execute", "1"), ("assistant", "b")]),
        ("a", [("assistant", "a")]),
    ],
)
def test_blocks_within_a_message_become_turns(
    row: Any, text: str, expected: list[tuple[str, str]]
) -> None:
    made = row(inline(text))
    told = made.get("conversations") or made["prompt"] + made["completion"]
    assert [(each["role"], each["content"]) for each in told[1:]] == expected


# Axolotl 0.19: docs/dataset-formats/conversation.qmd, "per-turn and per-character training"


def axolotl_counts(message: dict[str, Any]) -> list[bool]:
    """Which characters Axolotl trains where each is a token of its own: the rule of
    `ChatTemplatePrompter.get_offsets_for_train_detail`, in which the end is within."""
    text, details = message["content"], message.get("train_detail")
    if details is None:
        return [message["train"]] * len(text)
    return [
        any(d["train"] and d["begin_offset"] <= at <= d["end_offset"] for d in details)
        for at in range(len(text))
    ]


@pytest.mark.req("T3")
@given(conversations())
def test_axolotl_counts_what_counts(made: Conversation) -> None:
    """Blanks at the start of what is trained are left out."""
    row: Any = axolotl.row(made)
    assert [each["role"] for each in row["messages"]] == [turn.role for turn in made.turns]
    for each, turn in zip(row["messages"], made.turns, strict=True):
        content = turn.content.lstrip() if turn.train else turn.content
        assert each["content"] == content
        expected = [counts for text, counts in turn.pieces() for _ in text]
        assert axolotl_counts(each) == expected[len(expected) - len(content) :]


def test_axolotl_offsets_of_the_end_are_of_the_last_character() -> None:
    row: Any = axolotl.row(inline("ab<Execute>1</Execute>c"))
    assert row["messages"][1]["train_detail"] == [
        {"begin_offset": 0, "end_offset": 1, "train": True},
        {"begin_offset": 2, "end_offset": 21, "train": False},
        {"begin_offset": 22, "end_offset": 22, "train": True},
    ]


# ms-swift 4.6: docs/source_en/Customization/Custom-dataset.md, "loss"


def swift(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """The text that ms-swift makes with `--template chatml`, and what of it counts: messages of the
    assistant in a row are one response, its marks are the template's, its end counts."""
    text, counted, at = "", "", 0
    while at < len(rows):
        role = rows[at]["role"]
        text += f"<|im_start|>{role}\n"
        if role != "assistant":
            text += rows[at]["content"] + END
            at += 1
            continue
        while at < len(rows) and rows[at]["role"] == "assistant":
            text += rows[at]["content"]
            counted += rows[at]["content"] if rows[at]["loss"] else ""
            at += 1
        text += END
        counted += "<|im_end|>" if at == len(rows) else ""
    return text, counted


@pytest.mark.req("T3")
@given(conversations())
def test_ms_swift_sees_what_the_model_saw_and_counts_what_it_wrote(made: Conversation) -> None:
    row: Any = ms_swift.row(made)
    written = made.completion
    if not written or written[0].role == "execute" or written[-1].role == "execute":
        assert row is None or not written or not any(t.role == "execute" for t in made.turns[-1:])
        return
    if made.turns[len(made.turns) - len(written) - 1].role == "execute":
        assert row is None
        return
    assert {each["role"] for each in row["messages"]} <= {"system", "user", "assistant"}
    assert swift(row["messages"]) == (chatml(made.turns), trained(made.turns))


def test_ms_swift_leaves_out_an_output_that_nothing_follows() -> None:
    assert ms_swift.row(of(messages=turns()[:3])) is None
    assert ms_swift.row(of(messages=[turns()[0], *turns()[2:]])) is None


def test_ms_swift_of_a_run() -> None:
    row: Any = ms_swift.row(of(messages=turns("?", code="x", output="1\n", answer="a")))
    program = "<Analyze>\nlook\n</Analyze>\n<Code>\nx\n</Code>"
    assert row["messages"] == [
        message("user", "# Instruction\n?"),
        {**message("assistant", f"{program}<|im_end|>"), "loss": True},
        {
            **message("assistant", f"\n<|im_start|>execute\n1\n{END}<|im_start|>assistant\n"),
            "loss": False,
        },
        {**message("assistant", "a"), "loss": True},
    ]


@given(conversations())
def test_every_format_gives_the_same_twice(made: Conversation) -> None:
    for name, row in FORMATS.items():
        assert row(made) == row(made), name
