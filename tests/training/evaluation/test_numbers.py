"""Numbers as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.numbers import only, stated


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,234.5 rows", [1234.5]),
        ("1 234 567", [1234567]),
        ("€ 12.50 and $3", [12.5, 3]),
        ("3.4k and 1.2 million", [3400, 1_200_000]),
        ("-5 and −6 and 7–9", [-5, -6, 7]),
        ("**42**", [42]),
        ("2024-05-01", [2024]),
        ("v1.2.3 A4 x7", []),
        ("no number", []),
    ],
)
def test_numbers_as_people_write_them(text: str, values: list[float]) -> None:
    found = [each.value for each in stated(text)]
    assert found[: len(values)] == pytest.approx(values)
    assert bool(found) == bool(values)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,234.50", 1234.5),
        ("€ 1,234", 1234),
        ("12.3%", 12.3),
        ("-5", -5),
        ("+5", 5),
        ("1.5e3", 1500),
        ("2 million", 2_000_000),
        ("3 EUR", 3),
        ("2024-05", None),
        ("AB-12", None),
        ("12 of 15", None),
        ("", None),
    ],
)
def test_a_cell_is_one_number_or_none(cell: str, value: float | None) -> None:
    assert only(cell) == (None if value is None else pytest.approx(value))


@given(st.floats(-1e12, 1e12).map(lambda value: round(value, 4)))
def test_what_is_written_is_read(value: float) -> None:
    assert only(f"{value:,.4f}") == pytest.approx(value)
    assert only(repr(value)) == pytest.approx(value)
