"""Which analysis answers a question."""

import re
from dataclasses import replace

from . import measures, planning
from .analyses import moments
from .analyses.groups import Groups
from .analyses.missing import Missing
from .analyses.moments import Moments
from .analyses.overview import Overview, main_measure
from .analyses.program import Analysis
from .analyses.relation import Drivers, Relation
from .analyses.repeats import Repeats
from .analyses.silences import Silences
from .analyses.single import PerEntity, Single
from .analyses.spread import Spread
from .analyses.trend import Trend
from .asking import Asked
from .frames import path, reach
from .grouping import GroupAsk
from .plan import Plan, distance, reachable_tables
from .schema import Column, Schema, Table
from .terms import Field, Group, Measure
from .words import akin, any_akin, stem

_COVERED = 0.5
_FEW = 30
_IN_ORDER = ("weekday", "hour", "season")


def choose(asked: Asked, schema: Schema) -> Analysis | None:
    """The analysis for a question; None when the question names nothing that is there."""
    if asked.intent == "overview":
        return overview(asked, schema)
    if asked.intent == "missing":
        return Missing(schema, _spoken_tables(asked, schema))
    moments = _moments(asked, schema)
    if moments is not None:
        return moments
    counted = Silences.of(asked, schema) or Repeats.of(asked, schema)
    if counted is not None:
        return counted
    plan = planning.make(asked, schema) or (
        _typical(asked, schema) if asked.intent != "answer" else None
    )
    if plan is None:
        return None
    special = {
        "relation": _relation,
        "drivers": _drivers,
        "distribution": _spread,
        "outliers": _spread,
    }
    accused = (
        asked.intent == "drivers" and plan.focus
    )  # 'why is Nordvik …': that group and the rest
    chosen = special[asked.intent](plan) if asked.intent in special and not accused else None
    return chosen or _counted(plan)


def _moments(asked: Asked, schema: Schema) -> Analysis | None:
    """When something was first or last; an age, an amount or a group asks for something else."""
    measured = any(m.column and m.column.measure and m.score >= 0.9 for m in asked.mentions)
    ranked = any(group.grain for group in asked.groups)
    if not moments.wanted(asked.text) or measured or ranked or asked.intent != "answer":
        return None
    names = [m.table for m in asked.mentions if m.column is None and m.score >= 2.0]
    names += [doing.table for doing in asked.doings]
    dated = [table for table in schema.tables if table.dates] or list(schema.tables)
    table = names[0] if names else max(dated, key=lambda one: one.rows)
    if not all(_is(group, table) for group in asked.groups):
        return None
    return Moments.of(_typical(asked, schema), table)


def _is(group: GroupAsk, table: Table) -> bool:
    """'The oldest book' is no split by book."""
    keyed = [m for m in group.options if m.column is None or m.column.key]
    return any(m.table.name == table.name for m in keyed)


def overview(asked: Asked, schema: Schema) -> Analysis:
    """The overview of the tables."""
    return Overview.of(_typical(asked, schema))


def _typical(asked: Asked, schema: Schema) -> Plan:
    spoken = [m.table for m in asked.mentions if m.column is None and m.score >= 2.0]
    measure, aggregate = main_measure(schema)
    if spoken and spoken[0].rows:
        usual = measures.usual(schema, spoken[0])
        measure = usual.measure if usual else measures.row_count(spoken[0])
        aggregate = "count" if measure.counted else "sum" if measure.additive else "mean"
    return Plan(schema, asked, measure.table, measure, aggregate)


def _spoken_tables(asked: Asked, schema: Schema) -> tuple[str, ...]:
    spoken = [m.table.name for m in asked.mentions if m.column is None and m.score >= 2.0]
    return tuple(dict.fromkeys(spoken)) or tuple(table.name for table in schema.tables)


def _counted(plan: Plan) -> Analysis:
    """Groups, a course over time, or one number."""
    first = plan.groups[0] if plan.groups else None
    if first is None:
        return _against(plan) or Single(plan)
    if first.grain and first.grain not in _IN_ORDER:
        return Trend(plan)
    if plan.asked.intent == "trend" and not first.grain and _calendar(plan, first):
        return Trend(plan)
    if _per(plan, first):
        return PerEntity(plan)
    return Groups(plan)


def _against(plan: Plan) -> Analysis | None:
    """'Salary by age': two numbers, the one along the other."""
    numbers, _ = _spoken(plan)
    along = re.search(r"\b(?:by|versus|vs|against)\b", plan.asked.text, re.IGNORECASE)
    if not along or len(numbers) < 2 or plan.conditions or numbers[0].share:
        return None
    return _paired(plan, numbers[1], numbers[0])


def _calendar(plan: Plan, group: Group) -> bool:
    return plan.schema.column(group.field.table, group.field.column).calendar


def _per(plan: Plan, group: Group) -> bool:
    """'average orders per customer': first per customer, then the average."""
    asked = plan.asked
    column = plan.schema.column(group.field.table, group.field.column)
    each = column.key or bool(group.called) or column.distinct > 200 or column.unique
    # 'the average cost per ward' of five wards is asked of each ward, 'stays per ward' of all
    each = each and (plan.measure.counted or (plan.measure.additive and column.distinct > _FEW))
    spoken = re.search(r"\b(?:per|each|every)\b", asked.text, re.I)
    averaged = asked.aggregate in ("mean", "median") and not plan.measure.share
    return bool(each and spoken and averaged and not asked.superlative and len(plan.groups) == 1)


