from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grants.attenuation import Bounds, attenuate
from grants.claims import Grant
from grants.errors import BeyondGrant
from grants.scope import permits
from tests.grants.samples import GRANT, NOW, grant, scoped

operations = st.frozensets(st.sampled_from(["list", "read", "write"]))
scopes = st.lists(st.sampled_from(["a/", "a/b/", "a/*.csv", "b/", "**", "b/x"]), max_size=3).map(
    tuple
)
counts = st.integers(0, 5)
ends = st.integers(-5, 60).map(lambda minutes: NOW + timedelta(minutes=minutes))
held = st.builds(
    lambda o, s, r, b, t, e: grant(
        operations=o, scopes=s, max_rows=r, max_bytes=b, max_seconds=t, expires_at=e
    ),
    *(operations, scopes, counts, counts, counts, ends),
)
wanted = st.builds(
    Bounds,
    operations=st.none() | operations,
    scopes=st.none() | scopes,
    max_rows=st.none() | counts,
    max_bytes=st.none() | counts,
    max_seconds=st.none() | counts,
    expires_at=st.none() | ends,
)
PATHS = ["", "a/", "a/x.csv", "a/b/x.csv", "b/x", "b/y", "c", "a/*.csv", "**"]


def reach(bound: float) -> float:
    return bound or float("inf")


@given(held, wanted)
def test_narrower_grant_never_reaches_further(wide: Grant, bounds: Bounds) -> None:
    try:
        narrow = attenuate(wide, bounds)
    except BeyondGrant:
        return
    for operation in ("list", "read", "write"):
        for path in PATHS:
            assert permits(wide, operation, path) or not permits(narrow, operation, path)
    assert reach(narrow.max_rows) <= reach(wide.max_rows)
    assert reach(narrow.max_bytes) <= reach(wide.max_bytes)
    assert reach(narrow.max_seconds) <= reach(wide.max_seconds)
    assert narrow.expires_at <= wide.expires_at
    assert narrow.issued_at == wide.issued_at


@given(held, st.lists(wanted, min_size=2, max_size=5))
def test_no_sequence_of_narrowings_widens_a_right(wide: Grant, steps: list[Bounds]) -> None:
    """Each result is inside every grant before it, and who it is for stays."""
    before = [wide]
    for bounds in steps:
        try:
            before.append(attenuate(before[-1], bounds))
        except BeyondGrant:
            continue
    last = before[-1]
    for earlier in before:
        assert last.operations <= earlier.operations
        assert all(
            permits(earlier, operation, path)
            for operation in last.operations
            for path in PATHS
            if permits(last, operation, path)
        )
        assert reach(last.max_bytes) <= reach(earlier.max_bytes)
        assert last.expires_at <= earlier.expires_at
        same = ("grant_id", "owner", "caller", "source_id", "source_type", "config", "run_id")
        assert all(getattr(last, name) == getattr(earlier, name) for name in same)


@given(held)
def test_no_bounds_leave_the_grant_as_it_is(wide: Grant) -> None:
    assert attenuate(wide, Bounds()) == wide


def test_bounds_are_cut_to_the_tighter() -> None:
    bounds = Bounds(operations=frozenset({"read", "write"}), max_rows=50, max_bytes=7)
    narrow = attenuate(GRANT, bounds)
    assert narrow.operations == {"read"}
    assert (narrow.max_rows, narrow.max_bytes) == (50, 7)
    assert attenuate(GRANT, Bounds(max_rows=0)).max_rows == GRANT.max_rows


def test_scope_outside_is_refused_instead_of_dropped() -> None:
    with pytest.raises(BeyondGrant):
        attenuate(scoped("a/"), Bounds(scopes=("b/",)))


def test_empty_scopes_keep_those_that_were_held() -> None:
    assert attenuate(scoped("a/"), Bounds(scopes=())).scopes == ("a/",)
