from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grants.claims import MAX_LIFETIME
from grants.errors import GrantRevoked
from grants.revocations import KEPT_FOR, KINDS, Kind, Revocation, Revocations
from tests.grants.samples import GRANT, NOW, grant

SUBJECTS: dict[Kind, str] = {
    "grant": GRANT.grant_id,
    "source": GRANT.source_id,
    "run": GRANT.run_id,
    "owner": GRANT.owner,
}
TICK = timedelta(microseconds=1)
revocations = st.builds(
    Revocation,
    st.sampled_from(KINDS),
    st.sampled_from([*SUBJECTS.values(), "other"]),
    st.integers(-3, 3).map(lambda s: NOW + timedelta(days=s)),
)


@pytest.mark.parametrize("kind", KINDS)
def test_grant_is_void_by_each_kind(kind: Kind) -> None:
    revoked = Revocations().adding([Revocation(kind, SUBJECTS[kind], NOW)])
    with pytest.raises(GrantRevoked) as refused:
        revoked.check(GRANT)
    assert (refused.value.kind, refused.value.revoked_at) == (kind, NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_grant_issued_after_the_revocation_stands(kind: Kind) -> None:
    revoked = Revocations().adding([Revocation(kind, SUBJECTS[kind], NOW - TICK)])
    assert not revoked.is_revoked(GRANT)


def test_subject_of_another_kind_does_not_count() -> None:
    revoked = Revocations().adding([Revocation("run", GRANT.source_id, NOW)])
    assert not revoked.is_revoked(GRANT)


def test_earlier_revocation_does_not_weaken_a_later_one() -> None:
    late, early = (Revocation("run", "run-1", NOW + shift) for shift in (TICK, -TICK))
    both = Revocations().adding([late]).adding([early])
    assert list(both) == [late]
    assert both.knows(early)
    assert both.knows(late)
    assert not both.knows(Revocation("run", "run-1", NOW + 2 * TICK))


@given(st.lists(revocations), st.lists(revocations))
def test_order_of_revocations_does_not_matter(
    first: list[Revocation], second: list[Revocation]
) -> None:
    there = Revocations().adding(first).adding(second)
    back = Revocations().adding(second).adding(first)
    assert set(there) == set(back)


@given(st.lists(revocations), st.integers(0, 5))
def test_pruning_forgets_no_revocation_of_a_living_grant(made: list[Revocation], days: int) -> None:
    now = NOW + timedelta(days=days)
    living = grant(issued_at=now - MAX_LIFETIME + TICK, expires_at=now + TICK)
    all_of_them = Revocations().adding(made)
    assert all_of_them.prune(now).is_revoked(living) == all_of_them.is_revoked(living)


def test_pruning_drops_what_no_grant_can_fall_under() -> None:
    old = Revocations().adding([Revocation("run", "run-1", NOW)])
    assert len(old.prune(NOW + KEPT_FOR)) == 0
    assert old.prune(NOW) is old


def test_adding_leaves_the_first_value_alone() -> None:
    empty = Revocations()
    empty.adding([Revocation("run", "run-1", NOW)])
    assert not empty.is_revoked(GRANT)


@pytest.mark.req("S1")
def test_grant_is_void_with_each_of_those_it_was_made_of() -> None:
    narrow = grant(grant_id="grant-c", parents=("grant-a", "grant-b"))
    for subject in narrow.parents:
        assert Revocations().adding([Revocation("grant", subject, NOW)]).is_revoked(narrow)
    assert not Revocations().adding([Revocation("grant", "grant-d", NOW)]).is_revoked(narrow)
