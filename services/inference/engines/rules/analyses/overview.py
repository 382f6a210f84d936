"""A first look at everything: sizes, key figures, top groups, the course over time, gaps."""

from dataclasses import dataclass, replace
from math import log10

from .. import measures
from ..narrowing import date_column
from ..plan import Plan, dimensions
from ..prose import amount, capital, cell, listing, number, percent, real, records, table
from ..schema import Column, Schema, Table
from ..terms import Aggregate, Field, Measure, aggregate_words
from ..times import default_grain
from .program import _PERIODS, Analysis, Artifacts, Result, assemble, figure, frame_of, notes

_DIMENSIONS = 3
_FIGURES = 8


@dataclass(frozen=True)
class Overview:
    """Key figures of the main table, by its dimensions and over time."""

    plan: Plan
    split: tuple[Field, ...]
    when: Field | None
    period: str

    title = "overview"

    @classmethod
    def of(cls, plan: Plan) -> "Overview":
        """The overview of the plan's base table."""
        date_ = date_column(plan)
        when, period = None, "M"
        if date_ is not None and date_.low:
            from datetime import date as day

            bounds = [day.fromisoformat(str(end)[:10]) for end in (date_.low, date_.high)]
            when, period = Field(date_.table, date_.name), _PERIODS[default_grain(*bounds)]
        return cls(plan, dimensions(plan, limit=_DIMENSIONS), when, period)

    @property
    def what(self) -> str:
        return aggregate_words(self.plan.aggregate, self.plan.measure)

    def aim(self) -> str:
        return f"Key figures of {self.plan.base}, its main groups and its course over time."

    def _numbers(self) -> list[Column]:
        columns = self.plan.schema.table(self.plan.base).columns
        return [column for column in columns if column.measure][:_FIGURES]

    def _frame_fields(self) -> tuple[Field, ...]:
        numbers = tuple(Field(column.table, column.name) for column in self._numbers())
        return (*self.split, *((self.when,) if self.when else ()), *numbers)

    def program(self) -> str:
        frame = frame_of(self.plan, fields=self._frame_fields())
        counted = self.plan.measure.kind == "rows"
        name = "" if counted else frame.measure_name(self.plan.measure)
        value = ".size()" if counted else f"[{name!r}].{self.plan.aggregate}()"
        artifacts = Artifacts(f"{self.title} of {self.plan.base}")
        numbers = [frame.name(Field(column.table, column.name)) for column in self._numbers()]
        body = [
            "",
            'result = {"rows": len(data), "figures": [], "groups": [], "course": []}',
            f"for column in {numbers!r}:",
            "    held = data[column].dropna().astype(float)",
            '    result["figures"].append({"column": column, "n": len(held), **{',
            '        key: float(getattr(held, key)()) for key in ("sum", '
            '"mean", "median", "min", "max")}})',
            'print(pd.DataFrame(result["figures"]).to_string())',
            f"for column in {[frame.name(field) for field in self.split]!r}:",
            f"    by = data.groupby(column, observed=True){value}.sort_values(ascending=False)",
            "    print(by.head(10).to_string())",
            '    result["groups"].append({"column": column, "count": len(by),',
            '                             "top": [[str(i), float(v)] '
            "for i, v in by.head(5).items()]})",
        ]
        body += self._course(frame.name(self.when), value) if self.when else []
        body += self._plot(artifacts)
        return assemble(self.aim(), frame.lines(), body)

    def _course(self, dated: str, value: str) -> list[str]:
        return [
            f"when = data[{dated!r}].dt.to_period({self.period!r})",
            f"course = data.groupby(when){value}",
            "print(course.tail(24).to_string())",
            'result["course"] = [[str(i), float(v)] for i, v in course.items()][-60:]',
        ]

    def _plot(self, artifacts: Artifacts) -> list[str]:
        return [
            "",
            'shown = [(group["column"], group["top"]) for group in result["groups"][:2]]',
            'panels = [("over time", result["course"])] * bool(result["course"]) + shown',
            "if panels:",
            "    fig, axes = plt.subplots(1, len(panels), figsize=(4.5 "
            "* len(panels), 4), squeeze=False)",
            "    for axis, (name, points) in zip(axes[0], panels):",
            "        labels, values = [p[0] for p in points], [p[1] for p in points]",
            '        axis.plot(labels, values) if name == "over '
            'time" else axis.bar(labels, values)',
            "        axis.set_title(name)",
            "        axis.set_xticks(range(0, len(labels), max(len(labels) // 8, 1)))",
            '        axis.tick_params(axis="x", rotation=60)',
            f"    fig.suptitle({capital(self.what)!r})",
            *(f"    {line}" for line in figure("", artifacts)[1:] if line),
            "",
        ]

    # -- what it says ---------------------------------------------------------------------

    def report(self, result: Result) -> str:
        base = self.plan.schema.table(self.plan.base)
        parts = [
            self._opening(),
            sizes(self.plan.schema),
            f"### {capital(base.name)}",
            self._figures(result),
        ]
        parts += [self._group(group) for group in records(result, "groups")]
        parts.append(self._over_time(result))
        name = f"{self.title} of {self.plan.base}"
        if self.split or self.when:
            parts.append(f"![Overview]({Artifacts(name).figure})")
        parts.append(gaps(self.plan.schema))
        parts.append(
            notes(self.plan, frame_of(self.plan, fields=self._frame_fields()), Artifacts(name))
        )
        return "\n\n".join(part for part in parts if part)

    def _opening(self) -> str:
        tables = self.plan.schema.tables
        rows = sum(table.rows for table in tables)
        return (
            f"**{number(len(tables))} {'table' if len(tables) == 1 else 'tables'} "
            f"with {number(rows)} rows in all.**"
        )

    def _figures(self, result: Result) -> str:
        rows = [
            [
                cell(row.get("column")),
                *(number(row.get(k)) for k in ("sum", "mean", "median", "min", "max")),
            ]
            for row in records(result, "figures")
        ]
        return (
            table(["column", "total", "average", "median", "lowest", "highest"], rows)
            if rows
            else ""
        )

    def _group(self, group: dict[str, object]) -> str:
        top = group.get("top")
        if not isinstance(top, list) or not top:
            return ""
        told = [f"{cell(name)} {amount(value, self.plan.measure)}" for name, value in top[:5]]
        more = f" (of {number(group.get('count'))})" if real(group.get("count")) > len(told) else ""
        return (
            f"- **{capital(self.what)} by {cell(group.get('column'))}{more}:** {', '.join(told)}."
        )

    def _over_time(self, result: Result) -> str:
        course = result.get("course")
        if not isinstance(course, list) or len(course) < 2:
            return ""
        points = [(str(point[0]), real(point[1])) for point in course]
        peak, low = max(points, key=lambda p: p[1]), min(points, key=lambda p: p[1])
        measure = self.plan.measure
        return (
            f"- **Over time:** from {points[0][0]} to {points[-1][0]}; highest in {peak[0]} "
            f"({amount(peak[1], measure)}), lowest in {low[0]} ({amount(low[1], measure)})."
        )

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        if not self.plan.careful:
            return replace(self, plan=replace(self.plan, careful=True))
        own = tuple(field for field in self.split if field.table == self.plan.base)
        if own != self.split or (self.when and self.when.table != self.plan.base):
            when = self.when if self.when and self.when.table == self.plan.base else None
            return replace(self, split=own, when=when)
        return None


