"""From spans of characters to labels of tokens."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tuning import masking
from training.tuning.masking import IGNORED

pytestmark = pytest.mark.req("T1")


@pytest.mark.parametrize(
    ("offsets", "counted", "labelled", "straddling"),
    [
        ([(0, 2), (2, 4), (4, 6)], [(2, 4)], [1], []),
        ([(0, 2), (2, 4), (4, 6)], [], [], []),
        ([(0, 2), (2, 4), (4, 6)], [(0, 6)], [0, 1, 2], []),
        # across the beginning, across the end, around all of it
        ([(0, 3), (3, 4), (4, 6)], [(2, 4)], [1], [0]),
        ([(0, 2), (2, 5), (5, 6)], [(0, 4)], [0], [1]),
        ([(0, 6)], [(2, 4)], [], [0]),
        # from one span into the next
        ([(0, 2), (2, 6), (6, 8)], [(0, 3), (5, 8)], [0, 2], [1]),
        # blanks that the tokenizer left out of its offsets: they belong to the token behind them
        ([(0, 2), (3, 5), (6, 8)], [(2, 5)], [1], []),
        ([(0, 2), (3, 5), (6, 8)], [(3, 5)], [], [1]),
        # one character that is three tokens
        ([(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)], [(1, 2)], [1, 2, 3], []),
        # a token without text
        ([(0, 0), (0, 2), (2, 2)], [(0, 2)], [1], []),
    ],
)
def test_a_token_counts_where_all_of_it_is_counted(offsets, counted, labelled, straddling):
    ids = [100 + place for place in range(len(offsets))]
    found = masking.labels(ids, offsets, counted)
    assert [p for p, label in enumerate(found.labels) if label != IGNORED] == labelled
    assert all(found.labels[place] == ids[place] for place in labelled)
    assert found.straddling == straddling


cuts = st.lists(st.integers(0, 60), max_size=12).map(lambda each: sorted(set(each)))


@given(tokens=cuts, spans=cuts)
def test_labels_agree_with_counting_characters_one_by_one(tokens, spans):
    borders = sorted({0, 60, *tokens})
    offsets = list(itertools.pairwise(borders))
    counted = [(a, b) for a, b in zip(spans[::2], spans[1::2], strict=False)]
    counts = [any(a <= at < b for a, b in counted) for at in range(60)]
    found = masking.labels(list(range(len(offsets))), offsets, counted)
    for place, (start, end) in enumerate(offsets):
        one_span = any(a <= start and end <= b for a, b in counted)
        assert (found.labels[place] != IGNORED) is one_span
        assert (place in found.straddling) is (any(counts[start:end]) and not one_span)


@given(st.lists(st.sampled_from([IGNORED, 3, 4])))
def test_runs_are_the_stretches_that_count(values):
    runs = masking.runs(values)
    assert [p for a, b in runs for p in range(a, b)] == [
        p for p, value in enumerate(values) if value != IGNORED
    ]
    assert all(a < b for a, b in runs)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(runs))