# -- relations -----------------------------------------------------------------------------------


def _relation(plan: Plan) -> Analysis | None:
    """The two things that the question names, in the way that their kinds allow."""
    numbers, dimensions = _spoken(plan)
    if len(numbers) >= 2:
        return _paired(plan, numbers[0], numbers[1])
    if numbers and dimensions:
        measure, field = numbers[0], dimensions[0]
        if distance(plan.schema, measure.table, field.table) is not None:
            return Groups(_on(plan, measure, (Group(field),)))
    return _drivers(_on(plan, numbers[0], ()) if numbers else plan)


def _spoken(plan: Plan) -> tuple[list[Measure], list[Field]]:
    """Measures and dimensions in the order in which the question names them, one for each place."""
    # 'list price' is no word of another price
    wholes = [m for m in plan.asked.mentions if m.column and m.score >= 2.0]
    within = {index for m in wholes for index in range(m.start + 1, m.end)}
    places: dict[int, tuple[float, Measure | Field]] = {}
    for candidate in measures.candidates(plan.asked, plan.schema):
        measure = candidate.measure
        if measure.counted or candidate.score < 0.8 or candidate.word in within:
            continue
        place = candidate.word if candidate.word >= 0 else _place(plan.asked, measure)
        if candidate.score > places.get(place, (0.0,))[0]:
            places[place] = (candidate.score, measure)
    for mention in plan.asked.mentions:
        column = mention.column
        if column is None or not column.dimension or column.kind != "text":
            continue
        if mention.score >= 0.8 and mention.score > places.get(mention.start, (0.0,))[0]:
            places[mention.start] = (mention.score, Field(column.table, column.name))
    ordered = [held for _, (_, held) in sorted(places.items())]
    numbers = list(dict.fromkeys(held for held in ordered if isinstance(held, Measure)))
    return numbers, [held for held in ordered if isinstance(held, Field)]


def _place(asked: Asked, measure: Measure) -> int:
    """Where the question speaks of a derived measure."""
    told = [stem(word) for word in measure.label.split()]
    if measure.child:
        told += [stem(word) for word in measure.child.table.split("_")]
    for index, word in enumerate(asked.words):
        if any(akin(word.stem, one) for one in told):
            return index
    return len(asked.words)


def _paired(plan: Plan, first: Measure, second: Measure) -> Analysis | None:
    """'A affects B' puts B up, 'A depends on B' puts A up."""
    there = reach(plan.schema, first.table, [second.table])
    back = reach(plan.schema, second.table, [first.table])
    if there is None and back is None:
        return None
    base = first.table if back is None or (there is not None and there <= back) else second.table
    up, along = (first, second) if "depend" in plan.asked.text.lower() else (second, first)
    if up.share and not along.share:
        up, along = along, up
    return Relation(replace(_on(plan, up, ()), base=base), along)


def _on(plan: Plan, measure: Measure, groups: tuple[Group, ...]) -> Plan:
    aggregate = "mean" if not measure.counted else "count"
    reachable = tuple(
        condition
        for condition in plan.conditions
        if distance(plan.schema, measure.table, condition.field.table) is not None
    )
    return replace(
        plan, base=measure.table, measure=measure, groups=groups, conditions=reachable,
        aggregate="mean" if aggregate == "mean" else "count",
    )  # fmt: skip


def _drivers(plan: Plan) -> Analysis | None:
    if plan.measure.counted:
        usual = measures.usual(plan.schema, plan.schema.table(plan.base)) or measures.usual(
            plan.schema
        )
        if usual is None:
            return None
        plan = _on(plan, usual.measure, ())
    plan = _on(plan, plan.measure, ())
    columns = [c for table in reachable_tables(plan) for c in table.columns if _tells(c, plan)]
    numbers = tuple(Field(c.table, c.name) for c in columns if c.measure and not c.binary)
    dimensions = tuple(
        Field(c.table, c.name) for c in columns if (c.dimension and c.distinct <= 60) or c.binary
    )
    return Drivers(plan, numbers, dimensions) if numbers or dimensions else None


def _tells(column: Column, plan: Plan) -> bool:
    own = column.table == plan.measure.table and column.name in plan.measure.columns
    way = path(plan.schema, plan.base, column.table)
    # what only a few rows have (a refund's reason) came after them and explains nothing
    some = way is None or any(link.left_found < _COVERED for link in way.links)
    status = plan.measure.share and any_akin(column.stems, ("status",))
    return not own and not some and not status and column.distinct > 1


def _spread(plan: Plan) -> Analysis | None:
    """A distribution of numbers; of names it is a count by group."""
    outliers = plan.asked.intent == "outliers"
    if not plan.measure.counted and not plan.measure.share and not plan.groups:
        return Spread(plan, outliers)
    if plan.groups and not outliers:
        return Groups(plan)
    spoken = [
        m.column for m in plan.asked.mentions if m.column and m.score >= 1.2 and m.column.dimension
    ]
    if spoken and not outliers:
        column = spoken[0]
        count = measures.row_count(plan.schema.table(column.table))
        return Groups(_on(plan, count, (Group(Field(column.table, column.name)),)))
    usual = measures.usual(plan.schema, plan.schema.table(plan.base)) or measures.usual(plan.schema)
    return Spread(_on(plan, usual.measure, ()), outliers) if usual else None
