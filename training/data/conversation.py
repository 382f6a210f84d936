"""Conversations of a data set: what the model saw, and which characters of it count for the loss.

`train` is true for messages that the model wrote in this run; earlier answers of a thread are
part of the prompt, and not trained: they were given without their programs. `masked` are spans
[start, end) of a trained message that the platform wrote.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from training.data.record import ROLES, Message, Record, Span
from training.unusable import Unusable


@dataclass(frozen=True)
class Turn:
    """One message with what counts for the loss."""

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

    def pieces(self) -> Iterator[tuple[str, bool]]:
        """The content in pieces, each with whether it counts; joined they are the content."""
        at = 0
        for start, end in self.masked:
            if start > at:
                yield self.content[at:start], self.train
            if end > start:
                yield self.content[start:end], False
            at = end
        if at < len(self.content):
            yield self.content[at:], self.train

    def as_json(self) -> dict[str, object]:
        """As it stands in a line; `masked` is left out where there is none."""
        line: dict[str, object] = {"role": self.role, "content": self.content, "train": self.train}
        if self.masked:
            line["masked"] = [list(span) for span in self.masked]
        return line


@dataclass(frozen=True)
class Conversation:
    """One run of a data set; `source` is the key of its group: no two splits share one."""

    id: str
    source: str
    turns: tuple[Turn, ...]

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The messages before the first that is trained."""
        return self.turns[: self._begin]

    @property
    def completion(self) -> tuple[Turn, ...]:
        """The messages from the first that is trained on."""
        return self.turns[self._begin :]

    @property
    def _begin(self) -> int:
        return next((at for at, turn in enumerate(self.turns) if turn.train), len(self.turns))


def conversation(record: Record, source: str = "") -> Conversation:
    """A record as a conversation: nothing is added to what the model saw, nothing left out."""
    turns = (_turn(each, at >= record.given) for at, each in enumerate(record.messages))
    return Conversation(record.run_id, source, tuple(turns))


def without_failures(made: Conversation, failed: Callable[[str], bool]) -> Conversation:
    """Not trained are messages whose program failed, by what was printed next: so that recovering
    is learned, and failing is not."""
    printed = [*(turn.content if turn.role == "execute" else "" for turn in made.turns[1:]), ""]
    turns = (
        replace(turn, train=turn.train and not failed(output))
        for turn, output in zip(made.turns, printed, strict=True)
    )
    return replace(made, turns=tuple(turns))


def _turn(message: Message, written: bool) -> Turn:
    train = written and message.role == "assistant"
    return Turn(message.role, message.content, train, message.masked if train else ())


def read(path: Path, most: int | None = None) -> list[Conversation]:
    """The first of a `messages.jsonl`, strictly. Raises Unusable, which tells the line's number."""
    try:
        with path.open(encoding="utf-8") as lines:
            found = list(islice(_conversations(path, lines), most))
    except (OSError, UnicodeDecodeError) as exc:
        raise Unusable(f"{path} cannot be read: {exc}") from exc
    if not found:
        raise Unusable(
            f"{path} holds no conversation. `python -m training.data` builds such a file."
        )
    return found


def _conversations(path: Path, lines: Iterable[str]) -> Iterator[Conversation]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield parsed(json.loads(line))
            except ValueError as exc:
                # not the line itself: it holds data
                raise Unusable(f"{path}:{number}: {exc}") from exc


def parsed(line: Any) -> Conversation:
    """Of a line's JSON. Raises ValueError, which names the field and never its value."""
    if not isinstance(line, dict) or not isinstance(line.get("messages"), list):
        raise ValueError("expected an object with the list `messages`")
    turns = tuple(_parsed(f"messages[{at}]", each) for at, each in enumerate(line["messages"]))
    return Conversation(str(line.get("id", "")), str(line.get("source", "")), turns)


def _parsed(where: str, given: Any) -> Turn:
    if not isinstance(given, dict):
        raise ValueError(f"{where} is no object")
    role, content, train = given.get("role"), given.get("content"), given.get("train", False)
    if role not in ROLES:
        raise ValueError(f"{where}.role is none of {', '.join(sorted(ROLES))}")
    if not isinstance(content, str) or not isinstance(train, bool):
        raise ValueError(f"{where}: content has to be a text, and train true or false")
    if train and role != "assistant":
        raise ValueError(f"{where}: train is for what the model wrote, the role assistant")
    masked = tuple(_span(where, each) for each in given.get("masked", ()))
    edges = [edge for span in masked for edge in span]
    if edges != sorted(edges) or any(not 0 <= edge <= len(content) for edge in edges):
        raise ValueError(f"{where}.masked: spans in order, within the content, that do not overlap")
    return Turn(role, content, train, masked if train else ())


def _span(where: str, given: Any) -> Span:
    if not isinstance(given, list) or len(given) != 2 or not all(type(x) is int for x in given):
        raise ValueError(f"{where}.masked: each span is [start, end]")
    return given[0], given[1]


def dumped(value: object) -> str:
    """JSON on one line, the same bytes for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
