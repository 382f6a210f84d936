"""When: the earliest and the latest of a date, with the rows that they belong to."""

import re
from dataclasses import dataclass, replace

from .. import measures
from ..narrowing import date_column, with_conditions
from ..plan import Plan
from ..prose import capital, cell, number, records
from ..schema import Column, Table
from ..terms import Field
from .program import Analysis, Artifacts, Result, assemble, frame_of, notes

_CONTEXT = 5
_EARLY = re.compile(r"\b(?:oldest|earliest|first)\b", re.IGNORECASE)
_LATE = re.compile(r"\b(?:newest|latest|last|most recent(?:ly)?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Moments:
    """The first and the last of `when` over the rows of the plan's base."""

    plan: Plan
    when: Field

    @classmethod
    def of(cls, plan: Plan, table: Table) -> "Moments | None":
        """The moments of a table's main date, or of its year where it has no date."""
        base = Plan(plan.schema, plan.asked, table.name, measures.row_count(table), "count")
        found = _own_date(base, table) or next((c for c in table.columns if c.year), None)
        if found is None:
            return None
        return cls(with_conditions(base), Field(found.table, found.name))

    @property
    def title(self) -> str:
        return f"earliest and latest {self.when.label}"

    def aim(self) -> str:
        return capital(f"{self.title}.")

    def _context(self) -> tuple[Field, ...]:
        columns = self.plan.schema.table(self.plan.base).columns
        told = [c for c in columns if (c.kind == "text" or c.key) and c.name != self.when.column]
        return tuple(Field(c.table, c.name) for c in told)[:_CONTEXT]

    def program(self) -> str:
        frame = frame_of(self.plan, fields=(self.when, *self._context()))
        when, told = frame.name(self.when), [frame.name(field) for field in self._context()]
        body = [
            "",
            f"dated = data[data[{when!r}].notna()].sort_values({when!r}, kind='stable')",
            f"print(dated[{when!r}].describe().to_string())",
            'result = {"n": len(dated), "ends": []}',
            "for row in (dated.head(1), dated.tail(1)):",
            "    for _, held in row.iterrows():",
            f'        result["ends"].append({{"when": str(held[{when!r}]),',
            f'            "told": {{c: str(held[c]) for c in {told!r}}}}})',
        ]
        return assemble(self.aim(), frame.lines(), body, plot=False)

    # -- what it says ---------------------------------------------------------------------

    def report(self, result: Result) -> str:
        ends = records(result, "ends")
        frame = frame_of(self.plan, fields=(self.when, *self._context()))
        end = notes(self.plan, frame, Artifacts(self.title), f"{number(result.get('n'))} rows.")
        if len(ends) != 2:
            return f"No row has a {cell(self.when.label)}.\n\n{end}"
        first, last = (_moment(row) for row in ends)
        text = self.plan.asked.text
        early, late = bool(_EARLY.search(text)), bool(_LATE.search(text))
        label = cell(self.when.label)
        told = [f"**The earliest {label}: {first}**", f"**The latest {label}: {last}**"]
        rows = [_row(row) for row in ends]
        if late and not early:
            told, rows = told[::-1], rows[::-1]
        lines = [f"{told[number]}. {row}" for number, row in enumerate(rows)]
        return "\n\n".join([*lines, end])

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        return None if self.plan.careful else replace(self, plan=replace(self.plan, careful=True))


def _own_date(plan: Plan, table: Table) -> Column | None:
    found = date_column(plan) if table.dates else None
    return found if found and found.table == table.name else None


def _moment(row: dict[str, object]) -> str:
    text = str(row.get("when")).removesuffix(" 00:00:00")
    return cell(re.sub(r"^(\d{4})\.0$", r"\1", text))


def _row(row: dict[str, object]) -> str:
    told = row.get("told")
    held = told.items() if isinstance(told, dict) else ()
    text = ", ".join(f"{cell(name)} {cell(value)}" for name, value in held)
    return f"The row: {text}." if text else ""


def spans(text: str) -> list[tuple[int, int]]:
    """Where a question asks for the first or the last."""
    return [found.span() for cue in (_ASKED, _EARLY, _LATE) for found in cue.finditer(text)]


def wanted(text: str) -> bool:
    """Whether a question asks when something was first or last."""
    return bool(_ASKED.search(text))


_ASKED = re.compile(
    r"^\W*when (?:was|were|did|is|does|has|have)\b"
    r"|\b(?:oldest|earliest|newest|latest|most recent)\b"
    r"|\b(?:first|last) (?:\w+ )?(?:recorded|date|day)\b"
    r"|\bdate range\b|\btime (?:span|range|period)\b|\bhow far back\b"
    r"|\bperiod .{0,16}cover|\bwhat (?:dates|period)\b",
    re.IGNORECASE,
)
