"""What the model saw and wrote in each run is kept, however the run ends, and is read again."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from dev.postgres import Postgres
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from isobath.inference.v1 import inference_pb2 as inference
from servicekit.secrets import Secret
from servicekit.sql import Database
from services.gateway import record
from services.gateway.budget import Learned
from services.gateway.callers import Caller
from services.gateway.checkpoint import Checkpoint, Pinned, Progress
from services.gateway.conversation import Conversation, Generate, Message, State
from services.gateway.conversations import Conversations
from services.gateway.errors import NotKept
from services.gateway.handover import HandOver, Taken
from services.gateway.interrupted import Interrupted
from services.gateway.plan import Plan
from services.gateway.records import Records
from services.gateway.source import Draft, Source, new, row_of
from services.gateway.store import database
from services.gateway.store.tables import ConversationRow, RunRow
from services.gateway.upkeep.settings import KeepSettings
from tests.gateway.conftest import ANSWER, CODE, Platform, platform_of
from tests.gateway.doubles import HANG, Models
from tests.gateway.stores import (
    ADA,
    Part,
    lease_is_over,
    shared,
    store,
    store_url,
    url_of,
)
from tests.gateway.test_handover import stopping
from tests.gateway.test_several import begun, stands

__all__ = ["shared", "store", "store_url"]
pytestmark = [pytest.mark.req("T3"), pytest.mark.usefixtures("no_leaks")]
DATA = {"source": "shop", "table": "public.orders"}
ROLES = {
    inference.ROLE_SYSTEM: "system",
    inference.ROLE_USER: "user",
    inference.ROLE_ASSISTANT: "assistant",
    inference.ROLE_EXECUTE: "execute",
}


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def either(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> AsyncIterator[Platform]:
    if request.param == "sqlite":
        async with platform_of(tmp_path) as platform:
            yield platform
        return
    async with postgres.database() as name:
        url = Secret(url_of(postgres, name))
        async with platform_of(tmp_path, database_url=url, key_hash=Secret("of-tests")) as platform:
            yield platform


async def recorded(platform: Platform, run: str) -> dict[str, Any]:
    told = await platform.http.get(f"/v1/runs/{run}/conversation")
    assert told.status_code == 200, told.text
    return dict(told.json())


def sent(platform: Platform, turn: int = -1) -> list[dict[str, str]]:
    """What the model's service was asked with."""
    messages = platform.models.requests[turn].messages
    return [{"role": ROLES[each.role], "content": each.content} for each in messages]


async def test_conversation_is_what_the_model_was_sent_last_and_what_it_said_then(
    either: Platform,
) -> None:
    await either.source()
    last = ANSWER.format("It is 42.\n\n- so  \n")
    either.models.turns = [CODE.format("print(6 * 7)"), "thinking only", last]
    answered = (await either.chat(DATA)).json()
    told = await recorded(either, answered["run_id"])
    assert told["messages"] == [*sent(either), {"role": "assistant", "content": last}]
    # all of it: the prompt with its headings, the program, what it printed, and what came of that
    assert [each["role"] for each in told["messages"]] == [
        "user",
        "assistant",
        "execute",
        "assistant",
        "assistant",
    ]
    assert told["messages"][0]["content"].startswith("# Instruction\nHow many?\n\n")
    assert "\n\n# Data\nFile 1:\n{\n" in told["messages"][0]["content"]
    assert told["messages"][1]["content"] == CODE.format("print(6 * 7)")
    assert told["messages"][2]["content"] == "42\n"
    run = (await either.http.get(f"/v1/runs/{answered['run_id']}")).json()
    assert (told["format"], told["run_id"]) == ("isobath.run/1", run["id"])
    assert (told["thread_id"], told["model"]) == (run["thread_id"], run["model"])
    assert (told["state"], told["ended_by"], told["error_reason"]) == ("completed", "answer", "")
    assert (told["question"], told["cut"], told["feedback"]) == ("How many?", False, [])
    assert told["sources"] == [{"name": "shop", "type": "double"}]
    used = run["usage"]
    assert told["usage"] == {
        "rounds": 1,
        "prompt_tokens": used["prompt_tokens"],
        "completion_tokens": used["completion_tokens"],
        "seconds": pytest.approx(used["seconds"], abs=0.002),
    }
    assert told["created_at"] <= told["ended_at"]
    # and no credential of the source
    assert "planted-password" not in json.dumps(told)


async def test_conversation_is_the_same_over_both_faces(platform: Platform) -> None:
    run = (await platform.chat()).json()["run_id"]
    request = analyst.GetConversationRequest(run_id=run)
    came = await rpc.AnalystServiceStub(platform.grpc).GetConversation(request)
    assert record.as_json(came.record) == await recorded(platform, run)


async def test_second_turn_of_a_thread_holds_what_was_said_before(platform: Platform) -> None:
    platform.models.turns = [ANSWER.format("It is 7."), ANSWER.format("It is 8.")]
    first = (await platform.chat()).json()
    second = (await platform.chat(thread_id=first["thread_id"])).json()
    told = await recorded(platform, second["run_id"])
    assert told["messages"][:-1] == sent(platform)
    assert told["messages"][1]["content"] == "<Answer>\nIt is 7.\n</Answer>"
    assert len(told["messages"]) == 4
    assert len((await recorded(platform, first["run_id"]))["messages"]) == 2


