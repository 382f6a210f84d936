"""Shares of rows that a question may ask: refunded, late, cancelled, without an order."""

import re
from collections.abc import Iterator
from dataclasses import replace

from . import blanks, vocabulary
from .asking import Asked, negated, spoken
from .mentions import steering
from .schema import Column, Link, Schema
from .terms import Candidate, Field, Measure, MeasureKind
from .words import akin, any_akin, stem


def candidates(asked: Asked, schema: Schema) -> Iterator[Candidate]:
    yield from _events(asked, schema)
    yield from _values(asked, schema)
    yield from _known(asked)
    if asked.rate and not _amounts(asked):
        for column, values in asked.named:
            told = _shared(asked, values[0]) or _predicate(asked, values[0])
            if len(values) == 1 and (not asked.groups or told):
                other = "other than " if negated(asked, values[0]) else ""
                many = schema.table(column.table).many
                label = f"share of {many} with {column.label} {other}{values[0]}"
                measure = _equals(column, values[0], label)
                score = 1.7 + 2.5 * _of_rows(asked, column) + _predicate(asked, values[0])
                yield Candidate(score, replace(measure, kind="differs") if other else measure)


def _known(asked: Asked) -> Iterator[Candidate]:
    """'What percentage has no score', 'what share of them has left since': of rows with a gap."""
    if not asked.rate:
        return
    for mention in asked.mentions:
        column = mention.column
        if column is None or not column.nulls or mention.score < 0.8:
            continue
        kind: MeasureKind = "blank" if blanks.lacking(asked, mention, column) else "filled"
        if kind == "filled" and (column.kind != "date" or not blanks.done(asked, mention)):
            continue
        label = f"{'without a' if kind == 'blank' else 'with a'} {column.label}"
        score = max(mention.score, 1.5) + 1.0 if kind == "blank" else 1.65
        measure = Measure(kind, column.table, (column.name,), label, additive=False)
        yield Candidate(score, measure, mention.start)


def _of_rows(asked: Asked, column: Column) -> bool:
    """'What percentage of the absences': the share is one of this table's rows."""
    found = _SHARE_OF.search(asked.text)
    return found is not None and any(
        m.column is None and m.table.name == column.table and m.score >= 1.0
        for m in asked.mentions
        if 0 <= asked.words[m.start].start - found.end() < _NEAR
    )


_SHARE_OF = re.compile(
    r"\b(?:percent\w*|shares?|proportion|fraction|part) of (?:all |the |our |these )*",
    re.IGNORECASE,
)
_NEAR = 12  # characters: a word may stand between


def _shared(asked: Asked, value: str) -> bool:
    """'The percentage of women per club': the value follows the share, and is no filter."""
    text = asked.text[: asked.words[start].start] if (start := _start(asked, value)) >= 0 else ""
    return bool(
        re.search(r"(?:percent\w*|shares?|proportion|fraction) of (?:the |all )?$", text, re.I)
    )


def _predicate(asked: Asked, value: str) -> bool:
    """'What share of the team's cases is urgent': the value is what is said of the rows."""
    text = asked.text[: asked.words[start].start] if (start := _start(asked, value)) >= 0 else ""
    return bool(re.search(r"\b(?:is|are|was|were|been) (?:\w+ )?$", text, re.IGNORECASE))


def _start(asked: Asked, value: str) -> int:
    span = spoken(asked.words, value)
    if span is None:
        sexes = [i for i, word in enumerate(asked.words) if word.lower in ("male", "female")]
        return sexes[0] if sexes else -1
    return span.start


def _amounts(asked: Asked) -> bool:
    """Whether the share asked for is one of an amount: 'what share of revenue …'."""
    return any(
        m.column
        and m.column.measure
        and m.column.additive
        and not m.column.binary
        and m.score >= 0.9
        for m in asked.mentions
    ) and not re.search(r"\brates?\b", asked.text, re.IGNORECASE)


def _equals(column: Column, value: str, label: str) -> Measure:
    return Measure("equals", column.table, (column.name,), label, value=value, additive=False)


