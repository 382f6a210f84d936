"""Which replica a thread goes to: a table of properties."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.routing import BOUND, preference

NAMES = [f"10.0.0.{n}:50055" for n in range(1, 9)]
idle = st.sets(st.sampled_from(NAMES), min_size=1).map(lambda names: dict.fromkeys(names, 0))
loads = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 50), min_size=1)


@pytest.mark.req("K3")
@given(st.text(), loads)
def test_every_replica_is_offered_once(key, replicas):
    assert sorted(preference(key, replicas)) == sorted(replicas)


@given(st.text(), idle, st.data())
def test_a_replica_that_leaves_moves_only_its_own_threads(key, replicas, data):
    first = preference(key, replicas)[0]
    gone = data.draw(st.sampled_from(sorted(replicas)))
    left = {name: 0 for name in replicas if name != gone}
    if left and gone != first:
        assert preference(key, left)[0] == first


@given(st.text(), loads)
def test_no_replica_gets_more_than_its_bounded_share(key, replicas):
    first = preference(key, replicas)[0]
    most = math.ceil(BOUND * (sum(replicas.values()) + 1) / len(replicas))
    assert replicas[first] + 1 <= most


def test_threads_spread_evenly_and_stay():
    replicas = dict.fromkeys(NAMES, 0)
    chosen = {f"thread-{n}": preference(f"thread-{n}", replicas)[0] for n in range(4000)}
    assert min(Counter(chosen.values()).values()) > 400
    assert all(preference(key, replicas)[0] == first for key, first in chosen.items())


def test_the_full_ones_come_last_the_least_busy_first():
    busy = {"a": 9, "b": 0, "c": 7}
    assert preference("k", busy) == ["b", "c", "a"]


def test_none_from_none():
    assert preference("k", {}) == []
