"""Tables are compared by what their cells say, wherever they stand."""

import csv
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.dataset import Cell, Table
from training.evaluation.tables import Grid, best, equal, matched, of_csv, of_markdown

WANTED = Table(
    ("country", "orders", "share"),
    (("Norway", 12, 40.0), ("Spain", 15, 50.0), ("Malta", 3, None)),
)
GIVEN = (("Norway", "12", "40.0 %"), ("Spain", "15", "50%"), ("Malta", "3", ""))


def grid(*columns: str, rows: tuple[tuple[str, ...], ...] = GIVEN) -> Grid:
    return Grid(columns, rows)


@pytest.mark.parametrize(
    ("given_", "right", "of"),
    [
        (grid("country", "orders", "share"), 9, 9),
        (grid("Country", "Orders", "Share (%)"), 9, 9),
        (grid("Land", "n", "Anteil"), 9, 9),
        (grid("country", "orders", "share", rows=GIVEN[::-1]), 9, 9),
        (grid("orders", "country", "share", rows=tuple((b, a, c) for a, b, c in GIVEN)), 9, 9),
        (grid("country", "orders", "share", rows=(*GIVEN, ("Total", "30", "100"))), 9, 9),
        (grid("country", "orders", "share", rows=(*GIVEN, ("Chad", "1", "2"))), 9, 12),
        (grid("country", "orders", "share", rows=GIVEN[:2]), 6, 9),
        (grid("country", "orders", rows=tuple(row[:2] for row in GIVEN)), 6, 9),
        (grid("country", "orders", "share", rows=(("Norway", "13", "40"), *GIVEN[1:])), 8, 9),
        (grid("country", "orders", "share", rows=(("Norway",), *GIVEN[1:])), 7, 9),
        (grid("a", "b", rows=(("x", "y"),)), 0, 9),
    ],
)
def test_cells_are_counted(given_: Grid, right: int, of: int) -> None:
    found = matched(WANTED, given_)
    assert (found.right, found.of) == (right, of)


def test_order_counts_where_it_is_asked_for() -> None:
    ordered = Table(WANTED.columns, WANTED.rows, ordered=True)
    assert matched(ordered, grid("country", "orders", "share")).credit == 1
    assert matched(ordered, grid("country", "orders", "share", rows=GIVEN[::-1])).credit < 1


def test_further_rows_are_allowed_where_they_are() -> None:
    wanted = Table(WANTED.columns, WANTED.rows, further_rows=True)
    more = grid("country", "orders", "share", rows=(("Chad", "1", "2"), *GIVEN))
    assert matched(wanted, more).credit == 1


def test_rows_within_tolerance_of_several_are_given_out_fairly() -> None:
    # the first fits both rows, the second only one
    wanted = Table(("v",), ((100.0,), (101.0,)), relative=0.0, absolute=1.0)
    assert matched(wanted, Grid(("v",), (("100.5",), ("99.5",)))).credit == 1


def test_columns_of_the_same_values_are_told_apart_by_their_rows() -> None:
    wanted = Table(("name", "first", "second"), (("x", 1, 2), ("y", 2, 1)))
    there = Grid(("name", "b", "a"), (("x", "2", "1"), ("y", "1", "2")))
    assert matched(wanted, there).credit == 1


@pytest.mark.parametrize(
    ("mine", "there", "same"),
    [
        (5, "5", True),
        (5, "5.0", True),
        (5, "6", False),
        (1234.5, "€ 1,234.50", True),
        (100.0, "100.4", True),
        (100.0, "101", False),
        (-3, "−3", True),
        (None, "n/a", True),
        (None, "0", False),
        (float("nan"), "NaN", True),
        (True, "yes", True),
        (True, "1", True),
        (False, "0", True),
        (True, "False", False),
        ("Nord", "**nord**", True),
        ("Nord", "Nordvik", False),
        ("2025-01-01", "2025-01-01 00:00:00", True),
        ("2025-01-01", "2025-01-02", False),
    ],
)
def test_cells_are_equal(mine: Cell, there: str, same: bool) -> None:
    assert equal(WANTED, mine, there) is same


def test_markdown_tables_are_read_and_code_is_not() -> None:
    text = "# T\n\n| a | **b** |\n| - | - |\n| 1 | `x` |\n\n```\n| c |\n| - |\n| 2 |\n```\n"
    assert of_markdown(text) == [Grid(("a", "b"), (("1", "x"),))]
    assert of_markdown("no | table") == []


def test_csv_is_read() -> None:
    assert of_csv('a,b\n1,"2,5"\n') == Grid(("a", "b"), (("1", "2,5"),))
    assert of_csv("a,b\n") is None and of_csv("") is None


def test_a_file_of_all_rows_is_no_answer() -> None:
    wanted = Table(("a",), ((1,),), further_rows=True)
    assert matched(wanted, Grid(("a",), (("1",),) * 1_000)).credit == 1
    assert matched(wanted, Grid(("a",), (("1",),) * 1_001)).credit == 0


def test_the_best_of_several_tables_counts() -> None:
    other = Grid(("x",), (("y",),))
    assert best(WANTED, [other, grid("country", "orders", "share")]).credit == 1
    assert best(WANTED, []).credit == 0


CELLS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    st.text("abcxyz", min_size=1, max_size=6),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=8))
    return Table(tuple(f"column {at}" for at in range(width)), tuple(rows))


@settings(deadline=None)
@given(tables(), st.randoms(), st.booleans())
def test_a_table_passes_however_it_is_turned(
    table: Table, chance: random.Random, named: bool
) -> None:
    width = len(table.columns)
    order = chance.sample(range(width), width)
    rows = [tuple(str(row[at]) for at in order) for row in table.rows]
    chance.shuffle(rows)
    # names tell the columns, else their values have to, where that is not too much to try
    names = tuple(table.columns[at] if named or width > 3 else f"c{at}" for at in order)
    written = io.StringIO()
    csv.writer(written).writerows([names, *rows])
    read = of_csv(written.getvalue())
    assert read is not None and matched(table, read).credit == 1


@settings(deadline=None)
@given(tables(), tables())
def test_credit_is_a_share(wanted: Table, other: Table) -> None:
    rows = tuple(tuple(str(cell) for cell in row) for row in other.rows)
    found = matched(wanted, Grid(other.columns, rows))
    assert 0 <= found.credit <= 1
