"""What is held out of a data set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.conversation import Conversation, Turn
from training.tuning.parting import parted
from training.unusable import Unusable

pytestmark = pytest.mark.req("T1")


def of(sources: list[str]) -> list[Conversation]:
    message = Turn("assistant", "x", True)
    return [Conversation(str(at), source, (message,)) for at, source in enumerate(sources)]


@given(
    st.lists(st.sampled_from("abcdef"), min_size=2).filter(lambda each: len(set(each)) > 1),
    st.floats(0.05, 0.5),
    st.integers(0, 9),
)
def test_no_source_is_on_both_sides(sources, share, seed):
    data = of(sources)
    train, held = parted(data, share, seed)
    assert train and held
    assert not {c.source for c in train} & {c.source for c in held}
    assert sorted(train + held, key=lambda c: int(c.id)) == data
    assert parted(data[::-1], share, seed)[1] == held[::-1]


def test_one_source_cannot_be_held_out():
    with pytest.raises(Unusable, match="one source"):
        parted(of(["a", "a"]), 0.1, 7)
    assert parted(of(["a", "a"]), 0.0, 7)[1] == []
