"""Questions with known answers, and the data they are asked of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# the sources under which the data is registered: tables of PostgreSQL, and blobs
DATABASE, LAKE = "sales", "lake"


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
class Question:
    """`data`: selections, as the client takes them. `refuses`: the data holds no answer, and the
    right one says so."""

    id: str
    text: str
    data: tuple[str, ...]
    expects: tuple[Number | Words, ...]
    refuses: bool = False


@dataclass(frozen=True)
class Domain:
    """`files`: blobs by path, below the domain's name. `tables`: of a schema of that name."""

    name: str
    files: dict[str, bytes]
    tables: "dict[str, pd.DataFrame]"
    questions: tuple[Question, ...]
