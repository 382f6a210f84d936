"""One number: a count, a total, an average, a rate; and averages per customer, order, …"""

from dataclasses import dataclass, replace

from ..frames import Frame
from ..plan import Plan
from ..prose import amount, capital, cell, number, real
from ..schema import label_column
from ..terms import Field, aggregate_words
from ..words import singular
from .program import Analysis, Artifacts, Result, assemble, figure, frame_of, notes, overall

_CONTEXT = 5


@dataclass(frozen=True)
class Single:
    """One number over the rows that the question keeps."""

    plan: Plan

    @property
    def what(self) -> str:
        return aggregate_words(self.plan.aggregate, self.plan.measure)

    @property
    def title(self) -> str:
        return self.what

    def aim(self) -> str:
        kept = ", ".join(condition.text for condition in self.plan.conditions)
        return capital(f"{self.what}{f', only {kept}' if kept else ''}.")

    @property
    def _extreme(self) -> bool:
        return self.plan.aggregate in ("min", "max") and self.plan.measure.kind == "column"

    @property
    def _numeric(self) -> bool:
        return not (self.plan.measure.counted or self.plan.measure.share)

    def _context(self) -> tuple[Field, ...]:
        """Columns that say which row an extreme belongs to."""
        if not self._extreme:
            named = self._naming()
            return (named,) if named else ()
        columns = self.plan.schema.table(self.plan.base).columns
        told = [c for c in columns if c.kind in ("text", "date") or c.key]
        return tuple(
            Field(c.table, c.name) for c in told if c.name not in self.plan.measure.columns
        )[:_CONTEXT]

    def program(self) -> str:
        plan, frame = self.plan, frame_of(self.plan, fields=self._context())
        body = ["", f"value = {overall(plan, frame)}", f"print({self.what + ':'!r}, value)"]
        body.append('result = {"value": float(value), "n": len(data)}')
        if plan.measure.kind != "rows":
            name = frame.measure_name(plan.measure)
            body.append(f'result["known"] = int(data[{name!r}].notna().sum())')
            if self._numeric:
                body += self._spread(name)
            if self._extreme:
                body += self._row(name, [frame.name(field) for field in self._context()])
            if self._numeric:
                body += self._plot(name)
        if plan.measure.share:
            name = frame.measure_name(plan.measure)
            body.append(f'result["hits"] = float(data[{name!r}].sum())')
            body += self._names(name, frame)
        return assemble(self.aim(), frame.lines(), body, plot=self._numeric)

    def _spread(self, name: str) -> list[str]:
        return [
            f"spread = data[{name!r}].describe(percentiles=[0.5])",
            "print(spread.to_string())",
            'result |= {key: float(spread[key]) for key in ("mean", "50%", "min", "max", "std")}',
        ]

    def _naming(self) -> Field | None:
        """What names the rows that a share is about: their label, else their key."""
        base = self.plan.schema.table(self.plan.base)
        column = label_column(base.columns) or base.identity
        wanted = self.plan.measure.kind in ("absent", "exists") and column is not None
        return Field(column.table, column.name) if column and wanted else None

    def _names(self, name: str, frame: Frame) -> list[str]:
        told = self._naming()
        if told is None:
            return []
        column = frame.name(told)
        return [
            f"hits = data.loc[data[{name!r}] == 1, {column!r}]",
            f"hits.to_csv({Artifacts(self.what).table!r}, index=False)",
            'result["names"] = [str(one) for one in hits.head(20)]',
        ]

    def _row(self, name: str, told: list[str]) -> list[str]:
        function = "idxmax" if self.plan.aggregate == "max" else "idxmin"
        return [
            f"if data[{name!r}].notna().any():  # the row that it belongs to",
            f"    row = data.loc[data[{name!r}].{function}(), {told!r}]",
            '    result["row"] = {column: str(held) for column, held in row.items()}',
            f"print(data.sort_values({name!r}, "
            f"ascending={self.plan.aggregate == 'min'}).head(5).to_string())",
        ]

    def _plot(self, name: str) -> list[str]:
        label = self.plan.measure.label
        return [
            "",
            f"if data[{name!r}].notna().any():",
            "    plt.figure(figsize=(8, 4))",
            f"    plt.hist(data[{name!r}].dropna(), bins=40)",
            f"    plt.xlabel({label!r})",
            '    plt.ylabel("rows")',
            *(f"    {line}" for line in figure(capital(label), Artifacts(label)) if line),
        ]

    def report(self, result: Result) -> str:
        plan = self.plan
        kept = ", ".join(condition.text for condition in plan.conditions)
        where = f" ({cell(kept)})" if kept else ""
        parts = [f"**{capital(self.what)}{where}: {amount(result.get('value'), plan.measure)}**"]
        if plan.measure.share and plan.asked.count:
            hits = f"{number(result.get('hits'))} of {number(result.get('known'))}"
            rate = f"{self.what}: {amount(result.get('value'), plan.measure)}"
            parts = [f"**{hits} {plan.schema.table(plan.base).many}{where}**, {rate}."]
        elif plan.measure.share:
            parts.append(
                f"That is {number(result.get('hits'))} of {number(result.get('known'))} "
                f"{plan.schema.table(plan.base).many}."
            )
        names = result.get("names")
        if (
            isinstance(names, list)
            and names
            and plan.measure.kind == "absent"
            and not plan.asked.count
        ):
            further = " …" if real(result.get("hits")) > len(names) else ""
            parts.append(f"They are: {', '.join(cell(name) for name in names)}{further}.")
        row = result.get("row")
        if isinstance(row, dict) and row:
            parts.append(
                "The row: "
                + ", ".join(
                    f"{cell(k)} {cell(str(v).removesuffix(' 00:00:00'))}" for k, v in row.items()
                )
                + "."
            )
        if self._numeric and plan.aggregate != "count":
            parts.append(self._around(result))
            parts.append(f"![{cell(plan.measure.label)}]({Artifacts(plan.measure.label).figure})")
        frame = frame_of(plan, fields=self._context())
        more = [f"{number(result.get('n'))} rows went in{self._gaps(result)}."]
        return "\n\n".join([*parts, notes(plan, frame, Artifacts(self.what), *more)])

    def _gaps(self, result: Result) -> str:
        known, rows = real(result.get("known")), real(result.get("n"))
        return f", {number(rows - known)} of them without a value" if known < rows else ""

    def _around(self, result: Result) -> str:
        measure = self.plan.measure
        told = [("average", "mean"), ("median", "50%"), ("lowest", "min"), ("highest", "max")]
        return (
            capital(", ".join(f"{word} {amount(result.get(key), measure)}" for word, key in told))
            + f" over {number(result.get('known'))} values."
        )

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        if not self.plan.careful:
            return replace(self, plan=replace(self.plan, careful=True))
        return (
            replace(self, plan=replace(self.plan, conditions=())) if self.plan.conditions else None
        )


