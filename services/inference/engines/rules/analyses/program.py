"""What every analysis shares: the frame of a program and the notes under an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..frames import Frame, described
from ..plan import Plan
from ..prose import capital, listing
from ..terms import Field, Group, Measure
from ..words import slug

MARKER = "ISOBATH_RESULT "
Result = Mapping[str, object]
_PERIODS = {"year": "Y", "quarter": "Q", "month": "M", "week": "W", "day": "D"}


class Analysis(Protocol):
    """One step: a program, what its result says, and what to do next."""

    @property
    def title(self) -> str:
        """What it finds out, as a noun: 'total revenue by region'."""
        ...

    def aim(self) -> str:
        """What the program is for, as a sentence."""
        ...

    def program(self) -> str: ...

    def report(self, result: Result) -> str:
        """Markdown, from the numbers in the result only."""
        ...

    def next(self, result: Result) -> "Analysis | None":
        """A further step that the result calls for."""
        ...

    def simpler(self) -> "Analysis | None":
        """What to try when the program failed."""
        ...


@dataclass(frozen=True)
class Artifacts:
    """Names of what a program leaves in the workspace."""

    title: str

    @property
    def figure(self) -> str:
        return f"{slug(self.title)}.png"

    @property
    def table(self) -> str:
        return f"{slug(self.title)}.csv"


def frame_of(
    plan: Plan, *, fields: Sequence[Field] = (), measures: Sequence[Measure] = ()
) -> Frame:
    """The flat table of a plan, with further columns and measures."""
    measured = (plan.measure, *measures)
    split = (*plan.groups, plan.per) if plan.per else plan.groups
    return Frame(
        plan.schema,
        plan.base,
        tuple(dict.fromkeys([*(group.field for group in split), *fields])),
        tuple(dict.fromkeys(measured)),
        plan.conditions,
        plan.careful,
    )


def assemble(aim: str, frame: Sequence[str], body: Sequence[str], *, plot: bool = True) -> str:
    """A whole program that prints its result last."""
    text = [_one_line(line) for line in (*frame, *body)]
    imports = ["import glob"] if any("glob.glob" in line for line in text) else []
    imports += ["import json"]
    imports += ["from pathlib import Path"] if any("Path(" in line for line in text) else []
    imports += [""]
    imports += ["import matplotlib.pyplot as plt"] if plot else []
    imports += ["import numpy as np"] if any("np." in line for line in text) else []
    imports += ["import pandas as pd", ""]
    comment = _one_line(f"# {aim}")
    return "\n".join([comment, *imports, *text, f'print("{MARKER}" + json.dumps(result))'])


def _one_line(line: str) -> str:
    """A comment holds names that came from the data: it must not end before its line does."""
    bare = line.lstrip(" ")
    if not bare.startswith("#"):
        return line
    kept = "".join(char if char.isprintable() else " " for char in bare)
    return line[: len(line) - len(bare)] + " ".join(kept.split())


def key(group: Group, frame: Frame) -> tuple[list[str], str]:
    """Lines that make a group's column in `data`, and its name."""
    name = frame.name(group.field)
    if not group.grain:
        return [], name
    cell, new = f"data[{name!r}]", f"{group.label} of {name}"
    expression = {
        "weekday": f"{cell}.dt.day_name()",
        "hour": f"{cell}.dt.hour",
        "season": f"{cell}.dt.month_name()",
    }.get(group.grain, f"{cell}.dt.to_period({_PERIODS.get(group.grain, 'M')!r})")
    return [f"data[{new!r}] = {expression}"], new


def aggregated(plan: Plan, frame: Frame, keys: Sequence[str]) -> str:
    """The expression for value and n of each group."""
    by = repr(keys[0]) if len(keys) == 1 else repr(list(keys))
    grouped = f"data.groupby({by}, observed=True)"
    if plan.per:
        number = f"{grouped}[{frame.name(plan.per.field)!r}].nunique()"
        return f'({_summed(plan, frame, grouped)} / {number}).to_frame("value").assign(n={number})'
    if plan.measure.kind == "rows":
        return f'{grouped}.size().to_frame("value").assign(n=lambda t: t["value"])'
    name = frame.measure_name(plan.measure)
    function = {"unique": "nunique"}.get(plan.aggregate, plan.aggregate)
    return f'{grouped}[{name!r}].agg(value={function!r}, n="count")'


def overall(plan: Plan, frame: Frame) -> str:
    """The expression for the same over all rows."""
    if plan.per:
        summed = "len(data)" if plan.measure.kind == "rows" else _summed(plan, frame, "data")
        return f"{summed} / data[{frame.name(plan.per.field)!r}].nunique()"
    if plan.measure.kind == "rows":
        return "len(data)"
    function = {"unique": "nunique"}.get(plan.aggregate, plan.aggregate)
    return f"data[{frame.measure_name(plan.measure)!r}].{function}()"


def _summed(plan: Plan, frame: Frame, grouped: str) -> str:
    rows = plan.measure.kind == "rows"
    return f"{grouped}.size()" if rows else f"{grouped}[{frame.measure_name(plan.measure)!r}].sum()"


def notes(plan: Plan, frame: Frame, artifacts: Artifacts, *more: str) -> str:
    """How the numbers came about: tables, joins, conditions, files."""
    lines = [f"Computed from {described(frame)}."]
    child = plan.measure.child
    if child and plan.measure.kind in ("age", "aged"):
        lines.append(f"Ages are whole years since `{child.column}`.")
    elif child:
        has = "has no" if plan.measure.kind == "absent" else "has its"
        lines.append(f"A row counts when `{child.table}` {has} `{child.column}`.")
    if plan.measure.kind == "product":
        rest = " × (1 − " + plan.measure.columns[2] + ")" if len(plan.measure.columns) > 2 else ""
        made = f"{' × '.join(plan.measure.columns[:2])}{rest}"
        lines.append(f"{capital(plan.measure.label)} is {made}.")
    if plan.measure.kind in ("difference", "quotient"):
        sign = " − " if plan.measure.kind == "difference" else " ÷ "
        lines.append(f"{capital(plan.measure.label)} is {sign.join(plan.measure.columns)}.")
    if plan.measure.kind == "late":
        lines.append(late_note(plan.measure))
    if plan.conditions:
        kept = listing([f"`{condition.text}`" for condition in plan.conditions])
        lines.append(f"Only rows with {kept}.")
    if frame.fans_out:
        lines.append("A row that meets several rows of a joined table counts once under each.")
    return "\n".join(f"- {line}" for line in [*lines, *more])


def late_note(measure: Measure) -> str:
    """What counts as late."""
    day = " (by the day)" if measure.day_grain else ""
    return f"Late means `{measure.columns[1]}` after `{measure.columns[0]}`{day}."


def figure(title: str, artifacts: Artifacts) -> list[str]:
    """The closing lines of a plot."""
    return [
        f"plt.title({title!r})",
        "plt.tight_layout()",
        f"plt.savefig({artifacts.figure!r}, dpi=120)",
        "plt.show()",
        "",
    ]
