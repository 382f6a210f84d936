"""Where threads are: what a placement becomes, and the table that several gateways change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from dev.postgres import Postgres
from servicekit.sql import Database
from services.gateway.placement import Placement, Placements
from services.gateway.routing import Room, by_room
from services.gateway.store import database

NAMES = [f"10.0.0.{n}:50054" for n in range(1, 6)]
rooms = st.tuples(*[st.integers(0, 20)] * 4, st.booleans()).map(
    lambda said: Room(said[0], said[1], min(said[1], said[2]), said[3], draining=said[4])
)


@pytest.mark.req("K3")
@given(st.text(), st.dictionaries(st.sampled_from(NAMES), st.none() | rooms))
def test_all_but_the_draining_are_offered_once_and_full_ones_last(key, replicas):
    order = by_room(key, replicas)
    assert sorted(order) == sorted(at for at, r in replicas.items() if r is None or not r.draining)
    said = [replicas[at] for at in order if replicas[at] is not None]
    ranks = [0 if room.is_free else 1 if room.has_room else 2 for room in said]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("replicas", "order"),
    [
        ({"a": Room(4, held=4, busy=1), "b": Room(4, held=1)}, ["b", "a"]),
        ({"a": Room(4, held=4, busy=4, waiting=1), "b": Room(4, held=4, busy=4)}, ["b", "a"]),
        ({"a": Room(4, held=4, busy=4), "b": Room(4, held=4, busy=3)}, ["b", "a"]),
        ({"a": None, "b": Room(4, held=4, busy=4)}, ["a", "b"]),
        ({"a": Room(draining=True), "b": Room(1, held=1, busy=1, waiting=9)}, ["b"]),
        # one without a bound of its own is never full
        ({"a": Room(0, held=99, busy=99), "b": Room(1, held=1, busy=1)}, ["a", "b"]),
        ({}, []),
    ],
)
def test_who_has_more_room_is_asked_first(replicas, order):
    assert by_room("thread", replicas) == order


def test_threads_spread_over_sandboxes_with_room():
    empty = {name: Room(100) for name in NAMES}
    chosen = [by_room(f"thread-{n}", empty)[0] for n in range(500)]
    assert min(chosen.count(name) for name in NAMES) > 50


hops = st.lists(st.sampled_from(NAMES), max_size=12)


@given(hops)
def test_a_moved_placement_names_where_the_workspace_may_be(path):
    placed = Placement("ann", "t", "first", used=True)
    behind = ["first"]
    for replica in path:
        moved = placed.moved_to(replica)
        assert moved.replica == replica and moved.version == placed.version + 1
        assert replica not in moved.origins
        if placed.replica != replica:
            assert moved.origins[-1] == placed.replica
        placed = moved
        behind.append(replica)
    expected = [each for each in dict.fromkeys(reversed(behind)) if each != placed.replica]
    assert set(placed.origins) <= set(expected) and len(placed.origins) == min(4, len(expected))
    assert placed.settled().origins == ()


def test_a_thread_that_was_never_open_leaves_nothing_behind():
    assert Placement("ann", "t", "a").moved_to("b").origins == ()
    placed = Placement("ann", "t", "a")
    assert placed.settled() is placed


# the table, as two gateways have it


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        url = f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"
        if request.param == "postgresql":
            name = await stack.enter_async_context(postgres.database())
            url = postgres.dsn_of(name).replace("postgresql://", "postgresql+asyncpg://")
        yield [await stack.enter_async_context(database.opened(url)) for _ in range(2)]


@pytest.mark.req("K3")
async def test_two_gateways_that_place_a_thread_at_once_agree(stores: list[Database]) -> None:
    tables = [Placements(store) for store in stores]
    for number in range(20):
        thread = f"thread-{number}"
        placed = await asyncio.gather(
            *(table.add(Placement("ann", thread, f"of-{n}")) for n, table in enumerate(tables * 3))
        )
        assert len(set(placed)) == 1
        assert await tables[0].get("ann", thread) == await tables[1].get("ann", thread) == placed[0]


@pytest.mark.req("K3")
async def test_of_two_gateways_that_move_a_thread_at_once_one_does(stores: list[Database]) -> None:
    tables = [Placements(store) for store in stores]
    seen = await tables[0].add(Placement("ann", "t", "a"))
    for number in range(20):
        wanted = [seen.moved_to(f"{n}-{number}") for n in range(4)]
        changed = await asyncio.gather(
            *(table.change(seen, to) for table, to in zip(tables * 2, wanted, strict=True))
        )
        assert changed.count(True) == 1
        now = await tables[0].get("ann", "t")
        assert now == wanted[changed.index(True)]
        assert not await tables[1].change(seen, seen.moved_to("late"))
        seen = now


async def test_a_placement_is_kept_as_it_is_told(stores: list[Database]) -> None:
    table, other = (Placements(store) for store in stores)
    placed = await table.add(Placement("ann", "t", "a:1"))
    used = Placement("ann", "t", "a:1", used=True)
    assert await table.change(placed, used)
    moved = used.moved_to("b:1").moved_to("[::1]:2")
    assert await table.change(used, moved)
    assert await other.get("ann", "t") == moved and moved.origins == ("a:1", "b:1")
    assert await other.get("bob", "t") is None
    for replica in ("[::1]:2", "a:1", "b:1"):
        assert await other.at(replica, 10) == [moved]
    assert await other.at("a", 10) == [] and await other.at("a:1 b:1", 10) == []
    assert await other.change(moved, moved.settled())
    assert await other.at("a:1", 10) == []
    await other.remove("ann", "t")
    await other.remove("ann", "t")
    assert await table.get("ann", "t") is None and not await table.change(moved, moved)
