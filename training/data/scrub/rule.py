"""A rule of scrubbing: what a value looks like, whether it is one, and what stands in its place."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_CLASSES = tuple(map(re.compile, (r"[a-z]", r"[A-Z]", r"\d", r"[^\w\s]")))
# numbers that stand for others count up from here; none is in use that begins with so many zeros
_MAX_STAND_IN = 10**5

# tiers: where hits overlap, one of a lower tier wins; within a tier the longer one
OWN, SECRET, PERSONAL = range(3)

Check = Callable[[str], str]
Key = Callable[[str], str]


class StandIn(Protocol):
    """What stands in place of a value, so that the text around it still means what it did."""

    def __call__(self, value: str, number: int) -> str:
        """The stand-in of the `number`th value of a conversation, from 1 on."""

    def made(self, value: str) -> bool:
        """Whether a value is a stand-in of this kind already."""


def whole(value: str) -> str:
    """Every match is a hit."""
    return value


@dataclass(frozen=True)
class Removed:
    """For a secret: its name, numbered. Letters, digits and `_` mean themselves in URLs, in JSON
    and in code."""

    name: str

    def __call__(self, value: str, number: int) -> str:
        return f"REMOVED_{re.sub(r'[^A-Z0-9]', '_', self.name.upper())}_{number}"

    def made(self, value: str) -> bool:
        return re.search(r"REMOVED_[A-Z0-9_]+_\d+", value) is not None


@dataclass(frozen=True)
class Shaped:
    """For a number: digits become zeros and count from the right, letters become X; spaces and
    punctuation stay, and so do the first `keep` characters."""

    keep: int = 0

    def __call__(self, value: str, number: int) -> str:
        head, rest = value[: self.keep], value[self.keep :]
        places = [at for at, each in enumerate(rest) if each.isdigit()]
        found = ["X" if each.isalpha() else each for each in rest]
        for at, digit in zip(
            reversed(places), reversed(str(number).zfill(len(places))), strict=False
        ):
            found[at] = digit
        return head + "".join(found)

    def made(self, value: str) -> bool:
        rest = value[self.keep :]
        digits = "".join(each for each in rest if each.isdigit())
        letters = {each for each in rest if each.isalpha()}
        return letters <= {"X"} and bool(digits) and int(digits) < _MAX_STAND_IN


@dataclass(frozen=True)
class Made:
    """Of a range that is nobody's, so that `Rule.check` takes none of it for a hit."""

    make: Callable[[str, int], str]

    def __call__(self, value: str, number: int) -> str:
        return self.make(value, number)

    def made(self, value: str) -> bool:
        return False


def is_distinct(value: str, chars: int = 6) -> bool:
    """Whether a value is like no word: long enough, and of two kinds of characters."""
    return len(value) >= chars and sum(bool(kind.search(value)) for kind in _CLASSES) >= 2


def compact(value: str) -> str:
    """The letters and digits of a value: what two ways of writing it have in common."""
    return "".join(each for each in value if each.isalnum()).upper()


@dataclass(frozen=True)
class Rule:
    """`pattern` finds candidates: its group `value`, or all of it. `check` gives the part of a
    candidate that is to go, from its start, or "". `key` says which values are the same.
    `hints`: one of these, in lower case, is in any text with a match; none = not known.
    `screen` matches in any text that the pattern does; rules share it."""

    name: str
    pattern: re.Pattern[str]
    stand_in: StandIn
    check: Check = whole
    key: Key = whole
    hints: tuple[str, ...] = ()
    screen: re.Pattern[str] | None = None
    tier: int = SECRET

    @property
    def finds_all(self) -> bool:
        """Whether it needs no words around a value to find it, nor another spelling of it."""
        return self.tier == PERSONAL and "value" not in self.pattern.groupindex

    def found(self, text: str) -> list[tuple[int, int]]:
        """Spans of hits."""
        group = "value" if "value" in self.pattern.groupindex else 0
        spans = []
        for match in self.pattern.finditer(text):
            value = match[group]
            if value and (part := self.check(value)) and not self.stand_in.made(part):
                spans.append((match.start(group), match.start(group) + len(part)))
        return spans


class Reading:
    """A text that many rules read; what tells quickly that a rule need not is worked out once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded = text.lower()
        self._passed: dict[re.Pattern[str], bool] = {}

    def found(self, rule: Rule) -> list[tuple[int, int]]:
        """Spans of a rule's hits."""
        if rule.hints and not any(hint in self._folded for hint in rule.hints):
            return []
        if rule.screen is not None and not self._passes(rule.screen):
            return []
        return rule.found(self._text)

    def _passes(self, screen: re.Pattern[str]) -> bool:
        if screen not in self._passed:
            self._passed[screen] = screen.search(self._text) is not None
        return self._passed[screen]
