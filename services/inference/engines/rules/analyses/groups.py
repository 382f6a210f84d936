"""A measure by groups: totals, averages, counts and rates, ranked."""

from dataclasses import dataclass, replace

from ..plan import Plan, dimensions, measured
from ..prose import amount, capital, cell, number, percent, real, records, table
from ..terms import Group
from .blame import Blame
from .program import (
    Analysis,
    Artifacts,
    Result,
    aggregated,
    assemble,
    figure,
    frame_of,
    key,
    notes,
    overall,
)

_SHOWN = 30
_ORDERED = ("weekday", "hour", "season")


@dataclass(frozen=True)
class Groups:
    """Ranks the groups of one column, or of two together."""

    plan: Plan

    @property
    def what(self) -> str:
        return measured(self.plan)

    @property
    def title(self) -> str:
        return f"{self.what} by {' and '.join(group.label for group in self.plan.groups)}"

    def aim(self) -> str:
        return capital(f"{self.title}.")

    def program(self) -> str:
        plan, frame = self.plan, frame_of(self.plan)
        artifacts = Artifacts(self.title)
        lines: list[str] = []
        keys: list[str] = []
        for group in plan.groups:
            made, name = key(group, frame)
            lines, keys = [*lines, *made], [*keys, name]
        body = ["", *lines, f"table = {aggregated(plan, frame, keys)}"]
        body += ['table = table[table["value"].notna()]', *self._small()]
        body += [
            f'table = table.sort_values("value", ascending={plan.ascending}, kind="stable")',
            f"overall = {overall(plan, frame)}",
            f'print(table.head({_SHOWN}).rename(columns={{"value": {self.what!r}}}).to_string())',
            f"table.to_csv({artifacts.table!r})",
            "",
            *self._plot(artifacts),
            *self._result(keys),
        ]
        return assemble(self.aim(), frame.lines(), body)

    def _small(self) -> list[str]:
        if not self.plan.measure.share:
            return ["omitted = 0"]
        return [
            "# a rate of a handful of rows says little",
            'enough = table["n"] >= table["n"].median() * 0.1',
            "omitted, table = int((~enough).sum()), table[enough]",
        ]

    def _plot(self, artifacts: Artifacts) -> list[str]:
        scale = " * 100" if self.plan.measure.share else ""
        axis = self.what + (" (%)" if self.plan.measure.share else "")
        if len(self.plan.groups) > 1:
            draw = [
                'wide = table["value"].unstack().iloc[:12, :8]',
                f"(wide{scale}).plot.bar(figsize=(9, 5))",
                f"plt.ylabel({axis!r})",
            ]
        else:
            draw = [
                "top = table.head(15)[::-1]",
                "plt.figure(figsize=(8, 4.5))",
                f'plt.barh(top.index.astype(str), top["value"]{scale})',
            ]
            if self.plan.aggregate in ("mean", "median"):
                draw.append(
                    f'plt.axvline(overall{scale}, color="grey", linestyle="--", label="all rows")'
                )
                draw.append("plt.legend()")
            draw.append(f"plt.xlabel({axis!r})")
        return [
            "if len(table):",
            *(f"    {line}" for line in [*draw, *figure(capital(self.title), artifacts)] if line),
            "",
        ]

    def _result(self, keys: list[str]) -> list[str]:
        names = "[str(part) for part in index]" if len(keys) > 1 else "[str(index)]"
        return [
            f"shown = table if len(table) <= {_SHOWN} else "
            f"pd.concat([table.head({_SHOWN - 3}), table.tail(3)])",
            "result = {",
            f'    "rows": [{{"group": {names}, "value": float(row["value"]), "n": int(row["n"])}}',
            "             for index, row in shown.iterrows()],",
            '    "count": len(table), "overall": float(overall), '
            '"n": len(data), "omitted": omitted,',
            '    "sum": float(table["value"].sum()),',
            "}",
        ]

    # -- what it says ---------------------------------------------------------------------

    def report(self, result: Result) -> str:
        rows = [self._spelled(row) for row in records(result, "rows")]
        frame = frame_of(self.plan)
        if not rows:
            return (
                f"No rows are left for "
                f"{self.title}.\n\n{notes(self.plan, frame, Artifacts(self.title))}"
            )
        parts = [self._headline(rows, result), self._table(rows, result)]
        parts.append(f"![{capital(self.title)}]({Artifacts(self.title).figure})")
        more = [
            f"{number(result.get('n'))} rows went in; the full table "
            f"is in `{Artifacts(self.title).table}`."
        ]
        if real(result.get("omitted")) > 0:
            more.append(f"{number(result.get('omitted'))} groups with too few rows are left out.")
        if _unexplained(self.plan):
            more.append("Why is left open: to say what lies behind it takes a rate or an amount.")
        parts.append(notes(self.plan, frame, Artifacts(self.title), *more))
        return "\n\n".join(parts)

    def _spelled(self, row: dict[str, object]) -> dict[str, object]:
        """Yes and no for the values of a flag."""
        schema, words = self.plan.schema, {"1.0": "yes", "0.0": "no", "True": "yes", "False": "no"}
        kinds = [schema.column(g.field.table, g.field.column).kind for g in self.plan.groups]
        parts = zip(_parts(row), [*kinds, "", ""], strict=False)
        return row | {"group": [words.get(str(p), p) if k == "flag" else p for p, k in parts]}

    def _headline(self, rows: list[dict[str, object]], result: Result) -> str:
        plan, measure = self.plan, self.plan.measure
        name, value = _name(rows[0]), amount(rows[0].get("value"), measure)
        if plan.focus:
            return self._focused(rows, result)
        by = " and ".join(group.label for group in plan.groups)
        rank = "lowest" if plan.ascending else "highest"
        what = self.plan.measure.label if _each(rows) and not plan.measure.counted else self.what
        text = f"**{name} has the {rank} {what}: {value}**"
        tied = sum(row.get("value") == rows[0].get("value") for row in rows)
        if 1 < tied < len(rows):
            text += f" (as {number(tied - 1)} more have)"
        text += self._against(rows[0], result)
        if len(rows) == 2 and real(result.get("count")) == 2:
            text += self._gap(rows)
        elif len(rows) > 1:
            last = rows[-1]
            other = "highest" if plan.ascending else "lowest"
            text += (
                f" The {other} of {number(result.get('count'))} ({by}) is {_name(last)} "
                f"with {amount(last.get('value'), measure)}."
            )
        if measure.share:
            text += self._most_often(rows)
        return text

    def _most_often(self, rows: list[dict[str, object]]) -> str:
        hits = [(real(row.get("value")) * real(row.get("n")), row) for row in rows]
        hits.sort(key=lambda entry: -entry[0])
        count, row = hits[0]
        if row is rows[0] or self.plan.ascending:
            first = real(rows[0].get("value")) * real(rows[0].get("n"))
            return f" That is {number(round(first))} of {number(rows[0].get('n'))}."
        return (
            f" In plain numbers {_name(row)} leads with {number(round(count))} "
            f"of {number(row.get('n'))}."
        )

    def _against(self, row: dict[str, object], result: Result) -> str:
        plan = self.plan
        if plan.measure.share or plan.aggregate in ("mean", "median"):
            word = "median" if plan.aggregate == "median" else "average"
            return f", against {amount(result.get('overall'), plan.measure)} as the {word} of all."
        total = real(result.get("overall"))
        if plan.aggregate in ("sum", "count") and total:
            share = percent(real(row.get("value")) / total)
            return f", {share} of {amount(total, plan.measure)} in all."
        return "."

    def _gap(self, rows: list[dict[str, object]]) -> str:
        first, second = real(rows[0].get("value")), real(rows[1].get("value"))
        text = f" {_name(rows[1])} has {amount(second, self.plan.measure)}"
        if self.plan.measure.share:
            return f"{text}: {abs(first - second) * 100:.1f} percentage points apart."
        relative = f" ({percent(abs(first - second) / abs(second))})" if second else ""
        return (
            f"{text}: a difference of {amount(abs(first - second), self.plan.measure)}{relative}."
        )

    def _focused(self, rows: list[dict[str, object]], result: Result) -> str:
        plan = self.plan
        for place, row in enumerate(rows, 1):
            if plan.focus.lower() in [str(part).lower() for part in _parts(row)]:
                rank = f"number {place} of {number(result.get('count'))}"
                value = amount(row.get("value"), plan.measure)
                return (
                    f"**{cell(plan.focus)}: {self.what} "
                    f"{value}**{self._against(row, result)} It is "
                    f"{rank}, {'smallest' if plan.ascending else 'largest'} first."
                )
        return f"{cell(plan.focus)} is not among the groups with enough rows."

    def _table(self, rows: list[dict[str, object]], result: Result) -> str:
        plan = self.plan
        total = real(result.get("overall"))
        shared = plan.aggregate in ("sum", "count") and total > 0
        headers = [*(cell(group.label) for group in plan.groups), self.what]
        headers += ["share"] if shared else []
        headers += ["rows"] if plan.measure.kind != "rows" else []
        limit = plan.top or (24 if plan.groups[0].grain else 12)
        lines = []
        for row in rows[:limit]:
            line = [*(cell(part) for part in _parts(row)), amount(row.get("value"), plan.measure)]
            line += [percent(real(row.get("value")) / total)] if shared else []
            line += [number(row.get("n"))] if plan.measure.kind != "rows" else []
            lines.append(line)
        return table(headers, lines)

    # -- what follows ---------------------------------------------------------------------

    def next(self, result: Result) -> Analysis | None:
        rows = records(result, "rows")
        plan = self.plan
        if not (plan.asked.why and rows and len(plan.groups) == 1 and not plan.groups[0].grain):
            return None
        worst = plan.focus or str(_parts(rows[0])[0])
        return Blame.of(plan, worst)

    def simpler(self) -> Analysis | None:
        plan = self.plan
        if not plan.careful:
            return replace(self, plan=replace(plan, careful=True))
        own = [group for group in plan.groups if group.field.table == plan.base]
        if plan.conditions or len(own) < len(plan.groups):
            kept = tuple(own) or tuple(_own(plan))
            if kept and (kept != plan.groups or plan.conditions):
                return replace(self, plan=replace(plan, groups=kept, conditions=()))
        return None


def _own(plan: Plan) -> list[Group]:
    own = [field for field in dimensions(plan, limit=20) if field.table == plan.base]
    return [Group(field) for field in own[:1]]


def _unexplained(plan: Plan) -> bool:
    """Whether the question asks why of a number of rows, which no row has a share in."""
    return plan.asked.why and plan.measure.counted


def _each(rows: list[dict[str, object]]) -> bool:
    """Whether every group is one row, so that there was nothing to add up."""
    return all(row.get("n") == 1 for row in rows)


def _parts(row: dict[str, object]) -> list[object]:
    group = row.get("group")
    return group if isinstance(group, list) else [group]


def _name(row: dict[str, object]) -> str:
    return " / ".join(cell(part) for part in _parts(row))
