"""Conversations of a data set, read strictly: a line that is not one is told by its number."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Span = tuple[int, int]
ROLES = ("system", "user", "assistant", "execute")


class Unusable(Exception):
    """Data, a model or a setting that cannot be trained with; the text says what to do."""


@dataclass(frozen=True)
class Message:
    """`train`: the model wrote it, and is to learn it; but for the spans [start, end) of `masked`,
    which the platform wrote."""

    role: str
    content: str
    train: bool = False
    masked: tuple[Span, ...] = ()

    def spans(self) -> list[Span]:
        """Of the content, what counts for the loss."""
        if not self.train:
            return []
        ends = [0, *(end for _, end in self.masked)]
        starts = [*(start for start, _ in self.masked), len(self.content)]
        return [(a, b) for a, b in zip(ends, starts, strict=True) if a < b]


@dataclass(frozen=True)
class Conversation:
    """One run. Runs of one `source` are never split between training and evaluation."""

    id: str
    source: str
    messages: tuple[Message, ...]


def read(path: Path) -> list[Conversation]:
    """All of a JSONL file. Raises Unusable."""
    try:
        with path.open(encoding="utf-8") as lines:
            found = list(_conversations(path, lines))
    except (OSError, UnicodeDecodeError) as exc:
        raise Unusable(f"{path} cannot be read: {exc}") from exc
    if not found:
        raise Unusable(
            f"{path} holds no conversation. `python -m training.data` builds such a file."
        )
    return found


def _conversations(path: Path, lines: Iterator[str]) -> Iterator[Conversation]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield parsed(json.loads(line))
            except ValueError as exc:
                # not the line itself: it holds data
                raise Unusable(f"{path}:{number}: {exc}") from exc


def parsed(line: Any) -> Conversation:
    """Raises ValueError, which names the field and never its value."""
    if not isinstance(line, dict) or not isinstance(line.get("messages"), list):
        raise ValueError("expected an object with the list `messages`")
    messages = tuple(_message(at, each) for at, each in enumerate(line["messages"]))
    return Conversation(str(line.get("id", "")), str(line.get("source", "")), messages)


def _message(at: int, given: Any) -> Message:
    where = f"messages[{at}]"
    if not isinstance(given, dict):
        raise ValueError(f"{where} is no object")
    role, content, train = given.get("role"), given.get("content"), given.get("train", False)
    if role not in ROLES:
        raise ValueError(f"{where}.role is none of {', '.join(ROLES)}")
    if not isinstance(content, str) or not isinstance(train, bool):
        raise ValueError(f"{where}: content has to be a text, and train true or false")
    if train and role != "assistant":
        raise ValueError(f"{where}: train is for what the model wrote, the role assistant")
    masked = tuple(_span(where, each) for each in given.get("masked", ()))
    edges = [edge for span in masked for edge in span]
    if edges != sorted(edges) or any(not 0 <= edge <= len(content) for edge in edges):
        raise ValueError(f"{where}.masked: spans in order, within the content, that do not overlap")
    return Message(role, content, train, masked if train else ())


def _span(where: str, given: Any) -> Span:
    if not isinstance(given, list) or len(given) != 2 or not all(type(x) is int for x in given):
        raise ValueError(f"{where}.masked: each span is [start, end]")
    return given[0], given[1]
