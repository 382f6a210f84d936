"""Questions with known answers, and the data they are asked of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

# the sources under which the data is registered: tables of PostgreSQL, and blobs
DATABASE, LAKE = "sales", "lake"
Cell: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Number:
    """A number that the answer states, within the larger of the two tolerances; `percent`: as
    percent, 12.3 for 12.3 %."""

    value: float
    relative: float = 0.005
    absolute: float = 0.0
    percent: bool = False


@dataclass(frozen=True)
class Words:
    """One of these texts, in whatever case."""

    any_of: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """What the answer's words must keep to, in whatever case: each of `all_of`, one of `any_of`,
    none of `none_of`, `in_order` one after the other, and `matches` (a regular expression)
    somewhere. What is left out asks for nothing."""

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    in_order: tuple[str, ...] = ()
    matches: str = ""


@dataclass(frozen=True)
class Table:
    """A table that the answer shows, or that lies in a CSV file which the run left.

    Columns are found by name, else by their values; more columns are no fault. Numbers count within
    the larger of the two tolerances, None is an empty cell. `ordered`: the rows' order counts.
    `further_rows`: it may have more rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    ordered: bool = False
    further_rows: bool = False
    relative: float = 0.005
    absolute: float = 0.0


@dataclass(frozen=True)
class Reference:
    """A benchmark's own answer, judged by the benchmark's own rule. `name`: of the part, where an
    answer has several."""

    value: str
    rule: Literal["dabench", "dabstep", "coda"]
    name: str = ""


Expected: TypeAlias = Number | Words | Rule | Table | Reference


@dataclass(frozen=True)
class Question:
    """`data`: selections, as the client takes them. `refuses`: the data holds no answer, and the
    right one says so."""

    id: str
    text: str
    data: tuple[str, ...]
    expects: tuple[Expected, ...]
    refuses: bool = False

    @property
    def headline(self) -> str:
        """The first paragraph of its text."""
        return self.text.partition("\n\n")[0].replace("\n", " ")


@dataclass(frozen=True)
class Domain:
    """`files`: blobs by path, below the domain's name; a Path is where their bytes lie.
    `tables`: of a schema of that name."""

    name: str
    files: Mapping[str, bytes | Path]
    tables: "dict[str, pd.DataFrame]"
    questions: tuple[Question, ...]
