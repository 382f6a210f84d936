"""Limits that a question sets to a number: 'over 100', '500 or more', 'between 5 and 10', 'above 60
or below -30', and what is left out beyond them. Pure."""

import re
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["compare", "between", "beyond"]

OPERATORS = {
    ">": r"over|above|more than|greater than|higher than|older than|longer than|exceeding|>",
    ">=": r"at least|minimum of|>=",
    "<": r"below|under|less than|fewer than|lower than|younger than|shorter than|<",
    "<=": r"at most|up to|maximum of|<=",
}
_BEHIND = {
    ">=": r"or (?:more|above|higher|over|later|older|longer)|and (?:up|above|more)",
    "<=": r"or (?:less|fewer|below|lower|under|younger|shorter)|and (?:below|less)",
}
_COUNT = (
    "zero", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_WORDS = {"nought": "0"} | {word: str(number) for number, word in enumerate(_COUNT)}
NUMBERS = "|".join(_WORDS)  # for a pattern
_NUMBER = (
    r"\s*[$€£]?\s?([-−]?\d+(?:,\d{3})*(?:\.\d+)?(?![\d-])(?!\.\d)"
    rf"|\b(?:{NUMBERS})\b)"
)
_AHEAD = "|".join(f"(?:{cue})" for cue in OPERATORS.values())
_ONE = re.compile(rf"(?<![\w-])(?P<cue>{_AHEAD}){_NUMBER}", re.I)
_TWO = re.compile(
    rf"(?<![\w-])(?P<a>{_AHEAD}){_NUMBER}\W+(?:or|and|nor)\s+(?P<b>{_AHEAD}){_NUMBER}", re.I
)
_BETWEEN = re.compile(rf"\b(?:between|from){_NUMBER}\s+(?:and|to){_NUMBER}", re.I)
_SUFFIXED = re.compile(rf"(?<![\w.,-]){_NUMBER}\s+(?P<cue>{'|'.join(_BEHIND.values())})\b", re.I)
_YEAR = re.compile(r"(?:19|20)\d\d")
# what comes next is not to be there
_LEFT_OUT = re.compile(
    r"\b(?:ignor\w+|exclud\w+|omit\w*|skip\w*|without|except|leav\w+ out|not counting"
    r"|drop|dropping)"
    r"(?: \w+){0,4}? ?$",
    re.I,
)
_OTHER = {"==": "!=", "!=": "==", ">": "<=", ">=": "<", "<": ">=", "<=": ">"}


@dataclass(frozen=True)
class Limit:
    """`values`: compare (operator, number), between and beyond (low, high); beyond is without
    them. `span`: where the question says so, in characters."""

    kind: Kind
    values: tuple[str, str]
    span: tuple[int, int]

    def turned(self) -> "Limit":
        """Of the rows that the other leaves."""
        if self.kind == "compare":
            return replace(self, values=(_OTHER[self.values[0]], self.values[1]))
        return replace(self, kind="beyond" if self.kind == "between" else "between")

    def told(self, label: str) -> str:
        """In words, of a column."""
        first, second = self.values
        if self.kind == "compare":
            return f"{label} {first} {second}"
        return f"{label} {'from' if self.kind == 'between' else 'outside of'} {first} to {second}"


def limit(text: str) -> Limit | None:
    """The first that a question sets, None where it sets none."""
    for reading in (_pair, _range, _single, _suffixed, _valued):
        found = reading(text)
        if found is not None:
            out = _LEFT_OUT.search(text[: found.span[0]])
            if out is None:
                return found
            return replace(found.turned(), span=(out.start(), found.span[1]))
    return None


SIGNED = re.compile(r"\b(positive|negative)\s+", re.I)


def signed(text: str, numbers: Set[int]) -> Limit | None:
    """'A positive amount', where `numbers` are the places at which a number is named."""
    for match in SIGNED.finditer(text):
        if match.end() in numbers:
            operator = ">" if match[1].lower() == "positive" else "<"
            return Limit("compare", (operator, "0"), match.span())
    return None


_VALUED = re.compile(
    rf"\b(?:rating|score|grade|mark|status(?: code)?|level|priority) of{_NUMBER}(?! or\b)", re.I
)


def _valued(text: str) -> Limit | None:
    """'A rating of 5': no more and no less."""
    match = _VALUED.search(text)
    return Limit("compare", ("==", plain(match[1])), match.span()) if match else None


def _pair(text: str) -> Limit | None:
    """'above 60 or below -30': one end each."""
    match = _TWO.search(text)
    if match is None:
        return None
    ends = {operator(match["a"])[0]: match[2], operator(match["b"])[0]: match[4]}
    if set(ends) != {">", "<"}:
        return None
    low, high = plain(ends["<"]), plain(ends[">"])
    if float(low) <= float(high):
        return Limit("beyond", (low, high), match.span())
    # 'above 5 and below 10'
    return Limit("between", (high, low), match.span())


def _range(text: str) -> Limit | None:
    match = _BETWEEN.search(text)
    if match is None or (_YEAR.fullmatch(match[1]) and _YEAR.fullmatch(match[2])):
        return None
    low, high = sorted((plain(match[1]), plain(match[2])), key=float)
    return Limit("between", (low, high), match.span())


def _single(text: str) -> Limit | None:
    match = _ONE.search(text)
    if match is None:
        return None
    return Limit("compare", (operator(match["cue"]), plain(match[2])), match.span())


def _suffixed(text: str) -> Limit | None:
    match = _SUFFIXED.search(text)
    if match is None:
        return None
    cue = match["cue"].lower()
    operator = next(op for op, cues in _BEHIND.items() if re.fullmatch(cues, cue))
    return Limit("compare", (operator, plain(match[1])), match.span())


def operator(cue: str) -> str:
    """The sign of a cue: > for 'more than'."""
    return next(op for op, cues in OPERATORS.items() if re.fullmatch(cues, cue, re.I))


def number(said: str) -> int:
    """A small whole number in digits or in a word: '3', 'three', 'twice'."""
    return int(_WORDS.get(said.lower()) or {"once": "1", "twice": "2"}.get(said.lower(), said))


def plain(number: str) -> str:
    """A number as Python writes it."""
    return _WORDS.get(number.lower()) or number.replace(",", "").replace("−", "-")
