"""Runs of several gateways on one PostgreSQL: leases, news, commands and counts, part by part."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, literal, select, update
from sqlalchemy.exc import IntegrityError

from dev.postgres import Postgres
from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from servicekit.sql.signals import MAX_PAYLOAD_BYTES
from services.gateway import news
from services.gateway.access.buckets import Shared
from services.gateway.access.keys import KeyDraft, Keys
from services.gateway.access.quotas import Bucket, Quota
from services.gateway.checkpoint import VERSION, Checkpoint
from services.gateway.commands import Command, Commands
from services.gateway.conversation import Message
from services.gateway.errors import HolderLost, QuotaExceeded
from services.gateway.handover import HandOver, Taken
from services.gateway.leases import LeaseLost
from services.gateway.live import Live
from services.gateway.plan import Plan
from services.gateway.store.database import opened
from services.gateway.store.tables import ApiKey, CommandRow, EventRow, LeaseRow, RunRow
from tests.gateway.stores import ADA, Part, add, lease_is_over, run_row, shared, url_of

__all__ = ["shared"]
pytestmark = pytest.mark.req("K3")
NOTICE = analyst.Notice(text="a")
DONE = analyst.RunCompleted(answer="b")


def numbers(events: Sequence[analyst.Event]) -> list[int]:
    return [event.sequence for event in events]


# Leases


async def test_lease_that_is_renewed_is_nobody_elses(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    await one.begun("run")
    await lease_is_over(shared)
    one.clock.now_s += 5
    await one.leases.renew()
    assert await other.interrupted.sweep() == []
    one.clock.now_s += 11.9
    one.leases.drop_overdue()
    assert one.lost == []
    await one.journal.aclose()


async def test_run_whose_lease_ended_is_told_its_end_once_and_by_one(shared: Database) -> None:
    one, others = Part(shared), [Part(shared) for _ in range(3)]
    live = await one.begun("run", "thread")
    live.emit(notice=NOTICE)
    await one.journal.flush()
    await lease_is_over(shared)
    swept = await asyncio.gather(*(each.interrupted.sweep() for each in others))
    assert [id for each in swept for id in each] == ["run"]
    events = await others[0].journal.so_far("run")
    assert numbers(events) == [1, 2] and events[-1].failed.reason == "RUN_INTERRUPTED"
    # whose it was learns it by its next renewal, and writes nothing more
    live.emit(notice=NOTICE)
    await one.journal.flush()
    assert one.lost == ["run"] and live.moved
    assert numbers(await others[0].journal.so_far("run")) == [1, 2]
    await one.journal.aclose()


@pytest.mark.parametrize("how", ["renewal", "end"])
async def test_gateway_learns_that_a_run_is_not_its_own(shared: Database, how: str) -> None:
    one, other = Part(shared), Part(shared)
    live = await one.begun("run")
    await lease_is_over(shared)
    assert await other.interrupted.sweep() == ["run"]
    if how == "renewal":
        await one.leases.renew()
        assert one.lost == ["run"]
    else:
        live.emit(completed=DONE)
        with pytest.raises(LeaseLost):
            await one.journal.end(live, state="completed", ended_ms=2)
        async with shared.begin() as session:
            row = await session.get(RunRow, "run")
            assert row is not None and row.state == "interrupted"
    await one.journal.aclose()


async def test_gateway_that_cannot_renew_stops_its_runs_before_the_lease_ends(
    shared: Database,
) -> None:
    one = Part(shared)
    await one.begun("early")
    one.clock.now_s += 6
    await one.begun("late")
    one.clock.now_s += 6
    one.leases.drop_overdue()
    assert one.lost == ["early"]
    one.clock.now_s += 6
    one.leases.drop_overdue()
    assert one.lost == ["early", "late"]
    await one.journal.aclose()


async def test_runs_of_gateways_that_knew_no_leases_are_left_alone_for_a_day(
    shared: Database,
) -> None:
    await add(shared, run_row("new", created_ms=2**50), run_row("old"))
    assert await Part(shared).interrupted.at_start() == 1
    async with shared.begin() as session:
        states = dict((await session.execute(select(RunRow.id, RunRow.state))).tuples().all())
    assert states == {"new": "working", "old": "interrupted"}


async def test_thread_has_one_run_in_all_gateways(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    live = await one.begun("run-1", "thread")
    with pytest.raises(IntegrityError):
        await other.begun("run-2", "thread")
    live.emit(completed=DONE)
    await one.end(live)
    await other.begun("run-3", "thread")
    for part in (one, other):
        await part.journal.aclose()


async def test_runs_at_once_are_counted_in_all_gateways(shared: Database) -> None:
    caller = replace(ADA, quota=Quota(runs_at_once=2))
    parts = [Part(shared) for _ in range(4)]
    begun = await asyncio.gather(
        *(part.begun(f"run-{n}", caller=caller) for n, part in enumerate(parts)),
        return_exceptions=True,
    )
    refused = [each for each in begun if isinstance(each, QuotaExceeded)]
    assert len(refused) == 2 and refused[0].limit == 2
    for part in parts:
        await part.journal.aclose()


# News


@given(st.dictionaries(st.from_regex(r"run-[0-9a-f]{24}", fullmatch=True), st.integers(0, 2**53)))
def test_news_fit_into_signals_and_nothing_is_left_out(last: dict[str, int]) -> None:
    many = {f"{id}{n}": last[id] for id in last for n in range(100)}
    told = news.payloads(many)
    assert all(len(each.encode()) <= MAX_PAYLOAD_BYTES for each in told)
    words = [word.rpartition(":") for each in told for word in each.split()]
    assert {id: int(sequence) for id, _, sequence in words} == many


@pytest.mark.req("C8")
async def test_watcher_elsewhere_gets_every_event_once_as_it_is_written(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    live = await one.begun("run")
    hearing = asyncio.create_task(other.news.follow())
    async with aclosing(other.journal.batches("run")) as batches:
        got: list[analyst.Event] = []
        for round in range(5):
            for _ in range(round * 40 + 1):
                live.emit(notice=NOTICE)
            await one.journal.flush()
            while len(got) < live.told:
                got += await anext(batches)
        live.emit(completed=DONE)
        await one.end(live)
        async for batch in batches:
            got += batch
    assert numbers(got) == [*range(1, live.told + 1)]
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    await one.journal.aclose()


@pytest.mark.req("C8")
async def test_signal_that_was_lost_costs_time_and_nothing_else(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    live = await one.begun("run")
    async with aclosing(other.journal.batches("run")) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        while not other.news.watched:
            await asyncio.sleep(0.01)
        await other.news.look()
        live.emit(notice=NOTICE)
        await one.journal.flush()
        assert not waiting.done()
        await other.news.look()
        assert numbers(await waiting) == [1]
        await lease_is_over(shared)
        await one.interrupted.sweep()
        await other.news.look()
        (last,) = [each for batch in [await anext(batches)] for each in batch]
        assert last.failed.reason == "RUN_INTERRUPTED"
        assert [batch async for batch in batches] == []
    assert other.news.watched == 0
    await one.journal.aclose()


@pytest.mark.req("C8")
async def test_watcher_of_a_run_that_was_lost_is_told_its_end(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    live = await one.begun("run")
    hearing = asyncio.create_task(one.news.follow())
    async with aclosing(one.journal.batches("run")) as batches:
        for _ in range(3):
            live.emit(notice=NOTICE)
        assert numbers(await anext(batches)) == [1, 2, 3]
        # none of them is in the database when it is lost
        await lease_is_over(shared)
        await other.interrupted.sweep()
        await one.leases.renew()
        (last,) = await anext(batches)
        assert (last.sequence, last.failed.reason) == (1, "RUN_INTERRUPTED")
        assert [batch async for batch in batches] == []
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    await one.journal.aclose()


async def test_watcher_of_a_run_that_was_deleted_ends(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    await one.begun("run")
    async with aclosing(other.journal.batches("run", beat_s=0.05)) as batches:
        assert await anext(batches) == ()
        async with shared.begin() as session:
            row = await session.get(RunRow, "run")
            await session.delete(row)
        await other.news.look()
        assert [batch async for batch in batches] == []
    await one.leases.renew()
    assert one.lost == ["run"]
    await one.journal.aclose()


async def test_watcher_that_is_cancelled_leaves_nothing(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    await one.begun("run")
    async with aclosing(other.journal.batches("run")) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        while not other.news.watched:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert other.news.watched == 0
    await one.journal.aclose()


async def test_transaction_that_failed_after_its_commit_is_not_written_twice(
    shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Part(shared)
    live = await one.begun("run")
    write = one.journal._write

    async def torn(batches: object) -> object:
        await write(batches)  # type: ignore[arg-type]
        raise OSError("the connection broke as it committed")

    live.emit(notice=NOTICE)
    monkeypatch.setattr(one.journal, "_write", torn)
    with pytest.raises(OSError, match="broke"):
        await one.journal.flush()
    monkeypatch.undo()
    live.emit(notice=NOTICE)
    live.emit(completed=DONE)
    await one.end(live)
    async with shared.begin() as session:
        assert [*await session.scalars(select(EventRow.sequence))] == [1, 3]
    assert numbers(await one.journal.so_far("run")) == [1, 2, 3]
    await one.journal.aclose()


# Commands


def commands(part: Part, *mine: str, answer_s: float = 10.0) -> tuple[Commands, list[Command]]:
    done: list[Command] = []
    made = Commands(part.store, part.journal, lambda: mine, done.append, answer_s=answer_s)
    return made, done


async def test_command_reaches_the_holder_once_and_its_event_the_asker(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    live = await one.begun("run")
    asker, _ = commands(other)
    holder, done = commands(one, "run")
    following = asyncio.create_task(holder.follow())
    hearing = asyncio.create_task(other.news.follow())
    asking = asyncio.create_task(asker.decide("run", 0, "apr-1", {"approved": True}))
    while not done:
        await asyncio.sleep(0.01)
    assert done == [Command("run", "decide", {"approval_id": "apr-1", "approved": True})]
    live.emit(approval_decided=analyst.ApprovalDecided(approval_id="apr-1", approved=True))
    await one.journal.flush()
    decided = await asking
    assert decided is not None and decided.approved
    await holder.look()
    assert len(done) == 1
    # a second one in vain: the run ends
    asking = asyncio.create_task(asker.decide("run", 1, "apr-2", {"approved": True}))
    cancelling = asyncio.create_task(asker.cancel("run"))
    while len(done) < 3:
        await asyncio.sleep(0.01)
    live.emit(cancelled=analyst.RunCancelled())
    await one.end(live)
    assert await asking is None
    await cancelling
    # and a third one after its end
    assert await asker.decide("run", 1, "apr-3", {}) is None
    await asker.cancel("run")
    for task in (following, hearing):
        task.cancel()
    await asyncio.gather(following, hearing, return_exceptions=True)
    await one.journal.aclose()


async def test_holder_that_does_not_answer_is_told_and_decides_nothing_later(
    shared: Database,
) -> None:
    one, other = Part(shared), Part(shared)
    await one.begun("run")
    asker, _ = commands(other, answer_s=0.05)
    with pytest.raises(HolderLost) as lost:
        await asker.decide("run", 0, "apr-1", {"approved": True})
    assert "does not answer" in lost.value.message and lost.value.remedy
    with pytest.raises(HolderLost):
        await asker.cancel("run")
    async with shared.begin() as session:
        assert [*await session.scalars(select(CommandRow.kind))] == ["cancel"]
    await one.journal.aclose()


# Hand-over


def checkpoint(run_id: str = "run") -> Checkpoint:
    return Checkpoint(ADA, Plan((Message("user", run_id),)), "m", (), "r")


def hand_over(part: Part, room: int = 64) -> tuple[HandOver, list[Taken], asyncio.Event]:
    taken: list[Taken] = []
    draining = asyncio.Event()

    async def go_on(one: Taken) -> None:
        taken.append(one)

    left = lambda: room - len(taken)  # noqa: E731
    return HandOver(part.store, part.leases, draining, left, go_on), taken, draining


async def leave(part: Part, over: HandOver, live: Live) -> None:
    run_id = live.run_id
    await part.journal.leave(live, lambda s: over.leave(s, run_id, checkpoint(run_id)))


async def test_runs_that_are_left_are_taken_up_once_each_as_far_as_there_is_room(
    shared: Database,
) -> None:
    one, others = Part(shared), [Part(shared), Part(shared)]
    over, none, draining = hand_over(one)
    lives = [await one.begun(f"run-{n}") for n in range(12)]
    draining.set()
    for live in lives:
        live.emit(notice=NOTICE)
        await leave(one, over, live)
        assert live.moved and live.written == 1
    takers = [hand_over(each, room=5) for each in others]
    await asyncio.gather(over.look(), *(taker.look() for taker, _, _ in takers))
    taken = [each for _, mine, _ in takers for each in mine]
    assert none == [] and [len(mine) for _, mine, _ in takers] == [5, 5]
    assert len({each.run_id for each in taken}) == 10
    assert all(each.checkpoint == checkpoint(each.run_id) for each in taken)
    # what nobody takes up in time is told its end; what was taken is not
    for part in others:
        await part.leases.renew()
    async with shared.begin() as session:
        free = LeaseRow.holder == ""
        await session.execute(update(LeaseRow).where(free).values(ends_ms=0))
    assert len(await others[0].interrupted.sweep()) == 2
    assert all(part.lost == [] for part in others)
    await one.journal.aclose()


async def test_run_that_is_another_gateways_is_not_left(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    over, _, _ = hand_over(one)
    live = await one.begun("run")
    await lease_is_over(shared)
    await other.interrupted.sweep()
    live.emit(notice=NOTICE)
    with pytest.raises(LeaseLost):
        await leave(one, over, live)
    assert numbers(await other.journal.so_far("run")) == [1]
    await one.journal.aclose()


async def test_checkpoint_of_another_release_is_left_to_its_gateways(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    over, _, _ = hand_over(one)
    await leave(one, over, await one.begun("run"))
    packed = json.loads(checkpoint().packed())
    newer = json.dumps({**packed, "version": VERSION + 1}).encode()
    async with shared.begin() as session:
        await session.execute(update(LeaseRow).values(checkpoint=newer))
    taker, taken, _ = hand_over(other)
    await taker.look()
    async with shared.begin() as session:
        assert [*await session.scalars(select(LeaseRow.holder))] == [""]
    assert taken == []
    await one.journal.aclose()


async def test_run_that_cannot_be_gone_on_with_keeps_no_lease(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    over, _, _ = hand_over(one)
    await leave(one, over, await one.begun("run"))

    async def breaks(_: Taken) -> None:
        raise OSError("no events")

    await HandOver(shared, other.leases, asyncio.Event(), lambda: 1, breaks).look()
    await lease_is_over(shared)
    await other.leases.renew()
    assert await one.interrupted.sweep() == ["run"]
    await one.journal.aclose()


async def test_watcher_stays_while_its_run_moves_there_and_back(shared: Database) -> None:
    one, other = Part(shared), Part(shared)
    live = await one.begun("run")
    over, _, _ = hand_over(one)
    taker, taken, _ = hand_over(other)
    hearing = [asyncio.create_task(each.news.follow()) for each in (one, other)]
    async with aclosing(one.journal.batches("run")) as batches:
        got: list[analyst.Event] = []
        live.emit(notice=NOTICE)
        got += await anext(batches)
        await leave(one, over, live)
        await taker.look()
        assert [each.run_id for each in taken] == ["run"]
        moved = other.journal.open(Live.resumed("run", "ada", await other.journal.so_far("run")))
        moved.emit(notice=NOTICE)
        await other.journal.flush()
        got += await anext(batches)
        back, returned, _ = hand_over(one)
        await leave(other, hand_over(other)[0], moved)
        await back.look()
        assert [each.run_id for each in returned] == ["run"]
        again = one.journal.open(Live.resumed("run", "ada", await one.journal.so_far("run")))
        again.emit(completed=DONE)
        await one.end(again)
        got += [event async for batch in batches for event in batch]
    assert numbers(got) == [1, 2, 3]
    for task in hearing:
        task.cancel()
    await asyncio.gather(*hearing, return_exceptions=True)
    for part in (one, other):
        await part.journal.aclose()


# Counts, and what several do at their start


@pytest.mark.req("S2")
async def test_requests_are_counted_as_by_a_bucket_in_memory(shared: Database) -> None:
    at = {"ms": 1_000_000}
    now = bindparam("now", callable_=lambda: at["ms"], type_=literal(1).type)
    several = [Shared(shared, now), Shared(shared, now)]
    bucket = Bucket(5, at["ms"] / 1000)
    pauses = [0, 0, 0, 0, 0, 0, 1_000, 11_001, 30_000, 0, 0, 0, 7_000, 120_000, 0, 0, 0, 0, 0, 0]
    for number, pause in enumerate(pauses):
        at["ms"] += pause
        expected, found = bucket.take(at["ms"] / 1000), await several[number % 2].take("key", 5)
        assert found == pytest.approx(expected, abs=0.001), number
    assert await several[0].take("other", 5) == 0.0
    at["ms"] += 61_000
    await several[0].forget()
    assert [await several[1].take("key", 5) for _ in range(5)] == [0.0] * 5
    assert await several[0].take("key", 5) == pytest.approx(12.0)


@pytest.mark.req("S2")
async def test_several_that_start_at_once_make_one_first_key(postgres: Postgres) -> None:
    async with postgres.database() as name:
        url = url_of(postgres, name)

        async def one() -> str:
            async with opened(url) as store:
                return await Keys(store, b"k").first(KeyDraft("ada"))

        made = await asyncio.gather(*(one() for _ in range(3)))
        assert sorted(map(bool, made)) == [False, False, True]

        async def given() -> str:
            async with opened(url) as store:
                key, _ = await Keys(store, b"k").create(KeyDraft("ada"), "isb-given")
                return key.id

        assert len(set(await asyncio.gather(*(given() for _ in range(3))))) == 1
        async with opened(url) as store, store.begin() as session:
            assert len([*await session.scalars(select(ApiKey.id))]) == 2
