"""What is found out about a chat template by asking it."""

import pytest

from services.inference.engines import rendering

pytestmark = pytest.mark.req("T4")


def chatml(messages, head: bool) -> str:
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return text + ("<|im_start|>assistant\n" if head else "")


def known_roles(messages, head: bool) -> str:
    return chatml([each for each in messages if each["role"] != "execute"], head)


def as_user(messages, head: bool) -> str:
    return chatml([{**each, "role": "user"} for each in messages], head)


def refuses(messages, head: bool) -> str:
    raise ValueError("unknown role")


def after_the_question(messages, head: bool) -> str:
    """As DeepSeek's: the head belongs to the question, and is asked for only where none came last."""
    text = "".join(
        f"<｜User｜>{m['content']}<｜Assistant｜>" if m["role"] == "user" else m["content"]
        for m in messages
    )
    return text + ("<｜Assistant｜>" if head and messages[-1]["role"] != "user" else "")


def thinking(messages, head: bool) -> str:
    """As Qwen3's: the last answer gets thoughts, though none were there."""
    text = chatml(messages, head)
    return text.replace("assistant\nSeven.", "assistant\n<think>\n\n</think>\n\nSeven.")


def headless(messages, head: bool) -> str:
    return chatml(messages, False)


@pytest.mark.parametrize(
    ("template", "knows"),
    [(chatml, True), (known_roles, False), (as_user, False), (refuses, False)],
)
def test_role_execute_is_looked_for_in_the_template(template, knows):
    assert rendering.knows_execute(template) is knows


@pytest.mark.parametrize(
    ("template", "wants"),
    [
        (chatml, True),
        (known_roles, True),
        (thinking, True),
        (after_the_question, False),
        (headless, False),
        (refuses, False),
    ],
)
def test_head_of_the_turn_is_asked_for_only_where_the_template_keeps_it_back(template, wants):
    assert rendering.wants_head(template) is wants
