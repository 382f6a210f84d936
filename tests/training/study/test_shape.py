"""The size of a model, and how fast it learns when."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.study.pace import moments, rate
from training.study.shape import HEAD, counted, shape

pytestmark = pytest.mark.req("T2")


@given(st.integers(2_000_000, 200_000_000), st.integers(500, 10_000))
def test_shape_has_about_so_many_parameters(parameters: int, vocabulary: int) -> None:
    found = shape(parameters, vocabulary)
    assert found.parameters == pytest.approx(parameters, rel=0.25)
    assert found.width % HEAD == 0
    assert found.heads * HEAD == found.width
    assert found.heads % found.key_heads == 0
    assert found.layers >= 2


def test_shape_counts_what_a_qwen3_has() -> None:
    """Worked out by hand for one: embeddings, four projections, three of the middle, norms."""
    found = shape(30_000_000, 8192)
    kept = HEAD * found.key_heads
    layer = found.width * (2 * found.width + 2 * kept) + 3 * found.width * 3 * found.width
    norms = 2 * found.width + 2 * HEAD
    assert found.parameters == 8192 * found.width + found.layers * (layer + norms) + found.width
    assert found.config(4096)["max_position_embeddings"] == 4096


@pytest.mark.parametrize(
    ("text", "count"), [("30M", 30_000_000), ("1.5m", 1_500_000), ("800k", 800_000), ("64", 64)]
)
def test_counted(text: str, count: int) -> None:
    assert counted(text) == count


@pytest.mark.parametrize("text", ["", "M", "many", "0M", "-3M"])
def test_counted_refuses_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):
        counted(text)


@given(st.floats(0, 1.5), st.floats(1e-5, 1e-1))
def test_rate_is_within_its_bounds(over: float, highest: float) -> None:
    assert 0 < rate(highest, over) <= highest * 1.0001


def test_rate_rises_then_falls() -> None:
    rising = [rate(1.0, over / 1000) for over in range(1, 50)]
    falling = [rate(1.0, over / 1000) for over in range(50, 1001)]
    assert all(a < b for a, b in itertools.pairwise(rising))
    assert all(a > b for a, b in itertools.pairwise(falling))
    assert falling[0] == pytest.approx(1.0)
    assert falling[-1] == pytest.approx(0.05)


def test_moments_end_with_the_time() -> None:
    assert moments(1) == [1.0]
    assert moments(4) == [0.125, 0.25, 0.5, 1.0]
