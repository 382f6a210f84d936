"""A plan: everything that an analysis needs to know, and what lies within its reach."""

from collections.abc import Iterable
from dataclasses import dataclass

from .asking import Asked
from .frames import path
from .schema import Schema, Table
from .terms import Aggregate, Condition, Field, Group, Measure, aggregate_words


@dataclass(frozen=True)
class Plan:
    """Everything an analysis needs; `focus` is the one value that the question is about, `per` the
    thing whose number the sum is divided by: 'revenue per order'."""

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
    per: Group | None = None


def measured(plan: Plan) -> str:
    """What a plan computes: 'total revenue', 'average revenue per order'."""
    if plan.per:
        return f"average {plan.measure.label} per {plan.per.label}"
    return aggregate_words(plan.aggregate, plan.measure)


def distance(schema: Schema, base: str, table: str) -> float | None:
    """What it costs to join a table to the base; None when it cannot be."""
    way = path(schema, base, table)
    return None if way is None else way.cost


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
