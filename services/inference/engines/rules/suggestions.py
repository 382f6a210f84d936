"""Questions that these tables can answer, for when the one asked could not be."""

from . import measures, shares
from .plan import distance
from .schema import Schema
from .words import akin


def questions(schema: Schema, *, limit: int = 6) -> list[str]:
    """Questions in plain words, each about columns that are there."""
    found: list[str] = []
    for table in sorted(schema.tables, key=lambda one: -one.rows):
        dims = [c for c in table.columns if c.dimension and c.kind == "text" and not c.unique]
        usual = measures.usual(schema, table)
        what = usual.measure.label if usual else None
        if what and dims:
            word = "total" if usual and usual.measure.additive else "average"
            found.append(f"Which {dims[0].label} has the highest {word} {what}?")
        if what and table.dates:
            found.append(f"How did {what} in {table.label} develop by month?")
        if not what and dims:
            found.append(f"How many {table.many} are there by {dims[0].label}?")
        late = measures.lateness(table)
        if late and dims:
            found.append(f"Which {dims[0].label} is late most often?")
        numbers = [c for c in table.columns if c.measure]
        if len(numbers) > 1:
            found.append(
                f"Is there a correlation between {numbers[0].label} and {numbers[1].label}?"
            )
    found += _rates(schema)
    return [*dict.fromkeys([*found[: limit - 1], "Give me an overview of the data."])]


def _rates(schema: Schema) -> list[str]:
    found = []
    for table in schema.tables:
        for link in shares.parents(schema, table.name):
            parent = schema.table(link.right[0])
            dims = [
                c
                for c in schema.columns
                if c.dimension
                and c.kind == "text"
                and distance(schema, parent.name, c.table) is not None
            ]
            if dims and not any(akin(a, b) for a in table.stems for b in parent.stems):
                found.append(f"What share of {parent.many} has {table.many}, by {dims[0].label}?")
    return found[:1]
