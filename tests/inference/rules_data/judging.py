"""What an answer should say, computed by pandas, and what of it is missing."""

import re
from collections.abc import Callable

import pandas as pd


class Expected:
    """`first` stands in the first bold sentence, each of `rows` in a row of a table."""

    def __init__(self, *first: str, rows: list[str] | None = None) -> None:
        self.first, self.rows = first, rows or []


def shown(value: float) -> str:
    """A number as the answers write it."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def share(value: float) -> str:
    return f"{value * 100:.1f}%"


def one(value: float, form: Callable[[float], str] = shown) -> Expected:
    return Expected(form(value))


def best(series: pd.Series, form: Callable[[float], str] = shown, *, low: bool = False) -> Expected:
    """The group at the top of a ranking, with its value."""
    ranked = series.sort_values(ascending=low)
    return Expected(str(ranked.index[0]), form(ranked.iloc[0]))


def every(series: pd.Series, form: Callable[[float], str] = shown) -> Expected:
    return Expected(rows=[f"| {name!s} | {form(value)} |" for name, value in series.items()])


def correlation(frame: pd.DataFrame, x: str, y: str) -> Expected:
    return Expected(f"{frame[[x, y]].corr().to_numpy()[0, 1]:.3f}")


def hours(value: float) -> str:
    return f"{value:,.2f} hours"


def days(value: float) -> str:
    return f"{shown(value)} days"


def of(frame: pd.DataFrame, **kept: object) -> pd.DataFrame:
    for column, value in kept.items():
        frame = frame[frame[column.replace("_", " ")] == value]
    return frame


def month(moments: pd.Series) -> pd.Series:
    return moments.dt.strftime("%Y-%m")


def misses(answer: str, expected: Expected) -> list[str]:
    """What the answer should say and does not; a number counts when it stands as a whole."""
    text = answer.replace("\\", "")
    bold = next(iter(re.findall(r"\*\*(.+?)\*\*", text)), "")
    wrong = [
        f
        for f in expected.first
        if not re.search(rf"(?<![\d.,]){re.escape(f)}(?![\d%]|[.,]\d)", bold)
    ]
    return wrong + [row for row in expected.rows if row not in text]
