"""Records of runs, as the platform writes them (`isobath.run/1`), and as this package reads them.

A record holds exactly what the model saw and wrote, in order. Text of the platform that lies
within a message of the model is named by spans, `masked`: upstream's own data has it so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

FORMAT = "isobath.run/1"
ROLES = frozenset({"system", "user", "assistant", "execute"})
# begins the message of a run that holds its question
INSTRUCTION = "# Instruction\n"
Span = tuple[int, int]
# what JSON can escape and UTF-8 cannot hold
_SURROGATE = re.compile("[\ud800-\udfff]")


class RecordError(ValueError):
    """A line that is no record of this format. The text names the field, never a value."""


@dataclass(frozen=True)
class Message:
    """One message as the model saw it; `masked` are spans [start, end) that the platform wrote."""

    role: str
    content: str
    masked: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Source:
    """A data source of a run, by the name that its owner gave it."""

    name: str
    type: str


@dataclass(frozen=True)
class Feedback:
    """What a person said of a run: "up", "down", or "" where they only gave the answer that was
    due."""

    rating: str
    comment: str = ""
    correction: str = ""
    created_at: str = ""


@dataclass(frozen=True)
class Record:
    """One run. Times are RFC 3339; `rounds` counts programs.

    `given` counts the messages that the model was given before it wrote: those up to the last one
    of the user. Answers among them are of earlier runs, and came without their programs.
    """

    run_id: str
    messages: tuple[Message, ...]
    thread_id: str = ""
    model: str = ""
    state: str = ""
    ended_by: str = ""
    error_reason: str = ""
    created_at: str = ""
    question: str = ""
    sources: tuple[Source, ...] = ()
    cut: bool = False
    rounds: int = 0
    feedback: tuple[Feedback, ...] = ()
    # how many messages the model was given before it wrote
    given: int = 0

    @property
    def verdict(self) -> Feedback | None:
        """The last word of those who gave feedback."""
        return max(self.feedback, key=lambda each: each.created_at) if self.feedback else None


class Fields:
    """Typed access to a JSON object: what has another type is an error that names the place."""

    def __init__(self, value: object, place: str = "") -> None:
        if not isinstance(value, dict):
            raise RecordError(f"{place or 'the line'} is no JSON object")
        self._value: dict[str, object] = value
        self._place = f"{place}." if place else ""

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def text(self, name: str, *, needed: bool = False) -> str:
        """A string; "" where it is missing and not needed."""
        value = self._value.get(name)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or (needed and not value):
            raise RecordError(f"{self._place}{name} has to be text")
        if _SURROGATE.search(value):
            raise RecordError(f"{self._place}{name} holds half a character: no text can hold it")
        return value

    def flag(self, name: str) -> bool:
        """A boolean; missing = false."""
        value = self._value.get(name, False)
        if not isinstance(value, bool):
            raise RecordError(f"{self._place}{name} has to be true or false")
        return value

    def count(self, name: str) -> int:
        """A whole number from 0 on; missing = 0."""
        value = self._value.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise RecordError(f"{self._place}{name} has to be a whole number from 0 on")
        return value

    def parts(self, name: str) -> Iterator["Fields"]:
        """The objects of a list; a missing one is empty."""
        value = self._value.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise RecordError(f"{self._place}{name} has to be a list")
        for at, each in enumerate(value):
            yield Fields(each, f"{self._place}{name}[{at}]")

    def part(self, name: str) -> "Fields":
        """An object; a missing one is empty."""
        return Fields(self._value.get(name) or {}, f"{self._place}{name}")

    def role(self) -> str:
        """The role of a message."""
        role = self.text("role", needed=True)
        if role not in ROLES:
            raise RecordError(f"{self._place}role has to be one of {', '.join(sorted(ROLES))}")
        return role


def parsed(line: object) -> Record:
    """A record from a decoded line. Raises `RecordError`, which names the field."""
    fields = Fields(line)
    if (told := fields.text("format")) != FORMAT:
        raise RecordError(f"format has to be {FORMAT}" + (", it is another" if told else ""))
    messages = tuple(
        Message(each.role(), each.text("content")) for each in fields.parts("messages")
    )
    return Record(
        run_id=fields.text("run_id", needed=True),
        messages=messages,
        thread_id=fields.text("thread_id"),
        model=fields.text("model"),
        state=fields.text("state"),
        ended_by=fields.text("ended_by"),
        error_reason=fields.text("error_reason"),
        created_at=fields.text("created_at"),
        question=fields.text("question"),
        sources=tuple(
            Source(each.text("name", needed=True), each.text("type"))
            for each in fields.parts("sources")
        ),
        cut=fields.flag("cut"),
        rounds=fields.part("usage").count("rounds"),
        feedback=tuple(_feedback(each) for each in fields.parts("feedback")),
        given=max((at + 1 for at, each in enumerate(messages) if each.role == "user"), default=0),
    )


def _feedback(fields: Fields) -> Feedback:
    rating = fields.text("rating")
    if rating not in {"", "up", "down"}:
        raise RecordError('feedback: rating has to be "up", "down" or empty')
    return Feedback(
        rating, fields.text("comment"), fields.text("correction"), fields.text("created_at")
    )
