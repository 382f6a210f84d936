"""What an answer leaves open: words of the question that it does not rest on, and why."""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import date

from . import asking, durations, limits, mentions, times, vocabulary
from .analyses import moments, repeats, silences
from .analyses.blame import Blame
from .analyses.missing import Missing
from .analyses.moments import Moments
from .analyses.overview import Overview
from .analyses.program import Analysis
from .analyses.relation import Drivers, Relation
from .analyses.repeats import Repeats
from .analyses.silences import Silences
from .asking import Asked, spoken
from .measures import strange
from .plan import Plan, reachable_tables
from .prose import cell, listing
from .terms import Condition, Field, Measure, aggregate_words
from .words import Token, akin, name_stems, stem

_SHOWN = 6
_SURE = 0.6


@dataclass(frozen=True)
class Doubt:
    """`unknown` words match nothing; `unused` ones match something that the answer leaves out;
    `assumed` is what was measured though the question does not say so; `rivals` are words with
    another column that each could mean as well."""

    unknown: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    assumed: str = ""
    rivals: tuple[tuple[str, str], ...] = ()
    lost: bool = False

    def __bool__(self) -> bool:
        return bool(self.unknown or self.unused or self.assumed or self.rivals)


def reading(doubt: Doubt, steps: Sequence[Analysis]) -> str:
    """How the question was read, and what of it was not; '' where it was clear."""
    if not doubt or not steps:
        return ""
    told = [f"I read this as: {cell(_read_as(steps[0]))}."]
    if doubt.unknown:
        told.append(f"I did not understand: {_quoted(doubt.unknown)}.")
    if doubt.unused:
        told.append(f"I left out: {_quoted(doubt.unused)}.")
    if doubt.assumed:
        told.append(f"The question does not say what to measure; I took the {cell(doubt.assumed)}.")
    told += [f"'{cell(word)}' may also mean {cell(other)}." for word, other in doubt.rivals[:2]]
    return " ".join(told)


def nothing(doubt: Doubt) -> str:
    """What is said where no word of the question means anything here."""
    why = f"I did not understand: {_quoted(doubt.unknown)}" if doubt.unknown else _NAMELESS
    return f"**I could not tell what to compute for this question.** {why}. What the data hold:"


_NAMELESS = "It names nothing that I find in the data"


def offer(questions: Sequence[str]) -> str:
    """Questions that can be answered, as a list."""
    return "Questions that I can answer:\n\n" + "\n".join(f"- {cell(one)}" for one in questions)


def _quoted(words: Sequence[str]) -> str:
    more = " …" if len(words) > _SHOWN else ""
    return ", ".join(f"'{cell(word)}'" for word in words[:_SHOWN]) + more


def _read_as(step: Analysis) -> str:
    plan = plan_of(step)
    if plan is None:
        return step.title
    if isinstance(step, Overview):
        return f"an overview of {plan.base}"
    kept = [condition.text for condition in plan.conditions]
    only = f", only {listing(kept)}" if kept else ""
    return step.title + only + (f", looking at {plan.focus}" if plan.focus else "")


def of(asked: Asked, steps: Sequence[Analysis]) -> Doubt:
    """The doubt that remains when these steps are the answer to the question."""
    plans = [plan for step in steps if (plan := plan_of(step))]
    used = _Used.of(steps, plans)
    known = _known(asked, steps, plans)
    denied = _denied(asked, plans) or asked.intent == "missing"
    unknown: list[str] = []
    unused: list[str] = []
    strangers: list[int] = []
    rested = False
    for index, word in enumerate(asked.words):
        if used.covers(asked, index):
            rested = True
        elif word.lower in _NEGATIONS:
            unused += [] if denied else [word.text]
        elif index in known or _small(word):
            continue
        elif _matches(asked, index):
            unused.append(word.text)
        else:
            unknown.append(word.text)
            strangers.append(index)
    assumed = _assumed(asked, plans)
    rivals = tuple(rival for plan in plans[:1] for rival in _rivals(asked, plan))
    lost = bool(unknown) and (not rested or _measureless(asked, plans, frozenset(strangers)))
    return Doubt(_once(unknown), _once(unused), assumed, rivals, lost)


_VALUED = frozenset(
    ("highest", "lowest", "average", "mean", "median", "worst", "best", "largest", "smallest")
).union(("biggest", "maximum", "minimum", "total", "greatest"))
_HOW = re.compile(r"\bhow (?:far|fast|tall|heavy|deep|wide|loud|big|strong)\b", re.IGNORECASE)
_PHRASE = 3  # words that may come before what a phrase names


