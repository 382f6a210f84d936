"""What a question asks for, read from its words and from the columns that it names."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from . import doings, grouping, limits, mentions, times
from .doings import Doing
from .grouping import GroupAsk
from .mentions import Mention
from .schema import Column, Schema
from .terms import Aggregate, Condition, Field
from .words import Token, akin, any_akin, plain, tokens

Intent = Literal[
    "overview", "missing", "outliers", "relation", "distribution", "trend", "drivers", "answer"
]

_INTENTS: tuple[tuple[Intent, str], ...] = (
    (
        "missing",
        r"\bmissing\b|\bnulls?\b|\bblanks?\b|incomplete|completeness|data quality|duplicate",
    ),
    ("outliers", r"outlier|anomal|unusual|abnormal|suspicious|extreme values"),
    (
        "relation",
        r"correlat|relationship|relation between|\brelated\b|associat|\baffects?\b|\bimpacts?\b"
        r"|\bhurts?\b|\bhelps?\b|\bimproves?\b|influenc"
        r"|\bdepends?\b|effect of|linked|\bgo(?:es)? with\b|connection between|\blinks? between",
    ),
    (
        "distribution",
        r"distribut|histogram|\bspread\b|percentile|quartile|quantile|how .{0,12}varie",
    ),
    (
        "trend",
        r"\btrends?\b|over time|evol(?:v|ution)|develop\w*|\bgrow(?:th|n|ing|s)?\b|\bgrew\b"
        r"|season|time series|month[- ](?:by|over|on)[- ]month|year[- ](?:over|on)[- ]year"
        r"|\bincreas(?:ed|ing)|\bdecreas(?:ed|ing)|\bdeclin|\brising\b|\bfalling\b|\bchanged?\b"
        r"|\b(?:go|goes|gone|going|went) (?:up|down)\b|\brise[ns]?\b|\brose\b"
        r"|\b(?:fell|fall|drop|dropped) (?:from|between|by|compared)\b"
        r"|how many (?:percent|%) (?:more|fewer|less|higher|lower)\b",
    ),
)
_OVERVIEW = re.compile(
    r"overview|summar|describe|analy[sz]e|explor|insight|tell "
    r"me about|key (?:figures|facts|findings)"
    r"|what(?:'s| is| does) .{0,20}(?:in|contain)|look at|profile|report|understand|\beda\b",
    re.IGNORECASE,
)
_WHY = re.compile(
    r"\bwhy\b|\breasons? (?:for|behind)|because|\bcauses?d?\b|\bblame\b|responsible|\bdue to\b"
    r"|\bfault\b|\bexplains?\b|\bdrives?\b|\bdriven by|\bdrivers? (?:of|behind|for)\b|factors?",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"\brates?\b|\bshares?\b|percent|\bproportion|\bfraction\b|\bratio\b|%|how often|likel|probab",
    re.IGNORECASE,
)
# a change told in percent is no share
_CHANGE = re.compile(
    r"how many percent (?:more|fewer|less|higher|lower|did|do|does|has|have|was|were)"
    r"|\bin percent\b|percent(?:age)? (?:change|increase|decrease|growth|rise|fall|drop)",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\bhow many\b|\bnumber of\b|\bcounts?\b|\bhow often\b|\bfrequency\b", re.I)
_COMPARED = re.compile(
    r"\bcompar\w+|\bversus\b|\bvs\b|\bdiffer\w*|\bworse\b|\bbetter\b|\bhigher\b|\blower\b", re.I
)
_SUMMARY = re.compile(r"overview|summar\w+|describe|analy[sz]\w+|explor\w+|insights?|\beda\b", re.I)
_DISTINCT = re.compile(r"\b(?:unique|distinct|different)\b", re.IGNORECASE)
_IMPLIED = {
    said: meant
    for meant, every in {
        "age": "oldest youngest older younger old",
        "price": "cheapest expensive",
        "temperature": "hottest warmest warm coldest hot cold",
        "weight": "heaviest lightest",
        "height": "tallest",
        "duration": "longest shortest fastest slowest long",
        "profit": "profitable",
        "salary": "earns earn paid",
        "revenue": "spent spend spends spending",
    }.items()
    for said in every.split()
}
_AGGREGATES: tuple[tuple[Aggregate, str], ...] = (
    ("median", r"\bmedian\b"),
    ("mean", r"\b(?:average|avg|mean|typical(?:ly)?|on average)\b"),
    ("std", r"\b(?:standard deviation|std|variab\w+|variance)\b"),
    ("sum", r"\b(?:total|sum|altogether|overall|combined|how much)\b"),
    ("max", r"\b(?:max(?:imum)?)\b"),
    ("min", r"\b(?:min(?:imum)?)\b"),
)


@dataclass(frozen=True)
class Asked:
    """The reading of one question; `used` are words that groups and conditions account for."""

    text: str
    words: tuple[Token, ...]
    intent: Intent
    why: bool
    rate: bool
    count: bool
    distinct: bool
    top: int
    high: bool
    low: bool
    aggregate: Aggregate | None
    groups: tuple[GroupAsk, ...]
    named: tuple[tuple[Column, tuple[str, ...]], ...]
    years: tuple[int, ...]
    mentions: tuple[Mention, ...]
    used: frozenset[int]
    compared: bool
    without: bool
    doings: tuple[Doing, ...] = ()

    @property
    def superlative(self) -> bool:
        return self.high or self.low


def read(question: str, schema: Schema) -> Asked:
    """The reading of a question over these tables."""
    text = plain(question)
    words = _implied(tokens(text))
    found = mentions.find(words, schema)
    named, value_words = _named(words, schema)
    groups, used = grouping.read(text, words, found, value_words)
    intent = _intent(text)
    changed = intent == "trend" and _CHANGE.search(text)
    asked = Asked(
        text=text,
        words=words,
        intent=intent,
        why=bool(_WHY.search(text)),
        rate=bool(_RATE.search(text)) and not changed,
        count=bool(_COUNT.search(text)),
        distinct=bool(_DISTINCT.search(text)),
        top=_top(text),
        high=bool(grouping.HIGH.search(text)),
        low=bool(grouping.LOW.search(text)),
        aggregate=next((name for name, cue in _AGGREGATES if re.search(cue, text, re.I)), None),
        groups=groups,
        named=named,
        years=times.years(text),
        mentions=found,
        used=frozenset(used),
        compared=bool(re.search(r"\bworse\b|\bbetter\b|\bthan\b.{0,12}\bother|\bvs\b", text, re.I)),
        doings=doings.find(words, schema),
        without=_without(words, found, value_words),
    )
    return _settled(asked)


def cues(text: str) -> list[tuple[int, int]]:
    """Where the question says what kind of an answer it wants, without naming anything."""
    every = [cue for _, cue in (*_INTENTS, *_AGGREGATES)]
    compiled = [re.compile(cue, re.IGNORECASE) for cue in every]
    compiled += [_WHY, _RATE, _COUNT, _DISTINCT, _COMPARED, _SUMMARY, grouping.HIGH, grouping.LOW]
    return [found.span() for cue in compiled for found in cue.finditer(text)]


def limited(text: str) -> tuple[int, int] | None:
    """Where the question puts a limit such as 'over 100'."""
    found = limits.limit(text)
    return found.span if found else None


def implied(word: Token) -> bool:
    """Whether a word speaks of a measure by its extreme: 'oldest', 'cheapest'."""
    return word.lower in _IMPLIED


def _settled(asked: Asked) -> Asked:
    """The intent, once it is known what else the question names."""
    grouped = [m.column for group in asked.groups for m in group.options[:1] if m.column]
    if any("reason" in column.stems or "caus" in column.stems for column in grouped):
        asked = replace(asked, why=False)
    if asked.intent != "answer":
        return asked
    specific = asked.groups or asked.superlative or asked.count
    named = any(mention.column and mention.score >= 1.6 for mention in asked.mentions)
    if _OVERVIEW.search(asked.text) and not specific and not named:
        return replace(asked, intent="overview")
    if asked.why and not asked.groups:
        return replace(asked, intent="drivers")
    return asked


def _intent(text: str) -> Intent:
    return next((name for name, cue in _INTENTS if re.search(cue, text, re.I)), "answer")


def _implied(words: Sequence[Token]) -> tuple[Token, ...]:
    """'the oldest employee' speaks of age, 'the cheapest product' of price."""
    return tuple(
        replace(word, stem=tokens(_IMPLIED[word.lower])[0].stem) if word.lower in _IMPLIED else word
        for word in words
    )


_RANKED = "highest|lowest|largest|biggest|smallest"
_SOME = r"\d{1,3}|two|three|four|five|ten|twenty"


_TOP = re.compile(
    rf"\b(?:top|bottom|first|best|worst|{_RANKED})[- ]({_SOME})\b"
    rf"|\b({_SOME}) (?:best|worst|most|least|top|oldest|youngest|longest|cheapest|{_RANKED})\b",
    re.IGNORECASE,
)


def ranked(text: str) -> list[tuple[int, int]]:
    """Where the question says how many of a ranking it wants."""
    return [found.span() for found in _TOP.finditer(text)]


def _top(text: str) -> int:
    numbers = {"three": 3, "five": 5, "ten": 10, "two": 2, "four": 4, "twenty": 20}
    found = _TOP.search(text)
    said = (found[1] or found[2]).lower() if found else ""
    return numbers.get(said, int(said) if said.isdigit() else 0)


_NONE = re.compile(r"(?:without|never|no|.*n't)")
_REACH = 6  # words between a denial and the thing that is not there


def _without(words: Sequence[Token], found: Sequence[Mention], values: Set[int]) -> bool:
    """Whether rows of a table are said not to be there: 'customers without orders', 'never
    ordered'; not so 'without cancelled orders', which leaves a value out, nor 'no leave date'."""
    tables = {m.start for m in found if m.column is None and m.score >= 0.8}
    columns = {m.start for m in found if m.column is not None and m.score >= 2.0}
    for index, word in enumerate(words):
        if not _NONE.fullmatch(word.lower):
            continue
        for behind in range(index + 1, min(index + 1 + _REACH, len(words))):
            if behind in values or (behind in columns and behind not in tables):
                break
            if behind in tables:
                return True
    return False


