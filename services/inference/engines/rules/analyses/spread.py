"""How the values of one measure lie: their distribution, and those far outside it."""

from dataclasses import dataclass, replace

from ..plan import Plan
from ..prose import amount, capital, cell, number, percent, real, records, table
from ..terms import Field
from .program import Analysis, Artifacts, Result, assemble, figure, frame_of, notes

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Spread:
    """Quantiles, shape and outliers of a measure; `outliers` puts the latter first."""

    plan: Plan
    outliers: bool = False

    @property
    def title(self) -> str:
        return f"{'outliers' if self.outliers else 'distribution'} of {self.plan.measure.label}"

    def aim(self) -> str:
        return capital(
            f"{self.title}: quantiles, and what lies beyond 1.5 times the quartiles' distance."
        )

    def _told(self) -> tuple[Field, ...]:
        columns = self.plan.schema.table(self.plan.base).columns
        told = [c for c in columns if c.key or c.kind in ("date", "text")]
        return tuple(
            Field(c.table, c.name) for c in told if c.name not in self.plan.measure.columns
        )[:4]

    def program(self) -> str:
        frame = frame_of(self.plan, fields=self._told())
        name = frame.measure_name(self.plan.measure)
        told = [frame.name(field) for field in self._told()]
        artifacts = Artifacts(self.title)
        body = [
            "",
            f"values = data[{name!r}].dropna().astype(float)",
            f"quantiles = values.quantile({list(_QUANTILES)!r})",
            "print(values.describe().to_string())",
            "low, high = values.quantile(0.25), values.quantile(0.75)",
            "floor, ceiling = low - 1.5 * (high - low), high + 1.5 * (high - low)",
            "far = data.loc[values.index[(values < floor) | (values > ceiling)]]",
            f"far = far.assign(distance=(far[{name!r}].astype(float) - values.median()).abs())",
            'far = far.sort_values("distance", ascending=False)',
            f"print(len(far), 'outliers'); print(far[{[*told, name]!r}].head(10).to_string())",
            f"far.drop(columns='distance').to_csv({artifacts.table!r}, index=False)",
            "",
            "fig, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, height_ratios=[4, 1])",
            "axes[0].hist(values, bins=50)",
            "axes[1].boxplot(values, vert=False, widths=0.6)",
            f"axes[1].set_xlabel({self.plan.measure.label!r})",
            f"axes[0].set_title({capital(self.title)!r})",
            *figure("", artifacts)[1:],
            "result = {",
            '    "n": len(data), "known": len(values), "mean": '
            'float(values.mean()), "std": float(values.std()),',
            '    "min": float(values.min()), "max": float(values.max()), '
            '"skew": float(values.skew()),',
            '    "quantiles": [float(value) for value in quantiles],',
            '    "floor": float(floor), "ceiling": float(ceiling), "outliers": len(far),',
            '    "above": int((values > ceiling).sum()), "below": int((values < floor).sum()),',
            f"    'far': [{{'value': float(row[{name!r}]), 'told': "
            f"{{c: str(row[c]) for c in {told!r}}}}}",
            "            for _, row in far.head(8).iterrows()],",
            "}",
        ]
        return assemble(self.aim(), frame.lines(), body)

    def report(self, result: Result) -> str:
        plan, frame = self.plan, frame_of(self.plan, fields=self._told())
        if not real(result.get("known")) > 0:
            return f"{capital(plan.measure.label)} has no values here."
        shape, far = self._shape(result), self._far(result)
        first = (
            [far, self._rows(result), shape]
            if self.outliers
            else [shape, self._quantiles(result), far]
        )
        artifacts = Artifacts(self.title)
        more = f"The outlying rows are in `{artifacts.table}`."
        parts = [
            *first,
            f"![{cell(capital(self.title))}]({artifacts.figure})",
            notes(plan, frame, artifacts, more),
        ]
        return "\n\n".join(part for part in parts if part)

    def _shape(self, result: Result) -> str:
        measure = self.plan.measure
        middle = result.get("quantiles")
        marks = (
            middle if isinstance(middle, list) and len(middle) == len(_QUANTILES) else [None] * 7
        )
        skew = real(result.get("skew"))
        leaning = (
            "with a long tail of large values"
            if skew > 1
            else "with a long tail of small values"
            if skew < -1
            else "fairly even on both sides"
        )
        return (
            f"**{capital(measure.label)}: median {amount(marks[3], measure)}, "
            f"half of all values between "
            f"{amount(marks[2], measure)} and {amount(marks[4], measure)}**, {leaning}. "
            f"Average {amount(result.get('mean'), measure)}, standard "
            f"deviation {number(result.get('std'))}, "
            f"from {amount(result.get('min'), measure)} to {amount(result.get('max'), measure)} "
            f"over {number(result.get('known'))} values."
        )

    def _quantiles(self, result: Result) -> str:
        marks = result.get("quantiles")
        if not isinstance(marks, list):
            return ""
        rows = [
            [f"{share:.0%}", amount(value, self.plan.measure)]
            for share, value in zip(_QUANTILES, marks, strict=False)
        ]
        return table(["share of values below", self.plan.measure.label], rows)

    def _far(self, result: Result) -> str:
        measure, count = self.plan.measure, real(result.get("outliers"))
        share = percent(count / real(result.get("known")))
        text = (
            f"{number(count)} outliers ({share} of the values): {number(result.get('above'))} "
            f"above {amount(result.get('ceiling'), measure)} and {number(result.get('below'))} "
            f"below {amount(result.get('floor'), measure)}."
        )
        return f"**{capital(measure.label)}: {text}**" if self.outliers else text

    def _rows(self, result: Result) -> str:
        rows = records(result, "far")
        told = [row.get("told") for row in rows]
        names = list(told[0]) if told and isinstance(told[0], dict) else []
        lines = [
            [*(cell(held.get(name)) for name in names), amount(row.get("value"), self.plan.measure)]
            for row, held in zip(rows, told, strict=True)
            if isinstance(held, dict)
        ]
        return (
            table([*(cell(name) for name in names), self.plan.measure.label], lines)
            if lines
            else ""
        )

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        if not self.plan.careful:
            return replace(self, plan=replace(self.plan, careful=True))
        return (
            replace(self, plan=replace(self.plan, conditions=())) if self.plan.conditions else None
        )
