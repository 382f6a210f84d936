"""From the reading of a question to one analysis: what is measured, split and kept."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from . import blanks, measures, vocabulary
from .asking import Asked, speaks_of
from .grouping import GroupAsk
from .mentions import Mention
from .narrowing import with_conditions, with_dates
from .plan import Plan, distance
from .schema import Column, Schema, Table, label_column
from .terms import Aggregate, Candidate, Field, Group, Measure
from .words import any_akin, stem

_JOIN_COST = 0.35
_FAR = 4.0


def make(asked: Asked, schema: Schema) -> Plan | None:
    """The plan for a question about a number; None when it names nothing that is there."""
    chosen = _choose(asked, schema)
    if chosen is None:
        return None
    measure, groups = chosen
    plan = Plan(
        schema, asked, measure.table, measure, _aggregate(asked, measure, bool(groups)), groups
    )
    plan = with_dates(with_conditions(plan))
    plan = replace(plan, conditions=(*plan.conditions, *blanks.conditions(plan)))
    plan = _divided(_met(_rows_without(plan)))
    ascending = (asked.low and not asked.high) or _reversed(asked, measure)
    if re.search(r"\bfastest\b", asked.text, re.I):
        ascending = measure.kind == "days" or any_akin(measure.label.split(), ("duration",))
    return replace(plan, top=asked.top, ascending=ascending)


def _rows_without(plan: Plan) -> Plan:
    """'The most readings without a temperature' counts the rows: they have none to measure."""
    measure = plan.measure
    empty = {condition.field for condition in plan.conditions if condition.kind == "empty"}
    if measure.kind != "column" or Field(measure.table, measure.columns[0]) not in empty:
        return plan
    counted = measures.row_count(plan.schema.table(plan.base))
    return replace(plan, measure=counted, aggregate="count")


def _met(plan: Plan) -> Plan:
    """'What percentage has a status of 500 or more': the share of rows that keep the limit."""
    limit = next((c for c in plan.conditions if c.kind == "compare"), None)
    if limit is None or not plan.asked.rate or limit.field.table != plan.base:
        return plan
    own = plan.measure.kind == "column" and plan.measure.columns == (limit.field.column,)
    if not (own or plan.measure.kind == "rows"):
        return plan
    met = Measure(
        "meets", plan.base, (limit.field.column,), f"with {limit.text}",
        value=" ".join(limit.values), additive=False,
    )  # fmt: skip
    kept = tuple(condition for condition in plan.conditions if condition is not limit)
    return replace(plan, measure=met, aggregate="mean", conditions=kept)


def _divided(plan: Plan) -> Plan:
    """'Which region spends most per order': split by region, divided by the number of orders."""
    measure, asked = plan.measure, plan.asked
    if len(plan.groups) < 2 or not (measure.additive or measure.counted) or measure.share:
        return plan
    for ask in asked.groups:
        first = ask.options[:1]
        if not first or asked.words[first[0].start - 1].lower not in ("per", "each", "every"):
            continue
        meant = [_group(option, plan.schema) for option in ask.options]
        for group in plan.groups:
            column = plan.schema.column(group.field.table, group.field.column)
            if group in meant and (column.key or group.called or column.unique):
                rest = tuple(one for one in plan.groups if one != group)
                return replace(plan, groups=rest, per=group, aggregate="mean")
    return plan


def _reversed(asked: Asked, measure: Measure) -> bool:
    """'The worst rating' is the lowest, 'the best delay' as well."""
    stems = [stem(word) for word in measure.label.split()]
    worst = re.search(r"\bworst\b", asked.text, re.I) and any_akin(stems, vocabulary.GOOD)
    best = re.search(r"\bbest\b", asked.text, re.I) and any_akin(stems, vocabulary.BAD)
    return bool(worst or best)


# -- the measure and its groups ------------------------------------------------------------------


def _choose(asked: Asked, schema: Schema) -> tuple[Measure, tuple[Group, ...]] | None:
    scored: list[tuple[float, int, Measure, tuple[Group, ...]]] = []
    wanted = [group for group in asked.groups if not group.grain]
    for number, candidate in enumerate(_everything(asked, schema)):
        found = _groups(wanted, schema, candidate.measure)
        if found is None:
            continue
        groups, value = found
        value -= 1.5 * any(_each_row(group, schema, candidate.measure.table) for group in groups)
        scored.append((candidate.score + value, -number, candidate.measure, groups))
    if not scored:
        return None
    _, _, measure, groups = max(scored, key=lambda entry: entry[:2])
    if measure.child and asked.without:  # which rows have none is a list, not a rate for each row
        groups = tuple(group for group in groups if not _each_row(group, schema, measure.table))
    return measure, tuple(
        g for g in groups if g.field.column not in measure.columns or measure.counted
    )


def groups_of(asked: Asked, schema: Schema, measure: Measure) -> tuple[Group, ...] | None:
    """What the question splits by, as the measure's table reaches it; None where it does not."""
    wanted = [group for group in asked.groups if not group.grain]
    found = _groups(wanted, schema, measure)
    return None if found is None else found[0]


