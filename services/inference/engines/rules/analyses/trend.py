"""A measure over time: its course, its peak and its low, and how it has changed."""

from dataclasses import dataclass, replace

from ..plan import Plan, measured
from ..prose import amount, capital, cell, number, percent, real, records, table
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

_SHOWN = 60


@dataclass(frozen=True)
class Trend:
    """One line over time, or one for each group."""

    plan: Plan

    @property
    def what(self) -> str:
        return measured(self.plan)

    @property
    def title(self) -> str:
        split = f" and {self.plan.groups[1].label}" if len(self.plan.groups) > 1 else ""
        return f"{self.what} by {self.plan.groups[0].label}{split}"

    @property
    def _summed(self) -> bool:
        return self.plan.aggregate in ("sum", "count")

    @property
    def _ranking(self) -> bool:
        """'The best month' asks for a ranking, not for a course."""
        return self.plan.asked.superlative and self.plan.asked.intent != "trend"

    def aim(self) -> str:
        return f"{capital(self.title)}, in the order of time."

    def program(self) -> str:
        plan, frame = self.plan, frame_of(self.plan)
        artifacts = Artifacts(self.title)
        lines, name = key(plan.groups[0], frame)
        dated = frame.name(plan.groups[0].field)
        body = ["", f"data = data[data[{dated!r}].notna()]", *lines]
        if len(plan.groups) > 1:
            second, other = key(plan.groups[1], frame)
            body += [
                *second,
                f"wide = ({aggregated(plan, frame, [name, other])})['value'].unstack()",
            ]
            body += ["wide = wide[wide.sum().sort_values(ascending=False).index[:8]]"]
        body += [f"series = ({aggregated(plan, frame, [name])})['value'].sort_index()"]
        body += self._filled(frame.name(plan.groups[0].field))
        body += [
            f"print(series.tail({_SHOWN}).to_string())",
            f"series.to_csv({artifacts.table!r})",
            "",
        ]
        body += self._plot(artifacts)
        body += self._result(overall(plan, frame))
        return assemble(self.aim(), frame.lines(), body)

    def _filled(self, dated: str) -> list[str]:
        if not self.plan.groups[0].grain:
            return ["partial = False"]
        lines = []
        if self._summed:
            lines = [
                "if len(series):  # a period without a row is a zero, not a gap",
                "    every = pd.period_range(series.index[0], "
                "series.index[-1], freq=series.index.freq)",
                "    series = series.reindex(every, fill_value=0)",
            ]
        return [
            *lines,
            "# does the last period end before its calendar does?",
            f"partial = bool(len(series) > 1 and data[{dated!r}].max()"
            " < series.index[-1].end_time.normalize() - pd.Timedelta(days=1))",
        ]

    def _plot(self, artifacts: Artifacts) -> list[str]:
        scale = " * 100" if self.plan.measure.share else ""
        axis = self.what + (" (%)" if self.plan.measure.share else "")
        line = "wide" if len(self.plan.groups) > 1 else "series"
        draw = [
            f"chart = {line}.copy(){scale}",
            "chart.index = chart.index.astype(str)",
            'chart.plot(figsize=(9, 4.5), marker="o", rot=45)',
            'plt.xlabel("")',
            f"plt.ylabel({axis!r})",
            *figure(capital(self.title), artifacts),
        ]
        return ["if len(series):", *(f"    {line}" for line in draw if line), ""]

    def _result(self, total: str) -> list[str]:
        split = []
        if len(self.plan.groups) > 1:
            split = [
                "if len(series):",
                "    result['split'] = [{'group': str(name), 'first': "
                "float(wide[name].dropna().iloc[0]),",
                "        'last': float(wide[name].dropna().iloc[-1]), "
                "'mean': float(wide[name].mean())}",
                "        for name in wide if wide[name].notna().any()]",
            ]
        return [
            "result = {",
            f'    "rows": [[str(when), float(value)] for when, value '
            f"in series.tail({_SHOWN}).items()],",
            '    "count": len(series), "n": len(data), "partial": partial,',
            f'    "overall": float({total}) if len(data) else None,',
            f'    "ranked": [[str(when), float(value)] for when, value in series.sort_values('
            f"ascending={self.plan.ascending}).head({self.plan.top or 12}).items()],",
            '    "mean": float(series.mean()) if len(series) else None,',
            '    "peak": [str(series.idxmax()), float(series.max())] '
            "if series.notna().any() else None,",
            '    "low": [str(series.idxmin()), float(series.min())] '
            "if series.notna().any() else None,",
            "}",
            *split,
        ]

    # -- what it says ---------------------------------------------------------------------

    def report(self, result: Result) -> str:
        rows = _pairs(result.get("rows"))
        frame, artifacts = frame_of(self.plan), Artifacts(self.title)
        if not rows:
            return (
                f"No dated rows are left for {self.title}.\n\n{notes(self.plan, frame, artifacts)}"
            )
        parts = [" ".join(line for line in self._headline(rows, result) if line)]
        split = records(result, "split")
        if split:
            parts.append(self._split(split))
        ranked = _pairs(result.get("ranked")) if self._ranking else rows
        parts.append(self._table(ranked or rows))
        parts.append(f"![{cell(capital(self.title))}]({artifacts.figure})")
        more = [f"{number(result.get('n'))} rows went in; the series is in `{artifacts.table}`."]
        if result.get("partial"):
            more.append(f"The last {self.plan.groups[0].label} is not complete in the data.")
        parts.append(notes(self.plan, frame, artifacts, *more))
        return "\n\n".join(parts)

    def _headline(self, rows: list[tuple[str, float]], result: Result) -> list[str]:
        peak, low = _pair(result.get("peak")), _pair(result.get("low"))
        measure, grain = self.plan.measure, self.plan.groups[0].label
        high = f"**{peak[0]} has the highest {self.what}: {amount(peak[1], measure)}**"
        least = f"**{low[0]} has the lowest {self.what}: {amount(low[1], measure)}**"
        if self._ranking:
            first, other = (least, high) if self.plan.ascending else (high, least)
            lines = [f"{first}.", f"At the other end, {other.strip('*')}."]
        else:
            lines = [
                self._change(rows, result),
                f"{high.strip('*')}; {low[0]} the lowest: {amount(low[1], measure)}.",
            ]
        if self._summed:
            lines.append(
                f"In all {amount(result.get('overall'), measure)}, "
                f"{amount(result.get('mean'), measure)} per {grain} on average."
            )
        else:
            lines.append(f"Over all rows it is {amount(result.get('overall'), measure)}.")
        return lines

    def _change(self, rows: list[tuple[str, float]], result: Result) -> str:
        whole = rows[:-1] if result.get("partial") and len(rows) > 2 else rows
        (start, first), (end, last) = whole[0], whole[-1]
        measure = self.plan.measure
        if len(whole) < 2:
            return f"**{capital(self.what)} in {start}: {amount(first, measure)}.**"
        word = "rose" if last > first else "fell" if last < first else "stayed the same"
        if measure.share:
            size = f" by {abs(last - first) * 100:.1f} percentage points"
        else:
            size = f" by {percent(abs(last - first) / abs(first))}" if first else ""
        size = "" if last == first else size
        return (
            f"**{capital(self.what)} {word}{size}: from {amount(first, measure)} "
            f"in {start} to {amount(last, measure)} in {end}.**"
        )

    def _table(self, rows: list[tuple[str, float]]) -> str:
        shown = rows if len(rows) <= 24 else rows[-24:]
        return table(
            [self.plan.groups[0].label, self.what],
            [[when, amount(value, self.plan.measure)] for when, value in shown],
        )

    def _split(self, split: list[dict[str, object]]) -> str:
        measure = self.plan.measure
        return table(
            [cell(self.plan.groups[1].label), "first", "last", "mean per period"],
            [
                [
                    cell(row.get("group")),
                    *(amount(row.get(one), measure) for one in ("first", "last", "mean")),
                ]
                for row in split
            ],
        )

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        if not self.plan.careful:
            return replace(self, plan=replace(self.plan, careful=True))
        if len(self.plan.groups) > 1:
            return replace(self, plan=replace(self.plan, groups=self.plan.groups[:1]))
        return None


def _pairs(value: object) -> list[tuple[str, float]]:
    if not isinstance(value, list):
        return []
    return [(str(row[0]), real(row[1])) for row in value if isinstance(row, list) and len(row) == 2]


def _pair(value: object) -> tuple[str, float]:
    found = _pairs([value])
    return found[0] if found else ("–", float("nan"))
