"""Whether an answer is right, and how much of it: pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from training.evaluation.benchmarks import rules
from training.evaluation.dataset import Expected, Number, Question, Reference, Rule, Table, Words
from training.evaluation.numbers import Stated, stated
from training.evaluation.tables import Grid, best, of_markdown

# of the answer's beginning: what stands first is what it says, and not one of all numbers there are
LEAD_CHARS = 1200
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} .*$", re.MULTILINE)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LESS = re.compile(r"\b(?:fell|fall|falls|fallen|drop\w*|decreas\w*|less|lower|down|declin\w*)\b")
# that the data holds no answer, or that there is none; not that a row or a column lacks something
_REFUSAL = re.compile(
    r"(?:can ?not|can't|could not|couldn't|unable to|impossible to) (?:be )?"
    r"(?:answer|tell|told|say|said|determine|compute|calculate|find|work out)"
    r"|\b(?:no|any) (?:\w+ ){0,3}(?:columns?|fields?|information|data)\b"
    r"|not (?:available|recorded|part of)|nothing (?:about|on)\b"
    r"|not (?:(?:present|included|contained|found|given) )?in (?:the|this|your) "
    r"(?:data|tables?|files?)\b"
    r"|(?:does|do)(?:n't| not) (?:hold|contain|have|include|tell|record)"
    r"|(?:data|tables?|files?|columns?) (?:hold|contain|have|has|say)s? (?:no|nothing)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verdict:
    """`lacks`: what a right answer would hold and this one does not; empty = it is right. `credit`:
    the share of it that is there, 1.0 just where it is right."""

    lacks: tuple[str, ...]
    credit: float

    @property
    def right(self) -> bool:
        return not self.lacks


@dataclass(frozen=True)
class Given:
    """An answer, and the tables of the files that came with it."""

    text: str
    files: tuple[Grid, ...] = ()

    @cached_property
    def lead(self) -> str:
        return lead(self.text)

    @cached_property
    def told(self) -> str:
        return self.lead.casefold()

    @cached_property
    def numbers(self) -> list[Stated]:
        return list(stated(self.lead))

    @cached_property
    def tables(self) -> list[Grid]:
        return [*of_markdown(self.text), *self.files]


def lead(answer: str) -> str:
    """What an answer says first, without headings, code and pictures."""
    for left_out in (_CODE, _IMAGE, _HEADING):
        answer = left_out.sub("", answer)
    return re.sub(r"[*\\]", "", answer).strip()[:LEAD_CHARS]


def refuses(answer: str) -> bool:
    """Whether it says that the data cannot tell."""
    return _REFUSAL.search(lead(answer)) is not None


def judged(question: Question, given: Given) -> Verdict:
    """Compare an answer with what is known."""
    if question.refuses:
        right = refuses(given.text)
        return Verdict(() if right else ("that the data cannot tell",), float(right))
    parts = [_part(each, given) for each in question.expects]
    lacks = tuple(f"{what}" for part in parts for what in part.lacks)
    return Verdict(lacks, sum(part.credit for part in parts) / len(parts))


def missing(question: Question, answer: str) -> list[str]:
    """What a right answer would hold and this one does not; empty = it is right."""
    return list(judged(question, Given(answer)).lacks)


def by_chance(questions: Sequence[Question], answers: Sequence[Given]) -> float:
    """The share of answers to other questions that would pass as right: how much less than nothing
    a score means."""
    pairs = [
        judged(question, given).right
        for at, question in enumerate(questions)
        for other, given in enumerate(answers)
        if at != other
    ]
    return sum(pairs) / len(pairs) if pairs else 0.0


# Each kind of what is expected


def _part(wanted: Expected, given: Given) -> Verdict:
    return _JUDGES[type(wanted)](wanted, given)


def _words(wanted: Words, given: Given) -> Verdict:
    return _whole(any(each.casefold() in given.told for each in wanted.any_of), wanted)


def _number(wanted: Number, given: Given) -> Verdict:
    return _whole(_states(given, wanted), wanted)


def _reference(wanted: Reference, given: Given) -> Verdict:
    return _whole(rules.passes(wanted, given.text), wanted)


def _whole(right: bool, wanted: Expected) -> Verdict:
    return Verdict(() if right else (shown(wanted),), float(right))


def _table(wanted: Table, given: Given) -> Verdict:
    found = best(wanted, given.tables)
    if found.right == found.of:
        return Verdict((), 1.0)
    return Verdict(
        (f"{found.of - found.right} of {found.of} cells of {shown(wanted)}",), found.credit
    )


def _rule(wanted: Rule, given: Given) -> Verdict:
    checks = _checks(wanted, given)
    lacks = tuple(what for what, kept in checks if not kept)
    # no words keep to nothing
    share = (1 - len(lacks) / len(checks)) if given.told else 0.0
    return Verdict(lacks if given.told else (shown(wanted),), share)


def _checks(wanted: Rule, given: Given) -> list[tuple[str, bool]]:
    """What is asked for, and whether it is kept to."""
    told = given.told
    checks = [(each, each.casefold() in told) for each in wanted.all_of]
    if wanted.any_of:
        kept = any(each.casefold() in told for each in wanted.any_of)
        checks.append((" or ".join(wanted.any_of), kept))
    checks += [(f"not “{each}”", each.casefold() not in told) for each in wanted.none_of]
    if wanted.in_order:
        checks.append((" before ".join(wanted.in_order), _in_order(wanted.in_order, told)))
    if wanted.matches:
        found = re.search(wanted.matches, given.lead, re.IGNORECASE | re.DOTALL)
        checks.append((f"/{wanted.matches}/", found is not None))
    return checks


def _in_order(texts: Sequence[str], told: str) -> bool:
    at = 0
    for each in texts:
        at = told.find(each.casefold(), at)
        if at < 0:
            return False
        at += len(each)
    return True


def _states(given: Given, wanted: Number) -> bool:
    reach = max(wanted.relative * abs(wanted.value), wanted.absolute) + 1e-9
    falls = wanted.value < 0 and _LESS.search(given.told) is not None

    def near(value: float) -> bool:
        return abs(value - wanted.value) <= reach or (falls and abs(-value - wanted.value) <= reach)

    if not wanted.percent:
        return any(near(each.value) for each in given.numbers if not each.percent)
    return any(
        near(each.value) if each.percent else abs(each.value) <= 1 and near(each.value * 100)
        for each in given.numbers
    )


_JUDGES: dict[type, Callable[[Any, Given], Verdict]] = {
    Number: _number,
    Words: _words,
    Rule: _rule,
    Table: _table,
    Reference: _reference,
}


def shown(wanted: Expected) -> str:
    """What is expected, for people."""
    match wanted:
        case Words():
            return " or ".join(wanted.any_of)
        case Number():
            return f"{wanted.value:,.10g}{' %' if wanted.percent else ''}"
        case Table():
            return f"the table of {', '.join(wanted.columns)}"
        case Reference():
            return f"@{wanted.name}[{wanted.value}]" if wanted.name else wanted.value
        case Rule():
            return "; ".join(what for what, _ in _checks(wanted, Given("")))