# -- values and conditions -----------------------------------------------------------------------


def _named(
    words: Sequence[Token], schema: Schema
) -> tuple[tuple[tuple[Column, tuple[str, ...]], ...], frozenset[int]]:
    """Values of columns that the question spells out, and the words that spell them."""
    spans: dict[tuple[int, str], range] = {}
    known = {m.start for m in mentions.find(words, schema) if m.score >= 1.2}
    for number, column in enumerate(schema.columns):
        if column.distinct >= column.rows >= 5000:
            continue
        for value in column.named:
            span = spoken(words, value) or _akin_value(words, value, known)
            if span and _is_value(words, span, value, column):
                spans[number, value] = span
        for value, span in _sexes(words, column):
            spans[number, value] = span
    # 'City Park' names the park, not the operator City
    inner = {a for a, one in spans.items() for two in spans.values() if set(one) < set(two)}
    found: dict[int, tuple[str, ...]] = {}
    for number, value in spans:
        if (number, value) not in inner:
            found[number] = (*found.get(number, ()), value)
    named = tuple((schema.columns[number], values) for number, values in found.items())
    return named, frozenset(index for span in spans.values() for index in span)


def _sexes(words: Sequence[Token], column: Column) -> list[tuple[str, range]]:
    """'women' where a column of sexes says F."""
    if not any_akin(column.stems, ("sex",)):
        return []
    meant = {"male": ("m",), "female": ("f", "w")}
    return [
        (value, range(index, index + 1))
        for index, word in enumerate(words)
        for value in column.values
        if value.lower() in meant.get(word.lower, ())
    ]


