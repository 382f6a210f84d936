"""A run between two steps, as a value: nothing of it is lost on the way to another gateway."""

import asyncio
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import Scope
from services.gateway.approvals import Approvals, Decision
from services.gateway.budget import Learned
from services.gateway.callers import Caller
from services.gateway.checkpoint import (
    VERSION,
    Checkpoint,
    Counted,
    Granted,
    Pinned,
    Progress,
    UnknownVersion,
)
from services.gateway.conversation import (
    Bounds,
    Conversation,
    Execute,
    Fetched,
    Finish,
    Generate,
    Message,
    Ran,
    Sampling,
    State,
    Turn,
)
from services.gateway.live import Live
from services.gateway.plan import ArtifactsTo, Plan, Selection
from services.gateway.spent import Spent

pytestmark = pytest.mark.req("K3", "C8")
TEXT = st.text(max_size=40)
SECONDS = st.floats(0, 1e6)
COUNT = st.integers(0, 2**53)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "execute"]), TEXT),
    min_size=1,
    max_size=5,
).map(tuple)
BOUND = st.none() | TEXT | st.integers(-(2**53), 2**53) | st.booleans() | st.binary(max_size=9)
SELECTIONS = st.builds(
    Selection,
    TEXT,
    path=TEXT,
    sql=TEXT,
    parameters=st.lists(BOUND, max_size=4).map(tuple),
    format=st.sampled_from(["", "csv", "arrow"]),
    max_rows=st.none() | COUNT,
    timeout_s=st.none() | SECONDS,
)
PLANS = st.builds(
    Plan,
    MESSAGES,
    selections=st.lists(SELECTIONS, max_size=3).map(tuple),
    file_ids=st.lists(TEXT, max_size=3).map(tuple),
    thread_id=TEXT,
    sampling=st.builds(
        Sampling, st.none() | st.floats(0, 2), stop=st.lists(TEXT, max_size=2).map(tuple)
    ),
    bounds=st.builds(Bounds, rounds=COUNT, tokens=COUNT, seconds=SECONDS),
    idempotency_key=TEXT,
    artifacts_to=st.none() | st.builds(ArtifactsTo, TEXT, TEXT, st.booleans()),
    request=TEXT,
    approval=st.frozensets(
        st.sampled_from([analyst.GUARDED_OPERATION_QUERY, analyst.GUARDED_OPERATION_WRITE])
    ),
)
CALLERS = st.builds(
    Caller,
    TEXT,
    TEXT,
    st.sampled_from(Scope),
    st.lists(TEXT, max_size=3).map(tuple),
    st.builds(Quota, runs_at_once=COUNT, tokens_per_day=COUNT),
)


@st.composite
def progresses(draw: st.DrawFn) -> Progress:
    messages = draw(MESSAGES)
    generating = st.builds(Generate, st.just(messages), COUNT)
    return draw(
        st.builds(
            Progress,
            st.sampled_from([State.GENERATING, State.EXECUTING]),
            st.just(messages),
            COUNT,
            COUNT,
            st.integers(0, 3),
            st.sampled_from(["", "rounds", "time"]),
            generating | st.builds(Execute, COUNT, TEXT, SECONDS),
            TEXT,
            used=st.builds(
                Counted, COUNT, COUNT, COUNT, COUNT, COUNT, st.booleans(), SECONDS, SECONDS
            ),
            granted=st.lists(
                st.builds(Granted, TEXT, st.integers(1, 2), st.booleans(), TEXT, TEXT), max_size=2
            ).map(tuple),
            learned=st.builds(Learned, COUNT, SECONDS, st.booleans()),
            urls=st.dictionaries(TEXT, TEXT, max_size=3),
        )
    )


CHECKPOINTS = st.builds(
    Checkpoint,
    CALLERS,
    PLANS,
    TEXT,
    st.lists(st.builds(Pinned, TEXT, COUNT), max_size=3).map(tuple),
    request_id=TEXT,
    progress=st.none() | progresses(),
    trace=TEXT,
)


