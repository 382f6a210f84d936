"""Numbers, tables and sentences of an answer, in Markdown."""

import math
from collections.abc import Iterable, Mapping, Sequence

from .terms import Measure

SIGNATURE = (
    "*Answered by Isobath's built-in rule-based analyst, not a language model: "
    "every number above came out of the programs that were run.*"
)


def number(value: object) -> str:
    """'1,234', '12.35', '0.0123'; an en dash for what is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–" if value is None or isinstance(value, float) else str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1:
        return f"{value:,.2f}"
    return f"{value:.4g}"


def percent(value: object) -> str:
    """'17.1%' of a share of one."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value * 100:,.1f}%"


def amount(value: object, measure: Measure) -> str:
    """A value of the measure with its unit."""
    if measure.share:
        return percent(value)
    return number(value) + (f" {measure.value or 'days'}" if measure.kind == "days" else "")


def cell(value: object) -> str:
    """A value that came from the data, safe inside a Markdown table or sentence."""
    text = " ".join(str(value).split())[:80].replace("`", "'")
    for mark in "\\*_|[]":
        text = text.replace(mark, "\\" + mark)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the cells are Markdown already."""
    lines = ["| " + " | ".join(headers) + " |", "|" + " --- |" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def listing(words: Sequence[str]) -> str:
    """'a, b and c'."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def records(result: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The list of objects under a name of a result; what has another shape is left out."""
    value = result.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def real(value: object) -> float:
    """A number of a result; NaN where there is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return math.nan
