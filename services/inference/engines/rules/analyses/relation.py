"""What goes together: two columns with each other, or one measure with all the rest."""

from dataclasses import dataclass, replace

from ..plan import Plan
from ..prose import amount, capital, cell, number, real, records, table
from ..terms import Field, Measure
from .program import Analysis, Artifacts, Result, assemble, figure, frame_of, notes

_MANY = 14


@dataclass(frozen=True)
class Relation:
    """The measure of the plan against one other measure."""

    plan: Plan
    other: Measure

    @property
    def title(self) -> str:
        return f"{self.plan.measure.label} and {self.other.label}"

    def aim(self) -> str:
        return f"Do {self.title} go together? Pearson's and Spearman's correlation."

    def program(self) -> str:
        frame = frame_of(self.plan, measures=(self.other,))
        y, x = frame.measure_name(self.plan.measure), frame.measure_name(self.other)
        artifacts = Artifacts(self.title)
        body = [
            "",
            f"pairs = data[[{x!r}, {y!r}]].astype(float).dropna()",
            f"x, y = pairs[{x!r}], pairs[{y!r}]",
            "pearson, spearman = x.corr(y), x.rank().corr(y.rank())",
            'print(f"pearson {pearson:.4f}, spearman {spearman:.4f}, {len(pairs)} pairs")',
            "slope, start = np.polyfit(x, y, 1) if len(pairs) > 2 and "
            "x.nunique() > 1 else (np.nan, np.nan)",
            "few = x.nunique() <= 2  # a yes/no column: compare the two sides",
            "sides = y.groupby(x).agg(['mean', 'count']) if few else pd.DataFrame()",
            "plt.figure(figsize=(7, 5))",
            "shown = pairs.sample(min(len(pairs), 3000), random_state=1)",
            f"plt.scatter(shown[{x!r}], shown[{y!r}], s=10, alpha=0.4)",
            "plt.plot([x.min(), x.max()], [start + slope * x.min(), "
            "start + slope * x.max()], color='black')",
            f"plt.xlabel({self.other.label!r}); plt.ylabel({self.plan.measure.label!r})",
            *figure(capital(self.title), artifacts),
            'result = {"pearson": float(pearson), "spearman": float(spearman), '
            '"n": len(pairs), "slope": float(slope),',
            '          "sides": [[float(i), float(r["mean"]), int(r["count"])] '
            "for i, r in sides.iterrows()]}",
        ]
        return assemble(self.aim(), frame.lines(), body)

    def report(self, result: Result) -> str:
        r = real(result.get("pearson"))
        frame = frame_of(self.plan, measures=(self.other,))
        if r != r:
            head = (
                f"**{capital(self.title)}: no correlation can be told**, one of them does not vary."
            )
        else:
            head = (
                f"**{capital(self.title)} show {strength(r)} (Pearson {r:.3f}, Spearman "
                f"{real(result.get('spearman')):.3f}, {number(result.get('n'))} pairs).**"
            )
        slope = real(result.get("slope"))
        parts = [head, self._sides(result)]
        if slope == slope and not parts[1]:
            parts.append(
                f"One more of {self.other.label} goes with {slope:+.4g} of "
                f"{self.plan.measure.label} on a straight line."
            )
        parts.append(f"![{cell(capital(self.title))}]({Artifacts(self.title).figure})")
        parts.append(
            notes(
                self.plan,
                frame,
                Artifacts(self.title),
                "This shows what goes together; it does not prove a cause.",
            )
        )
        return "\n\n".join(part for part in parts if part)

    def _sides(self, result: Result) -> str:
        sides = result.get("sides")
        if not isinstance(sides, list) or len(sides) != 2:
            return ""
        (_, no, n_no), (_, yes, n_yes) = sides
        measure, label = self.plan.measure, self.other.label
        return (
            f"{capital(measure.label)} is **{amount(yes, measure)}** where `{label}` holds "
            f"({number(n_yes)} rows) and **{amount(no, measure)}** where not ({number(n_no)} rows)."
        )

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        return None if self.plan.careful else replace(self, plan=replace(self.plan, careful=True))


def strength(r: float) -> str:
    """A correlation in words; bounds after Cohen (1988) for small, medium and large."""
    size = abs(r)
    word = (
        "no"
        if size < 0.1
        else "a weak"
        if size < 0.3
        else "a moderate"
        if size < 0.5
        else "a strong"
    )
    sign = "" if size < 0.1 else " positive" if r > 0 else " negative"
    return f"{word}{sign} correlation"