async def test_model_without_the_analyst_is_recorded_as_it_was_asked(platform: Platform) -> None:
    platform.models.turns = ["A title"]
    system = {"role": "system", "content": "Be short."}
    body = {"model": "tiny:plain", "messages": [system, {"role": "user", "content": "Name it"}]}
    run = (await platform.http.post("/v1/chat/completions", json=body)).json()["run_id"]
    told = await recorded(platform, run)
    assert told["messages"] == [*sent(platform), {"role": "assistant", "content": "A title"}]
    assert told["messages"][0] == system
    assert (told["question"], told["ended_by"], told["thread_id"]) == ("Name it", "answer", "")


async def test_bound_that_ended_a_run_is_told(platform: Platform) -> None:
    platform.models.turns = [CODE.format("print(1)"), CODE.format("print(2)"), "It is 1."]
    told = await recorded(platform, (await platform.chat(max_rounds=1)).json()["run_id"])
    assert (told["state"], told["ended_by"], told["usage"]["rounds"]) == ("completed", "rounds", 1)
    # also the platform's words that asked for the answer
    assert told["messages"][:-1] == sent(platform)
    assert told["messages"][-2]["content"].startswith("The limit of rounds is reached")


async def test_run_that_is_cancelled_keeps_what_came_to_its_end(either: Platform) -> None:
    await either.source()
    either.models.turns = [CODE.format("print(1)"), "<Analyze>half" + HANG]
    run = await begun(either, data_sources=[DATA])
    await either.models.held.reached.wait()
    going = await either.http.get(f"/v1/runs/{run}/conversation")
    assert (going.status_code, going.json()["error"]["reason"]) == (409, "CONFLICT")
    await either.http.post(f"/v1/runs/{run}/cancel")
    told = await recorded(either, run)
    assert told["messages"] == sent(either)
    assert (told["state"], told["ended_by"]) == ("cancelled", "")
    assert [each["role"] for each in told["messages"]] == ["user", "assistant", "execute"]


async def test_run_that_fails_keeps_what_there_was(platform: Platform) -> None:
    await platform.source()
    # one that never came to the model
    failed = await begun(platform, data_sources=[{**DATA, "table": "public.nothing"}])
    await stands(platform, failed, "failed")
    told = await recorded(platform, failed)
    assert (told["messages"], told["error_reason"]) == ([], "PATH_NOT_FOUND")
    assert (told["question"], told["sources"][0]["name"]) == ("How many?", "shop")
    # and one that lost it
    platform.models.turns = [CODE.format("print(1)"), "never" + HANG]
    run = await begun(platform, data_sources=[DATA])
    await platform.models.held.reached.wait()
    await platform.stop["inference"]()
    await stands(platform, run, "failed")
    told = await recorded(platform, run)
    assert (told["state"], told["error_reason"]) == ("failed", "SERVICE_UNAVAILABLE")
    assert told["messages"] == sent(platform)
    assert len(told["messages"]) == 3


async def test_context_that_was_too_small_is_told_and_the_record_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listed(*_: Any) -> inference.ListModelsResponse:
        model = inference.Model(id="tiny", engine="openai", is_default=True, context_tokens=3000)
        return inference.ListModelsResponse(models=[model])

    async def counted(*_: Any) -> inference.CountTokensResponse:
        return inference.CountTokensResponse(tokens=1, estimated=True)

    monkeypatch.setattr(Models, "ListModels", listed)
    monkeypatch.setattr(Models, "CountTokens", counted)
    # nothing is learned of how many characters a token has
    estimated = inference.Usage(prompt_tokens=100, completion_tokens=10, estimated=True)
    monkeypatch.setattr(Models, "_completion", lambda _: inference.Completion(usage=estimated))
    async with platform_of(tmp_path) as platform:
        platform.models.turns = [CODE.format(f"print('{digit}' * 2000)") for digit in "1234"]
        platform.models.turns += [ANSWER.format("Enough.")]
        told = await recorded(platform, (await platform.chat()).json()["run_id"])
    assert told["cut"] is True
    outputs = [each["content"] for each in told["messages"] if each["role"] == "execute"]
    assert outputs == [digit * 2000 + "\n" for digit in "1234"]
    assert "characters left out" in str(sent(platform))


async def test_other_owners_do_not_see_a_conversation(platform: Platform) -> None:
    run = (await platform.chat()).json()["run_id"]
    async with platform.other() as stranger:
        refused = await stranger.get(f"/v1/runs/{run}/conversation")
        assert (refused.status_code, refused.json()["error"]["details"]["kind"]) == (404, "run")
    async with platform.other("default", scope="read-only") as reader:
        assert (await reader.get(f"/v1/runs/{run}/conversation")).status_code == 200
    gone = await platform.http.get("/v1/runs/run-none/conversation")
    assert gone.status_code == 404


