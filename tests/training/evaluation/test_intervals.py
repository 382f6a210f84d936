"""Intervals and tests, held against values from the literature and against enumeration."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.intervals import bootstrap, mcnemar, pass_at_1, wilson


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right: int, of: int, low: float, high: float) -> None:
    found = wilson(right / of, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_holds_what_was_seen(right: int, wrong: int) -> None:
    of = right + wrong
    found = wilson(right / of if of else 0.0, of)
    assert 0 <= found.low <= found.high <= 1
    assert not of or found.low <= right / of <= found.high


def test_pass_at_1_is_the_mean_of_the_questions_shares() -> None:
    mean, interval = pass_at_1([[True, False], [True, True], [False, False, False]])
    assert mean == pytest.approx(0.5)
    assert interval == wilson(0.5, 3)
    assert pass_at_1([]) == (0.0, wilson(0.0, 0))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_bootstrap_is_within_the_values_and_always_the_same(values: list[float]) -> None:
    found = bootstrap(values)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found == bootstrap(values)


def test_bootstrap_narrows_with_more_of_the_same() -> None:
    few, many = bootstrap([0.0, 1.0] * 5), bootstrap([0.0, 1.0] * 200)
    assert many.high - many.low < (few.high - few.low) / 3
    assert bootstrap([]).low == 0


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (1, 9, 22 / 1024)]
)
def test_mcnemar_by_hand(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p)


@given(st.integers(0, 5), st.integers(0, 5))
def test_mcnemar_counts_what_is_at_least_as_uneven(won: int, lost: int) -> None:
    tosses = list(product((0, 1), repeat=won + lost))
    uneven = abs(won - lost)
    as_uneven = sum(abs(2 * sum(each) - len(each)) >= uneven for each in tosses)
    assert mcnemar(won, lost) == pytest.approx(as_uneven / len(tosses))
    assert mcnemar(won, lost) == mcnemar(lost, won)