def _measureless(asked: Asked, plans: Sequence[Plan], unknown: Set[int]) -> bool:
    """Whether what is to be measured is unknown here: 'the worst credit rating', 'how far do they
    commute'. A number of something else would pass for an answer."""
    if asked.count or asked.rate or (plans and plans[0].measure.kind not in ("rows", "column")):
        return False
    if plans and plans[0].measure.kind == "column" and _named(asked, plans[0]):
        return False
    if _HOW.search(asked.text) and (not plans or plans[0].measure.kind == "rows"):
        return True
    for index, word in enumerate(asked.words):
        if word.lower not in _VALUED:
            continue
        phrase = list(_phrase(asked, index + 1))
        if phrase and all(one in unknown for one in phrase):
            return True
    return False


def _phrase(asked: Asked, start: int) -> Iterator[int]:
    """The words that follow until one that only steers."""
    for index in range(start, min(start + _PHRASE, len(asked.words))):
        if _small(asked.words[index]):
            return
        yield index


def plan_of(step: Analysis) -> Plan | None:
    """The plan of a step, if it has one."""
    found = getattr(step, "plan", None)
    return found if isinstance(found, Plan) else None


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _small(word: Token) -> bool:
    return word.lower in vocabulary.SMALL or mentions.steering(word) or len(word.text) < 2


# -- what the answer rests on --------------------------------------------------------------------


@dataclass(frozen=True)
class _Used:
    """The tables, columns and conditions of an answer, and stems for what it measures."""

    tables: frozenset[str]
    fields: frozenset[Field]
    measured: frozenset[Field]
    conditions: tuple[Condition, ...]
    focus: frozenset[str]
    stems: frozenset[str]
    dated: bool

    @classmethod
    def of(cls, steps: Sequence[Analysis], plans: Sequence[Plan]) -> "_Used":
        counted = [m for plan in plans for m in [plan.measure]]
        counted += [step.other for step in steps if isinstance(step, Relation)]
        measured = {Field(m.table, column) for m in counted for column in m.columns}
        groups = [group for plan in plans for group in plan.groups]
        conditions = tuple(condition for plan in plans for condition in plan.conditions)
        fields = measured | {group.field for group in groups} | {c.field for c in conditions}
        for step in steps:
            fields |= set(_further(step))
        tables = {table.name for plan in plans for table in reachable_tables(plan)}
        tables |= {field.table for field in fields}
        tables |= {m.table for m in counted} | {m.child.table for m in counted if m.child}
        return cls(
            frozenset(tables),
            frozenset(fields),
            frozenset(measured),
            conditions,
            frozenset(plan.focus for plan in plans) | {m.value for m in counted},
            frozenset(one for measure in counted for one in _stems(measure)),
            any(group.grain for group in groups),
        )

    def covers(self, asked: Asked, index: int) -> bool:
        """Whether the answer rests on this word of the question."""
        word = asked.words[index]
        if any(akin(word.stem, one) for one in self.stems) and not mentions.steering(word):
            return True
        if any(_within(m, index) and self._holds(m) for m in asked.mentions):
            return True
        if any(word.stem in name_stems(field.column, unit=True) for field in self.fields):
            return True
        if any(d.index == index and d.table.name in self.tables for d in asked.doings):
            return True
        return self._value(asked, index) or self._limit(asked, word)

    def _holds(self, mention: mentions.Mention) -> bool:
        column = mention.column
        if column is None:
            return mention.table.name in self.tables
        # a key stands for the rows that it tells apart: patients, orders
        return Field(column.table, column.name) in self.fields or (
            column.key and column.table in self.tables
        )

    def _value(self, asked: Asked, index: int) -> bool:
        for column, values in asked.named:
            field = Field(column.table, column.name)
            kept = {v for c in self.conditions if c.field == field for v in c.values}
            for value in values:
                whole = field in self.fields and (value in kept | self.focus)
                span = spoken(asked.words, value)
                if whole and (index in span if span else asked.words[index].lower in _SEXES):
                    return True
        return False

    def _limit(self, asked: Asked, word: Token) -> bool:
        """Whether the word belongs to a period or to a limit that became a condition."""
        kinds = {condition.kind for condition in self.conditions}
        limiting = any(condition.limiting for condition in self.conditions)
        dated = "period" in kinds or self.dated or (bool(asked.years) and limiting)
        period = times.period(asked.text, _ANY_DAY) if dated else None
        spans = [period.span] if period else []
        limit = asking.limited(asked.text)
        spans += [limit] if limit and limiting else []
        if any(condition.limiting and "0" in condition.values for condition in self.conditions):
            spans += [found.span() for found in limits.SIGNED.finditer(asked.text)]
        named = dated and word.lower in (*map(str, asked.years), *_CALENDAR)
        return named or any(start <= word.start < end for start, end in spans)


