"""Rows told apart by an empty cell: 'without a cost', 'not returned yet', 'still open'."""

import re
from collections.abc import Iterator

from . import vocabulary
from .asking import Asked
from .mentions import Mention
from .plan import Plan, distance
from .schema import Column
from .terms import Condition, Field
from .words import any_akin

_LACKING = frozenset(("no", "without", "missing", "lacking", "unknown", "blank", "empty"))
_NOT = frozenset(
    ("not", "never", "yet", "haven't", "hasn't", "weren't", "wasn't", "aren't", "isn't")
)
_PASSED = frozenset(
    ("a", "an", "any", "the", "been", "be", "being", "to", "recorded", "known", "yet")
).union(("people", "those", "ones", "who", "that", "which", "have", "has", "had"))
# 'customers that don't have an', 'for which we have no'; what they lack comes next
_UNHAD = re.compile(
    r"\b(?:(?:don't|doesn't|didn't|do not|does not|did not|haven't|hasn't)(?: (?:we|they|you|i))?"
    r"(?: (?:have|has|had|got|know|record|store))?|(?:have|has|had|got|know|with) no)"
    r"(?: (?:a|an|any|the|their|its|his|her))*$"
)
_AUXILIARIES = frozenset(("have", "has", "had", "were", "was", "been", "are", "got"))
_WAITING = re.compile(r"\bstill\b|\bpending\b|\boutstanding\b|\bongoing\b|\bunfinished\b", re.I)


def conditions(plan: Plan) -> tuple[Condition, ...]:
    """What the question says of empty cells; at most one condition."""
    if plan.measure.share or plan.asked.intent == "missing":
        return ()
    found = _lacking(plan) or _waiting(plan) or _done(plan)
    return (found,) if found else ()


def _lacking(plan: Plan) -> Condition | None:
    for mention, column in _gappy(plan):
        if lacking(plan.asked, mention, column):
            return _condition(column, "empty")
    return None


def lacking(asked: Asked, mention: Mention, column: Column) -> bool:
    """Whether the question speaks of a column as of what is not there."""
    before = _before(asked, mention)
    word = asked.words[mention.start].lower
    done = column.kind == "date" or word.endswith("ed")
    unhad = _UNHAD.search(_text_before(asked, mention))
    return bool(before in _LACKING or unhad or (done and (before in _NOT or _un(word))))


def _un(word: str) -> bool:
    return word.startswith("un") and word.endswith("ed")


def _waiting(plan: Plan) -> Condition | None:
    """'Still open': the date on which it ends is not there yet."""
    if not _WAITING.search(plan.asked.text):
        return None
    for column in plan.schema.table(plan.base).dates:
        if column.nulls and any_akin(column.stems, (*vocabulary.ENDED, *vocabulary.DONE)):
            return _condition(column, "empty")
    return None


def _done(plan: Plan) -> Condition | None:
    """'How many tickets were closed': those with the date; a period asks for it already."""
    periods = {condition.field for condition in plan.conditions if condition.kind == "period"}
    for mention, column in _gappy(plan):
        participle = done(plan.asked, mention)
        own = column.kind == "date" and column.table == plan.base and plan.measure.kind == "rows"
        if own and participle and not periods and not any(g.grain for g in plan.groups):
            return _condition(column, "filled")
    return None


def done(asked: Asked, mention: Mention) -> bool:
    """Whether a date is spoken of as a thing done: 'have left', 'were closed'."""
    before = {word.lower for word in asked.words[max(mention.start - 3, 0) : mention.start]}
    return bool(before & _AUXILIARIES) or asked.words[mention.start].lower.endswith("ed")


def _gappy(plan: Plan) -> Iterator[tuple[Mention, Column]]:
    """Columns with empty cells that the question names and the base reaches, surest first."""
    for mention in plan.asked.mentions:
        column = mention.column
        sure = 0.8 if column is not None and column.kind == "date" else 1.2
        if column is None or not column.nulls or mention.score < sure:
            continue
        if distance(plan.schema, plan.base, column.table) is not None:
            yield mention, column


def _before(asked: Asked, mention: Mention) -> str:
    """The word before a mention, past articles and auxiliaries."""
    for word in reversed(asked.words[: mention.start]):
        if word.lower not in _PASSED:
            return word.lower
    return ""


def _text_before(asked: Asked, mention: Mention) -> str:
    words = asked.words[max(0, mention.start - 7) : mention.start]
    return " ".join(word.lower.replace("’", "'") for word in words)


def _condition(column: Column, kind: str) -> Condition:
    field = Field(column.table, column.name)
    if kind == "empty":
        return Condition("empty", field, (), f"no {field.label}")
    return Condition("filled", field, (), f"a {field.label}")
