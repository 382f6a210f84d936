"""What the profile found: tables, columns with their roles, and the links between tables."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .words import any_akin, name_stems, plural, singular, stem

Kind = Literal["number", "date", "flag", "text"]
_KINDS: tuple[Kind, ...] = ("number", "date", "flag", "text")
_KEYS_WORDS = "id ids key code no nr # number sku uuid guid ref zip postcode postal phone"
_KEYS = frozenset(_KEYS_WORDS.split())
_CURRENCY = re.compile(r"[€$£¥]|\b(?:EUR|USD|GBP|CHF|NOK|SEK|DKK|JPY)\b", re.IGNORECASE)
_LEVELS = (
    "price rate ratio percent percentage pct age temperature grade "
    "temp humidity score rating average avg "
    "mean median salary wage latitude longitude lat lon lng index level pressure speed voltage "
    "margin share probability density height weight bmi year month week hour duration days seconds "
    "minutes hours satisfaction "
    "min mins sec secs hrs ms reply response latency balance close open high low value "
    "bounce discount tenure status code"
)
_SUMS = (
    "amount total revenue sales quantity qty units count cost visits sessions clicks orders "
    "kwh energy consumption"
)


@dataclass(frozen=True)
class Column:
    """A column as profiled; `named` holds the values of it that the question mentions."""

    table: str
    name: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    facts: Mapping[str, Any]

    @property
    def stems(self) -> tuple[str, ...]:
        return name_stems(self.name)

    @property
    def parse(self) -> Mapping[str, Any]:
        found = self.facts.get("parse")
        return found if isinstance(found, dict) else {}

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(str(value) for value, _ in self.facts.get("values", ()))

    @property
    def named(self) -> tuple[str, ...]:
        return tuple(str(value) for value in self.facts.get("named", ()))

    @property
    def low(self) -> Any:
        return self.facts.get("min")

    @property
    def high(self) -> Any:
        return self.facts.get("max")

    @property
    def whole(self) -> bool:
        return bool(self.facts.get("whole"))

    @property
    def unique(self) -> bool:
        return self.rows > 1 and self.distinct == self.rows - self.nulls and self.distinct > 1

    @property
    def key(self) -> bool:
        """An identifier: counted, never added up."""
        words = re.findall(r"[^\W_]+|#", self.name.lower()) or [""]
        camel = len(self.name) > 2 and self.name[-2:] in ("Id", "ID", "No")
        if (words[-1] in _KEYS or camel) and self.kind in ("text", "number"):
            return self.kind == "text" or self.whole
        if self.kind != "number" or not (self.whole and self.unique and self.rows > 20):
            return False
        # a running number: every whole number from nought or one to the last, each once
        return bool(self.low in (0, 1) and self.high - self.low + 1 == self.distinct)

    @property
    def year(self) -> bool:
        return (
            self.whole
            and isinstance(self.low, float)
            and 1900 <= self.low <= (self.high or 0) <= 2100
        )

    @property
    def money(self) -> bool:
        """Whether its heading gives a currency as its unit."""
        price = any_akin(self.stems, ("price", "salary", "rate"))
        return bool(_CURRENCY.search(self.name)) and not price

    @property
    def calendar(self) -> bool:
        """A number that says when, not how much: a year, a month, a weekday, an hour."""
        when = any_akin(self.stems[-1:], ("year", "month", "week", "weekday", "hour", "quarter"))
        return self.kind == "number" and self.whole and when and self.distinct <= 400

    @property
    def binary(self) -> bool:
        """Yes or no: a flag, or a number that is only ever 0 or 1."""
        zero_one = self.whole and self.low == 0 and self.high == 1
        return self.kind == "flag" or (self.kind == "number" and zero_one)

    @property
    def measure(self) -> bool:
        return self.kind == "number" and not self.key and not self.calendar and self.distinct > 0

    @property
    def additive(self) -> bool:
        """Whether its sum means something."""
        if self.stems[-1] in {stem(word) for word in _SUMS.split()} or self.money:
            return True
        if self.year:
            return False
        if any(stem in name_stems(self.name, unit=True) for stem in _level_stems()):
            return False
        gauged = any(mark in self.name for mark in "°%") or re.search(r"[(\[].*/.*[)\]]", self.name)
        return not gauged and not any_akin(name_stems(self.table), ("reading", "sensor"))

    @property
    def dimension(self) -> bool:
        """Few enough values to compare groups by."""
        if self.kind == "flag":
            return self.distinct == 2
        if self.kind == "text":
            few = 1 < self.distinct <= max(60, self.rows // 20) and self.distinct <= 2000
            return few and not self.key and float(self.facts.get("length", 0)) < 60
        coded = self.kind == "number" and self.whole and self.low is not None
        return bool(coded and 1 < self.distinct <= 12 and not self.key) or self.calendar

    @property
    def label(self) -> str:
        return self.name.replace("_", " ").strip() or self.name


_VAGUE_WORDS = "data dataset table sheet file export report log list copy final new all"
_VAGUE = frozenset(_VAGUE_WORDS.split())


def _says(word: str) -> bool:
    """Whether a word of a table's name says what its rows are: no 'export', 'q1', 'v2', '2024'."""
    return word.isalpha() and len(word) > 2 and word not in _VAGUE