@dataclass(frozen=True)
class Drivers:
    """How much each reachable column tells of the measure, strongest first."""

    plan: Plan
    numbers: tuple[Field, ...]
    dimensions: tuple[Field, ...]

    @property
    def title(self) -> str:
        return f"what goes with {self.plan.measure.label}"

    def aim(self) -> str:
        return (
            f"What goes with {self.plan.measure.label}: correlation for "
            f"numbers, explained variance for groups."
        )

    def program(self) -> str:
        fields = (*self.numbers[:_MANY], *self.dimensions[:_MANY])
        frame = frame_of(self.plan, fields=fields)
        target, artifacts = frame.measure_name(self.plan.measure), Artifacts(self.title)
        body = [
            "",
            f"y = data[{target!r}].astype(float)",
            "rows = []",
            f"for column in {[frame.name(f) for f in self.numbers[:_MANY]]!r}:",
            '    r = y.corr(pd.to_numeric(data[column], errors="coerce"))',
            "    if pd.notna(r):",
            '        rows.append({"column": column, "strength": float(r * r), "r": float(r)})',
            f"for column in {[frame.name(f) for f in self.dimensions[:_MANY]]!r}:",
            "    # the share of the variance that lies between the groups (eta squared)",
            "    by = data[column].astype(str).where(data[column].notna())",
            '    groups = y.groupby(by).agg(["mean", "count"])',
            '    groups = groups[groups["count"] > 0]',
            '    between = (groups["count"] * (groups["mean"] - y.mean()) ** 2).sum()',
            "    total = ((y - y.mean()) ** 2).sum()",
            "    if len(groups) > 1 and total > 0:",
            '        rows.append({"column": column, "strength": float(between / total),',
            '                     "best": [str(groups["mean"].idxmax()), '
            'float(groups["mean"].max())],',
            '                     "worst": [str(groups["mean"].idxmin()), '
            'float(groups["mean"].min())]})',
            'rows.sort(key=lambda row: -row["strength"])',
            "print(pd.DataFrame(rows).to_string())",
            "if rows:",
            "    plt.figure(figsize=(8, 4.5))",
            '    plt.barh([row["column"] for row in rows[:12]][::-1], [100 * '
            'row["strength"] for row in rows[:12]][::-1])',
            '    plt.xlabel("variance explained (%)")',
            *(f"    {line}" for line in figure(capital(self.title), artifacts) if line),
            'result = {"rows": rows, "n": int(y.notna().sum()), "mean": float(y.mean())}',
        ]
        return assemble(self.aim(), frame.lines(), body)

    def report(self, result: Result) -> str:
        rows, measure = records(result, "rows"), self.plan.measure
        frame = frame_of(self.plan, fields=(*self.numbers[:_MANY], *self.dimensions[:_MANY]))
        if not rows:
            return f"Nothing in the data varies with {measure.label}."
        lead = rows[0]
        head = (
            f"**{cell(lead.get('column'))} goes most with {measure.label}: it explains "
            f"{real(lead.get('strength')) * 100:.1f}% of its variance**"
        )
        lines = [
            [cell(row.get("column")), f"{real(row.get('strength')) * 100:.1f}%", self._detail(row)]
            for row in rows[:12]
        ]
        parts = [
            f"{head} ({number(result.get('n'))} rows, average "
            f"{amount(result.get('mean'), measure)}). "
            f"{capital(self._detail(lead))}.",
            table(["column", "variance explained", "how"], lines),
            f"![{cell(capital(self.title))}]({Artifacts(self.title).figure})",
            notes(
                self.plan,
                frame,
                Artifacts(self.title),
                "This shows what goes together; it does not prove a cause.",
            ),
        ]
        return "\n\n".join(parts)

    def _detail(self, row: dict[str, object]) -> str:
        if "r" in row:
            return f"{strength(real(row['r']))}, Pearson {real(row['r']):.3f}"
        best, worst = row.get("best"), row.get("worst")
        if isinstance(best, list) and isinstance(worst, list):
            measure = self.plan.measure
            return (
                f"highest for {cell(best[0])} ({amount(best[1], measure)}), lowest "
                f"for {cell(worst[0])} ({amount(worst[1], measure)})"
            )
        return ""

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        if not self.plan.careful:
            return replace(self, plan=replace(self.plan, careful=True))
        own = tuple(f for f in self.dimensions if f.table == self.plan.base)
        if own != self.dimensions:
            numbers = tuple(f for f in self.numbers if f.table == self.plan.base)
            return replace(self, dimensions=own, numbers=numbers)
        return None
