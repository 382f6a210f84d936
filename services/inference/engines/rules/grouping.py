"""What a question splits by: 'by region', 'which carrier', 'per month', 'top 5 products'."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import mentions, times
from .mentions import Mention
from .schema import Column, label_column
from .terms import Grain
from .words import Token, any_akin

CUES = (
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
HIGH = re.compile(
    r"\b(?:top|best|highest|most|largest|biggest|greatest|longest|oldest|max(?:imum)?|expensive|leading"
    r"|slowest|hottest|warmest|heaviest|tallest|busiest|strongest|main|common|popular|frequent|maximal"
    r"|worst|peak\w*)\b",
    re.IGNORECASE,
)
LOW = re.compile(
    r"\b(?:bottom|lowest|least|smallest|fewest|shortest|youngest|min(?:imum)?|cheapest|fastest|coldest"
    r"|lightest|weakest|rarest|minimal|newest worst)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class GroupAsk:
    """A split that the question asks for: columns that may be meant (surest first), or a grain."""

    options: tuple[Mention, ...]
    grain: Grain = ""


def read(
    text: str, words: Sequence[Token], found: Sequence[Mention], values: frozenset[int]
) -> tuple[tuple[GroupAsk, ...], set[int]]:
    groups: list[GroupAsk] = []
    used: set[int] = set()
    grain = times.grain(text)
    for start, ranked in _starts(text, words):
        options = _options(words, found, start, values, used)
        if ranked and options and _measured(words[start - 1], options[0]):
            continue
        if options and _ranks(text, words, start, options[0]):
            continue
        if options and _amount(words[start - 1], options[0]):
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
        # 'the coldest day' is split by day, and measured by what is cold
        inside = [i for i, w in enumerate(words) if grain[1][0] <= w.start < grain[1][1]]
        covered = {i for i in inside if not _qualifier(words[i])}
        if not covered & used:
            groups.append(GroupAsk((), grain[0]))
            used |= covered
    if not groups:
        groups += _spoken_of(words, found)
    if not groups and re.search(r"\bwhom?\b", text, re.IGNORECASE):
        groups += _people(found)
    return tuple(groups[:2]), used


def _spoken_of(words: Sequence[Token], found: Sequence[Mention]) -> list[GroupAsk]:
    """'One sensor went silent. Which one?': what was named before."""
    for index, word in enumerate(words[:-1]):
        if word.lower == "which" and words[index + 1].lower in ("one", "ones"):
            before = [m for m in found if m.end <= index and m.score >= 1.2 and _groupable(m)]
            first = min((mention.start for mention in before), default=-1)
            options = tuple(mention for mention in before if mention.start == first)
            return [GroupAsk(options)] if options else []
    return []


_UNLIKE = re.compile(r"\b(?:higher|lower|more|less|better|worse|differ\w*)\b", re.IGNORECASE)
_PEOPLE_WORDS = (
    "customer employee driver user agent seller manager rep author waiter teacher doctor nurse "
    "student patient member player runner technician operator buyer clerk analyst owner coach"
)
_PEOPLE = tuple(_PEOPLE_WORDS.split())


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


def _ranks(text: str, words: Sequence[Token], start: int, mention: Mention) -> bool:
    """'The top 10 days by orders' is ranked by a number of orders, not split by order."""
    plural = words[mention.start].lower.endswith("s")
    by = start > 0 and words[start - 1].lower == "by"
    rows = mention.column is None or mention.column.key
    return by and plural and rows and bool(HIGH.search(text) or LOW.search(text))


def _amount(before: Token, mention: Mention) -> bool:
    """'Cost per bed' divides by a number of beds; it is no split by them."""
    column = mention.column
    return before.lower == "per" and column is not None and column.measure and not column.binary


def _measured(before: Token, mention: Mention) -> bool:
    """'the highest churn rate' and 'the most orders' say what is measured, not by what."""
    column = mention.column
    if column is not None and (column.binary or column.measure):
        return True
    each = column is None or column.key or (column.kind == "text" and not column.dimension)
    return before.lower in ("most", "fewest", "least") and each


def _starts(text: str, words: Sequence[Token]) -> list[tuple[int, bool]]:
    """Word positions at which a group may be named, and whether a superlative stands before."""
    starts = [
        (index + 1, False)
        for index, word in enumerate(words)
        if word.lower in CUES and not _of_a_share(words[index + 1 : index + 2])
    ]
    for index, word in enumerate(words):
        if re.fullmatch(HIGH, word.lower) or re.fullmatch(LOW, word.lower):
            starts.append((index + 1, True))
        if word.lower in ("for", "among") and _UNLIKE.search(text):
            starts.append((index + 1, False))
        if word.lower in ("with", "has", "have", "had") and index:
            following = [w.lower for w in words[index + 1 : index + 4]]
            if any(HIGH.fullmatch(w) or LOW.fullmatch(w) for w in following):
                starts.append((index - 1, False))
        if word.lower == "for" and words[index + 1 : index + 2] and words[index + 1].lower == "all":
            starts.append((index + 2, False))
    return sorted(set(starts))


def _of_a_share(following: Sequence[Token]) -> bool:
    """'What share of the patients' is no split by patient."""
    return any(_SHARE.fullmatch(word.lower) for word in following)


_SHARE = re.compile(r"percent(?:age)?s?|shares?|proportions?|fractions?|parts?")


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
            return _compound(words, found, options) or tuple(options)
        if here and best >= 0.8:
            return ()
        if mentions.steering(words[index]) and not _passed(words[index]):
            return ()
    return ()


def _compound(
    words: Sequence[Token], found: Sequence[Mention], things: Sequence[Mention]
) -> tuple[Mention, ...]:
    """'Product category' is the category of products, not products."""
    start, end = things[0].start, things[0].end
    if end >= len(words) or words[end].start > words[end - 1].end + 1:
        return ()
    tables = {each.table.name for each in things if each.column is None}
    return tuple(
        replace(each, start=start)
        for each in found
        if each.start == end and each.column is not None and each.table.name in tables
        if each.score >= 1.0 and _groupable(each)
    )


_SKIPPED = frozenset(("the", "each", "every", "different", "all", "a", "an", "of", "kind"))


def _passed(word: Token) -> bool:
    return word.lower in _SKIPPED or _qualifier(word)


def _qualifier(word: Token) -> bool:
    return bool(HIGH.fullmatch(word.lower) or LOW.fullmatch(word.lower) or word.lower.isdigit())


def _groupable(mention: Mention) -> bool:
    column = mention.column
    if column is None:
        return mention.table.identity is not None or _label(mention) is not None
    if column.kind == "number":
        return column.dimension or column.key
    return column.kind in ("text", "flag") and column.distinct > 0


def _label(mention: Mention) -> Column | None:
    return label_column(mention.table.columns)