def spoken(words: Sequence[Token], value: str) -> range | None:
    """Where a value is spelled out, also in the plural of its words."""
    wanted = [word.lower for word in tokens(value)]
    for start in range(len(words) - len(wanted) + 1):
        said = words[start : start + len(wanted)]
        if wanted and all(map(_same, said, wanted)):
            return range(start, start + len(wanted))
    return None


def _akin_value(words: Sequence[Token], value: str, known: Set[int]) -> range | None:
    """'Failed' for the value fail, unless the word names a column or a table."""
    wanted = tokens(value)
    for index, word in enumerate(words):
        named = len(wanted) == 1 or state(word)
        alike = named and len(word.text) > 3 and word.stem == wanted[0].stem
        if alike and index not in known and not mentions.steering(word):
            return range(index, index + 1)
    return None


def state(word: Token) -> bool:
    """Whether a word names a state, and so all that is said of it: 'sickness' is a sick leave."""
    return word.lower.endswith("ness")


def _same(word: Token, wanted: str) -> bool:
    return word.lower == wanted or (len(wanted) > 2 and word.lower == f"{wanted}s")


def _is_value(words: Sequence[Token], span: range, value: str, column: Column) -> bool:
    if len(span) == 1:
        word = words[span.start]
        if word.lower.isdigit() and re.fullmatch(r"(?:19|20)\d\d", word.lower):
            return False
        if mentions.steering(word) and word.text != value:
            return False
        if word.lower in grouping.CUES or word.stem in column.stems:
            return word.text == value and word.text != word.lower
    return True


