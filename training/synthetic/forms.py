"""Questions of a schema, each with its answer by pandas. Pure.

A form gives None where the schema or the draw has no such question, or one whose answer another
would pass for: the first of a ranking has to lead, and a count is never nought.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from training.evaluation.dataset import Cell, Expected, Number, Words
from training.evaluation.dataset import Table as TableOf
from training.synthetic.schemas import Column, Schema, Table, pick

if TYPE_CHECKING:
    Frame = pd.DataFrame
    Series = pd.Series[Any]

# how much larger the first is than the second, at least
_LEAD = 0.02
# what is rounded to two decimals
_RELATIVE, _ABSOLUTE = 0.002, 0.011


@dataclass(frozen=True)
class Asking:
    """A question in words. `columns` are those that it names, `tables` those that it needs."""

    text: str
    tables: tuple[Table, ...]
    columns: tuple[Column, ...]
    expects: tuple[Expected, ...]


@dataclass(frozen=True)
class Draw:
    """What a form draws from."""

    schema: Schema
    rng: np.random.Generator

    @property
    def facts(self) -> Table:
        return self.schema.facts

    @property
    def rows(self) -> "Frame":
        return self.schema.facts.rows

    def column(self, role: str, table: Table | None = None) -> Column:
        return pick(self.rng, (table or self.facts).of(role))

    def say(self, *wordings: str, **words: object) -> str:
        """One of the wordings, filled in."""
        return pick(self.rng, wordings).format(rows=self.facts.words, **words)

    def asking(self, text: str, *expects: Expected, columns: tuple[Column, ...] = ()) -> Asking:
        """Of the facts alone."""
        return Asking(text, (self.facts,), columns, expects)

    def filter(self) -> tuple[Column, str, "Frame"]:
        """A column, a value of it, and the rows that have it."""
        column = self.column("group")
        value = pick(self.rng, sorted(self.rows[column.name].dropna().unique()))
        return column, value, self.rows[self.rows[column.name] == value]

    def joined(self) -> tuple[Table, "Frame"]:
        """A parent, and the facts with its columns."""
        parent = pick(self.rng, self.schema.parents)
        return parent, self.rows.merge(parent.rows, on=parent.columns[0].name)


Form = Callable[[Draw], Asking | None]


# Counts


def count(draw: Draw) -> Asking:
    text = draw.say(
        "How many {rows} are there?", "How many {rows} do we have in all?", "Count the {rows}."
    )
    return draw.asking(text, _exact(len(draw.rows)))


def count_of_group(draw: Draw) -> Asking:
    column, value, rows = draw.filter()
    text = draw.say(
        "How many {rows} have the {column} {value}?",
        "How many {rows} are there with {column} {value}?",
        "Count the {rows} whose {column} is {value}.",
        column=column.words, value=value,
    )  # fmt: skip
    return draw.asking(text, _exact(len(rows)), columns=(column,))


def count_above(draw: Draw) -> Asking | None:
    column = draw.column("number")
    values = draw.rows[column.name]
    limit = float(np.round(values.quantile(draw.rng.uniform(0.4, 0.9)), column.decimals))
    found = int((values > limit).sum())
    text = draw.say(
        "How many {rows} have {column} above {limit}?",
        "For how many {rows} is the {column} more than {limit}?",
        column=column.words, limit=_told(limit),
    )  # fmt: skip
    return draw.asking(text, _exact(found), columns=(column,)) if found else None


def missing(draw: Draw) -> Asking | None:
    gaps = draw.rows.isna().sum()
    lacking = [each for each in draw.facts.columns if gaps[each.name]]
    if not lacking:
        return None
    column = lacking[0]
    text = draw.say(
        "How many {rows} have no {column}?",
        "For how many {rows} is the {column} missing?",
        column=column.words,
    )
    return draw.asking(text, _exact(int(gaps[column.name])), columns=(column,))


def parents(draw: Draw) -> Asking:
    parent = pick(draw.rng, draw.schema.parents)
    text = draw.say("How many {of} are there?", "How many {of} do we have?", of=parent.words)
    return Asking(text, (parent,), (), (_exact(len(parent.rows)),))


def parents_of_group(draw: Draw) -> Asking:
    parent = pick(draw.rng, draw.schema.parents)
    column = draw.column("group", parent)
    value = pick(draw.rng, sorted(parent.rows[column.name].unique()))
    found = int((parent.rows[column.name] == value).sum())
    text = draw.say(
        "How many {of} have the {column} {value}?",
        "Count the {of} with {column} {value}.",
        of=parent.words, column=column.words, value=value,
    )  # fmt: skip
    return Asking(text, (parent,), (column,), (_exact(found),))


# Totals, averages, extremes


def total(draw: Draw) -> Asking:
    column = draw.column("number")
    text = draw.say(
        "What is the total {column}?",
        "What is the total {column} of all {rows}?",
        "Add up the {column} of all {rows}.",
        column=column.words,
    )
    return draw.asking(text, _value(draw.rows[column.name].sum()), columns=(column,))


def average(draw: Draw) -> Asking:
    column = draw.column("number")
    text = draw.say(
        "What is the average {column}?",
        "What is the average {column} of the {rows}?",
        "What is the mean {column}?",
        column=column.words,
    )
    return draw.asking(text, _value(draw.rows[column.name].mean()), columns=(column,))


def highest(draw: Draw) -> Asking:
    column = draw.column("number")
    text = draw.say(
        "What is the highest {column}?",
        "What is the largest {column} of any of the {rows}?",
        column=column.words,
    )
    return draw.asking(text, _value(draw.rows[column.name].max()), columns=(column,))


def of_group(draw: Draw) -> Asking | None:
    number = draw.column("number")
    column, value, rows = draw.filter()
    what, by = pick(draw.rng, _TOTAL_OR_MEAN)
    text = draw.say(
        "What is the {what} {number} of {rows} with {column} {value}?",
        "What is the {what} {number} where the {column} is {value}?",
        what=what, number=number.words, column=column.words, value=value,
    )  # fmt: skip
    found = rows[number.name].agg(by)
    return draw.asking(text, _value(found), columns=(number, column)) if len(rows) > 2 else None


# Shares


def share(draw: Draw) -> Asking | None:
    column, value, rows = draw.filter()
    text = draw.say(
        "What percentage of the {rows} has the {column} {value}?",
        "What share of {rows} has {column} {value}, in percent?",
        column=column.words, value=value,
    )  # fmt: skip
    # whether rows without a value are of the whole, the question does not say
    if draw.rows[column.name].isna().any():
        return None
    return draw.asking(text, _percent(len(rows) / len(draw.rows)), columns=(column,))


def share_of_flag(draw: Draw) -> Asking | None:
    column = draw.column("flag")
    found = draw.rows[column.name].mean()
    text = draw.say(
        "What percentage of the {rows} is {column}?",
        "What share of {rows} is {column}, in percent?",
        column=column.words,
    )
    return draw.asking(text, _percent(found), columns=(column,)) if found else None


# By group


def first_by_total(draw: Draw) -> Asking | None:
    number, column = draw.column("number"), draw.column("group")
    text = draw.say(
        "Which {column} has the highest total {number}, and how much is it?",
        "Which {column} comes first by total {number}, and what is the total?",
        column=column.words, number=number.words,
    )  # fmt: skip
    ranked = draw.rows.groupby(column.name)[number.name].sum()
    return _first(draw, text, ranked, (number, column))


def first_by_mean(draw: Draw) -> Asking | None:
    number, column = draw.column("number"), draw.column("group")
    text = draw.say(
        "Which {column} has the highest average {number}, and how high is it?",
        "Which {column} has the largest mean {number}, and what is the mean?",
        column=column.words, number=number.words,
    )  # fmt: skip
    ranked = draw.rows.groupby(column.name)[number.name].mean()
    return _first(draw, text, ranked, (number, column))


def most_common(draw: Draw) -> Asking | None:
    column = draw.column("group")
    text = draw.say(
        "Which {column} has the most {rows}, and how many?",
        "What is the most common {column} of the {rows}, and how many have it?",
        column=column.words,
    )
    return _first(draw, text, draw.rows.groupby(column.name).size(), (column,))


def each_group(draw: Draw) -> Asking:
    number, column = draw.column("number"), draw.column("group")
    what, by = pick(draw.rng, _TOTAL_OR_MEAN)
    text = draw.say(
        "What is the {what} {number} for each {column}?",
        "Show the {what} {number} by {column}.",
        "Give the {what} {number} per {column}.",
        what=what, number=number.words, column=column.words,
    )  # fmt: skip
    found = draw.rows.groupby(column.name)[number.name].agg(by)
    return draw.asking(text, _table(column, number, found), columns=(number, column))


def count_each_group(draw: Draw) -> Asking:
    column = draw.column("group")
    text = draw.say(
        "How many {rows} are there for each {column}?",
        "Count the {rows} by {column}.",
        column=column.words,
    )
    found = draw.rows.groupby(column.name).size()
    expected = TableOf((column.name, draw.facts.name), _rows(found), absolute=0.1, relative=0.0)
    return draw.asking(text, expected, columns=(column,))


# Over time


def best_month(draw: Draw) -> Asking | None:
    number, date = draw.column("number"), draw.column("date")
    text = draw.say(
        "Which month had the highest total {number}, and how much was it?",
        "In which month was the total {number} highest, and how much was it?",
        number=number.words,
    )
    months = draw.rows[date.name].dt.strftime("%Y-%m")
    totals = draw.rows.groupby(months)[number.name].sum()
    if not _leads(totals):
        return None
    month, value = str(totals.idxmax()), float(totals.max())
    named = pd.Timestamp(f"{month}-01")
    words = Words((month, named.strftime("%B %Y"), named.strftime("%b %Y")))
    return draw.asking(text, words, _value(value), columns=(number,))


def of_year(draw: Draw) -> Asking | None:
    number, date = draw.column("number"), draw.column("date")
    years = draw.rows[date.name].dt.year
    year = int(pick(draw.rng, sorted(years.unique())))
    what, by = pick(draw.rng, _TOTAL_OR_MEAN)
    text = draw.say(
        "What was the {what} {number} in {year}?",
        "What was the {what} {number} of the {rows} of {year}?",
        what=what, number=number.words, year=year,
    )  # fmt: skip
    rows = draw.rows[years == year]
    found = rows[number.name].agg(by)
    return draw.asking(text, _value(found), columns=(number,)) if len(rows) > 5 else None


def count_of_year(draw: Draw) -> Asking:
    years = draw.rows[draw.column("date").name].dt.year
    year = int(pick(draw.rng, sorted(years.unique())))
    text = draw.say("How many {rows} were there in {year}?", year=year)
    return draw.asking(text, _exact(int((years == year).sum())))


# Of two tables


def first_parent(draw: Draw) -> Asking | None:
    parent, rows = draw.joined()
    number, label = draw.column("number"), draw.column("label", parent)
    text = draw.say(
        "Which {label} has the highest total {number}, and how much is it?",
        "Which {label} comes first by total {number}, and what is the total?",
        label=label.words, number=number.words,
    )  # fmt: skip
    ranked = rows.groupby(label.name)[number.name].sum()
    return _of_two(parent, _first(draw, text, ranked, (number, label)))


def first_parents(draw: Draw) -> Asking | None:
    parent, rows = draw.joined()
    number, label = draw.column("number"), draw.column("label", parent)
    top = int(pick(draw.rng, (2, 3)))
    text = draw.say(
        "What are the top {top} {of} by total {number}, by {label}?",
        "Show the {top} {of} with the highest total {number}, by {label}.",
        top=top, of=parent.words, number=number.words, label=label.words,
    )  # fmt: skip
    ranked = rows.groupby(label.name)[number.name].sum().sort_values(ascending=False)
    if not all(_leads(ranked.iloc[at:]) for at in range(top)):
        return None
    expected = _table(label, number, ranked.iloc[:top], further_rows=True)
    return _of_two(parent, draw.asking(text, expected, columns=(number, label)))


def first_parent_group(draw: Draw) -> Asking | None:
    parent, rows = draw.joined()
    number, column = draw.column("number"), draw.column("group", parent)
    text = draw.say(
        "Which {column} has the highest total {number}, and how much is it?",
        "By total {number}, which {column} comes first, and with how much?",
        column=column.words, number=number.words,
    )  # fmt: skip
    ranked = rows.groupby(column.name)[number.name].sum()
    return _of_two(parent, _first(draw, text, ranked, (number, column)))


def each_parent_group(draw: Draw) -> Asking | None:
    parent, rows = draw.joined()
    number, column = draw.column("number"), draw.column("group", parent)
    what, by = pick(draw.rng, _TOTAL_OR_MEAN)
    text = draw.say(
        "What is the {what} {number} for each {column}?",
        "Show the {what} {number} by {column}.",
        what=what, number=number.words, column=column.words,
    )  # fmt: skip
    found = rows.groupby(column.name)[number.name].agg(by)
    return _of_two(
        parent, draw.asking(text, _table(column, number, found), columns=(number, column))
    )


FORMS: Mapping[str, Form] = {
    each.__name__: each
    for each in (
        count, count_of_group, count_above, missing, parents, parents_of_group, total, average,
        highest, of_group, share, share_of_flag, first_by_total, first_by_mean, most_common,
        each_group, count_each_group, best_month, of_year, count_of_year, first_parent,
        first_parents, first_parent_group, each_parent_group,
    )
}  # fmt: skip

_TOTAL_OR_MEAN = (("total", "sum"), ("average", "mean"))


# What is expected


def _first(draw: Draw, text: str, ranked: "Series", columns: tuple[Column, ...]) -> Asking | None:
    if not _leads(ranked):
        return None
    named = Words((str(ranked.idxmax()),))
    return draw.asking(text, named, _value(float(ranked.max())), columns=columns)


def _of_two(parent: Table, asking: Asking | None) -> Asking | None:
    if asking is None:
        return None
    return Asking(asking.text, (*asking.tables, parent), asking.columns, asking.expects)


def _leads(ranked: "Series") -> bool:
    """Whether the first is told from the second, whatever is rounded."""
    ordered = sorted(ranked, reverse=True)
    return len(ordered) > 1 and ordered[0] > ordered[1] * (1 + _LEAD)


def _exact(value: int) -> Number:
    return Number(value, relative=0.0, absolute=0.1)


def _value(value: float) -> Number:
    return Number(round(float(value), 6), relative=_RELATIVE, absolute=_ABSOLUTE)


def _percent(share: float) -> Number:
    return Number(float(share) * 100, relative=0.0, absolute=0.11, percent=True)


def _table(
    column: Column, number: Column, found: "Series", *, further_rows: bool = False
) -> TableOf:
    return TableOf(
        (column.name, number.name),
        _rows(found),
        further_rows=further_rows,
        relative=_RELATIVE,
        absolute=_ABSOLUTE,
    )


def _rows(found: "Series") -> tuple[tuple[Cell, ...], ...]:
    return tuple((str(name), round(float(value), 6)) for name, value in found.items())


def _told(limit: float) -> str:
    return f"{limit:g}"
