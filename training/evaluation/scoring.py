"""Whether an answer is right: pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.evaluation.dataset import Number, Question, Words

# of the answer's beginning: what stands first is what it says, and not one of all numbers there are
LEAD_CHARS = 1200
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} .*$", re.MULTILINE)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-−–]\s?)?[€$£]?\s?"
    r"(?P<digits>\d{1,3}(?:[,   ]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:\s?(?P<unit>%|percent\b|per cent\b|thousand\b|million\b|k\b|K\b|M\b|m\b))?"
)
_SCALES = {"thousand": 1e3, "k": 1e3, "K": 1e3, "million": 1e6, "M": 1e6, "m": 1e6}
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
class Stated:
    """A number in an answer."""

    value: float
    percent: bool


def lead(answer: str) -> str:
    """What an answer says first, without headings, code and pictures."""
    for left_out in (_CODE, _IMAGE, _HEADING):
        answer = left_out.sub("", answer)
    return re.sub(r"[*\\]", "", answer).strip()[:LEAD_CHARS]


def stated(text: str) -> Iterator[Stated]:
    """The numbers of a text, as people write them."""
    for found in _NUMBER.finditer(text):
        value = float(re.sub(r"[,\s]", "", found["digits"]))
        unit = found["unit"] or ""
        signed = -value if found["sign"] else value
        yield Stated(signed * _SCALES.get(unit, 1.0), unit in ("%", "percent", "per cent"))


def missing(question: Question, answer: str) -> list[str]:
    """What a right answer would hold and this one does not; empty = it is right."""
    text = lead(answer)
    if question.refuses:
        return [] if _REFUSAL.search(text) else ["that the data cannot tell"]
    numbers = list(stated(text))
    told = text.casefold()
    return [
        _shown(each)
        for each in question.expects
        if not (_says(told, each) if isinstance(each, Words) else _states(numbers, told, each))
    ]


def _says(told: str, words: Words) -> bool:
    return any(each.casefold() in told for each in words.any_of)


def _states(numbers: Sequence[Stated], told: str, wanted: Number) -> bool:
    reach = max(wanted.relative * abs(wanted.value), wanted.absolute) + 1e-9
    falls = wanted.value < 0 and _LESS.search(told) is not None

    def near(value: float) -> bool:
        return abs(value - wanted.value) <= reach or (falls and abs(-value - wanted.value) <= reach)

    if not wanted.percent:
        return any(near(each.value) for each in numbers if not each.percent)
    return any(
        near(each.value) if each.percent else abs(each.value) <= 1 and near(each.value * 100)
        for each in numbers
    )


def _shown(wanted: Number | Words) -> str:
    if isinstance(wanted, Words):
        return " or ".join(wanted.any_of)
    return f"{wanted.value:,.10g}{' %' if wanted.percent else ''}"


def by_chance(questions: Sequence[Question], answers: Sequence[str]) -> float:
    """The share of answers to other questions that would pass as right: how much less than nothing
    a score means."""
    pairs = [
        not missing(question, answer)
        for at, question in enumerate(questions)
        for other, answer in enumerate(answers)
        if at != other
    ]
    return sum(pairs) / len(pairs) if pairs else 0.0
