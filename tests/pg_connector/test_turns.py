"""Slots whose number changes, and who gets them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.shares import share
from services.pg_connector.errors import PoolBusy
from services.pg_connector.turns import Slots, Turns

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("resize"), st.integers(1, 4)),
    ),
    max_size=40,
)


@given(st.integers(0, 500), st.integers(0, 40))
def test_shares_are_within_the_limit_and_one_at_least(limit: int, replicas: int) -> None:
    mine = share(limit, replicas)
    assert mine >= 1
    assert mine * replicas <= max(limit, replicas)


@given(ACTS)
def test_slots_are_never_more_than_there_were_nor_lost(acts: list[tuple[str, int]]) -> None:
    asyncio.run(_tried(acts))


async def _tried(acts: list[tuple[str, int]]) -> None:
    slots, most = Slots(2), 2
    users: dict[int, tuple[asyncio.Task[None], asyncio.Event]] = {}
    inside: list[int] = []
    came: list[int] = []

    async def use(number: int, leave: asyncio.Event) -> None:
        async with slots:
            inside.append(number)
            came.append(number)
            try:
                await leave.wait()
            finally:
                inside.remove(number)

    for act, number in acts:
        if act == "resize":
            slots.resize(number)
            most = max(number, len(inside))
        elif act == "enter" and number not in users:
            leave = asyncio.Event()
            users[number] = asyncio.create_task(use(number, leave)), leave
        elif act == "leave" and number in users and number in inside:
            users[number][1].set()
        elif act == "cancel" and number in users:
            users[number][0].cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        users = {each: user for each, user in users.items() if not user[0].done()}
        assert len(inside) <= max(most, slots.limit)
        # nobody waits while there is room
        assert len(inside) == len(users) or len(inside) >= slots.limit
    for task, leave in users.values():
        leave.set()
        task.cancel()
    await asyncio.gather(*(task for task, _ in users.values()), return_exceptions=True)
    assert not slots.locked()


async def test_fewer_turns_are_for_those_who_come_and_more_wake_who_waits() -> None:
    turns = Turns(2, 4, timeout_s=0.05)
    async with turns.turn("a", "a"), turns.turn("a", "a"):
        turns.resize(1, 2)
        with pytest.raises(PoolBusy, match="all 1 connections to a"):
            async with turns.turn("a", "a"):
                pass
    turns = Turns(1, 4, timeout_s=5.0)
    async with turns.turn("a", "a"):
        entered = asyncio.Event()

        async def wait() -> None:
            async with turns.turn("a", "a"):
                entered.set()

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert not entered.is_set()
        turns.resize(2, 4)
        await asyncio.wait_for(waiting, 5)
