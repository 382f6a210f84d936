"""Why one group stands out: who serves it, whether lateness goes with it, what is left without."""

from dataclasses import dataclass, replace

from .. import measures
from ..plan import Plan, dimensions, reachable_tables
from ..prose import amount, capital, cell, number, percent, real, records, table
from ..terms import Field, Measure
from ..words import any_akin
from .program import (
    Analysis,
    Artifacts,
    Result,
    assemble,
    figure,
    frame_of,
    late_note,
    notes,
)

_FACTORS = 3


@dataclass(frozen=True)
class Blame:
    """Compares `worst` with the rest by each factor, and by lateness where there are dates."""

    plan: Plan
    worst: str
    factors: tuple[Field, ...]
    late: Measure | None

    @classmethod
    def of(cls, plan: Plan, worst: str) -> "Blame | None":
        """The suspects that the question names, else the nearest dimensions; None for a count,
        which no single row has a value of."""
        if plan.measure.counted:
            return None
        grouped = plan.groups[0].field
        found = dimensions(plan, limit=40, fan_out=True)
        others = [field for field in found if field.column != grouped.column]
        measured = (
            set(plan.measure.columns) if plan.measure.kind in ("equals", "differs") else set()
        )
        others = [
            field for field in others if field.column not in measured and not _telling(field, plan)
        ]
        spoken = {
            (m.table.name, m.column.name): m.score
            for m in plan.asked.mentions
            if m.column and m.score >= 0.8
        }
        named = [field for field in others if (field.table, field.column) in spoken]
        # one that is asked about beats any number of others
        factors = _one_each(named or others)[: 1 if named else _FACTORS]
        late = _lateness(plan)
        return cls(plan, worst, tuple(factors), late) if factors or late else None

    @property
    def title(self) -> str:
        return f"why {self.worst}: {self.plan.measure.label}"

    def aim(self) -> str:
        looked = [field.label for field in self.factors] + (["lateness"] if self.late else [])
        return f"Why {self.worst} stands out: compare it with the rest by {', '.join(looked)}."

    def program(self) -> str:
        more = (self.late,) if self.late else ()
        frame = frame_of(self.plan, fields=self.factors, measures=more)
        target = frame.measure_name(self.plan.measure)
        group = frame.name(self.plan.groups[0].field)
        late = frame.measure_name(self.late) if self.late else ""
        body = [
            "",
            f"inside = data[{group!r}].astype(str) == {self.worst!r}",
            'result = {"factors": [], "late": []}',
            f'result["gap"] = [float(data.loc[inside, {target!r}].mean()), '
            f"float(data.loc[~inside, {target!r}].mean())]",
        ]
        for field in self.factors:
            body += self._factor(frame.name(field), field.label, target, late)
        if late:
            body += _by_lateness(late, target)
        body += self._plot(frame.name(self.factors[0]) if self.factors else "", late)
        return assemble(self.aim(), frame.lines(), body)

    def _factor(self, column: str, label: str, target: str, late: str) -> list[str]:
        lines = [
            "",
            f"# {label}: how much of {self.worst} and of the rest goes with each, and how it fares",
            f"table = data.groupby({column!r}, observed=True).agg(n=({target!r}, "
            f"'count'), value=({target!r}, 'mean'))",
            f"table['inside'] = data.loc[inside, {column!r}].value_counts(normalize=True)",
            f"table['outside'] = data.loc[~inside, {column!r}].value_counts(normalize=True)",
            f"table['elsewhere'] = data[~inside].groupby({column!r}, "
            f"observed=True)[{target!r}].mean()",
        ]
        if late:
            lines.append(
                f"table['late'] = data.groupby({column!r}, observed=True)[{late!r}].mean()"
            )
        lines += [
            "table[['inside', 'outside']] = table[['inside', 'outside']].fillna(0)",
            "table = table[table['n'] >= table['n'].sum() * 0.005]",
            "table['more'] = table['inside'] - table['outside']",
            f"table = table.sort_values({'late' if late else 'more'!r}, ascending=False)",
            "print(table.round(4).to_string())",
            "if len(table):",
            "    suspect = (table['more'] * (table['late' if 'late' "
            "in table else 'value'])).idxmax()",
            f"    without = data[data[{column!r}] != suspect]",
            "    kept = without.index.isin(data.index[inside])",
            f"    result['factors'].append({{'factor': {label!r}, 'suspect': str(suspect),",
            "        'rows': [{'group': str(i), **{k: float(v) for k, v in "
            "row.items()}} for i, row in table.head(12).iterrows()],",
            f"        'gap': result['gap'], 'others_value': float(without[{target!r}].mean()),",
        ]
        if late:
            lines.append(f"        'others_late': float(without[{late!r}].mean()),")
        lines += [
            f"        'gap_without': [float(without.loc[kept, {target!r}].mean()), "
            f"float(without.loc[~kept, {target!r}].mean())]}})",
            "    shown = table",
        ]
        return lines

    def _plot(self, factor: str, late: str) -> list[str]:
        artifacts = Artifacts(self.title)
        if not factor:
            return []
        pair = "['late', 'value']" if late else "['inside', 'outside']"
        names = ["late", self.plan.measure.label] if late else [self.worst, "elsewhere"]
        percent_ = " * 100" if self.plan.measure.share or not late else ""
        drawn = [
            f"chart = (shown.head(10)[{pair}]{percent_}).plot.bar(figsize=(8, 4.5), rot=20)",
            f"chart.legend({names!r})",
            f"plt.ylabel({'%' if percent_ else self.plan.measure.label!r})",
            *figure(capital(f"{self.factors[0].label}: {' and '.join(names)}"), artifacts),
        ]
        return ["", 'if result["factors"]:', *(f"    {line}" for line in drawn if line), ""]

    # -- what it says ---------------------------------------------------------------------

    def report(self, result: Result) -> str:
        parts = [self._verdict(result)]
        for factor in records(result, "factors")[:_FACTORS]:
            parts.append(self._factor_table(factor))
        lateness = self._lateness(result)
        parts += [lateness] if lateness else []
        if self.factors:
            parts.append(f"![{cell(self.title)}]({Artifacts(self.title).figure})")
        more = (self.late,) if self.late else ()
        frame = frame_of(self.plan, fields=self.factors, measures=more)
        said = [late_note(self.late)] if self.late else []
        said.append("This shows what goes together in the data; it does not prove a cause.")
        parts.append(notes(self.plan, frame, Artifacts(self.title), *said))
        return "\n\n".join(parts)

    def _verdict(self, result: Result) -> str:
        judged = [(self._weight(factor), factor) for factor in records(result, "factors")]
        judged.sort(key=lambda entry: -entry[0])
        if not judged or judged[0][0] <= 0:
            return (
                f"### Why {cell(self.worst)}?\n\nNone of "
                f"{', '.join(f.label for f in self.factors) or 'the columns'} "
                f"sets {cell(self.worst)} apart: the data do not point to a culprit."
            )
        weight, factor = judged[0]
        suspect = cell(factor.get("suspect"))
        row = _row(factor, factor.get("suspect"))
        clear = weight > 0.25
        opening = (
            f"**The {cell(factor.get('factor'))} {suspect} is the likely reason.**"
            if clear
            else f"**{suspect} ({cell(factor.get('factor'))}) explains little of it.**"
        )
        lines = [opening, self._share_sentence(factor, row), self._left_over(result, factor)]
        return f"### Why {cell(self.worst)}?\n\n" + " ".join(line for line in lines if line)

    def _weight(self, factor: dict[str, object]) -> float:
        """How much of the group's gap goes away without the suspect, if it is over-represented."""
        row = _row(factor, factor.get("suspect"))
        if real(row.get("more")) <= 0.02:
            return 0.0
        worse = real(row.get("value")) > real(factor.get("others_value"))
        return max(self._explained(factor), 0.0) if worse else 0.0

    def _explained(self, factor: dict[str, object]) -> float:
        before, after = factor.get("gap"), factor.get("gap_without")
        gap, rest = _difference(before), _difference(after)
        return 0.0 if not gap or gap != gap or rest != rest else 1 - rest / gap

    def _share_sentence(self, factor: dict[str, object], row: dict[str, object]) -> str:
        suspect, worst = cell(factor.get("suspect")), cell(self.worst)
        text = (
            f"{suspect} has {percent(row.get('inside'))} of {worst}'s rows "
            f"but {percent(row.get('outside'))} elsewhere"
        )
        if self.late:
            text += (
                f"; {percent(row.get('late'))} of what it handles is late, against "
                f"{percent(factor.get('others_late'))} for the others"
            )
        value = amount(row.get("value"), self.plan.measure)
        others = amount(factor.get("others_value"), self.plan.measure)
        return (
            f"{text}. The {self.plan.measure.label} with {suspect} is "
            f"{value}, with the others {others}."
        )

    def _left_over(self, result: Result, factor: dict[str, object]) -> str:
        pair = factor.get("gap_without")
        if not isinstance(pair, list) or len(pair) != 2 or real(pair[0]) != real(pair[0]):
            return ""
        inside, outside = (amount(value, self.plan.measure) for value in pair)
        suspect = cell(factor.get("suspect"))
        return (
            f"Without {suspect}, {cell(self.worst)} comes to {inside} against {outside} elsewhere."
        )

    def _factor_table(self, factor: dict[str, object]) -> str:
        measure = self.plan.measure
        headers = [cell(factor.get("factor")), f"share of {cell(self.worst)}", "share elsewhere"]
        headers += ["late"] if self.late else []
        headers += [measure.label, "rows"]
        rows = []
        for row in records(factor, "rows")[:8]:
            line = [cell(row.get("group")), percent(row.get("inside")), percent(row.get("outside"))]
            line += [percent(row.get("late"))] if self.late else []
            rows.append([*line, amount(row.get("value"), measure), number(row.get("n"))])
        return table(headers, rows)

    def _lateness(self, result: Result) -> str:
        rows = {str(row.get("late")): row for row in records(result, "late")}
        late, on_time = rows.get("1.0"), rows.get("0.0")
        if not late or not on_time:
            return ""
        measure = self.plan.measure
        first, second = real(late.get("value")), real(on_time.get("value"))
        times = f", {first / second:.1f} times as much" if second > 0 and first > second else ""
        return (
            f"Late rows have a {measure.label} of **{amount(first, measure)}** "
            f"({number(late.get('n'))} rows), on-time rows **{amount(second, measure)}** "
            f"({number(on_time.get('n'))} rows){times}."
        )

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        if not self.plan.careful:
            return replace(self, plan=replace(self.plan, careful=True))
        return replace(self, late=None) if self.late and self.factors else None