@dataclass(frozen=True)
class PerEntity:
    """An average over entities: revenue per customer, lines per order."""

    plan: Plan

    @property
    def entity(self) -> str:
        label = self.plan.groups[0].label.lower()
        return singular(label.removesuffix(" id").removesuffix(" name"))

    @property
    def what(self) -> str:
        word = "median" if self.plan.aggregate == "median" else "average"
        if self.plan.asked.aggregate == "median":
            word = "median"
        return f"{word} {self.plan.measure.label} per {self.entity}"

    @property
    def title(self) -> str:
        return self.what

    def aim(self) -> str:
        return capital(
            f"{self.what}: add up for each {self.entity} first, then "
            f"take the {self.what.split()[0]}."
        )

    def _inner(self) -> Plan:
        inner = (
            "sum"
            if self.plan.aggregate in ("mean", "median") and self.plan.measure.additive
            else self.plan.aggregate
        )
        return replace(self.plan, aggregate=inner)

    def program(self) -> str:
        from .program import aggregated, key

        plan = self._inner()
        frame = frame_of(plan)
        lines, name = key(plan.groups[0], frame)
        body = [
            "",
            *lines,
            f"each = ({aggregated(plan, frame, [name])})['value']",
            "print(each.describe().to_string())",
            'result = {"mean": float(each.mean()), "median": '
            'float(each.median()), "entities": len(each),',
            '          "max": float(each.max()), "min": float(each.min()), "n": len(data)}',
            "plt.figure(figsize=(8, 4))",
            "plt.hist(each.dropna(), bins=40)",
            f"plt.xlabel({f'{plan.measure.label} per {self.entity}'!r})",
            *figure(capital(self.what), Artifacts(self.what)),
        ]
        return assemble(self.aim(), frame.lines(), body)

    def report(self, result: Result) -> str:
        plan, measure = self.plan, self.plan.measure
        value = result.get("median" if self.what.startswith("median") else "mean")
        parts = [
            f"**{capital(self.what)}: {amount(value, measure)}**",
            f"Over {number(result.get('entities'))} with at least one row: "
            f"average {amount(result.get('mean'), measure)}, "
            f"median {amount(result.get('median'), measure)}, from "
            f"{amount(result.get('min'), measure)} "
            f"to {amount(result.get('max'), measure)}.",
            f"![{cell(self.what)}]({Artifacts(self.what).figure})",
            notes(
                plan,
                frame_of(plan),
                Artifacts(self.what),
                f"{number(result.get('n'))} rows went in.",
            ),
        ]
        return "\n\n".join(parts)

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        return None if self.plan.careful else replace(self, plan=replace(self.plan, careful=True))
