"""Whether a table has the cells that are expected, wherever they stand in it: pure."""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

from training.evaluation.dataset import Cell, Table
from training.evaluation.numbers import only

_EMPTY = {"", "-", "–", "—", "n/a", "na", "nan", "none", "null", "nat"}
_TRUTHS = {"true": True, "yes": True, "t": True, "false": False, "no": False, "f": False}
# a last row that only adds the others up
_TOTALS = {"total", "sum", "overall", "all", "grand total"}
_MIDNIGHT = re.compile(r"(?<=\d\d)[ T]00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?$")
# assignments of columns that are tried where names do not tell
_TRIED = 24
# what is longer is no answer, but the data that led to it
_MOST_ROWS = 1_000
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True)
class Grid:
    """A table as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Match:
    """How many of the expected cells a grid has, of how many that count: those that are expected,
    and those of rows too many."""

    right: int
    of: int

    @property
    def credit(self) -> float:
        return self.right / self.of


def of_markdown(text: str) -> list[Grid]:
    """The tables of a Markdown text, not those inside of code."""
    grids, rows, row = [], list[tuple[str, ...]](), list[str]()
    for token in _MARKDOWN.parse(text):
        match token.type:
            case "table_open":
                rows = []
            case "tr_open":
                row = []
            case "inline" if token.level >= 4:
                row.append(_plain(token))
            case "tr_close":
                rows.append(tuple(row))
            case "table_close":
                grids.append(Grid(rows[0], tuple(rows[1:])))
    return grids


def _plain(token: Token) -> str:
    return "".join(each.content for each in token.children or []).strip()


def of_csv(content: str) -> Grid | None:
    """The table of a CSV file; None where it has no rows."""
    rows = [tuple(each) for each in csv.reader(io.StringIO(content)) if each]
    return Grid(rows[0], tuple(rows[1:])) if len(rows) > 1 else None


def best(wanted: Table, grids: Iterable[Grid]) -> Match:
    """Of the grid that has the most of what is wanted."""
    found = (matched(wanted, each) for each in grids)
    return max(found, key=lambda match: match.credit, default=_nothing(wanted))


def _nothing(wanted: Table) -> Match:
    return Match(0, len(wanted.columns) * len(wanted.rows) or 1)


def matched(wanted: Table, grid: Grid) -> Match:
    """How much of what is wanted a grid has, with its columns and rows laid side by side as well as
    they can be."""
    rows = _without_total(wanted, grid.rows)
    if len(rows) > max(_MOST_ROWS, 2 * len(wanted.rows)):
        return _nothing(wanted)
    tried = itertools.islice(_assignments(wanted, grid, rows), _TRIED)
    right = max(_right(wanted, rows, columns) for columns in tried)
    too_many = 0 if wanted.further_rows else max(0, len(rows) - len(wanted.rows))
    return Match(right, len(wanted.columns) * (len(wanted.rows) + too_many) or 1)


def _without_total(wanted: Table, rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    if len(rows) == len(wanted.rows) + 1 and rows[-1] and _folded(rows[-1][0]) in _TOTALS:
        return rows[:-1]
    return rows


# Columns


def _assignments(
    wanted: Table, grid: Grid, rows: Sequence[tuple[str, ...]]
) -> Iterable[Mapping[int, int]]:
    """Which column of the grid each of the wanted ones may be: those of the same name, and for the
    rest those whose values are most like it."""
    named = _named(wanted.columns, grid.columns)
    free = [at for at in range(len(grid.columns)) if at not in named.values()]
    open_ = [at for at in range(len(wanted.columns)) if at not in named]
    likely = [_likely(wanted, at, free, rows) for at in open_]
    for chosen in itertools.product(*likely):
        taken = [each for each in chosen if each is not None]
        if len(set(taken)) == len(taken):
            filled = zip(open_, chosen, strict=True)
            yield {**named, **{at: each for at, each in filled if each is not None}}


def _named(wanted: Sequence[str], there: Sequence[str]) -> dict[int, int]:
    names = [_bare(each) for each in there]
    return {
        at: names.index(_bare(name))
        for at, name in enumerate(wanted)
        if names.count(_bare(name)) == 1
    }


def _likely(
    wanted: Table, at: int, free: Sequence[int], rows: Sequence[tuple[str, ...]]
) -> list[int | None]:
    """Best first; None, no column at all, comes last."""
    values = [row[at] for row in wanted.rows]

    def found(column: int) -> int:
        there = [_cell(row, column) for row in rows]
        return sum(any(equal(wanted, each, cell) for cell in there) for each in values)

    counted = {column: found(column) for column in free}
    some = [column for column in free if counted[column]]
    return [*sorted(some, key=lambda column: -counted[column]), None]


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _cell(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""


# Rows


def _right(wanted: Table, rows: Sequence[tuple[str, ...]], columns: Mapping[int, int]) -> int:
    """How many cells are right, with the rows laid side by side."""
    pairs = [
        [
            sum(equal(wanted, mine[at], _cell(row, column)) for at, column in columns.items())
            for row in rows
        ]
        for mine in wanted.rows
    ]
    if wanted.ordered:
        return sum(line[at] for at, line in enumerate(pairs) if at < len(line))
    whole = _whole(pairs, len(wanted.columns))
    return len(whole) * len(wanted.columns) + _rest(pairs, whole)


def _whole(pairs: Sequence[Sequence[int]], width: int) -> dict[int, int]:
    """The most pairs of rows that are equal in each cell (Kuhn's augmenting paths), by the wanted
    row."""
    holder: dict[int, int] = {}

    def seat(mine: int, seen: set[int]) -> bool:
        for row, equal_cells in enumerate(pairs[mine]):
            if equal_cells == width and row not in seen:
                seen.add(row)
                if row not in holder or seat(holder[row], seen):
                    holder[row] = mine
                    return True
        return False

    for mine in range(len(pairs)):
        seat(mine, set())
    return {mine: row for row, mine in holder.items()}


def _rest(pairs: Sequence[Sequence[int]], whole: Mapping[int, int]) -> int:
    """Cells that are right in rows which are not, the most alike first."""
    mine = set(range(len(pairs))) - whole.keys()
    rows = set(range(len(pairs[0]) if pairs else 0)) - set(whole.values())
    likeness = sorted(((pairs[at][row], at, row) for at in mine for row in rows), reverse=True)
    right = 0
    for count, at, row in likeness:
        if at in mine and row in rows:
            mine.remove(at)
            rows.remove(row)
            right += count
    return right


# Cells


def equal(wanted: Table, mine: Cell, there: str) -> bool:
    """Whether a cell's text says what is expected."""
    text = _folded(there)
    if mine is None or mine != mine:
        return text in _EMPTY
    if isinstance(mine, bool):
        return _TRUTHS.get(text, mine if text == str(int(mine)) else None) is mine
    if isinstance(mine, int | float):
        number = only(there)
        reach = max(wanted.relative * abs(mine), wanted.absolute) + 1e-9
        return number is not None and abs(number - mine) <= reach
    return _MIDNIGHT.sub("", text) == _MIDNIGHT.sub("", _folded(mine))


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[*`]", "", text)).strip().casefold()
