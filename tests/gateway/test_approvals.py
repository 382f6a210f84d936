"""Runs that wait for a person: what is asked, who decides, and what becomes of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from isobath.sandbox.v1 import sandbox_pb2 as sandbox
from servicekit.channels import calling
from servicekit.status import InvalidField, RemoteFault
from services.gateway.approvals import (
    Approvals,
    Decision,
    listed,
    meant,
    require_undecided,
)
from services.gateway.errors import Conflict, NotFound
from services.gateway.guards import NONE, guarded, guards_of, words_of
from services.gateway.live import Live
from tests.gateway.conftest import ANSWER, CODE, Platform, platform_of, question

QUERY, WRITE = analyst.GUARDED_OPERATION_QUERY, analyst.GUARDED_OPERATION_WRITE
pytestmark = pytest.mark.req("C4", "X4")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(id: str, source_id: str = "ds-1", operation: Any = QUERY) -> analyst.ApprovalRequested:
    return analyst.ApprovalRequested(approval_id=id, source_id=source_id, operation=operation)


def decided(live: Live) -> dict[str, tuple[bool, str]]:
    found = listed(live.steps)
    return {e.requested.approval_id: (e.decided.approved, e.decided.how) for e in found}


# -- cores


def test_guards_are_words_and_numbers() -> None:
    assert words_of(guards_of(["write", "query", "write"])) == ["query", "write"]
    assert guards_of([]) == NONE == guarded([])
    assert guarded([QUERY]) == guards_of(["query"])
    for wrong in (["sql"], [1], [None]):
        with pytest.raises(InvalidField, match="query and write"):
            guards_of(wrong)
    for number in (0, 9):
        with pytest.raises(InvalidField, match="not known"):
            guarded([number])  # type: ignore[list-item]


def test_approval_that_is_meant() -> None:
    live = Live("run")
    live.emit(approval_requested=asked("a"))
    assert meant(listed(live.steps), "").requested.approval_id == "a"
    live.emit(approval_requested=asked("b"))
    with pytest.raises(InvalidField, match="waits for 2 approvals") as which:
        meant(listed(live.steps), "")
    assert "a, b" in which.value.remedy
    assert meant(listed(live.steps), "b").requested.approval_id == "b"
    live.emit(approval_decided=analyst.ApprovalDecided(approval_id="a", approved=True))
    assert meant(listed(live.steps), "").requested.approval_id == "b"
    assert meant(listed(live.steps), "a").decided.approved
    with pytest.raises(NotFound):
        meant(listed(live.steps), "c")
    live.emit(failed=analyst.RunFailed(reason="RUN_INTERRUPTED"))
    assert meant(listed(live.steps), "b").decided.how == "withdrawn"
    assert meant(listed(live.steps), "a").decided.approved
    with pytest.raises(InvalidField, match="waits for 0"):
        meant([], "")


@pytest.mark.parametrize(
    ("how", "was", "now", "told"),
    [
        ("person", True, True, None),
        ("person", False, False, None),
        ("rest_of_run", True, True, None),
        ("person", True, False, "it was approved already"),
        ("person", False, True, "it was refused already"),
        ("expired", False, False, "nobody decided it in time"),
        ("withdrawn", False, True, "what asked for it has ended"),
    ],
)
def test_second_decision(how: str, was: bool, now: bool, told: str | None) -> None:
    before = analyst.Approval(decided=analyst.ApprovalDecided(how=how, approved=was))
    if told is None:
        assert not require_undecided(before, Decision(now))
        return
    with pytest.raises(Conflict, match=told):
        require_undecided(before, Decision(now))
    assert require_undecided(analyst.Approval(), Decision(now))


async def test_waiting_of_several_counts_once() -> None:
    live, clock = Live("run"), Clock()
    approvals = Approvals(live, seconds=100, clock=clock)
    first = asyncio.create_task(approvals.wait(asked("a")))
    await asyncio.sleep(0)
    clock.now = 10
    second = asyncio.create_task(approvals.wait(asked("b")))
    await asyncio.sleep(0)
    assert live.waiting == {"a", "b"}
    clock.now = 20
    approvals.decide("a", Decision(True), "key-1")
    await first
    clock.now = 25
    assert (approvals.waited_s, approvals.left_s) == (25, 75)
    approvals.decide("b", Decision(False, "no"), "key-2")
    assert (await second).comment == "no"
    clock.now = 99
    assert approvals.waited_s == 25 and live.waiting == set()
    assert decided(live) == {"a": (True, "person"), "b": (False, "person")}


async def test_rest_of_the_run_covers_its_kind_and_source_alone() -> None:
    live = Live("run")
    approvals = Approvals(live, seconds=100)
    waits = [
        asyncio.create_task(approvals.wait(each))
        for each in (asked("a"), asked("b"), asked("c", "ds-2"), asked("d", operation=WRITE))
    ]
    await asyncio.sleep(0)
    approvals.decide("a", Decision(True, rest_of_run=True), "key-1")
    await asyncio.gather(*waits[:2])
    assert (await approvals.wait(asked("e"))).decided_by == "key-1"
    assert live.waiting == {"c", "d"}
    approvals.withdraw()
    await asyncio.gather(*waits)
    assert decided(live) == {
        "a": (True, "person"),
        "b": (True, "rest_of_run"),
        "c": (False, "withdrawn"),
        "d": (False, "withdrawn"),
        "e": (True, "rest_of_run"),
    }


async def test_nobody_decides() -> None:
    live = Live("run")
    approvals = Approvals(live, seconds=0.05)
    assert (await approvals.wait(asked("a"))).how == "expired"
    # the bound is of the whole run
    assert approvals.left_s == 0
    assert (await approvals.wait(asked("b"))).how == "expired"
    with pytest.raises(Conflict, match="no longer waits"):
        approvals.decide("a", Decision(True), "key")


async def test_cancelled_wait_is_withdrawn() -> None:
    live = Live("run")
    approvals = Approvals(live, seconds=100)
    waiting = asyncio.create_task(approvals.wait(asked("a")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert decided(live) == {"a": (False, "withdrawn")} and not live.waiting


async def test_same_decision_twice_at_once_is_one() -> None:
    approvals = Approvals(Live("run"), seconds=100)
    waiting = asyncio.create_task(approvals.wait(asked("a")))
    await asyncio.sleep(0)
    first = approvals.decide("a", Decision(True), "key-1")
    assert approvals.decide("a", Decision(True), "key-2") == first
    with pytest.raises(Conflict):
        approvals.decide("a", Decision(False), "key-2")
    assert (await waiting).decided_by == "key-1"


def test_comment_has_a_bound() -> None:
    with pytest.raises(InvalidField, match="2,000"):
        Decision(True, "x" * 2_001)


# -- through the gateway

WISH = "wishes('query', 'SELECT 1')\nprint([d.approved for d in decided], decided[0].comment)"


async def begun(platform: Platform, *programs: str, **more: Any) -> str:
    """A run in the background, that waits."""
    platform.models.turns = [*(CODE.format(p) for p in programs), ANSWER.format("It is.")]
    if not more.pop("source", None):
        await platform.source(approval=["query"])
    started = await platform.http.post("/v1/runs", json=question({"source": "shop"}, **more))
    assert started.status_code == 202, started.text
    run = str(started.json()["id"])
    await stands(platform, run, "waiting")
    return run


async def stands(platform: Platform, run: str, state: str) -> dict[str, Any]:
    for _ in range(200):
        told = dict((await platform.http.get(f"/v1/runs/{run}")).json())
        if told["status"] == state:
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(f"{run} is {told['status']}, not {state}")


async def approvals_of(platform: Platform, run: str) -> list[dict[str, Any]]:
    return list((await platform.http.get(f"/v1/runs/{run}/approvals")).json()["data"])


async def events_of(platform: Platform, run: str) -> list[analyst.Event]:
    stub = rpc.AnalystServiceStub(platform.grpc)
    watch = stub.WatchRun(analyst.WatchRunRequest(run_id=run))
    return [each.event async for each in watch]


async def test_run_waits_and_goes_on_when_it_is_approved(platform: Platform) -> None:
    run = await begun(platform, WISH)
    (pending,) = await approvals_of(platform, run)
    assert pending["status"] == "pending" and pending["operation"] == "query"
    assert (pending["sql"], pending["params"], pending["round"]) == ("SELECT 1", [7], 1)
    assert pending["source"] == "shop" and pending["expires_at"] > pending["requested_at"]
    (source,) = platform.sandbox.attached[next(iter(platform.sandbox.attached))]
    assert list(source.guarded) == [sandbox.GUARDED_OPERATION_QUERY]
    body = {"approved": True, "comment": "looks good", "approval_id": pending["id"]}
    answer = await platform.http.post(f"/v1/runs/{run}/approvals", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["status"], told["how"], told["comment"]) == ("approved", "person", "looks good")
    assert told["decided_by"].startswith("key-")
    done = await stands(platform, run, "completed")
    assert 0 < done["usage"]["waited_seconds"] <= done["usage"]["seconds"]
    assert (await approvals_of(platform, run))[0]["status"] == "approved"
    assert "[True] looks good" in platform.models.requests[1].messages[-1].content
    events = await events_of(platform, run)
    assert [e.sequence for e in events] == [*range(1, len(events) + 1)]
    again = await platform.http.post(f"/v1/runs/{run}/approvals", json=body)
    assert again.status_code == 200 and again.json()["decided_by"] == told["decided_by"]
    other = await platform.http.post(f"/v1/runs/{run}/approvals", json={**body, "approved": False})
    assert other.status_code == 409 and "approved already" in other.json()["error"]["message"]


async def test_refusal_reaches_the_program_and_the_run_goes_on(platform: Platform) -> None:
    run = await begun(platform, WISH)
    body = {"approved": False, "comment": "not that one"}
    refused = await platform.http.post(f"/v1/runs/{run}/approvals", json=body)
    assert refused.json()["status"] == "refused"
    await stands(platform, run, "completed")
    assert "[False] not that one" in platform.models.requests[1].messages[-1].content


async def test_rest_of_run_is_asked_once(platform: Platform) -> None:
    run = await begun(platform, WISH, WISH)
    await platform.http.post(
        f"/v1/runs/{run}/approvals", json={"approved": True, "rest_of_run": True}
    )
    await stands(platform, run, "completed")
    assert [e["how"] for e in await approvals_of(platform, run)] == ["person", "rest_of_run"]


async def test_request_may_ask_for_approvals_itself_and_grpc_decides(platform: Platform) -> None:
    await platform.source()
    stub = rpc.AnalystServiceStub(platform.grpc)
    platform.models.turns = [CODE.format(WISH), ANSWER.format("It is.")]
    chat = analyst.ChatRequest(
        messages=[analyst.ChatMessage(role="user", content="How many?")],
        data_sources=[analyst.DataSelection(source="shop")],
        approval=[QUERY],
    )
    seen: list[str] = []
    async for response in stub.Chat(chat):
        event = response.event
        seen.append(str(event.WhichOneof("event")))
        if event.HasField("approval_requested"):
            listed = await calling(
                stub.ListApprovals(analyst.ListApprovalsRequest(run_id=event.run_id))
            )
            assert listed.approvals[0].requested == event.approval_requested
            request = analyst.DecideApprovalRequest(run_id=event.run_id, approved=True)
            told = await calling(stub.DecideApproval(request))
            assert told.approval.decided.how == "person"
    assert seen.index("approval_requested") < seen.index("approval_decided")
    assert seen[-1] == "completed"
    with pytest.raises(RemoteFault) as wrong:
        unknown = [analyst.GUARDED_OPERATION_UNSPECIFIED]
        await calling(stub.StartRun(analyst.StartRunRequest(question={"approval": unknown})))
    assert wrong.value.reason == "INVALID_FIELD"


async def test_chat_waits_within_its_stream(platform: Platform) -> None:
    await platform.source(approval=["query"])
    platform.models.turns = [CODE.format(WISH), ANSWER.format("It is.")]
    async with platform.http.stream(
        "POST", "/v1/chat/completions", json=question({"source": "shop"}, stream=True)
    ) as response:
        async for line in response.aiter_lines():
            if "approval_requested" in line:
                run = next(e for e in (await platform.http.get("/v1/runs")).json()["data"])["id"]
                await platform.http.post(f"/v1/runs/{run}/approvals", json={"approved": True})
    assert (await stands(platform, run, "completed"))["error"] is None


async def test_who_may_decide(platform: Platform) -> None:
    run = await begun(platform, WISH)
    address, yes = f"/v1/runs/{run}/approvals", {"approved": True}
    async with platform.other() as stranger:
        assert (await stranger.post(address, json=yes)).status_code == 404
        assert (await stranger.get(address)).status_code == 404
    async with platform.other(owner="default", scope="read-only") as reader:
        assert len((await reader.get(address)).json()["data"]) == 1
        assert (await reader.post(address, json=yes)).status_code == 403
    for body, field in (
        ({}, "approved"),
        ({"approved": "yes"}, "approved"),
        ({"approved": True, "approval_id": 1}, "approval_id"),
        ({"approved": True, "comment": "x" * 2_001}, "comment"),
    ):
        wrong = await platform.http.post(address, json=body)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, field)
    unknown = await platform.http.post(address, json={**yes, "approval_id": "apr-none"})
    assert unknown.status_code == 404
    assert (await platform.http.post(address, json=yes)).status_code == 200
    await stands(platform, run, "completed")
    late = await platform.http.post(address, json=yes)
    assert (late.status_code, late.json()["error"]["param"]) == (400, "approval_id")


async def test_nobody_in_time_is_a_refusal(tmp_path: Path) -> None:
    async with platform_of(tmp_path, approval_s=1.0) as platform:
        run = await begun(platform, WISH)
        await stands(platform, run, "completed")
        (told,) = await approvals_of(platform, run)
        assert (told["status"], told["how"], told["decided_by"]) == ("refused", "expired", None)
        assert "nobody decided in time" in platform.models.requests[1].messages[-1].content


async def test_time_of_the_run_rests(tmp_path: Path) -> None:
    async with platform_of(tmp_path, run_s=2.0) as platform:
        run = await begun(platform, WISH)
        await asyncio.sleep(2.5)
        await platform.http.post(f"/v1/runs/{run}/approvals", json={"approved": True})
        done = await stands(platform, run, "completed")
        assert done["usage"]["waited_seconds"] > 2
        last = (await events_of(platform, run))[-1]
        assert last.completed.finish == "answer"


@pytest.mark.req("C7")
async def test_cancel_ends_the_wait(platform: Platform) -> None:
    run = await begun(platform, WISH)
    assert (await platform.http.post(f"/v1/runs/{run}/cancel")).json()["status"] == "cancelled"
    (told,) = await approvals_of(platform, run)
    assert (told["status"], told["how"]) == ("refused", "withdrawn")
    events = [str(e.WhichOneof("event")) for e in await events_of(platform, run)]
    assert events[-2:] == ["approval_decided", "cancelled"]


async def test_what_needs_approval_is_kept_and_changed_with_the_source(platform: Platform) -> None:
    id = await platform.source(approval=["write", "query"])
    address = f"/v1/data-sources/{id}"
    assert (await platform.http.get(address)).json()["approval"] == ["query", "write"]
    renamed = await platform.http.patch(address, json={"description": "x"})
    assert renamed.json()["approval"] == ["query", "write"]
    none = await platform.http.patch(address, json={"approval": []})
    assert none.json()["approval"] == [] and none.json()["version"] == 1
    wrong = await platform.http.patch(address, json={"approval": ["sql"]})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "approval")
    asked = await platform.chat(approval=["all"])
    assert (asked.status_code, asked.json()["error"]["param"]) == (400, "approval")
    stub = rpc.DataSourceServiceStub(platform.grpc)
    policy = analyst.ApprovalPolicy(operations=[WRITE])
    changed = await calling(
        stub.UpdateDataSource(analyst.UpdateDataSourceRequest(id=id, approval=policy))
    )
    assert list(changed.data_source.approval) == [WRITE]
