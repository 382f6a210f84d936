"""Scrubbing of one conversation: values found by rules, then replaced wherever they stand.

Pure. A value that one message gives away (`password="…"`) is bare in another, escaped in a third:
so hits are collected from all texts first, and then each value, in all its spellings, is replaced
in all of them. The same value has the same stand-in throughout: what code reads still is what its
output shows.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote

from training.data.scrub.rule import SECRET, Reading, Rule, StandIn, is_distinct

_SURROGATE = re.compile("[\ud800-\udfff]")
# an edit may let a rule see what it did not see before
_MAX_PASSES = 8
# between texts: longer than what a pattern may skip, and no part of any value
_BETWEEN = "\n" + "\0" * 8 + "\n"
# values of so many characters that are like no word are replaced even within other text
_CHARS_ANYWHERE = 8
# and those below are left where they do not stand behind their name
_CHARS_ALONE = 6
# how often a value may have been escaped where it was found
_ESCAPES = 3


@dataclass(frozen=True)
class Stretch:
    """A text, and places in it that edits move: `bounds` between messages that were joined to it,
    `marks` where spans begin and end; in order."""

    text: str
    bounds: tuple[int, ...] = ()
    marks: tuple[int, ...] = ()

    def pieces(self) -> Iterator[tuple[int, str]]:
        """The whole text, then each of several messages, with where it begins: a value may cross a
        border, and one that a border ends may not be seen in the whole."""
        yield 0, self.text
        if self.bounds:
            ends = (*self.bounds, len(self.text))
            for start, end in zip((0, *self.bounds), ends, strict=True):
                yield start, self.text[start:end]

    def edited(self, edits: Sequence["Edit"]) -> "Stretch":
        """With these edits, which are in order and do not overlap."""
        parts: list[str] = []
        at = 0
        for edit in edits:
            parts += (self.text[at : edit.start], edit.text)
            at = edit.end
        text = "".join((*parts, self.text[at:]))
        return Stretch(text, _moved(self.bounds, edits), _moved(self.marks, edits))


@dataclass(frozen=True)
class Edit:
    """What is to stand in place of the span [start, end), by the rule of this name."""

    start: int
    end: int
    text: str
    rule: str


def _moved(places: Sequence[int], edits: Sequence[Edit]) -> tuple[int, ...]:
    """Where places are after the edits; one within an edit is after what came in."""
    moved = []
    for place in places:
        shift = 0
        for edit in edits:
            if edit.start >= place:
                break
            shift += len(edit.text) - (min(edit.end, place) - edit.start)
        moved.append(place + shift)
    return tuple(moved)


class Names:
    """Stand-ins of one conversation, given out in the order in which values are found."""

    def __init__(self, taken: str) -> None:
        self._taken = taken
        self._numbers: dict[tuple[str, str], int] = {}
        self._last: Counter[StandIn] = Counter()

    def of(self, rule: Rule, value: str) -> str:
        """The stand-in of a value; another way of writing it has the same number."""
        key = rule.name, rule.key(value)
        while key not in self._numbers:
            self._last[rule.stand_in] += 1
            number = self._last[rule.stand_in]
            if rule.stand_in(value, number) not in self._taken:
                self._numbers[key] = number
        return rule.stand_in(value, self._numbers[key])


@dataclass(frozen=True)
class _Hit:
    start: int
    end: int
    rule: Rule


def scrubbed(
    stretches: Sequence[Stretch], rules: Sequence[Rule]
) -> tuple[list[Stretch], Counter[str]]:
    """The texts of a conversation without what the rules find, and replacements by rule."""
    counts: Counter[str] = Counter()
    now = list(stretches)
    names: Names | None = None
    for _ in range(_MAX_PASSES):
        hits = _hits(now, rules)
        if not any(hits):
            break
        names = names or Names("\n".join(stretch.text for stretch in now))
        known = _known(now, hits, names)
        for at, stretch in enumerate(now):
            edits = _edits(stretch, hits[at], known, names)
            now[at] = stretch.edited(edits)
            counts.update(edit.rule for edit in edits)
    return now, counts


def _hits(stretches: Sequence[Stretch], rules: Sequence[Rule]) -> list[list[_Hit]]:
    """Of each stretch, in order, without overlap. All are read as one text: what a rule costs is
    to begin, not to read."""
    pieces = [(at, *piece) for at, each in enumerate(stretches) for piece in each.pieces()]
    starts = [0]
    for _, _, text in pieces:
        starts.append(starts[-1] + len(text) + len(_BETWEEN))
    reading = Reading(_BETWEEN.join(text for _, _, text in pieces))
    found: list[list[_Hit]] = [[] for _ in stretches]
    for rule in rules:
        for start, end in reading.found(rule):
            at = bisect_right(starts, start) - 1
            stretch, begin, _ = pieces[at]
            shift = begin - starts[at]
            found[stretch].append(_Hit(start + shift, end + shift, rule))
    return [_apart(hits) for hits in found]


def _apart(hits: Sequence[_Hit]) -> list[_Hit]:
    """Those that win where several overlap, in order."""
    kept: list[_Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.rule.tier, hit.start - hit.end, hit.start)):
        at = bisect_left(kept, hit.start, key=lambda other: other.end - 1)
        if at == len(kept) or kept[at].start >= hit.end:
            kept.insert(at, hit)
    return kept


def _known(
    stretches: Sequence[Stretch], hits: Sequence[Sequence[_Hit]], names: Names
) -> dict[str, tuple[Rule, str]]:
    """Every spelling of every value that its rule may not find elsewhere, with the rule and the
    stand-in."""
    known: dict[str, tuple[Rule, str]] = {}
    for stretch, found in zip(stretches, hits, strict=True):
        for hit in found:
            value = stretch.text[hit.start : hit.end]
            stand_in = names.of(hit.rule, value)
            if len(value) >= _CHARS_ALONE and not hit.rule.finds_all:
                for spelling in spellings(value):
                    known.setdefault(spelling, (hit.rule, stand_in))
    return known


def spellings(value: str) -> set[str]:
    """How a value may be written elsewhere: escaped in JSON, once or twice, in code, in a URL; or
    without the escapes that it was found with."""
    plain = {value}
    for _ in range(_ESCAPES):
        plain |= {way(each) for each in plain for way in (unquote, _unescaped)}
    found = set(plain)
    for each in plain:
        once = {json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1]}
        found |= once | {json.dumps(escaped)[1:-1] for escaped in once}
        found |= {quote(each), quote(each, safe=""), quote_plus(each)}
        found.add(each.replace("\\", "\\\\").replace("'", "\\'"))
    return {each for each in found if len(each) >= _CHARS_ALONE}


def _unescaped(value: str) -> str:
    try:
        text = json.loads(f'"{value}"')
    except json.JSONDecodeError:
        return value
    return text if isinstance(text, str) and not _SURROGATE.search(text) else value


def _edits(
    stretch: Stretch, hits: Sequence[_Hit], known: dict[str, tuple[Rule, str]], names: Names
) -> list[Edit]:
    """At the hits, and between them where a known value stands."""
    edits = [
        Edit(
            hit.start, hit.end, names.of(hit.rule, stretch.text[hit.start : hit.end]), hit.rule.name
        )
        for hit in hits
    ]
    if known:
        anywhere = re.compile("|".join(map(_literal, *_by_length(known))))
        gaps = zip(
            (0, *(hit.end for hit in hits)), (*(hit.start for hit in hits), None), strict=True
        )
        for start, end in gaps:
            for match in anywhere.finditer(
                stretch.text, start, len(stretch.text) if end is None else end
            ):
                rule, stand_in = known[match[0]]
                edits.append(Edit(*match.span(), stand_in, rule.name))
    return sorted(edits, key=lambda edit: edit.start)


def _by_length(known: dict[str, tuple[Rule, str]]) -> tuple[list[str], list[Rule]]:
    """Longer ones first: one may begin with another."""
    ordered = sorted(known, key=lambda each: (-len(each), each))
    return ordered, [known[each][0] for each in ordered]


def _literal(spelling: str, rule: Rule) -> str:
    """A secret that is like no word is one within other text, too."""
    if rule.tier <= SECRET and is_distinct(spelling, _CHARS_ANYWHERE):
        return re.escape(spelling)
    return rf"(?<![\w.]){re.escape(spelling)}(?!\w)"