_CALENDAR = ("year", "years", "month", "months", "quarter", "quarters", "week", "weeks")
_SEXES = frozenset(("male", "female"))
_ANY_DAY = date(2000, 1, 1)  # where a period stands in a text does not depend on the day
_AGES = ("age", "old", "young", "year")
_TIMES = (
    "duration", "long", "length", "time", "take", "fast", "slow", "quick",
    "minute", "hour", "day", "week", "last",
)  # fmt: skip
_KINDS: dict[str, tuple[str, ...]] = {
    "days": _TIMES,
    "within": _TIMES,
    "age": _AGES,
    "aged": _AGES,
    "late": vocabulary.LATE,
    "product": ("revenue", "sales", "turnover", "times", "multiplied"),
    "difference": ("minus", "less"),
    "quotient": ("divided", "over"),
    "exists": vocabulary.EVENTS,
    "absent": vocabulary.EVENTS,
}


def _stems(measure: Measure) -> tuple[str, ...]:
    """Stems of words that speak of a measure which is no column."""
    if measure.kind in ("rows", "column", "unique"):
        return ()
    told = [*_KINDS.get(measure.kind, ()), *measure.value.split()]
    if measure.kind in ("product", "difference", "quotient"):
        told += measure.label.split()
    return tuple(stem(word) for word in told)


def _further(step: Analysis) -> tuple[Field, ...]:
    """Columns that an analysis looks at beside those of its plan."""
    if isinstance(step, Drivers):
        return (*step.numbers, *step.dimensions)
    if isinstance(step, Blame):
        return step.factors
    if isinstance(step, Moments):
        return (step.when,)
    if isinstance(step, Missing):
        columns = [column for column in step.schema.columns if column.table in step.tables]
        return tuple(Field(column.table, column.name) for column in columns)
    return ()


def _within(mention: mentions.Mention, index: int) -> bool:
    return mention.start <= index < mention.end


# -- what needs no support -----------------------------------------------------------------------

_NEGATIONS = frozenset(
    {"not", "no", "never", "without", "except", "excluding", "excluded", "exclude", "non"}
    | {"outside", "ignoring", "ignored", "ignore", "omitting", "omitted", "skipping", "skipped"}
    | {"leaving", "leave", "left", "out", "aside", "included", "counted", "don't", "doesn't"}
)
_EMPTY = re.compile(r"\b(?:still|pending|outstanding|ongoing|unfinished|yet)\b", re.IGNORECASE)
_MUCH = re.compile(r"\bhow much\b", re.IGNORECASE)
_PAID = re.compile(r"\b(?:cost|spend|spent|pa(?:y|id)|earn(?:ed)?|collect(?:ed)?|charged?)\b", re.I)
_COUNTING = re.compile(r"\bpopular|\bcommon|\bfrequent|\boften\b|\bbusiest\b|\bquietest\b", re.I)


def _known(asked: Asked, steps: Sequence[Analysis], plans: Sequence[Plan]) -> frozenset[int]:
    """Words that say what kind of an answer is wanted."""
    spans = asking.cues(asked.text)
    grain = times.grain(asked.text)
    if grain and any(group.grain for plan in plans for group in plan.groups):
        spans.append(grain[1])
    if any(isinstance(step, Moments) for step in steps):
        spans += moments.spans(asked.text)
    if any(isinstance(step, Silences) for step in steps):
        spans += silences.spans(asked.text)
    if any(isinstance(step, Repeats) for step in steps):
        spans += repeats.spans(asked.text)
    if any(c.kind == "weekend" for plan in plans for c in plan.conditions):
        spans += [match.span() for match in re.finditer(r"weekends?", asked.text, re.I)]
    limit = asking.limited(asked.text)
    if limit and any(plan.measure.kind == "aged" for plan in plans):
        spans.append(limit)
    length = durations.limit(asked.text)
    if length and any(plan.measure.kind == "within" for plan in plans):
        spans.append(length.span)
    if any(c.kind == "empty" for plan in plans for c in plan.conditions):
        spans += [match.span() for match in _EMPTY.finditer(asked.text)]
    if _MUCH.search(asked.text):
        spans += [match.span() for match in _PAID.finditer(asked.text)]
    if any(plan.top for plan in plans):
        spans += asking.ranked(asked.text)
    words = enumerate(asked.words)
    return frozenset(i for i, w in words if any(a < w.end and w.start < b for a, b in spans))


