"""What examples are asked of: a database, a container, and what is true of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.evaluation.dataset import Number, Words

if TYPE_CHECKING:
    import pandas as pd

Truth = tuple[Number | Words, ...]


@dataclass(frozen=True)
class Origin:
    """A source to register: its name, what is told of it, and settings beyond where it lies."""

    name: str
    description: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """`schema` makes the tables; `tables` fill them, in an order that foreign keys allow; `files`
    are blobs by path. `truths`: what answers have to state, by the task's id, for a later question
    of a thread followed by /2. They are worked out from the same frames with pandas, not with the
    programs of the examples."""

    database: Origin | None = None
    schema: str = ""
    tables: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)
    lake: Origin | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    truths: Mapping[str, Truth] = field(default_factory=dict)


def exactly(value: float) -> Number:
    """A count, or a sum that is told to the last digit."""
    return Number(value, relative=0.0)


def percent(share: float, *, within: float = 0.06) -> Number:
    """A share of 0 to 1, told in percent; `within` in points."""
    return Number(share * 100, relative=0.0, absolute=within, percent=True)


def about(value: float, *, within: float) -> Number:
    """A figure that is told rounded."""
    return Number(value, relative=0.0, absolute=within)