_BUT = frozenset(
    {"not", "except", "excluding", "exclude", "than", "without", "non", "outside", "isn't"}
    | {"aren't", "ignoring", "ignore", "omitting", "leaving", "leave", "skipping", "skip"}
)
_AFTER_BUT = frozenset(
    ("the", "a", "an", "in", "from", "of", "for", "to", "by", "yet", "out", "any", "all")
)
# behind the value, and the thing that it is said of
_LEFT_OUT = re.compile(
    r"(?:\S+ ){0,2}?(?:excluded|ignored|omitted|skipped|left out|aside|not (?:counted|included)|"
    r"(?:don't|doesn't|do not|does not|should not|shouldn't) (?:count|be counted))\b"
)


def negated(asked: Asked, value: str) -> bool:
    """Whether the question speaks of a value as what is not meant: 'not valid', 'except Oslo'."""
    span = spoken(asked.words, value)
    behind = asked.words[span.stop : span.stop + 6] if span else ()
    if _LEFT_OUT.match(" ".join(word.lower for word in behind)):
        return True
    for word in reversed(asked.words[: span.start] if span else ()):
        if word.lower == "than":
            return re.search(r"\bother than\b", asked.text, re.I) is not None
        if word.lower not in _AFTER_BUT:
            return word.lower in _BUT
    return False


def comparison(asked: Asked, usual: str, base: str) -> Condition | None:
    """'over 100', 'under 30': of the numeric column named nearest to it, else of the usual one."""
    numeric = [m for m in asked.mentions if m.column and m.column.measure and m.score >= 0.8]
    found = limits.limit(asked.text) or limits.signed(
        asked.text, {_first(asked, m) for m in numeric}
    )
    if found is None:
        return None
    if not numeric:
        if _UNIT_NEXT.match(asked.text[found.span[1] :]):
            return None
        named = usual.replace("_", " ")
        field = Field(base, usual)
        return Condition(found.kind, field, found.values, found.told(named)) if usual else None
    near = min(numeric, key=lambda m: (_gap(asked.words, m, found.span), -m.score))
    column = near.column
    if column is None:
        return None
    field = Field(column.table, column.name)
    return Condition(found.kind, field, found.values, found.told(column.label))


# a length of time is no limit to an amount
_UNIT_NEXT = re.compile(r"\s+(?:minute|hour|day|week|month|year)s?\b", re.IGNORECASE)


def _first(asked: Asked, mention: Mention) -> int:
    return asked.words[mention.start].start


def _gap(words: Sequence[Token], mention: Mention, span: tuple[int, int]) -> int:
    start, end = words[mention.start].start, words[mention.end - 1].end
    return max(start - span[1], span[0] - end, 0)


def speaks_of(asked: Asked, *plain: str) -> bool:
    """Whether any word of the question stands for one of these."""
    return any_akin((word.stem for word in asked.words), plain)


def stems(asked: Asked) -> tuple[str, ...]:
    """Stems of the words that name things, in order, each once."""
    kept = (word.stem for word in asked.words if not mentions.steering(word))
    return tuple(dict.fromkeys(kept))


def near_stem(asked: Asked, wanted: Sequence[str]) -> bool:
    """Whether a word of the question is akin to one of these stems."""
    return any(akin(word.stem, one) for word in asked.words for one in wanted)
