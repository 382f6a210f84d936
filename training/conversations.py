"""A run's events as a training conversation: pure, values in, values out.

The roles are those of the model's chat template: `user`, `assistant`, and `execute` for what a
program printed. Text of the platform carries `train: False`, so that the loss leaves it out.
"""

import re
from collections.abc import Iterable
from typing import TypedDict

from isobath.analyst.v1 import analyst_pb2 as analyst

TAGS = {
    analyst.BLOCK_KIND_ANALYZE: "Analyze",
    analyst.BLOCK_KIND_UNDERSTAND: "Understand",
    analyst.BLOCK_KIND_CODE: "Code",
    analyst.BLOCK_KIND_ANSWER: "Answer",
    analyst.BLOCK_KIND_EXECUTE: "Execute",
}
SCRUBBED = "[removed]"
# a name that means a secret, then its value; connection strings; SAS signatures; bearer tokens
_SECRETS = re.compile(
    r"(?i)(?P<before>(?:password|passwd|secret|api[_-]?key|account[_-]?key|token|sig)\s*[=:]\s*"
    r"['\"]?|bearer\s+|://[^\s:/@]+:)(?P<value>[^\s'\"@;,&]+)"
)


class Message(TypedDict):
    """One message of a conversation."""

    role: str
    content: str
    train: bool


def scrub(text: str) -> str:
    """Replace the values of what looks like a credential."""
    return _SECRETS.sub(lambda found: found["before"] + SCRUBBED, text)


def conversation(question: str, events: Iterable[analyst.Event]) -> list[Message]:
    """Messages of one run, in order; empty when the run gave no answer."""
    messages: list[Message] = [_message("user", question)]
    answered = False
    for event in events:
        answered |= event.HasField("completed")
        _append(messages, event)
    return [{**each, "content": scrub(each["content"])} for each in messages] if answered else []


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content, "train": role == "assistant"}


def _append(messages: list[Message], event: analyst.Event) -> None:
    step = event.WhichOneof("event")
    if step not in {"block_opened", "block_text", "block_closed"}:
        return
    block = getattr(event, step)
    tag = TAGS.get(block.kind)
    if tag is None:
        return
    platform = block.kind == analyst.BLOCK_KIND_EXECUTE
    role = "execute" if platform else "assistant"
    if messages[-1]["role"] != role:
        messages.append(_message(role, ""))
    messages[-1]["content"] += _text(step, tag, block, bare=platform)


def _text(step: str, tag: str, block: analyst.BlockText, *, bare: bool) -> str:
    if step == "block_text":
        return block.text
    if bare:
        return ""
    return f"<{tag}>" if step == "block_opened" else f"</{tag}>\n"
