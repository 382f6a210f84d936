"""Quotas and scopes, without a gateway."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.keys import quota_of
from services.gateway.access.quotas import (
    Bucket,
    Quota,
    Spent,
    require_left,
    require_room,
    seconds_to_midnight,
    tokens_left,
)
from services.gateway.access.scopes import Scope, require
from services.gateway.errors import NotAllowed, QuotaExceeded

EVENING = datetime.datetime(2026, 11, 24, 23, 59, 0, tzinfo=datetime.UTC)


@pytest.mark.req("S2")
@pytest.mark.parametrize("has", Scope)
@pytest.mark.parametrize("needs", Scope)
def test_scope_has_all_of_those_below(has: Scope, needs: Scope) -> None:
    if list(Scope).index(has) >= list(Scope).index(needs):
        require(has, needs)
        return
    with pytest.raises(NotAllowed) as refused:
        require(has, needs)
    assert refused.value.metadata() == {"needs": needs.word}


@pytest.mark.req("S2")
@pytest.mark.parametrize(
    ("quota", "spent", "name"),
    [
        (Quota(), Spent(10**12, 10**12, 10**12), ""),
        (Quota(tokens_per_day=10), Spent(9), ""),
        (Quota(tokens_per_day=10), Spent(10), "tokens_per_day"),
        (Quota(tokens_per_day=10), Spent(11), "tokens_per_day"),
        (Quota(rows_per_day=10), Spent(99, 9), ""),
        (Quota(rows_per_day=10), Spent(0, 10), "rows_per_day"),
        (Quota(bytes_per_day=10), Spent(99, 99, 9), ""),
        (Quota(bytes_per_day=10), Spent(0, 0, 10), "bytes_per_day"),
    ],
)
def test_quota_of_the_day_is_held(quota: Quota, spent: Spent, name: str) -> None:
    if not name:
        require_left(quota, spent, EVENING)
        return
    with pytest.raises(QuotaExceeded) as refused:
        require_left(quota, spent, EVENING)
    assert refused.value.quota == name
    assert refused.value.retry_after_s == 60.0


@pytest.mark.req("S2")
@pytest.mark.parametrize(("limit", "going", "held"), [(0, 99, False), (2, 1, False), (2, 2, True)])
def test_runs_at_once_are_held(limit: int, going: int, held: bool) -> None:
    quota = Quota(runs_at_once=limit)
    if not held:
        require_room(quota, going)
        return
    with pytest.raises(QuotaExceeded):
        require_room(quota, going)


@pytest.mark.req("S2")
def test_tokens_that_are_left_bound_a_run() -> None:
    assert tokens_left(Quota(), Spent(tokens=5)) is None
    assert tokens_left(Quota(tokens_per_day=7), Spent(tokens=5)) == 2
    assert tokens_left(Quota(tokens_per_day=7), Spent(tokens=9)) == 0


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_midnight_is_within_a_day(now: datetime.datetime) -> None:
    left = seconds_to_midnight(now)
    assert 0 < left <= 24 * 60 * 60
    try:
        then = now + datetime.timedelta(seconds=left)
    except OverflowError:  # the last day that there is
        return
    assert (then.hour, then.minute, then.second) == (0, 0, 0)


@pytest.mark.req("S2")
@given(st.integers(1, 500), st.lists(st.floats(0, 20), max_size=200))
def test_bucket_lets_no_more_through_than_it_says(per_minute: int, pauses: list[float]) -> None:
    bucket, now, let_through = Bucket(per_minute, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        let_through += bucket.take(now) == 0.0
    assert let_through <= per_minute + now * per_minute / 60 + 1e-6


@pytest.mark.req("S2")
@given(st.integers(1, 500))
def test_bucket_lets_through_who_waits_as_long_as_it_says(per_minute: int) -> None:
    bucket = Bucket(per_minute, 0.0)
    assert [bucket.take(0.0) for _ in range(per_minute)] == [0.0] * per_minute
    wait_s = bucket.take(0.0)
    assert wait_s > 0
    assert bucket.take(wait_s * 1.000001) == 0.0


def test_quota_that_is_not_known_is_told() -> None:
    assert quota_of({"tokens_per_day": 5}) == Quota(tokens_per_day=5)
    with pytest.raises(Exception, match="there is no quota 'tokens'"):
        quota_of({"tokens": 5})
