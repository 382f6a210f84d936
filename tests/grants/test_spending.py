from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grants.errors import BeyondGrant
from grants.spending import Amount, handing_back, is_bounded, spending, taken
from tests.grants.samples import GRANT

AMOUNTS = st.builds(Amount, st.integers(0, 50), st.integers(0, 50))
STEPS = st.lists(st.tuples(AMOUNTS, st.fractions(0, 1)), max_size=12)


@given(st.integers(0, 40), st.integers(0, 40), STEPS)
def test_no_sequence_of_calls_gives_more_than_the_grant(
    rows: int, size: int, steps: list[tuple[Amount, float]]
) -> None:
    """Each call takes, uses a part of it, and hands the rest back."""
    grant = replace(GRANT, max_rows=rows, max_bytes=size)
    spent = used = Amount()
    for wanted, part in steps:
        try:
            took = taken(grant, spent, wanted)
        except BeyondGrant:
            continue
        used_now = Amount(int(took.rows * part), int(took.bytes * part))
        unused = Amount(took.rows - used_now.rows, took.bytes - used_now.bytes)
        spent, used = handing_back(spending(spent, took), unused), spending(used, used_now)
    assert used.rows <= rows and used.bytes <= size


def test_grant_without_bounds_is_not_counted() -> None:
    free = replace(GRANT, max_rows=0, max_bytes=0)
    assert not is_bounded(free)
    assert taken(free, Amount(9, 9), Amount(5, 5)) == Amount()


def test_one_bound_that_is_used_up_ends_the_grant() -> None:
    grant = replace(GRANT, max_rows=5, max_bytes=100)
    with pytest.raises(BeyondGrant, match="5 rows"):
        taken(grant, Amount(5, 0), Amount())
