"""Upstream's own form of training data: one message of the assistant holds the whole run.

    {"messages": [{"role": "user", "content": "# Instruction …"},
                  {"role": "assistant", "content": "<Analyze>…</Analyze><Code>…</Code>
                                                    <Execute>…</Execute><Answer>…</Answer>"}]}

ShareGPT's `conversations` with `from` and `value` are read as well. What the platform wrote,
`<Execute>…</Execute>` and `<File>…</File>`, becomes masked spans: the text stays as it is.
"""

import hashlib
import re

from training.data.record import Fields, Message, Record, RecordError, Span

_PLATFORM = re.compile(r"<(Execute|File)>.*?(?:</\1>|\Z)", re.DOTALL)
# a program may print, and a model may quote, what looks like a tag
_FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1`*[ \t]*$", re.DOTALL | re.MULTILINE)
_ROLES = {"human": "user", "gpt": "assistant"}


def is_upstream(line: object) -> bool:
    """Whether a decoded line is of this form, and no record of a run."""
    return (
        isinstance(line, dict)
        and "format" not in line
        and bool({"messages", "conversations"} & line.keys())
    )


def masked(content: str) -> tuple[Span, ...]:
    """Spans [start, end) of what the platform wrote. A block that never ends goes to the end;
    a tag that stands in a fence outside of a block is text."""
    spans: list[Span] = []
    at = 0
    while found := _PLATFORM.search(content, at):
        fence = _fence_around(content, found.start(), at)
        if fence is not None:
            at = fence
            continue
        spans.append(found.span())
        at = found.end()
    return tuple(spans)


def _fence_around(content: str, place: int, since: int) -> int | None:
    """Where the fence ends that `place` lies in; fences before `since` are over."""
    for fence in _FENCED.finditer(content, since):
        if fence.start() > place:
            return None
        if place < fence.end():
            return fence.end()
    return None


def parsed(line: object) -> Record:
    """A record from a decoded line; its id is that of the line, or made of its text."""
    fields = Fields(line)
    messages = tuple(_message(each) for each in _turns(fields))
    if not any(each.role == "assistant" for each in messages):
        raise RecordError("no message is of the assistant")
    text = "".join(f"{each.role}\0{each.content}\0" for each in messages)
    answered = "</Answer>" in messages[-1].content
    return Record(
        run_id=fields.text("id") or "up-" + hashlib.sha256(text.encode()).hexdigest()[:16],
        messages=messages,
        state="completed",
        ended_by="answer" if answered else "",
        question=next((each.content for each in messages if each.role == "user"), ""),
        rounds=sum(each.content.count("<Execute>") for each in messages),
        given=next(at for at, each in enumerate(messages) if each.role == "assistant"),
    )


def _turns(fields: Fields) -> list[Fields]:
    return list(fields.parts("messages" if "messages" in fields else "conversations"))


def _message(fields: Fields) -> Message:
    if "from" in fields:
        role = fields.text("from")
        role, content = _ROLES.get(role, role), fields.text("value")
    else:
        role, content = fields.role(), fields.text("content")
    if role not in {"system", "user", "assistant", "execute"}:
        raise RecordError("a message is of a role that is not known")
    return Message(role, content, masked(content) if role == "assistant" else ())
