"""The terms that an analysis is made of: measures, groups, conditions, and how they read."""

from dataclasses import dataclass
from typing import Literal

Aggregate = Literal["sum", "mean", "median", "min", "max", "std", "count", "unique"]
Grain = Literal["", "year", "quarter", "month", "week", "day", "weekday", "hour", "season"]
MeasureKind = Literal[
    "rows", "unique", "column", "product", "difference", "quotient", "days", "late",
    "exists", "absent", "equals", "differs", "filled", "blank", "meets",
    "within", "age", "aged",
]  # fmt: skip

_SHARES: frozenset[MeasureKind] = frozenset(
    ("late", "exists", "absent", "equals", "differs", "filled", "blank", "meets", "within", "aged")
)

GRAIN_WORDS: dict[Grain, str] = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "week",
    "day": "day",
    "weekday": "day of the week",
    "hour": "hour of the day",
    "season": "calendar month",
}


@dataclass(frozen=True)
class Field:
    """One column of one table."""

    table: str
    column: str

    @property
    def label(self) -> str:
        return self.column.replace("_", " ").strip() or self.column


@dataclass(frozen=True)
class Measure:
    """Something that each row of a table has a value of.

    `columns` by kind: rows and unique none or the key; product (quantity, price[, discount]),
    difference and quotient the two numbers; days and late (from, to); exists and absent the key
    that `child` is looked up by; equals and differs the column that must hold `value`, or must not;
    filled and blank the column that has a value, or has none; meets the column that `value` (an
    operator and a number) holds of; within (from, to), where `value` (an operator, a number and a
    unit) holds of the time between; age and aged the date at which, if any, with `child` the date
    of birth and `value` the limit to the age, and the day at which where no date tells it. Days
    are in the unit that `value` gives, if any.
    """

    kind: MeasureKind
    table: str
    columns: tuple[str, ...]
    label: str
    child: Field | None = None
    value: str = ""
    additive: bool = True
    day_grain: bool = False
    binary: bool = False

    @property
    def share(self) -> bool:
        """Whether each row is a yes or a no, so that its mean is a rate."""
        return self.binary or self.kind in _SHARES

    @property
    def counted(self) -> bool:
        return self.kind in ("rows", "unique")


@dataclass(frozen=True)
class Candidate:
    """A measure and how surely it is meant; `word` is where the question says it, or -1."""

    score: float
    measure: Measure
    word: int = -1


@dataclass(frozen=True)
class Group:
    """What the rows are split by: a column as it is, or a date at a grain."""

    field: Field
    grain: Grain = ""
    called: str = ""

    @property
    def label(self) -> str:
        return GRAIN_WORDS[self.grain] if self.grain else self.called or self.field.label


@dataclass(frozen=True)
class Condition:
    """Rows to keep. `values` by kind: in and out the values, period (from, before), compare
    (operator, number), between and beyond (low, high), flag ("1" or "0"), empty, filled and weekend
    none.
    """

    kind: Literal[
        "in", "out", "period", "compare", "between", "beyond", "flag", "empty", "filled", "weekend"
    ]
    field: Field
    values: tuple[str, ...]
    text: str

    @property
    def limiting(self) -> bool:
        """Whether it sets a limit to a number."""
        return self.kind in ("compare", "between", "beyond")


def aggregate_words(aggregate: Aggregate, measure: Measure) -> str:
    """'total revenue', 'average salary', 'number of orders', 'share of orders late'."""
    if measure.counted:
        return measure.label if measure.label.startswith("number") else f"number of {measure.label}"
    if measure.share:
        told = any(word in measure.label.split() for word in ("rate", "share"))
        return measure.label if told else f"share {measure.label}"
    words: dict[Aggregate, str] = {
        "sum": "total",
        "mean": "average",
        "median": "median",
        "min": "lowest",
        "max": "highest",
        "std": "standard deviation of",
        "count": "count of",
        "unique": "number of different",
    }
    word = words[aggregate]
    if aggregate == "sum" and measure.label.endswith("total"):
        word = "sum of"
    return measure.label if measure.label.split()[0] == word else f"{word} {measure.label}"
