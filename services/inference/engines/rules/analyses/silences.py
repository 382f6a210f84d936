"""The time between one row and the next: the longest silence of a sensor, how often one orders."""

import re
from dataclasses import dataclass, replace

from .. import measures
from ..asking import Asked
from ..narrowing import date_column, with_conditions
from ..plan import Plan
from ..planning import groups_of
from ..prose import capital, cell, number, real, records, table
from ..schema import Schema, Table
from ..terms import Field, Group
from .program import Analysis, Artifacts, Result, assemble, frame_of, key, notes

_ASKED = re.compile(
    r"\b(?:gaps?|silen(?:t|ce)|pauses?|intervals?|time|hours|days|minutes) (?:\w+ ){0,2}?between"
    r" (?:(?:two|any|each|every|the|its|their) )*(?:successive|consecutive|subsequent)\b"
    r"|\b(?:longest|biggest|largest|shortest|average) (?:gap|pause|silence|break)\b",
    re.IGNORECASE,
)
_SHORT = re.compile(r"\bshortest\b", re.IGNORECASE)
_MEAN = re.compile(r"\b(?:average|mean|typical|usual)\b", re.IGNORECASE)
_UNITS = {"minutes": 60, "hours": 3600, "days": 86_400}
_SHOWN = 12


@dataclass(frozen=True)
class Silences:
    """The time from each row's `when` to the next row's, within each group if there is one."""

    plan: Plan
    when: Field
    unit: str

    @classmethod
    def of(cls, asked: Asked, schema: Schema) -> "Silences | None":
        """None where the question does not ask for the time between rows, or no row has one."""
        if not _ASKED.search(asked.text):
            return None
        named = [m.table for m in asked.mentions if m.column is None and m.score >= 0.8]
        for base in (*named, *sorted(schema.tables, key=_size)):
            plan = Plan(schema, asked, base.name, measures.row_count(base), "count")
            when = date_column(plan)
            groups = groups_of(asked, schema, plan.measure)
            if when is not None and when.table == base.name and groups is not None:
                shared = tuple(group for group in groups if not _alone(group, schema, base))
                plan = with_conditions(replace(plan, groups=shared[:1]))
                return cls(plan, Field(base.name, when.name), _unit(asked))
        return None

    @property
    def how(self) -> str:
        """The aggregate of pandas."""
        text = self.plan.asked.text
        return "mean" if _MEAN.search(text) else "min" if _SHORT.search(text) else "max"

    @property
    def what(self) -> str:
        word = {"mean": "average", "min": "shortest", "max": "longest"}[self.how]
        many = self.plan.schema.table(self.plan.base).many
        return f"{word} time between two successive {many}"

    @property
    def title(self) -> str:
        by = f" by {self.plan.groups[0].label}" if self.plan.groups else ""
        return f"{self.what}{by}"

    def aim(self) -> str:
        return f"{capital(self.title)}: from each {self.when.label} to the next."

    def program(self) -> str:
        frame = frame_of(self.plan, fields=(self.when,))
        when, by = frame.name(self.when), ""
        lines: list[str] = []
        if self.plan.groups:
            lines, by = key(self.plan.groups[0], frame)
        group = repr([by]) if by else "lambda row: 0"
        order = [by, when] if by else [when]
        body = [
            *lines,
            f"data = data[data[{when!r}].notna()].sort_values({order!r}, kind='stable')",
            f"data['since'] = data.groupby({group})[{when!r}].shift()",
            f"data['gap'] = (data[{when!r}] - data['since']).dt.total_seconds()"
            f" / {_UNITS[self.unit]}",
            f"table = data.groupby({group})['gap'].agg(value={self.how!r}, n='count')",
            f"table = table[table['n'] > 0].sort_values('value', ascending={self.how == 'min'})",
            f"print(table.head({_SHOWN}).to_string())",
            f"table.to_csv({Artifacts(self.title).table!r})",
            "rows = [{'group': str(g), 'value': float(r['value']), 'n': int(r['n'])}",
            "        for g, r in table.rename(lambda g: g[0] if isinstance(g, tuple) else g)"
            f".head({_SHOWN}).iterrows()]",
            "result = {'rows': rows, 'count': len(table), 'n': len(data)}",
            "if data['gap'].notna().any():",
            f"    end = data.loc[data['gap'].idx{'min' if self.how == 'min' else 'max'}()]",
            f"    result |= {{'from': str(end['since']), 'to': str(end[{when!r}]),",
            "               'overall': float(data['gap'].mean())}",
        ]
        return assemble(self.aim(), frame.lines(), ["", *body], plot=False)

    def report(self, result: Result) -> str:
        rows = records(result, "rows")
        frame = frame_of(self.plan, fields=(self.when,))
        end = notes(
            self.plan, frame, Artifacts(self.title), f"{number(result.get('n'))} rows went in."
        )
        if not rows:
            return f"No two rows follow one another.\n\n{end}"
        first = self._told(rows[0])
        who = f"{cell(rows[0].get('group'))} has the" if self.plan.groups else "The"
        parts = [f"**{who} {self.what}: {first}.**"]
        if self.how != "mean":
            parts[0] += f" It lasted from {cell(result.get('from'))} to {cell(result.get('to'))}."
            parts[0] += f" On average it is {real(result.get('overall')):,.2f} {self.unit}."
        if self.plan.groups:
            lines = [[cell(row.get("group")), self._told(row)] for row in rows]
            parts.append(table([cell(self.plan.groups[0].label), self.what], lines))
        return "\n\n".join([*parts, end])

    def _told(self, row: dict[str, object]) -> str:
        value = real(row.get("value"))
        return f"{number(value) if value == int(value) else f'{value:,.2f}'} {self.unit}"

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        return None if self.plan.careful else replace(self, plan=replace(self.plan, careful=True))


def spans(text: str) -> list[tuple[int, int]]:
    """Where a question speaks of the time between rows."""
    words = re.compile(
        r"\b(?:silen\w+|gaps?|pauses?|successive|consecutive|hours?|minutes?)\b", re.I
    )
    return [found.span() for cue in (_ASKED, words) for found in cue.finditer(text)]


def _alone(group: Group, schema: Schema, base: Table) -> bool:
    """Whether each row is a group of its own, with nothing that follows it."""
    column = schema.column(group.field.table, group.field.column)
    return column.table == base.name and column.unique


def _size(table: Table) -> int:
    return -table.rows


def _unit(asked: Asked) -> str:
    return next((unit for unit in _UNITS if unit[:-1] in asked.text.lower()), "hours")
