import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grants.revocations import KEPT_FOR, Revocation, Revocations
from services.credentials import revoking, store
from services.credentials.errors import WatcherTooSlow
from services.credentials.home import Home

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def revocation(number: int = 0) -> Revocation:
    return Revocation("run", f"run-{number}", NOW + timedelta(microseconds=number))


@pytest.mark.req("D3")
async def test_revocations_survive_a_restart_until_no_grant_needs_them(home: Path) -> None:
    async with store.opened(Home(home)) as kept:
        ledger = await revoking.load(kept, NOW)
        await ledger.add(Revocation("source", "ds-1", NOW))
        await ledger.add(Revocation("source", "ds-1", NOW - timedelta(hours=1)))
    async with store.opened(Home(home)) as kept:
        again = await revoking.load(kept, NOW)
        assert list(again.revocations) == [Revocation("source", "ds-1", NOW)]
        assert len((await revoking.load(kept, NOW + KEPT_FOR)).revocations) == 0


async def test_every_watcher_hears_each_revocation_once(home: Path) -> None:
    async with store.opened(Home(home)) as kept:
        ledger = await revoking.load(kept, NOW)
        await ledger.add(revocation(0))
        async with aclosing(ledger.watch(60)) as one, aclosing(ledger.watch(60)) as other:
            firsts = [await anext(one), await anext(other)]
            assert [set(first) for first in firsts if isinstance(first, Revocations)] == [
                {revocation(0)},
                {revocation(0)},
            ]
            await asyncio.gather(*(ledger.add(revocation(n)) for n in range(1, 4)))
            for watch in (one, other):
                heard = {await anext(watch) for _ in range(3)}
                assert heard == {revocation(n) for n in range(1, 4)}
        assert not ledger._watchers


async def test_silence_is_broken_by_heartbeats(home: Path) -> None:
    async with store.opened(Home(home)) as kept:
        ledger = await revoking.load(kept, NOW)
        async with aclosing(ledger.watch(0.001)) as watch:
            await anext(watch)
            assert await anext(watch) is None


async def test_watcher_that_does_not_read_is_cut_off(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoking, "_UNREAD", 2)
    async with store.opened(Home(home)) as kept:
        ledger = await revoking.load(kept, NOW)
        async with aclosing(ledger.watch(60)) as slow:
            await anext(slow)
            for number in range(3):
                await ledger.add(revocation(number))
            with pytest.raises(WatcherTooSlow):
                await anext(slow)
        assert not ledger._watchers
        async with aclosing(ledger.watch(60)) as again:
            first = await anext(again)
            assert isinstance(first, Revocations)
            assert len(first) == 3
