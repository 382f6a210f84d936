"""From the reading of a question to one analysis: what is measured, split and kept."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from . import measures, times
from .asking import Asked, GroupAsk, comparison, label_column, speaks_of
from .frames import path
from .measures import Candidate
from .mentions import Mention
from .schema import Column, Schema, Table
from .terms import Aggregate, Condition, Field, Grain, Group, Measure
from .words import any_akin, stem

_JOIN_COST = 0.35
_FAR = 4.0
_AFTERTHOUGHT = (
    "birth",
    "updated",
    "modified",
    "end",
    "due",
    "promised",
    "expiry",
    "deleted",
    "left",
)
_FIRST_DATES = ("ordered", "date", "created", "placed", "time", "timestamp", "started", "sold")


@dataclass(frozen=True)
class Plan:
    """Everything an analysis needs; `focus` is the one value that the question is about."""

    schema: Schema
    asked: Asked
    base: str
    measure: Measure
    aggregate: Aggregate
    groups: tuple[Group, ...] = ()
    conditions: tuple[Condition, ...] = ()
    focus: str = ""
    top: int = 0
    ascending: bool = False
    careful: bool = False


def make(asked: Asked, schema: Schema) -> Plan | None:
    """The plan for a question about a number; None when it names nothing that is there."""
    chosen = _choose(asked, schema)
    if chosen is None:
        return None
    measure, groups = chosen
    plan = Plan(
        schema, asked, measure.table, measure, _aggregate(asked, measure, bool(groups)), groups
    )
    plan = _with_dates(_with_conditions(plan))
    ascending = asked.low and not asked.high
    if re.search(r"\bfastest\b", asked.text, re.I):
        ascending = measure.kind == "days" or any_akin(measure.label.split(), ("duration",))
    return replace(plan, top=asked.top, ascending=ascending)


# -- the measure and its groups ------------------------------------------------------------------


def _choose(asked: Asked, schema: Schema) -> tuple[Measure, tuple[Group, ...]] | None:
    scored: list[tuple[float, int, Measure, tuple[Group, ...]]] = []
    wanted = [group for group in asked.groups if not group.grain]
    for number, candidate in enumerate(_everything(asked, schema)):
        found = _groups(wanted, schema, candidate.measure)
        if found is None:
            continue
        groups, value = found
        scored.append((candidate.score + value, -number, candidate.measure, groups))
    if not scored:
        return None
    _, _, measure, groups = max(scored, key=lambda entry: entry[:2])
    if measure.child and asked.without:  # which rows have none is a list, not a rate for each row
        groups = tuple(group for group in groups if not _each_row(group, schema, measure.table))
    return measure, tuple(
        g for g in groups if g.field.column not in measure.columns or measure.counted
    )


def _each_row(group: Group, schema: Schema, base: str) -> bool:
    column = schema.column(group.field.table, group.field.column)
    return column.table == base and column.distinct >= 0.9 * column.rows


def _everything(asked: Asked, schema: Schema) -> list[Candidate]:
    found = measures.candidates(asked, schema)[:16]
    if not (found or asked.groups or asked.named or asked.count):
        return []
    counting = asked.count or speaks_of(asked, "popular", "common", "frequent", "busiest")
    for table in schema.tables:
        if table.rows:
            found.append(Candidate(0.6 if counting else 0.12, measures.row_count(table)))
        typical = measures.usual(schema, table)
        if typical and not counting:
            found.append(typical)
    return found


def _groups(
    wanted: Sequence[GroupAsk], schema: Schema, measure: Measure
) -> tuple[tuple[Group, ...], float] | None:
    groups: list[Group] = []
    total = 0.0
    # every row of the child has a parent: split by the child's columns a rate is always one
    base, child = measure.table, measure.child
    for ask in wanted:
        options = [
            (mention.score - _JOIN_COST * min(cost, _FAR), -number, group)
            for number, mention in enumerate(ask.options)
            if (group := _group(mention, schema))
            and group.field.table != (child.table if child else "")
            and (cost := distance(schema, base, group.field.table)) is not None
        ]
        if not options:
            return None
        value, _, group = max(options, key=lambda option: option[:2])
        groups.append(group)
        total += value
    return tuple(dict.fromkeys(groups)), total


def distance(schema: Schema, base: str, table: str) -> float | None:
    """What it costs to join a table to the base; None when it cannot be."""
    way = path(schema, base, table)
    return None if way is None else way.cost


def _group(mention: Mention, schema: Schema) -> Group | None:
    column = mention.column
    if column is not None and column == label_column(mention.table.columns):
        return Group(Field(column.table, column.name), called=_called(mention.table))
    if column is None:
        named = _own_label(mention.table)
        column = named or mention.table.identity
    elif column.key:
        owner = _owner(column, schema)
        column = (_own_label(owner) or _namesake(owner, column) if owner else None) or column
    if column is None:
        return None
    owner = (_owner(column, schema) if column.key else None) or schema.table(column.table)
    naming = column == label_column(owner.columns) or column.key
    called = _called(owner) if naming and (column.unique or owner.name != column.table) else ""
    return Group(Field(column.table, column.name), called=called)


def _called(table: Table) -> str:
    """What a name in this table is the name of; '' when the table does not say."""
    return "" if table.one == "row" else table.one


def _owner(key: Column, schema: Schema) -> Table | None:
    """The table whose rows a key stands for: customers for orders.customer_id."""
    for table in schema.tables:
        identity = table.identity
        if identity and table.name == key.table and identity.name == key.name:
            return table
    for link in schema.links_from(key.table):
        if (
            link.left[1] == key.name
            and link.right_unique
            and set(key.stems) & set(schema.table(link.right[0]).stems)
        ):
            return schema.table(link.right[0])
    return None


def _namesake(table: Table, key: Column) -> Column | None:
    """departments.department for department_id."""
    for column in table.columns:
        if column.kind == "text" and not column.key and column.unique and column.stems == key.stems:
            return column
    return None


def _own_label(table: Table) -> Column | None:
    named = label_column(table.columns)
    return named if named and named.distinct >= 0.98 * max(table.rows, 1) else None


def _aggregate(asked: Asked, measure: Measure, grouped: bool) -> Aggregate:
    if measure.kind == "rows":
        return "count"
    if measure.kind == "unique":
        return "unique"
    if measure.share:
        return "mean"
    explicit = asked.aggregate
    if explicit and not (explicit == "sum" and not measure.additive and not _says_total(asked)):
        return explicit
    if asked.superlative and not grouped and not asked.groups:
        return "max" if asked.high else "min"
    if asked.count and not explicit and measure.kind == "column":
        return "sum" if measure.additive else "count"
    return "sum" if measure.additive else "mean"


def _says_total(asked: Asked) -> bool:
    return bool(re.search(r"\b(?:total|sum)\b", asked.text, re.I))


# -- conditions ----------------------------------------------------------------------------------


def _with_conditions(plan: Plan) -> Plan:
    asked = plan.asked
    for column, values in _reachable(plan):
        plan = _with_value(plan, column, values)
    usual = measures.usual(plan.schema, plan.schema.table(plan.base))
    compared = comparison(asked, usual.measure.columns[0] if usual else "", plan.base)
    if compared and distance(plan.schema, plan.base, compared.field.table) is not None:
        plan = replace(plan, conditions=(*plan.conditions, compared))
    return _with_flags(_only_counted(plan))


def _only_counted(plan: Plan) -> Plan:
    """'Employees older than 60' asks how many: the age has said its part as a condition."""
    limits = [c.field for c in plan.conditions if c.kind == "compare"]
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
    if measure.kind == "equals" and (measure.columns[0], measure.table) == (
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
    grouped = any(group.field == field for group in plan.groups)
    compared = re.search(
        r"compar|versus|\bvs\b|\bother|\brest\b|average|worse|better|than", plan.asked.text, re.I
    )
    share = plan.asked.rate and plan.measure.additive and not plan.groups
    if len(values) == 1 and (
        grouped or share or (compared and not plan.groups and not plan.asked.aggregate)
    ):
        groups = plan.groups if grouped else (*plan.groups, Group(field))
        return replace(plan, groups=groups, focus=values[0])
    if len(values) > 1 and not grouped and len(plan.groups) < 2:
        plan = replace(plan, groups=(*plan.groups, Group(field)))
    text = f"{field.label} {' or '.join(values)}"
    kept = Condition("in", field, values, text)
    if column.kind == "flag":
        return plan
    return replace(plan, conditions=(*plan.conditions, kept))


def _with_flags(plan: Plan) -> Plan:
    """'How many active employees': a yes/no column that is neither measured nor a group."""
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


def _with_dates(plan: Plan) -> Plan:
    asked = plan.asked
    when = date_column(plan)
    grain: Grain = next((group.grain for group in asked.groups if group.grain), "")
    plan = _with_period(plan, when)
    if not grain and asked.intent == "trend" and not any(group.grain for group in plan.groups):
        grain = _usual_grain(plan, when)
    if (
        not grain
        and len(asked.years) > 1
        and re.search(r"compar|\bvs\b|versus|\band\b", asked.text, re.I)
    ):
        grain = "year" if len(plan.groups) < 2 else ""
    if not grain:
        return plan
    split = Group(Field(when.table, when.name), grain) if when else calendar_group(plan, grain)
    return replace(plan, groups=(split, *plan.groups)[:2]) if split else plan


def _usual_grain(plan: Plan, when: Column | None) -> Grain:
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
    spoken = [
        m.column for m in plan.asked.mentions
        if m.column and m.column.kind == "date" and m.score >= 1.2
        and distance(plan.schema, plan.base, m.column.table) is not None
    ]  # fmt: skip
    near = [c for c in spoken if c.table == plan.base]
    if near or spoken:
        return (near or spoken)[0]
    ranked: list[tuple[float, str, Column]] = []
    for table in plan.schema.tables:
        way = path(plan.schema, plan.base, table.name)
        if way is None or way.fans_out:
            continue
        for number, column in enumerate(table.dates):
            if column.low:
                ranked.append((way.cost * 2 + _rank(column) + number / 10, table.name, column))
    return min(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def _rank(column: Column) -> float:
    stems = set(column.stems) | {stem(part) for part in column.name.split("_")}
    if stems & {stem(word) for word in _AFTERTHOUGHT}:
        return 1.0
    return 0.0 if stems & {stem(word) for word in _FIRST_DATES} else 0.5


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


# -- neighbours of the base ----------------------------------------------------------------------


def dimensions(plan: Plan, *, limit: int, fan_out: bool = False) -> tuple[Field, ...]:
    """Columns to split by that the base reaches, nearest first."""
    found: list[tuple[float, int, Field]] = []
    for table in plan.schema.tables:
        way = path(plan.schema, plan.base, table.name)
        if way is None or (way.fans_out and not fan_out):
            continue
        for number, column in enumerate(table.columns):
            if column.dimension and column.distinct <= 40 and not column.binary:
                found.append((way.cost, number, Field(table.name, column.name)))
    return tuple(field for _, _, field in sorted(found, key=lambda entry: entry[:2]))[:limit]


def reachable_tables(plan: Plan) -> Iterable[Table]:
    """The base and every table that gives at most one row for each of its rows."""
    for table in plan.schema.tables:
        way = path(plan.schema, plan.base, table.name)
        if way is not None and not way.fans_out:
            yield table