def _level_stems() -> frozenset[str]:
    return frozenset(stem for word in _LEVELS.split() for stem in name_stems(word))


@dataclass(frozen=True)
class Table:
    """One table: a file, a sheet, or several files of one shape."""

    name: str
    kind: str
    options: Mapping[str, Any]
    files: tuple[str, ...]
    rows: int
    width: int
    repeated: int | None
    cut: bool
    columns: tuple[Column, ...]

    @property
    def stems(self) -> tuple[str, ...]:
        return name_stems(" ".join(self._words) or self.name)

    @property
    def _words(self) -> list[str]:
        return [word for word in self.label.replace("-", " ").split() if _says(word)]

    @property
    def label(self) -> str:
        return self.name.replace("_", " ").lower()

    @property
    def many(self) -> str:
        """What its rows are called: 'orders'; 'rows' when the name says nothing."""
        words = self._words
        if not words:
            return "rows"
        last = words[-1]
        if last not in (plural(last), "people", "staff"):
            return "rows" if last.endswith("ing") else plural(" ".join(words))
        return " ".join(words)

    @property
    def one(self) -> str:
        return singular(self.many)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def identity(self) -> Column | None:
        """The column that tells its rows apart, if one does."""
        unique = [column for column in self.columns if column.unique and column.key]
        own = [column for column in unique if set(column.stems) & set(self.stems)]
        return next(iter(own or unique), None)

    @property
    def dates(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind == "date")


@dataclass(frozen=True)
class Link:
    """Two columns with the same values; unique tells on which side a value stands once."""

    left: tuple[str, str]
    right: tuple[str, str]
    left_unique: bool
    right_unique: bool
    left_found: float
    right_found: float

    def turned(self) -> "Link":
        return Link(
            self.right,
            self.left,
            self.right_unique,
            self.left_unique,
            self.right_found,
            self.left_found,
        )


@dataclass(frozen=True)
class Schema:
    """All tables of the workspace, and what could not be read."""

    tables: tuple[Table, ...]
    links: tuple[Link, ...]
    problems: tuple[tuple[str, str], ...]

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    def column(self, table: str, name: str) -> Column:
        found = self.table(table).column(name)
        if found is None:
            raise LookupError(f"{table} has no column {name}")
        return found

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for table in self.tables for column in table.columns)

    def links_from(self, table: str) -> tuple[Link, ...]:
        out = [link for link in self.links if link.left[0] == table]
        out += [link.turned() for link in self.links if link.right[0] == table]
        return tuple(out)


def decode(profile: Mapping[str, object]) -> Schema | None:
    """The schema of a printed profile; None when it does not have the profile's shape."""
    try:
        tables = tuple(_table(entry) for entry in _list(profile["tables"]))
        links = tuple(_link(entry) for entry in _list(profile["links"]))
        problems = tuple((str(p["file"]), str(p["error"])) for p in _list(profile["problems"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    known = {(column.table, column.name) for table in tables for column in table.columns}
    kept = tuple(link for link in links if link.left in known and link.right in known)
    return Schema(tables, kept, problems)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value


def _table(entry: Mapping[str, Any]) -> Table:
    name, rows = str(entry["name"]), int(entry["rows"])
    columns = tuple(_column(name, rows, column) for column in _list(entry["columns"]))
    return Table(
        name=name,
        kind=str(entry["kind"]),
        options=dict(entry["options"]),
        files=tuple(str(file) for file in _list(entry["files"])),
        rows=rows,
        width=int(entry["width"]),
        repeated=entry.get("repeated"),
        cut=bool(entry.get("cut")),
        columns=columns,
    )


def _column(table: str, rows: int, entry: Mapping[str, Any]) -> Column:
    kind = entry["kind"]
    if kind not in _KINDS:
        raise ValueError("unknown kind of column")
    for value, count in entry.get("values", ()):
        if not isinstance(value, str) or not isinstance(count, int):
            raise ValueError("values are pairs of a text and a count")
    json.dumps(dict(entry))
    return Column(
        table, str(entry["name"]), kind, rows, int(entry["nulls"]), int(entry["distinct"]), entry
    )


def _link(entry: Mapping[str, Any]) -> Link:
    (left_table, left), (right_table, right) = entry["left"], entry["right"]
    return Link(
        (str(left_table), str(left)),
        (str(right_table), str(right)),
        bool(entry["left_unique"]),
        bool(entry["right_unique"]),
        float(entry["left_found"]),
        float(entry["right_found"]),
    )


def label_column(columns: Sequence[Column]) -> Column | None:
    """The text column that names a row to a person: name, title."""
    for column in columns:
        last = column.name.lower().replace(" ", "_").split("_")[-1]
        if column.kind == "text" and (
            last in ("name", "title", "label") or column.name.endswith("Name")
        ):
            return column
    return None