def _each_row(group: Group, schema: Schema, base: str) -> bool:
    column = schema.column(group.field.table, group.field.column)
    return column.table == base and column.distinct >= 0.9 * column.rows


def _everything(asked: Asked, schema: Schema) -> list[Candidate]:
    found = measures.candidates(asked, schema)[:16]
    if not (found or asked.groups or asked.named or asked.count):
        return []
    often = speaks_of(asked, "popular", "often", "frequent", "frequently", "busiest")
    often = often or bool(_DONE_MOST.search(asked.text))
    counting = asked.count or often or speaks_of(asked, "common")
    for table in schema.tables:
        if table.rows:
            score = 0.6 + 0.8 * (often and _records(table, schema)) if counting else 0.12
            found.append(Candidate(score, measures.row_count(table)))
        typical = measures.usual(schema, table)
        if typical and not counting:
            found.append(typical)
    return found


_DID = r"(?:\w+ed|sold|bought|seen|read|sent|made|used|paid|taken|given|worn|eaten|drunk)"
# 'sold most', 'the most viewed'
_DONE_MOST = re.compile(
    rf"\b{_DID} (?:the )?most(?=\s*(?:[?.!,]|$|by\b|in\b|on\b|of\b|at\b|with\b|during\b|from\b))"
    rf"|\bmost {_DID}\b",
    re.IGNORECASE,
)


def _records(table: Table, schema: Schema) -> bool:
    """Whether its rows are things that happened to the rows of another table."""
    links = schema.links_from(table.name)
    return any(link.right_unique and not link.left_unique for link in links)


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


def label_of(column: Column) -> str:
    """A key by the thing that it tells apart: 'customer' for customer_id."""
    bare = column.label.lower()
    return bare.removesuffix(" id").removesuffix(" no").removesuffix(" key") or bare


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
        high = asked.high and not _reversed(asked, measure)
        return "max" if high else "min"
    if _amassed(asked, measure) and not explicit:
        return "sum"
    if asked.count and not explicit and measure.kind == "column":
        return "sum" if measure.additive else "count"
    return "sum" if measure.additive else "mean"


_MOST = frozenset(("most", "least", "fewest", "many"))
_SPANS = ("day", "hour", "minute")


def _amassed(asked: Asked, measure: Measure) -> bool:
    """'The most days', 'how many hours': the days add up, though a length of time is a level."""
    named = [stem(word) for word in measure.label.split()]
    if measure.kind != "column" or not any(stem(one) in named for one in _SPANS):
        return False
    words = asked.words
    return any(before.lower in _MOST and word.stem in named for before, word in pairwise(words))


def _says_total(asked: Asked) -> bool:
    return bool(re.search(r"\b(?:total|sum)\b", asked.text, re.I))