def _denied(asked: Asked, plans: Sequence[Plan]) -> bool:
    """Whether a 'not' or a 'without' of the question is in the answer."""
    kinds = {c.kind for plan in plans for c in plan.conditions}
    flags = {c.values for plan in plans for c in plan.conditions if c.kind == "flag"}
    without = any(plan.measure.kind in ("absent", "differs", "blank") for plan in plans)
    return bool(kinds & {"out", "empty"}) or ("0",) in flags or without


def _matches(asked: Asked, index: int) -> bool:
    """Whether a word names something in the data, or a limit, though the answer leaves it out."""
    word = asked.words[index]
    if any(_within(m, index) and m.score >= _SURE for m in asked.mentions):
        return True
    if any(index in (spoken(asked.words, v) or ()) for _, vs in asked.named for v in vs):
        return True
    period, grain = times.period(asked.text, _ANY_DAY), times.grain(asked.text)
    spans = [one for one in (period and period.span, grain and grain[1]) if one]
    return word.lower in _NEGATIONS or any(a <= word.start < b for a, b in spans)


def _assumed(asked: Asked, plans: Sequence[Plan]) -> str:
    """What is measured, where no word of the question says so."""
    if not plans or asked.intent in ("overview", "missing"):
        return ""
    plan = plans[0]
    measure = plan.measure
    if measure.kind == "rows" and (asked.count or _COUNTING.search(asked.text)):
        alone = len(plan.schema.tables) == 1
        return "" if alone or _named(asked, plan) else aggregate_words(plan.aggregate, measure)
    said = _named(asked, plan) or any(
        akin(word.stem, one) for word in asked.words for one in _stems(measure)
    )
    return "" if said or _only(plan) else aggregate_words(plan.aggregate, measure)


def _rivals(asked: Asked, plan: Plan) -> Iterator[tuple[str, str]]:
    """Columns that the words of the measure or of a split name just as well as the one taken."""
    if plan.measure.kind == "column":
        yield from _as_well(asked, plan, Field(plan.measure.table, plan.measure.columns[0]))
    for group in plan.groups:
        if not group.grain:
            yield from _as_well(asked, plan, group.field)


def _as_well(asked: Asked, plan: Plan, taken: Field) -> Iterator[tuple[str, str]]:
    schema = plan.schema
    column = schema.column(taken.table, taken.column)
    own = next((m for m in asked.mentions if m.column is column), None)
    linked = {frozenset((link.left, link.right)) for link in schema.links}
    for other in asked.mentions:
        rival = other.column
        if own is None or rival is None or rival is column:
            continue
        alike = (other.start, other.end) == (own.start, own.end)
        alike &= other.score - strange(asked, rival) >= own.score - strange(asked, column)
        same = frozenset(((rival.table, rival.name), (column.table, column.name))) in linked
        fits = rival.measure == column.measure and (rival.measure or rival.dimension)
        if alike and fits and not same and rival.distinct > 1:
            named = rival.label if rival.name != column.name else f"{rival.table}.{rival.name}"
            yield " ".join(word.text for word in asked.words[own.start : own.end]), named


def _only(plan: Plan) -> bool:
    """Whether there is nothing else that could be measured."""
    return sum(column.measure for column in plan.schema.columns) == 1


def _named(asked: Asked, plan: Plan) -> bool:
    """Whether the question names a column of the measure, or its table where rows are counted."""
    measure = plan.measure
    if measure.kind in ("rows", "exists", "absent"):
        tables = {measure.table, measure.child.table if measure.child else ""}
        spoken_ = any(m.column is None and m.table.name in tables for m in asked.mentions)
        return spoken_ or any(doing.table.name in tables for doing in asked.doings)
    own = {Field(measure.table, column) for column in measure.columns}
    values = any(Field(c.table, c.name) in own for c, _ in asked.named)
    return values or any(
        m.column is not None and Field(m.column.table, m.column.name) in own and m.score >= 0.8
        for m in asked.mentions
    )
