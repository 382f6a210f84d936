"""Schemas drawn from themes: tables with their columns' roles, and rows. Pure; a seed gives the
same ones on every machine."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import pandas as pd

from training.synthetic.themes import Numbers, Parent, Part, Theme, themes

if TYPE_CHECKING:
    Frame = pd.DataFrame

Place = Literal["postgresql", "csv", "parquet", "jsonl"]
PLACES: tuple[Place, ...] = ("postgresql", "csv", "parquet", "jsonl")
_IN_DATABASE = 0.5  # of tables
_ROWS = (60, 400)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Column:
    """`role`: what it is good for in a question."""

    name: str
    role: Literal["key", "date", "number", "group", "flag", "label"]
    decimals: int = 0

    @property
    def words(self) -> str:
        """As people say it."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Table:
    """A table with its rows; `parent` of its `key` is the table that holds the rest of it."""

    name: str
    place: Place
    columns: tuple[Column, ...]
    rows: "Frame"

    def of(self, role: str) -> list[Column]:
        """Its columns of a role."""
        return [each for each in self.columns if each.role == role]

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Schema:
    """`facts`: what happened. Each of `parents` has one row for each value of its first column,
    which `facts` has too, under the same name."""

    name: str
    theme: str
    facts: Table
    parents: tuple[Table, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        return (self.facts, *self.parents)


def schema(part: Part, seed: int, number: int) -> Schema:
    """The schema of this number. Those of different parts, seeds or numbers have generators of
    their own, and names of their own; `strange` ones have no word of the others."""
    rng = generator(part, seed, number)
    of_part = themes(part)
    theme = of_part[number % len(of_part)]
    parents = [_parent(rng, each) for each in theme.parents]
    kept = parents[: int(rng.integers(1, len(parents) + 1))]
    facts = _facts(rng, theme, kept)
    return Schema(f"{theme.name}_{part[0]}{seed}_{number}", theme.name, facts, tuple(kept))


def generator(part: Part, seed: int, number: int) -> np.random.Generator:
    """For all that is drawn of one schema."""
    told = hashlib.sha256(f"{part}/{seed}/{number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(told[:16]))


def pick(rng: np.random.Generator, of: Sequence[_T]) -> _T:
    """One of them."""
    return of[int(rng.integers(len(of)))]


def some(rng: np.random.Generator, of: Sequence[_T], least: int) -> list[_T]:
    """At least so many of them, in their order."""
    count = int(rng.integers(min(least, len(of)), len(of) + 1))
    return [of[at] for at in sorted(rng.choice(len(of), count, replace=False))]


def _place(rng: np.random.Generator) -> Place:
    return PLACES[0] if rng.random() < _IN_DATABASE else pick(rng, PLACES[1:])


def _parent(rng: np.random.Generator, told: Parent) -> Table:
    name = pick(rng, told.tables)
    names = some(rng, told.names, 4)
    key = Column(f"{_singular(name)}_id", "key")
    label = Column(pick(rng, told.labels), "label")
    groups = {Column(pick(rng, g.names), "group"): g for g in told.groups}
    first = int(pick(rng, (1, 10, 100, 501)))
    rows: dict[str, object] = {
        key.name: np.arange(first, first + len(names)),
        label.name: names,
        # each value is there
        **{c.name: rng.permutation(np.resize(g.values, len(names))) for c, g in groups.items()},
    }
    return Table(name, _place(rng), (key, label, *groups), pd.DataFrame(rows))


def _facts(rng: np.random.Generator, theme: Theme, parents: Sequence[Table]) -> Table:
    count = int(rng.integers(*_ROWS))
    name = pick(rng, theme.tables)
    key, date = Column(f"{_singular(name)}_id", "key"), Column(pick(rng, theme.dates), "date")
    groups = {Column(pick(rng, g.names), "group"): g for g in some(rng, theme.groups, 1)}
    numbers = {
        Column(pick(rng, n.names), "number", n.decimals): n for n in some(rng, theme.numbers, 2)
    }
    flag = Column(pick(rng, theme.flags), "flag")
    rows: dict[str, object] = {key.name: np.arange(count) + int(pick(rng, (1, 1001, 50_001)))}
    for parent in parents:
        at = parent.columns[0].name
        rows[at] = _weighted(rng, parent.rows[at].to_numpy(), count)
    rows[date.name] = _dates(rng, count)
    rows |= {c.name: _weighted(rng, np.array(g.values), count) for c, g in groups.items()}
    rows |= {c.name: _numbers(rng, n, count) for c, n in numbers.items()}
    rows[flag.name] = rng.random(count) < rng.uniform(0.1, 0.5)
    frame = _with_gaps(rng, pd.DataFrame(rows), [*groups, *numbers])
    keys = tuple(Column(parent.columns[0].name, "key") for parent in parents)
    return Table(name, _place(rng), (key, *keys, date, *groups, *numbers, flag), frame)


def _dates(rng: np.random.Generator, count: int) -> "pd.DatetimeIndex":
    first = pd.Timestamp(int(rng.integers(2019, 2025)), int(pick(rng, (1, 4, 7, 10))), 1)
    days = np.sort(rng.integers(0, int(pick(rng, (365, 546, 730))), count))
    return pd.DatetimeIndex(first + pd.to_timedelta(days, unit="D"))


def _numbers(
    rng: np.random.Generator, told: Numbers, count: int
) -> "np.ndarray[tuple[int], np.dtype[np.generic]]":
    drawn = np.round(told.typical * rng.lognormal(0, rng.uniform(0.2, 0.6), count), told.decimals)
    return drawn if told.decimals else np.maximum(drawn, 1).astype(np.int64)


def _weighted(
    rng: np.random.Generator, of: "np.ndarray[tuple[int], np.dtype[np.generic]]", count: int
) -> "np.ndarray[tuple[int], np.dtype[np.generic]]":
    """Some come more often than others, so that there is a first one."""
    weights = rng.lognormal(0, 0.5, len(of))
    return rng.choice(of, count, p=weights / weights.sum())


def _with_gaps(rng: np.random.Generator, rows: "Frame", columns: Sequence[Column]) -> "Frame":
    """In every second schema one column lacks some values."""
    if rng.random() < 0.5:
        return rows
    name = pick(rng, columns).name
    missing = rng.random(len(rows)) < rng.uniform(0.03, 0.12)
    return rows.assign(
        **{
            name: rows[name]
            .astype(object if rows[name].dtype.kind in "OU" else float)
            .mask(missing)
        }
    )


def _singular(table: str) -> str:
    name = table.rsplit("_", 1)[-1]
    if name.endswith("ies"):
        return name[:-3] + "y"
    return (
        name.removesuffix("es")
        if name.endswith(("shes", "sses", "ches"))
        else name.removesuffix("s")
    )
