import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath_client.rows import rows, value

CELLS = st.lists(st.lists(st.text(alphabet='a",\n é'), min_size=1, max_size=3), min_size=1)


def test_null_and_the_empty_text_differ() -> None:
    assert list(rows(['a,b\n,""\n'])) == [["a", "b"], [None, ""]]
    assert list(rows(["a\r\n1\r\n"])) == [["a"], ["1"]]
    assert list(rows([])) == []
    assert list(rows(["a,b"])) == [["a", "b"]]


@given(CELLS, st.integers(1, 9))
def test_what_the_library_writes_is_read_in_any_pieces(table: list[list[str]], size: int) -> None:
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    text = sink.getvalue()
    assert list(rows(text[at : at + size] for at in range(0, len(text), size))) == table


@pytest.mark.parametrize(
    ("cell", "arrow_type", "told"),
    [
        ("7", "int64", 7),
        ("0.5", "double", 0.5),
        ("NaN", "double", "NaN"),
        ("true", "bool", True),
        ("12.50", "decimal128(12, 2)", "12.50"),
        ("x", "string", "x"),
        (None, "int64", None),
    ],
)
def test_cell_as_json_has_it(cell: str | None, arrow_type: str, told: object) -> None:
    assert value(cell, arrow_type) == told
