"""Ages told from a date of birth: at another date of the row, or on the last day in the data."""

import re
from collections.abc import Iterator

from . import limits
from .asking import Asked
from .frames import path
from .schema import Column, Schema
from .terms import Candidate, Field, Measure, MeasureKind
from .words import any_akin

_AGE = re.compile(
    r"\b(?:age|aged|years? old|older|younger|oldest|youngest|how old)\b", re.IGNORECASE
)
_PERSONS = re.compile(
    r"\b(?:patients?|members?|customers?|clients?|employees?|people|students?|men|women|persons?"
    r"|donors?|guests?|users?|anyone|those)\b(?: (?:aged|who are|who were|were|are))*\s*$",
    re.IGNORECASE,
)
_BORN = ("birth", "born", "dob")
# nothing that is merely named comes before a limit to an age
_SURE = 8.0


def candidates(asked: Asked, schema: Schema) -> Iterator[Candidate]:
    """The age of each row's person, or whether it keeps a limit: 'older than 60'."""
    if any(any_akin(column.stems, ("age",)) for column in schema.columns if column.measure):
        return
    found = limits.limit(asked.text)
    limited = found is not None and found.kind == "compare"
    persons = found is not None and _PERSONS.search(asked.text[: found.span[0]])
    if not _AGE.search(asked.text) and not (limited and persons):
        return
    for birth in schema.columns:
        if birth.kind != "date" or not any_akin(birth.stems, _BORN):
            continue
        when = _moment(asked, schema, birth)
        last = "" if when else _last_day(schema, birth)
        told = f"at {when.label}" if when else f"on {last}"
        kind: MeasureKind = "aged" if found and limited else "age"
        value = f"{' '.join(found.values)} {last}" if found and limited else last
        label = f"aged {' '.join(found.values)} {told}" if found and limited else f"age {told}"
        measure = Measure(
            kind, when.table if when else birth.table, (when.name,) if when else (), label,
            child=Field(birth.table, birth.name), value=value.strip(), additive=False,
        )  # fmt: skip
        yield Candidate(_SURE if limited else 3.5, measure)


def _moment(asked: Asked, schema: Schema, birth: Column) -> Column | None:
    """The date at which the age is asked: 'at admission'."""
    for mention in asked.mentions:
        column = mention.column
        said = asked.words[mention.start - 1].lower if mention.start else ""
        if column is None or column.kind != "date" or column == birth or said not in _AT:
            continue
        way = path(schema, column.table, birth.table)
        if way is not None and not way.fans_out:
            return column
    return None


_AT = frozenset(("at", "on", "when", "upon", "of", "the"))


def _last_day(schema: Schema, birth: Column) -> str:
    """The last day that any other date of the data tells."""
    days = [str(c.high)[:10] for c in schema.columns if c.kind == "date" and c.high and c != birth]
    return max(days, default=str(birth.high)[:10])