@given(CHECKPOINTS)
def test_checkpoint_comes_back_as_it_was(checkpoint: Checkpoint) -> None:
    back = Checkpoint.unpacked(checkpoint.packed())
    assert back == checkpoint
    assert back.plan.fingerprint == checkpoint.plan.fingerprint


def whole() -> Checkpoint:
    progress = Progress(State.GENERATING, (), 0, 0, 0, "", Generate((), 5), "s")
    return Checkpoint(Caller("ada", "key"), Plan((Message("user", "q"),)), "", (), "r", progress)


def test_checkpoint_of_another_version_is_left_alone() -> None:
    told = json.loads(whole().packed())
    assert told["version"] == VERSION
    with pytest.raises(UnknownVersion):
        Checkpoint.unpacked(json.dumps({**told, "version": VERSION + 1}).encode())


def test_what_a_checkpoint_holds_is_counted_by_its_version() -> None:
    """A field more, or one less: count `VERSION` up, read the one before too, and then change
    this."""
    shapes: dict[type[Any], int] = {
        Checkpoint: 7,
        Progress: 12,
        Counted: 8,
        Granted: 5,
        Learned: 3,
        Plan: 11,
        Selection: 11,
        Caller: 5,
        Quota: 5,
        Bounds: 5,
    }
    found = {each: len(fields(each)) for each in shapes}
    assert (VERSION, found) == (1, shapes)


TURNS = st.sampled_from(
    ["<Code>\n```python\nx\n```\n</Code>", "<Analyze>hm</Analyze>", "<Answer>so</Answer>"]
)


@given(st.lists(TURNS, min_size=1, max_size=12), st.integers(1, 4), st.integers(0, 11))
def test_conversation_goes_on_elsewhere_as_it_would_have_here(
    turns: list[str], rounds: int, handed_over_at: int
) -> None:
    bounds = Bounds(rounds=rounds, tokens=200)
    here, there = Conversation(bounds), Conversation(bounds)
    fetched = Fetched((Message("user", "q"),))
    step, other = here.advance(fetched), there.advance(fetched)
    for number, text in enumerate(turns):
        if number == handed_over_at and not isinstance(other, Finish):
            plan = Plan((Message("user", "q"),), bounds=bounds)
            at = Checkpoint(Caller("a", "k"), plan, "", (), "", Progress.of(there, other, "s"))
            progress = Checkpoint.unpacked(at.packed()).progress
            assert progress is not None
            there, other = progress.conversation(bounds), progress.step
        assert other == step
        if isinstance(step, Finish):
            return
        took = 1.0 * number
        happened = Turn(text, 30, took) if isinstance(step, Generate) else Ran("out", took)
        step, other = here.advance(happened), there.advance(happened)
    assert other == step and there == here


async def test_what_was_approved_for_the_rest_of_the_run_stays_so() -> None:
    live = Live("run")
    requested = analyst.ApprovalRequested(approval_id="a", source_id="ds", operation=1)  # type: ignore[arg-type]
    before = Approvals(live, seconds=60, waited_s=0.0)
    waiting = asyncio.create_task(before.wait(requested))
    await asyncio.sleep(0)
    before.decide("a", Decision(approved=True, comment="yes", rest_of_run=True), "key-ann")
    await waiting
    (granted,) = before.granted
    after = Approvals(live, seconds=60, waited_s=12.5, granted=[granted])
    again = analyst.ApprovalRequested(approval_id="b", source_id="ds", operation=1)  # type: ignore[arg-type]
    decided = await after.wait(again)
    assert (decided.how, decided.approved, decided.decided_by) == ("rest_of_run", True, "key-ann")
    assert (after.waited_s, after.left_s) == (12.5, 47.5)
    assert after.granted == (granted,)


def test_what_was_used_counts_on() -> None:
    counted = Counted(100, 10, 2, 5, 6, estimated=True, elapsed_s=30.0, waited_s=4.0)
    spent = Spent.going_on(lambda: 4.0, counted)
    assert spent.elapsed_s >= 30.0 and spent.worked_s >= 26.0
    again = spent.counted()
    assert again.elapsed_s >= 30.0
    assert replace(again, elapsed_s=30.0) == counted