def _by_lateness(late: str, target: str) -> list[str]:
    return [
        "",
        "# does being late go with it?",
        f"by_late = data.groupby({late!r})[{target!r}].agg(value='mean', n='count')",
        "print(by_late.to_string())",
        "result['late'] = [{'late': str(float(i)), 'value': "
        "float(row['value']), 'n': int(row['n'])}"
        " for i, row in by_late.iterrows()]",
    ]


def _difference(pair: object) -> float:
    if not isinstance(pair, list) or len(pair) != 2:
        return float("nan")
    return real(pair[0]) - real(pair[1])


def _row(factor: dict[str, object], name: object) -> dict[str, object]:
    return next((row for row in records(factor, "rows") if row.get("group") == name), {})


def _telling(field: Field, plan: Plan) -> bool:
    """A status that merely repeats the outcome is no reason for it."""
    stems = [*plan.schema.column(field.table, field.column).stems]
    child = plan.measure.child
    return any_akin(stems, ("status",)) or bool(child and field.table == child.table)


def _one_each(fields: list[Field]) -> list[Field]:
    seen: dict[str, Field] = {}
    for field in fields:
        seen.setdefault(field.column.lower(), field)
    return list(seen.values())


def _lateness(plan: Plan) -> Measure | None:
    if plan.measure.kind in ("late", "days"):
        return None
    for one in reachable_tables(plan):
        found = measures.lateness(one)
        if found:
            return found
    return None
