"""Measures that a question spells out: 'revenue (quantity times unit price)'. Pure."""

import re
from collections.abc import Iterator

from .asking import Asked
from .mentions import Mention
from .terms import Candidate, Measure, MeasureKind
from .words import Token

# nothing that is merely named comes before what is spelled out
_SURE = 12.0
_OPERATORS: dict[MeasureKind, frozenset[str]] = {
    "product": frozenset(("times", "x", "multiplied")),
    "difference": frozenset(("minus", "less")),
    "quotient": frozenset(("divided", "over")),
}
_FILLED = frozenset(("by", "the", "a", "an", "of", "its", "their"))
_DEFINED = re.compile(r"([a-z][a-z ]*?)\s*(?:\(|(?:is|as|=|means|equals)\s)\W*$", re.IGNORECASE)
_LEADING = re.compile(
    r"^.*\b(?:by|did|the|our|is|total|average|highest|lowest|most|least|of|and|much)\s+",
    re.IGNORECASE,
)


def candidates(asked: Asked) -> Iterator[Candidate]:
    """Two columns of one table with a word for what is done to them between."""
    numbers = [m for m in asked.mentions if m.column and m.column.measure and m.score >= 0.8]
    for index, word in enumerate(asked.words):
        kind = next((kind for kind, said in _OPERATORS.items() if word.lower in said), None)
        left = _ending(numbers, index)
        right = _starting(numbers, asked.words, index + 1)
        if kind is None or left is None or right is None or left.table != right.table:
            continue
        if left.column is None or right.column is None or left.column == right.column:
            continue
        columns = (left.column.name, right.column.name)
        told = f"{left.column.label} {word.lower} {right.column.label}"
        label = _defined(asked.text[: asked.words[left.start].start]) or told
        additive = kind != "quotient"
        measure = Measure(kind, left.table.name, columns, label, additive=additive)
        yield Candidate(_SURE + left.score + right.score, measure, left.start)


def _ending(numbers: list[Mention], at: int) -> Mention | None:
    return max((m for m in numbers if m.end == at), key=_score, default=None)


def _starting(numbers: list[Mention], words: tuple[Token, ...], at: int) -> Mention | None:
    while at < len(words) and words[at].lower in _FILLED:
        at += 1
    return max((m for m in numbers if m.start == at), key=_score, default=None)


def _score(mention: Mention) -> float:
    return mention.score


def _defined(before: str) -> str:
    """What the formula is said to be: the words before its bracket, or before 'is'."""
    found = _DEFINED.search(before)
    return _LEADING.sub("", found[1].strip().lower())[-40:] if found else ""
