"""Scrubbing of a record: its messages, its question and its feedback, as one conversation. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from training.data.record import Feedback, Message, Record
from training.data.scrub.rule import Rule
from training.data.scrub.scrubbing import Stretch, scrubbed


def scrub(record: Record, rules: Sequence[Rule]) -> tuple[Record, Counter[str]]:
    """The record without what the rules find, and replacements by rule. Masked spans keep to the
    text that they were of. A record without a hit comes back as it is."""
    turns = [list(group) for _, group in groupby(record.messages, lambda each: each.role)]
    said = [(each.comment, each.correction) for each in record.feedback]
    texts = [record.question, *(text for both in said for text in both)]
    stretches = [*map(_stretch, turns), *map(Stretch, texts)]
    cleaned, counts = scrubbed(stretches, rules)
    if not counts:
        return record, counts
    messages = [
        each
        for turn, stretch in zip(turns, cleaned, strict=False)
        for each in _messages(turn, stretch)
    ]
    question, *rest = (each.text for each in cleaned[len(turns) :])
    feedback = (
        Feedback(each.rating, comment, correction, each.created_at)
        for each, comment, correction in zip(record.feedback, rest[::2], rest[1::2], strict=True)
    )
    found = replace(record, messages=tuple(messages), question=question, feedback=tuple(feedback))
    return found, counts


def _stretch(turn: Sequence[Message]) -> Stretch:
    starts = [0]
    for each in turn:
        starts.append(starts[-1] + len(each.content))
    marks = (
        start + place
        for start, each in zip(starts, turn, strict=False)
        for span in each.masked
        for place in span
    )
    return Stretch("".join(each.content for each in turn), tuple(starts[1:-1]), tuple(marks))


def _messages(turn: Sequence[Message], stretch: Stretch) -> Iterator[Message]:
    marks = iter(stretch.marks)
    ends = (*stretch.bounds, len(stretch.text))
    for each, start, end in zip(turn, (0, *stretch.bounds), ends, strict=True):
        spans = tuple((next(marks) - start, next(marks) - start) for _ in each.masked)
        yield Message(each.role, stretch.text[start:end], spans)
