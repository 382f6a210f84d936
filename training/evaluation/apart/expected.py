"""What an answer must hold, from what pandas has computed."""

from typing import TypeAlias

import pandas as pd

from training.evaluation.dataset import Number, Words

# the first of a ranking leads by this much, or the question is unfair
MARGIN = 0.03
Scores: TypeAlias = "pd.Series[float] | pd.Series[int]"
_FORMATS = ("%Y-%m", "%m/%Y", "%b %Y", "%B")


def count(value: int) -> Number:
    return Number(float(value), relative=0.0)


def percent(part: float) -> Number:
    """`part` of 1. A tenth of a percent is allowed for rounding."""
    return Number(100 * float(part), absolute=0.1, percent=True)


def coefficient(value: float) -> Number:
    """A correlation: two decimals are enough."""
    return Number(float(value), absolute=0.006)


def leaders(scores: Scores, first: int = 1) -> list[str]:
    """The names of the highest, each clear of the next. Raises ValueError."""
    ranked = scores.sort_values(ascending=False)
    for place in range(first):
        if ranked.iloc[place] - ranked.iloc[place + 1] < MARGIN * abs(ranked.iloc[place]):
            raise ValueError(f"no clear place {place + 1}: {ranked.head(first + 1).to_dict()}")
    return [str(name) for name in ranked.index[:first]]


def leader(scores: Scores) -> str:
    return leaders(scores)[0]


def month(period: pd.Period) -> Words:
    """A month of the year that was asked about, so that its name alone will do."""
    return Words(tuple(period.strftime(written) for written in _FORMATS))


def day(date: pd.Timestamp) -> Words:
    """A day, with or without its year."""
    number, name, short = date.day, date.strftime("%B"), date.strftime("%b")
    return Words(
        (
            date.strftime("%Y-%m-%d"),
            date.strftime("%d/%m/%Y"),
            date.strftime("%d.%m.%Y"),
            f"{number} {name}",
            f"{name} {number}",
            f"{number} {short}",
            f"{short} {number}",
        )
    )