def main_measure(schema: Schema) -> tuple[Measure, Aggregate]:
    """What an overview adds up when nobody said what."""
    found = [(one, usual) for one in schema.tables if (usual := measures.usual(schema, one))]
    # of two amounts the one with more rows behind it
    ranked = [(usual.score + 0.05 * log10(max(one.rows, 1)), usual) for one, usual in found]
    _, usual = max(ranked, key=lambda entry: entry[0], default=(0.0, None))
    if usual is not None and usual.score >= 0.2:
        return usual.measure, "sum" if usual.measure.additive else "mean"
    biggest = max(schema.tables, key=lambda one: one.rows)
    return measures.row_count(biggest), "count"


def sizes(schema: Schema) -> str:
    """The tables with their rows and columns."""
    rows = [
        [cell(one.name), number(one.rows), number(one.width), _columns(one), cell(_files(one))]
        for one in schema.tables
    ]
    return table(["table", "rows", "columns", "what is in it", "from"], rows)


def _columns(one: Table) -> str:
    names = [cell(column.name) for column in one.columns[:9]]
    return ", ".join(names) + (" …" if one.width > 9 else "")


def _files(one: Table) -> str:
    return one.files[0] if len(one.files) == 1 else f"{one.files[0]} and {len(one.files) - 1} more"


def gaps(schema: Schema) -> str:
    """Missing values and repeated rows as the profile found them."""
    missing = [column for column in schema.columns if column.nulls and column.rows]
    missing.sort(key=lambda column: -column.nulls / column.rows)
    told = [f"{cell(c.table)}.{cell(c.name)} {percent(c.nulls / c.rows)}" for c in missing[:6]]
    lines = [f"- **Missing:** {listing(told) if told else 'nothing'}."]
    repeated = [f"{cell(one.name)} {number(one.repeated)}" for one in schema.tables if one.repeated]
    lines += [f"- **Repeated rows:** {', '.join(repeated)}."] if repeated else []
    return "\n".join(lines)
