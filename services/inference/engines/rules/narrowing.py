"""Which rows a question is about: values, limits and periods that it names, and its grain."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from . import measures, times, vocabulary
from .asking import comparison, negated, state
from .frames import path
from .plan import Plan, distance
from .schema import Column
from .terms import Condition, Field, Grain, Group
from .words import any_akin, stem


def with_conditions(plan: Plan) -> Plan:
    asked = plan.asked
    for column, values in _reachable(plan):
        plan = _with_value(plan, column, values)
    usual = measures.usual(plan.schema, plan.schema.table(plan.base))
    compared = comparison(asked, usual.measure.columns[0] if usual else "", plan.base)
    if plan.measure.kind in ("within", "aged"):
        compared = None
    if compared and distance(plan.schema, plan.base, compared.field.table) is not None:
        plan = replace(plan, conditions=(*plan.conditions, compared))
    return _with_flags(_unflagged(_only_counted(plan)))


def _only_counted(plan: Plan) -> Plan:
    """'Employees older than 60' asks how many: the age has said its part as a condition."""
    limits = [c.field for c in plan.conditions if c.limiting]
    asked, measure = plan.asked, plan.measure
    own = measure.kind == "column" and Field(measure.table, measure.columns[0]) in limits
    if not own or asked.aggregate or asked.superlative or plan.groups:
        return plan
    counted = measures.row_count(plan.schema.table(plan.base))
    return replace(plan, measure=counted, aggregate="count")


def _reachable(plan: Plan) -> list[tuple[Column, tuple[str, ...]]]:
    """One column for each set of named values: the one nearest to the base."""
    best: dict[frozenset[str], tuple[float, Column, tuple[str, ...]]] = {}
    grouped = {group.field for group in plan.groups}
    for column, values in plan.asked.named:
        cost = distance(plan.schema, plan.base, column.table)
        if cost is None or _said_otherwise(plan, column, values):
            continue
        cost -= 10.0 * (Field(column.table, column.name) in grouped)
        key = frozenset(value.lower() for value in values)
        if key not in best or cost < best[key][0]:
            best[key] = (cost, column, values)
    kept = sorted(best.items(), key=lambda entry: -len(entry[0]))
    sets = [key for key, _ in kept]
    return [(c, v) for key, (_, c, v) in kept if not any(key < other for other in sets)]


def _said_otherwise(plan: Plan, column: Column, values: Sequence[str]) -> bool:
    """Whether the word is already the measure ('late', 'refunds') rather than a value."""
    measure = plan.measure
    if measure.kind in ("equals", "differs") and (measure.columns[0], measure.table) == (
        column.name,
        column.table,
    ):
        return True
    spoken = {stem(word) for word in measure.label.split()}
    spoken |= {stem(word) for word in plan.base.split("_")} if measure.kind == "rows" else set()
    event = measure.kind in ("late", "days", "exists", "absent", "rows", "column")
    return event and all(len(v.split()) == 1 and stem(v) in spoken for v in values)


def _with_value(plan: Plan, column: Column, values: tuple[str, ...]) -> Plan:
    field = Field(column.table, column.name)
    if any(negated(plan.asked, value) for value in values):
        text = f"{field.label} other than {' or '.join(values)}"
        return replace(plan, conditions=(*plan.conditions, Condition("out", field, values, text)))
    grouped = any(group.field == field for group in plan.groups)
    compared = re.search(
        r"compar|versus|\bvs\b|\bother|elsewhere|\brest\b|average|worse|better|than",
        plan.asked.text,
        re.I,
    )
    rest = re.search(r"\bothers?\b|elsewhere|\bthe rest\b", plan.asked.text, re.I)
    blamed = plan.asked.why and not plan.groups
    share = plan.asked.rate and plan.measure.additive and not plan.groups
    if len(values) == 1 and (
        grouped
        or share
        or blamed
        or (rest and not plan.groups)
        or (compared and not plan.groups and not plan.asked.aggregate)
    ):
        groups = plan.groups if grouped else (*plan.groups, Group(field))
        return replace(plan, groups=groups, focus=values[0])
    if len(values) > 1 and not grouped and len(plan.groups) < 2 and not _one_state(plan, values):
        plan = replace(plan, groups=(*plan.groups, Group(field)))
    text = f"{field.label} {' or '.join(values)}"
    kept = Condition("in", field, values, text)
    if column.kind == "flag":
        return plan
    return replace(plan, conditions=(*plan.conditions, kept))


def _one_state(plan: Plan, values: Sequence[str]) -> bool:
    """Whether one word of the question means all of these values."""
    firsts = {stem(value.split()[0]) for value in values}
    return any(state(word) and firsts == {word.stem} for word in plan.asked.words)


def _unflagged(plan: Plan) -> Plan:
    """'How many did not finish' counts the rows where the measured flag does not hold."""
    measure, asked = plan.measure, plan.asked
    if not (measure.kind == "column" and measure.binary and asked.count):
        return plan
    for mention in asked.mentions:
        column = mention.column
        own = column and (column.table, column.name) == (measure.table, measure.columns[0])
        before = {word.lower for word in asked.words[max(mention.start - 2, 0) : mention.start]}
        if column and own and before & {"not", "never", "didn't", "weren't", "wasn't", "haven't"}:
            field = Field(column.table, column.name)
            kept = Condition("flag", field, ("0",), f"not {column.label}")
            counted = measures.row_count(plan.schema.table(column.table))
            conditions = (*plan.conditions, kept)
            return replace(plan, measure=counted, aggregate="count", conditions=conditions)
    return plan


def _with_flags(plan: Plan) -> Plan:
    """'How many active employees': a yes/no column that is neither measured nor a group."""
    if any(condition.kind == "flag" for condition in plan.conditions):
        return plan
    if not (plan.asked.count or plan.aggregate != "count") or plan.measure.share:
        return plan
    for mention in plan.asked.mentions:
        column = mention.column
        if (
            column is None
            or not column.binary
            or mention.score < 2.4
            or mention.start in plan.asked.used
        ):
            continue
        if distance(plan.schema, plan.base, column.table) is None:
            continue
        field = Field(column.table, column.name)
        before = plan.asked.words[mention.start - 1].lower if mention.start else ""
        wanted = "0" if before in ("not", "non", "no") else "1"
        text = f"{'not ' if wanted == '0' else ''}{column.label}"
        return replace(
            plan, conditions=(*plan.conditions, Condition("flag", field, (wanted,), text))
        )
    return plan


# -- dates ---------------------------------------------------------------------------------------


# years held against one another, not a course over them
_BY_YEAR = re.compile(
    r"compar|\bvs\b|versus|\band\b|\bthan\b"
    r"|^(?!.*(?:trend|develop|evol|over time|season)).*\bfrom\b.*\bto\b",
    re.IGNORECASE,
)


def with_dates(plan: Plan) -> Plan:
    asked = plan.asked
    when = date_column(plan)
    grain: Grain = next((group.grain for group in asked.groups if group.grain), "")
    plan = _with_weekend(_with_period(plan, when), when)
    if not grain and len(asked.years) > 1 and len(plan.groups) < 2:
        grain = "year" if _BY_YEAR.search(asked.text) else ""
    if not grain and asked.intent == "trend" and not any(group.grain for group in plan.groups):
        grain = _usual_grain(plan, when)
    if not grain:
        return plan
    split = Group(Field(when.table, when.name), grain) if when else calendar_group(plan, grain)
    return replace(plan, groups=(split, *plan.groups)[:2]) if split else plan


_WEEKEND = re.compile(r"\b(?:on|at|during|over) (?:a |the )?weekends?\b", re.IGNORECASE)


def _with_weekend(plan: Plan, when: Column | None) -> Plan:
    """'How many started on a weekend'; compared with other days it is a split, and not read yet."""
    if when is None or not plan.asked.count or not _WEEKEND.search(plan.asked.text):
        return plan
    field = Field(when.table, when.name)
    kept = Condition("weekend", field, (), f"{field.label} on a Saturday or Sunday")
    return replace(plan, conditions=(*plan.conditions, kept))


def _usual_grain(plan: Plan, when: Column | None) -> Grain:
    if times.months_named(plan.asked.text) > 1:
        return "month"
    if "season" in plan.asked.text.lower():
        return "season"
    if when is None or not when.low:
        return "year"
    bounds = next((c.values for c in plan.conditions if c.kind == "period"), ("", ""))
    first, last = _day(bounds[0] or when.low), _day(bounds[1] or when.high)
    return times.default_grain(max(first, _day(when.low)), min(last, _day(when.high)))


def _day(text: object) -> date:
    return date.fromisoformat(str(text)[:10])


def calendar_group(plan: Plan, grain: Grain) -> Group | None:
    """A column of years or months that stands for a date where the table has none."""
    for column in plan.schema.table(plan.base).columns:
        if column.calendar and any_akin(column.stems[-1:], (grain,)):
            return Group(Field(column.table, column.name))
    return None


def date_column(plan: Plan) -> Column | None:
    """The date that the question is about: one it names, else the base's own, else a joined one."""
    child = plan.measure.child  # its dates are known of the rows that have one only
    spoken = [
        m.column for m in plan.asked.mentions
        if m.column and m.column.kind == "date" and m.score >= 1.2
        and distance(plan.schema, plan.base, m.column.table) is not None
        and m.column.table != (child.table if child else "")
    ]  # fmt: skip
    near = [c for c in spoken if c.table == plan.base]
    if near or spoken:
        return (near or spoken)[0]
    ranked: list[tuple[float, str, Column]] = []
    for table in plan.schema.tables:
        way = path(plan.schema, plan.base, table.name)
        if way is None or way.fans_out or table.name == (child.table if child else ""):
            continue
        for number, column in enumerate(table.dates):
            if column.low:
                ranked.append((way.cost * 2 + _rank(column) + number / 10, table.name, column))
    return min(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def _rank(column: Column) -> float:
    stems = set(column.stems) | {stem(part) for part in column.name.split("_")}
    if stems & {stem(word) for word in vocabulary.AFTERTHOUGHT}:
        return 1.0
    return 0.0 if stems & {stem(word) for word in vocabulary.FIRST_DATES} else 0.5


def _with_period(plan: Plan, when: Column | None) -> Plan:
    asked = plan.asked
    if when is None or not when.high:
        return _with_year(plan)
    period = times.period(asked.text, _day(when.high))
    if period is None or (
        len(asked.years) > 1
        and not re.search(r"\bfrom\b|between|since|after|before", asked.text, re.I)
    ):
        return _with_span(plan, when) if len(asked.years) > 1 else plan
    field = Field(when.table, when.name)
    text = f"{field.label} {period.text}"
    kept = Condition("period", field, (period.start, period.end), text)
    return replace(plan, conditions=(*plan.conditions, kept))


def _with_span(plan: Plan, when: Column) -> Plan:
    first, last = min(plan.asked.years), max(plan.asked.years)
    field = Field(when.table, when.name)
    text = f"{field.label} from {first} to {last}"
    kept = Condition("period", field, (f"{first}-01-01", f"{last + 1}-01-01"), text)
    return replace(plan, conditions=(*plan.conditions, kept))


def _with_year(plan: Plan) -> Plan:
    group = calendar_group(plan, "year")
    if group is None or not plan.asked.years:
        return plan
    column = plan.schema.column(group.field.table, group.field.column)
    if not column.year:
        return plan
    first, last = min(plan.asked.years), max(plan.asked.years)
    low = Condition("compare", group.field, (">=", str(first)), f"{group.label} from {first}")
    high = Condition("compare", group.field, ("<=", str(last)), f"{group.label} to {last}")
    return replace(plan, conditions=(*plan.conditions, low, high))
