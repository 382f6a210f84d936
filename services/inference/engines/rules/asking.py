"""What a question asks for, read from its words and from the columns that it names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from . import mentions, times
from .mentions import Mention
from .schema import Column, Schema
from .terms import Aggregate, Condition, Field, Grain
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
        r"|influenc|\bdepends?\b|effect of|linked|\bgo(?:es)? with\b|connection between",
    ),
    (
        "distribution",
        r"distribut|histogram|\bspread\b|percentile|quartile|quantile|how .{0,12}varie",
    ),
    (
        "trend",
        r"\btrends?\b|over time|evol(?:v|ution)|develop(?:ed|ment)|\bgrow(?:th|n|ing|s)?\b|\bgrew\b"
        r"|season|time series|month[- ](?:by|over|on)[- ]month|year[- ](?:over|on)[- ]year"
        r"|\bincreas(?:ed|ing)|\bdecreas(?:ed|ing)|\bdeclin|\brising\b|\bfalling\b|\bchanged?\b",
    ),
)
_OVERVIEW = re.compile(
    r"overview|summar|describe|analy[sz]e|explor|insight|tell me about|key (?:figures|facts|findings)"
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
_COUNT = re.compile(r"\bhow many\b|\bnumber of\b|\bcounts?\b|\bhow often\b|\bfrequency\b", re.I)
_DISTINCT = re.compile(r"\b(?:unique|distinct|different)\b", re.IGNORECASE)
_HIGH = re.compile(
    r"\b(?:top|best|highest|most|largest|biggest|greatest|longest|oldest|max(?:imum)?|expensive|leading"
    r"|slowest|hottest|warmest|heaviest|tallest|busiest|strongest|main|common|popular|frequent|maximal"
    r"|worst|peak\w*)\b",
    re.IGNORECASE,
)
_LOW = re.compile(
    r"\b(?:bottom|lowest|least|smallest|fewest|shortest|youngest|min(?:imum)?|cheapest|fastest|coldest"
    r"|lightest|weakest|rarest|minimal|newest worst)\b",
    re.IGNORECASE,
)
_IMPLIED = {
    "oldest": "age", "youngest": "age", "older": "age", "younger": "age", "cheapest": "price",
    "expensive": "price", "hottest": "temperature", "warmest": "temperature", "warm": "temperature",
    "coldest": "temperature", "heaviest": "weight", "lightest": "weight", "tallest": "height",
    "longest": "duration", "shortest": "duration", "fastest": "duration", "slowest": "duration",
    "profitable": "profit", "earns": "salary", "earn": "salary", "paid": "salary", "long": "duration",
    "old": "age", "hot": "temperature", "cold": "temperature", "spent": "revenue", "spends": "revenue",
}  # fmt: skip
_AGGREGATES: tuple[tuple[Aggregate, str], ...] = (
    ("median", r"\bmedian\b"),
    ("mean", r"\b(?:average|avg|mean|typical(?:ly)?|on average)\b"),
    ("std", r"\b(?:standard deviation|std|variab\w+|variance)\b"),
    ("sum", r"\b(?:total|sum|altogether|overall|combined|how much)\b"),
    ("max", r"\b(?:max(?:imum)?)\b"),
    ("min", r"\b(?:min(?:imum)?)\b"),
)
_GROUP_CUES = (
    "by",
    "per",
    "across",
    "within",
    "among",
    "between",
    "each",
    "every",
    "which",
    "what",
)
_OPERATORS = {
    ">": r"over|above|more than|greater than|higher than|older than|longer than|exceeding|>",
    ">=": r"at least|minimum of|>=",
    "<": r"below|under|less than|fewer than|lower than|younger than|shorter than|<",
    "<=": r"at most|up to|maximum of|<=",
}
_NUMBER = r"\s*[$€£]?(\d[\d,]*(?:\.\d+)?)(?![\d-])"


@dataclass(frozen=True)
class GroupAsk:
    """A split that the question asks for: columns that may be meant (surest first), or a grain."""

    options: tuple[Mention, ...]
    grain: Grain = ""


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

    @property
    def superlative(self) -> bool:
        return self.high or self.low


def read(question: str, schema: Schema) -> Asked:
    """The reading of a question over these tables."""
    text = plain(question)
    words = _implied(tokens(text))
    found = mentions.find(words, schema)
    named, value_words = _named(words, schema)
    groups, used = _groups(text, words, found, value_words)
    asked = Asked(
        text=text,
        words=words,
        intent=_intent(text),
        why=bool(_WHY.search(text)),
        rate=bool(_RATE.search(text)),
        count=bool(_COUNT.search(text)),
        distinct=bool(_DISTINCT.search(text)),
        top=_top(text),
        high=bool(_HIGH.search(text)),
        low=bool(_LOW.search(text)),
        aggregate=next((name for name, cue in _AGGREGATES if re.search(cue, text, re.I)), None),
        groups=groups,
        named=named,
        years=times.years(text),
        mentions=found,
        used=frozenset(used),
        compared=bool(re.search(r"\bworse\b|\bbetter\b|\bthan\b.{0,12}\bother|\bvs\b", text, re.I)),
        without=bool(re.search(r"\b(?:without|never|have no|had no|has no)\b|n't\b", text, re.I)),
    )
    return _settled(asked)


def _settled(asked: Asked) -> Asked:
    """The intent, once it is known what else the question names."""
    grouped = [m.column for group in asked.groups for m in group.options[:1] if m.column]
    if any("reason" in column.stems or "caus" in column.stems for column in grouped):
        asked = replace(asked, why=False)
    if asked.intent != "answer":
        return asked
    if _OVERVIEW.search(asked.text) and not asked.groups and not asked.superlative:
        if not asked.count and not any(m.column and m.score >= 1.6 for m in asked.mentions):
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


def _top(text: str) -> int:
    numbers = {"three": 3, "five": 5, "ten": 10, "two": 2, "four": 4, "twenty": 20}
    found = re.search(
        r"\b(?:top|bottom|first|best|worst|highest|lowest|largest|biggest|smallest)[- ](\d{1,3}|two|three|four|five|ten|twenty)\b"
        r"|\b(\d{1,3}|two|three|four|five|ten|twenty)"
        r" (?:best|worst|highest|lowest|largest|biggest|smallest|most|least|top|oldest|youngest|longest|cheapest)",
        text,
        re.IGNORECASE,
    )
    said = (found[1] or found[2]).lower() if found else ""
    return numbers.get(said, int(said) if said.isdigit() else 0)


# -- groups --------------------------------------------------------------------------------------


def _groups(
    text: str, words: Sequence[Token], found: Sequence[Mention], values: frozenset[int]
) -> tuple[tuple[GroupAsk, ...], set[int]]:
    groups: list[GroupAsk] = []
    used: set[int] = set()
    grain = times.grain(text)
    for start, ranked in _starts(text, words):
        options = _options(words, found, start, values, used)
        if ranked and options and _measured(words[start - 1], options[0]):
            continue
        while options:
            groups.append(GroupAsk(options))
            used |= set(range(options[0].start, options[0].end))
            end = options[0].end
            joined = end < len(words) and words[end].lower in ("and", "und")
            nearby = end + 1 if joined else end
            close = joined or (
                end < len(words) and "," in text[words[end - 1].end : words[end].start]
            )
            options = _options(words, found, nearby, values, used, near=0) if close else ()
    if grain:
        covered = {i for i, w in enumerate(words) if grain[1][0] <= w.start < grain[1][1]}
        if not covered & used:
            groups.append(GroupAsk((), grain[0]))
            used |= covered
    if not groups and re.search(r"\bwhom?\b", text, re.IGNORECASE):
        groups += _people(found)
    return tuple(groups[:2]), used


_PEOPLE = ("customer", "employee", "driver", "user", "agent", "seller", "manager", "rep", "author")


def _people(found: Sequence[Mention]) -> list[GroupAsk]:
    """'who' is a name in a table of people, or a column of people."""
    tables = dict.fromkeys(mention.table.name for mention in found)
    known = {mention.table.name: mention.table for mention in found}
    options = []
    for name in tables:
        for column in known[name].columns:
            person = any_akin(column.stems, _PEOPLE) and column.kind == "text"
            named = column is label_column(known[name].columns) and any_akin(
                known[name].stems, _PEOPLE
            )
            if (person or named) and column.distinct > 1:
                options.append(Mention(0, 0, 1.5, known[name], column))
    return [GroupAsk(tuple(options))] if options else []


def _measured(before: Token, mention: Mention) -> bool:
    """'the highest churn rate' and 'the most orders' say what is measured, not by what."""
    column = mention.column
    if column is not None and column.binary:
        return True
    return before.lower in ("most", "fewest", "least") and (column is None or column.key)


def _starts(text: str, words: Sequence[Token]) -> list[tuple[int, bool]]:
    """Word positions at which a group may be named, and whether a superlative stands before."""
    starts = [(index + 1, False) for index, word in enumerate(words) if word.lower in _GROUP_CUES]
    for index, word in enumerate(words):
        if re.fullmatch(_HIGH, word.lower) or re.fullmatch(_LOW, word.lower):
            starts.append((index + 1, True))
        if word.lower in ("with", "has", "have", "had") and index:
            following = [w.lower for w in words[index + 1 : index + 4]]
            if any(_HIGH.fullmatch(w) or _LOW.fullmatch(w) for w in following):
                starts.append((index - 1, False))
        if word.lower == "for" and words[index + 1 : index + 2] and words[index + 1].lower == "all":
            starts.append((index + 2, False))
    return sorted(set(starts))


def _options(
    words: Sequence[Token],
    found: Sequence[Mention],
    start: int,
    values: frozenset[int],
    used: set[int],
    near: int = 2,
) -> tuple[Mention, ...]:
    """Groupable columns named at or just after a position; a measure there ends the search."""
    for index in range(start, min(start + near + 1, len(words))):
        if index in used or index in values:
            return ()
        here = [m for m in found if m.start <= index < m.end and m.start >= start - 1]
        options = [m for m in here if _groupable(m)]
        best = max((m.score for m in here), default=0.0)
        options = [m for m in options if m.score >= min(best, 1.0) - 0.5]
        if options and options[0].score >= best - 1.0:
            return tuple(options)
        if here and best >= 0.8:
            return ()
        if mentions.steering(words[index]) and not _passed(words[index]):
            return ()
    return ()


_SKIPPED = frozenset(("the", "each", "every", "different", "all", "a", "an", "of", "kind"))


def _passed(word: Token) -> bool:
    return word.lower in _SKIPPED or _qualifier(word)


def _qualifier(word: Token) -> bool:
    return bool(_HIGH.fullmatch(word.lower) or _LOW.fullmatch(word.lower) or word.lower.isdigit())


def _groupable(mention: Mention) -> bool:
    column = mention.column
    if column is None:
        return mention.table.identity is not None or _label(mention) is not None
    if column.kind == "number":
        return column.dimension or column.key
    return column.kind in ("text", "flag") and column.distinct > 0


def _label(mention: Mention) -> Column | None:
    return label_column(mention.table.columns)


def label_column(columns: Sequence[Column]) -> Column | None:
    """The text column that names a row to a person: name, title."""
    for column in columns:
        last = column.name.lower().replace(" ", "_").split("_")[-1]
        if column.kind == "text" and (
            last in ("name", "title", "label") or column.name.endswith("Name")
        ):
            return column
    return None


# -- values and conditions -----------------------------------------------------------------------


def _named(
    words: Sequence[Token], schema: Schema
) -> tuple[tuple[tuple[Column, tuple[str, ...]], ...], frozenset[int]]:
    """Values of columns that the question spells out, and the words that spell them."""
    lowered = [word.lower for word in words]
    found: list[tuple[Column, tuple[str, ...]]] = []
    used: set[int] = set()
    for column in schema.columns:
        kept = []
        for value in column.named:
            span = _span(lowered, value)
            if span and _is_value(words, span, value, column):
                kept.append(value)
                used |= set(span)
        if kept and (column.distinct < column.rows or column.rows < 5000):
            found.append((column, tuple(kept)))
    return tuple(found), frozenset(used)


def _span(lowered: Sequence[str], value: str) -> range | None:
    wanted = [word.lower() for word in re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+", value)]
    for start in range(len(lowered) - len(wanted) + 1):
        if wanted and list(lowered[start : start + len(wanted)]) == wanted:
            return range(start, start + len(wanted))
    return None


def _is_value(words: Sequence[Token], span: range, value: str, column: Column) -> bool:
    if len(span) == 1:
        word = words[span.start]
        if word.lower.isdigit() and re.fullmatch(r"(?:19|20)\d\d", word.lower):
            return False
        if mentions.steering(word) and word.text != value:
            return False
        if word.lower in _GROUP_CUES or word.stem in column.stems:
            return word.text == value and word.text != word.lower
    return True


def comparison(asked: Asked, usual: str, base: str) -> Condition | None:
    """'over 100', 'under 30': of the numeric column named nearest to it, else of the usual one."""
    found = (
        (operator, match)
        for operator, cue in _OPERATORS.items()
        if (match := re.search(rf"(?:{cue}){_NUMBER}", asked.text, re.IGNORECASE))
    )
    operator, match = next(found, ("", None))
    if match is None:
        return None
    number = match[1].replace(",", "")
    numeric = [m for m in asked.mentions if m.column and m.column.measure and m.score >= 0.8]
    if not numeric:
        named = usual.replace("_", " ")
        return (
            Condition(
                "compare", Field(base, usual), (operator, number), f"{named} {operator} {number}"
            )
            if usual
            else None
        )
    near = min(numeric, key=lambda m: (_gap(asked.words, m, match.span()), -m.score))
    column = near.column
    if column is None:
        return None
    field = Field(column.table, column.name)
    return Condition("compare", field, (operator, number), f"{column.label} {operator} {number}")


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
