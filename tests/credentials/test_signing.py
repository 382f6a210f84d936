from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grants.claims import MAX_LIFETIME
from grants.revocations import KEPT_FOR
from services.credentials import signing, store
from services.credentials.clock import Clock
from services.credentials.home import Home
from services.credentials.signing import Keyring, new_key

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LEAD = timedelta(seconds=30)
TICK = timedelta(microseconds=1)


def test_new_key_is_published_before_it_signs() -> None:
    old, new = new_key(NOW), new_key(NOW + LEAD)
    ring = Keyring((old,)).adding(new, NOW)
    assert ring.signer(NOW) == old.key
    assert new.key.key_id in ring.verifiers(NOW)
    assert ring.signer(NOW + LEAD) == new.key


def test_old_key_verifies_until_its_last_grant_ended() -> None:
    old, new = new_key(NOW), new_key(NOW + LEAD)
    ring = Keyring((old,)).adding(new, NOW)
    end = NOW + LEAD + KEPT_FOR
    assert old.key.key_id in ring.verifiers(end - TICK)
    assert old.key.key_id not in ring.verifiers(end)
    assert [key.not_after for key in ring.published(NOW)] == [end, None]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_whatever_the_rotations_a_living_grant_can_be_verified(hours: list[int]) -> None:
    now = NOW
    ring = Keyring((new_key(now),))
    signed = []
    for step in hours:
        now += timedelta(hours=step)
        signed.append((ring.signer(now).key_id, now + MAX_LIFETIME))
        ring = ring.adding(new_key(now + LEAD), now)
        for key_id, ends_at in signed:
            assert ends_at <= now or key_id in ring.verifiers(now)
        assert len(ring.keys) <= len(hours) + 1


def test_clock_that_was_set_back_still_finds_a_signer() -> None:
    key = new_key(NOW)
    assert Keyring((key,)).signer(NOW - timedelta(days=1)) == key.key


@pytest.mark.req("S1")
async def test_keys_survive_a_restart_and_old_ones_are_dropped(home: Path) -> None:
    async with store.opened(Home(home)) as kept:
        ring = await signing.load(kept, NOW)
        ring = await signing.rotate(kept, lambda: NOW, LEAD)
    async with store.opened(Home(home)) as kept:
        again = await signing.load(kept, NOW)
        assert [t.key.key_id for t in again.keys] == [t.key.key_id for t in ring.keys]
        assert again.verifiers(NOW).keys() == ring.verifiers(NOW).keys()
        much_later = NOW + KEPT_FOR + 2 * LEAD
        await signing.rotate(kept, lambda: much_later, LEAD)
        assert len((await signing.load(kept, much_later)).keys) == 2


async def test_private_keys_lie_encrypted(home: Path) -> None:
    async with store.opened(Home(home)) as kept:
        ring = await signing.load(kept, NOW)
        raw = ring.keys[0].key.private.private_bytes_raw()
        files = b"".join(path.read_bytes() for path in home.iterdir())
    assert raw not in files
    assert raw.hex().encode() not in files


@given(st.lists(st.integers(-5, 5)))
def test_clock_only_goes_forward(steps: list[int]) -> None:
    times = iter([NOW + timedelta(seconds=step) for step in steps])
    clock = Clock(lambda: next(times))
    read = [clock.now() for _ in steps]
    assert read == sorted(set(read))