async def test_conversation_that_is_larger_than_is_kept_is_told(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_BYTES", 40)
    run = (await platform.chat()).json()["run_id"]
    refused = (await platform.http.get(f"/v1/runs/{run}/conversation")).json()["error"]
    assert (refused["reason"], refused["details"]["kind"]) == ("NOT_FOUND", "conversation")
    assert "more than" in refused["message"] and f"/v1/runs/{run}/events" in refused["remedy"]


async def test_nothing_is_kept_where_that_is_not_wanted(tmp_path: Path) -> None:
    async with platform_of(tmp_path, keep=KeepSettings(conversations=False)) as platform:
        run = (await platform.chat()).json()["run_id"]
        refused = (await platform.http.get(f"/v1/runs/{run}/conversation")).json()["error"]
        assert (refused["reason"], refused["details"]["kind"]) == ("NOT_FOUND", "conversation")
        url = f"sqlite+aiosqlite:///{platform.settings.home / 'gateway.db'}"
        async with database.unmigrated(url) as rows, rows.begin() as session:
            assert (await session.scalars(select(ConversationRow.run_id))).all() == []
            assert (await session.scalars(select(RunRow.state))).all() == ["completed"]


async def test_conversation_goes_with_its_run(either: Platform) -> None:
    first, second = [(await either.chat()).json() for _ in range(2)]
    assert len(await kept_runs(either)) == 2
    deleted = await either.http.delete(f"/v1/threads/{first['thread_id']}")
    assert deleted.status_code == 200
    assert await kept_runs(either) == [second["run_id"]]
    gone = await either.http.get(f"/v1/runs/{first['run_id']}/conversation")
    assert gone.status_code == 404


async def kept_runs(platform: Platform) -> list[str]:
    url = platform.settings.database_url
    where = url.reveal() if url else f"sqlite+aiosqlite:///{platform.settings.home / 'gateway.db'}"
    async with database.unmigrated(where) as rows, rows.begin() as session:
        return list(await session.scalars(select(ConversationRow.run_id)))


# Between gateways


async def test_run_that_another_gateway_ends_is_recorded_whole(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with stopping(tmp_path, postgres, hand_over_s=20.0) as pair:
        one = pair.one
        await one.source()
        one.models.turns = [
            CODE.format("print(41)"),
            CODE.format("print(42)") + HANG,
            ANSWER.format("It is 42."),
        ]
        run = await begun(pair.leaving, data_sources=[DATA])
        await pair.gate.reached.wait()
        stopped = await pair.stop()
        pair.gate.open.set()
        await stands(one, run, "completed")
        await stopped
        told = await recorded(one, run)
        assert told["messages"] == [
            *sent(one),
            {"role": "assistant", "content": ANSWER.format("It is 42.")},
        ]
        said = [each["role"] for each in told["messages"]]
        assert said == ["user", "assistant", "execute", "assistant", "execute", "assistant"]
        assert (told["sources"], told["cut"]) == ([{"name": "shop", "type": "double"}], False)


@pytest.mark.parametrize("keeps", [True, False])
async def test_run_that_nobody_went_on_with_keeps_what_its_gateway_left(
    shared: Database, keeps: bool
) -> None:
    part = Part(shared)
    draining = asyncio.Event()
    live = await part.begun("run-1")
    await part.begun("run-2")
    plan = Plan(messages=(Message("user", "How many?"),))
    messages = (Message("user", "# Instruction\nHow many?"), Message("assistant", "<Analyze>"))
    conversation = Conversation(plan.bounds, State.GENERATING, list(messages))
    step = Generate(messages, 5)
    progress = replace(Progress.of(conversation, step, "session"), learned=Learned(told=True))
    async with shared.begin() as session:
        session.add(row_of(source(ADA)))
    at = Checkpoint(ADA, plan, "m", (Pinned("ds-1", 1), Pinned("ds-gone", 1)), progress=progress)

    async def nobody(_: Taken) -> None:
        raise AssertionError("nobody takes it up")

    left = HandOver(shared, part.leases, draining, lambda: 0, nobody)
    await part.journal.leave(live, lambda session: left.leave(session, "run-1", at))
    await part.journal.aclose()
    await lease_is_over(shared)
    swept = await Interrupted(shared, keep_conversations=keeps).sweep()
    assert sorted(swept) == ["run-1", "run-2"]
    kept = Conversations(shared, Records(shared, part.journal))
    # of the other one nobody knows what was said
    with pytest.raises(NotKept):
        await kept.get("ada", "run-2")
    if not keeps:
        with pytest.raises(NotKept):
            await kept.get("ada", "run-1")
        return
    found = await kept.get("ada", "run-1")
    assert [(each.role, each.content) for each in found.messages] == [
        ("user", "# Instruction\nHow many?"),
        ("assistant", "<Analyze>"),
    ]
    assert (found.state, found.error_reason, found.cut) == ("failed", "RUN_INTERRUPTED", True)
    assert [(each.name, each.type) for each in found.sources] == [("shop", "double")]


def source(caller: Caller) -> Source:
    draft = Draft("shop", "double", {"host": "db"}, {})
    return replace(new(caller, draft), id="ds-1")