def _events(asked: Asked, schema: Schema) -> Iterator[Candidate]:
    """Rows of a parent that a child table has rows for: orders with refunds."""
    after = _after_without(asked)
    unmade = {doing.table.name for doing in asked.doings if doing.denied}
    verbs = {doing.index for doing in asked.doings}
    nouns = [m for m in asked.mentions if m.column is None and m.start not in verbs]
    nouns = sorted((m for m in nouns if m.score >= 1.0), key=lambda mention: mention.start)
    named = [mention.table.name for mention in nouns]
    for child in schema.tables:
        own = child.name in named or not named  # 'loans not returned' are loans nonetheless
        without = asked.without or (child.name in unmade and not own)
        done = [asked.words[d.index] for d in asked.doings if without and d.table == child]
        word = next(
            (
                w
                for w in asked.words[after:]
                if not steering(w) and (w in done or any(akin(w.stem, s) for s in child.stems))
            ),
            None,
        )
        if word is None:
            continue
        event = any_akin(child.stems, vocabulary.EVENTS)
        active = asked.rate or asked.why or asked.intent == "relation" or asked.compared
        verb = event and (active or (asked.superlative and not asked.count))
        for link in parents(schema, child.name, whole=without):
            if verb or asked.rate or without:
                bonus = 5.0 if without else 0.8 if verb else 0.0
                near = (
                    0.3
                    if set(schema.table(link.right[0]).stems) & set(schema.column(*link.left).stems)
                    else 0.0
                )
                told = 1.0 * (link.right[0] in named) + 0.2 * (link.right[0] in named[:1])
                yield Candidate(
                    1.2 + bonus + near + told, exists(schema, link, asked, absent=without)
                )


def _after_without(asked: Asked) -> int:
    """'Customers without orders': what is lacking stands after the word."""
    if not asked.without:
        return 0
    lacking = ("without", "never", "no")
    return next((i for i, word in enumerate(asked.words) if word.lower in lacking), 0)


def parents(schema: Schema, child: str, *, whole: bool = False) -> tuple[Link, ...]:
    """Links from a table to tables that it has at most some rows for."""
    return tuple(
        link
        for link in schema.links_from(child)
        if link.right_unique and (whole or link.right_found < 0.97)
    )


def exists(schema: Schema, link: Link, asked: Asked, *, absent: bool) -> Measure:
    """Whether a row of the parent has a row in the child, or has none."""
    parent, child = schema.table(link.right[0]), schema.table(link.left[0])
    kind, word = "exists", "with"
    if absent:
        kind, word = "absent", "without"
    if any_akin(child.stems, ("refund", "return")) and kind == "exists":
        label = (
            "return rate"
            if any(s == stem("return") for s in child.stems) or _says_return(asked)
            else "refund rate"
        )
    else:
        label = f"share of {parent.many} {word} {child.many}"
    return Measure(
        "absent" if kind == "absent" else "exists",
        parent.name,
        (link.right[1],),
        label,
        child=Field(child.name, link.left[1]),
        additive=False,
    )


def _says_return(asked: Asked) -> bool:
    return any(word.stem == "return" for word in asked.words)


def _kin(word: str, value: str) -> bool:
    """'Failure' and 'failed', 'cancellation' and 'cancelled'."""
    short, long = sorted((word, value), key=len)
    return word == value or (len(short) >= 4 and long.startswith(short))


def _values(asked: Asked, schema: Schema) -> Iterator[Candidate]:
    """'cancellation rate', 'which region returns most': a status that says so."""
    if not (asked.rate or asked.why or asked.superlative) or (asked.rate and _amounts(asked)):
        return
    events = {stem(word) for word in (*vocabulary.EVENTS, *vocabulary.LATE)}
    words = {word.stem for word in asked.words if not steering(word)}
    for column in schema.columns:
        if column.kind != "text" or not 1 < column.distinct <= 12:
            continue
        for value in column.values:
            said = [one for one in words if _kin(one, stem(value))]
            if negated(asked, value):
                continue
            if said and (asked.rate or said[0] in events):
                label = f"share {value}" if not asked.rate else f"{value} rate"
                yield Candidate(1.8, _equals(column, value, label))
