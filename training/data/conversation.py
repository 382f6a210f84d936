"""Conversations of a data set: what the model saw, and which characters of it count for the loss.

`train` is true for messages that the model wrote in this run; earlier answers of a thread are
part of the prompt, and not trained: they were given without their programs. `masked` are spans
[start, end) of a trained message that the platform wrote.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from training.data.record import Message, Record, Span


@dataclass(frozen=True)
class Turn:
    """One message with what counts for the loss."""

    role: str
    content: str
    train: bool = False
    masked: tuple[Span, ...] = ()

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


def read(line: str) -> Conversation:
    """The conversation of a line of `messages.jsonl`."""
    value = json.loads(line)
    turns = (
        Turn(
            each["role"],
            each["content"],
            bool(each.get("train", False)),
            tuple((start, end) for start, end in each.get("masked", ())),
        )
        for each in value["messages"]
    )
    return Conversation(value["id"], value.get("source", ""), tuple(turns))


def dumped(value: object) -> str:
    """JSON on one line, the same bytes for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
