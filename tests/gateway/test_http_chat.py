"""Chat over HTTP, whole and streamed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from isobath.analyst.v1.analyst_pb2 import WatchRunRequest
from isobath.analyst.v1.analyst_pb2_grpc import AnalystServiceStub
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform, platform_of, question
from tests.gateway.doubles import HANG, PNG

ORDERS = {"source": "shop", "table": "public.orders"}


@pytest.mark.req("C1", "C3", "C4", "C6", "C9")
async def test_run_with_program_gives_the_answer_files_and_usage(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [
        CODE.format("print(6 * 7)\nshow(PNG)\nsave('out.csv', b'a,b')".replace("PNG", repr(PNG))),
        ANSWER.format("It is 42."),
    ]
    reply = (await platform.chat(ORDERS)).raise_for_status().json()
    message = reply["choices"][0]["message"]
    assert "<Code>" in message["content"] and "</Code>" in message["content"]
    executed = message["content"].split("<Execute>")[1].split("</Execute>")[0]
    assert "42" in executed
    assert message["content"].split("<Answer>")[1].split("</Answer>")[0].strip() == "It is 42."
    assert message["thread_id"]
    names = [file["name"] for file in reply["generated_files"]]
    assert names[-2:] == ["report.md", "report.html"] and "out.csv" in names
    assert any(name.endswith(".png") for name in names)
    assert reply["usage"]["completion_tokens"] == 20
    assert reply["usage"]["rounds"] == 1 and reply["usage"]["fetched_rows"] == 2
    for file in reply["generated_files"]:
        content = (await platform.http.get(file["url"])).raise_for_status().content
        if file["name"].endswith(".png"):
            assert content == PNG
            assert f"![{file['name']}](" in message["content"]
        if file["name"] == "report.md":
            assert b"How many?" in content and b"It is 42." in content


@pytest.mark.req("C1")
async def test_prompt_lists_the_fetched_data_with_columns_rows_and_origin(
    platform: Platform,
) -> None:
    await platform.source()
    await platform.chat({**ORDERS, "as": "mine"})
    prompt = platform.models.requests[0].messages[-1].content
    assert prompt.startswith("# Instruction\nHow many?")
    entry = json.loads(prompt.split("# Data\nFile 1:\n")[1].split("\n\n")[0])
    assert list(entry)[:2] == ["name", "size"]
    assert entry["name"] == "mine.csv"
    assert entry["rows"] == 2
    assert [column["name"] for column in entry["columns"]] == ["region", "count"]
    assert "shop" in entry["origin"]
    assert 'sources["shop"]' in prompt


async def test_program_output_goes_back_to_the_model_as_execute(platform: Platform) -> None:
    platform.models.turns = [CODE.format("print('printed')"), ANSWER.format("done")]
    await platform.chat()
    roles = [message.role for message in platform.models.requests[1].messages]
    assert roles[-2:] == [3, 4]  # assistant, execute
    assert platform.models.requests[1].messages[-1].content == "printed\n"
    assert platform.models.requests[1].messages[-2].content.rstrip().endswith("</Code>")


@pytest.mark.req("C3", "C8")
async def test_stream_has_a_chunk_for_each_event_in_order(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format("print(1)"), ANSWER.format("one")]
    chunks = await platform.stream(ORDERS, stream_options={"include_usage": True})
    assert chunks.pop()["usage"]["total_tokens"] == 220
    numbers = [int(chunk["isobath"]["sequence"]) for chunk in chunks]
    assert numbers == list(range(1, len(chunks) + 1))
    run_id = chunks[0]["isobath"]["run_id"]
    assert "started" in chunks[0]["isobath"]
    seen = [kind for chunk in chunks for kind in chunk["isobath"]]
    for kind in ("fetch_progress", "file_ready", "program_started", "program_finished"):
        assert kind in seen
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    events = await platform.http.get(f"/v1/runs/{run_id}/events", headers={"last-event-id": "3"})
    ids = [int(line[3:]) for line in events.text.splitlines() if line.startswith("id:")]
    assert ids == numbers[3:]


@pytest.mark.req("C3")
async def test_official_sdk_streams_and_completes(platform: Platform) -> None:
    base = f"http://{platform.settings.http_bind}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0) as client:
        ask: dict[str, Any] = {
            "model": "DeepAnalyze-8B",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
        }
        platform.models.turns = [ANSWER.format("whole")]
        whole = await client.chat.completions.create(**ask)
        assert "whole" in (whole.choices[0].message.content or "")
        platform.models.turns = [ANSWER.format("streamed")]
        text = ""
        async for chunk in await client.chat.completions.create(**ask, stream=True):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        assert "<Answer>\nstreamed\n</Answer>" in text
        platform.models.turns = [ANSWER.format("accumulated")]
        async with client.chat.completions.stream(**ask) as stream:
            final = await stream.get_final_completion()
        assert "accumulated" in (final.choices[0].message.content or "")
        models = [model.id async for model in client.models.list()]
        assert models[0] == "DeepAnalyze-8B"


FAULTS: list[tuple[str, dict[str, Any], int, str]] = [
    ("unknown source", {"source": "nowhere", "table": "t"}, 404, "SOURCE_NOT_FOUND"),
    ("unknown relation", {"source": "shop", "table": "nope"}, 422, "PATH_NOT_FOUND"),
    ("typo", {"source": "shop", "query": "SELECT FORM"}, 422, "QUERY_FAILED"),
    ("refused", {"source": "shop", "query": "DENIED"}, 422, "SOURCE_AUTHENTICATION_FAILED"),
    ("nothing", {"source": "shop", "limit": 5}, 400, "INVALID_FIELD"),
    ("wrong type", {"source": "shop", "type": "x", "path": "y"}, 400, "INVALID_FIELD"),
]


@pytest.mark.req("C2", "S6", "P5")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("what", "selection", "status", "reason"), FAULTS)
async def test_fetch_fault_is_a_status_before_any_token(
    platform: Platform, what: str, selection: dict[str, Any], status: int, reason: str, stream: bool
) -> None:
    await platform.source()
    response = await platform.chat(selection, stream=stream)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["reason"] == reason
    assert error["message"] and error["request_id"] == response.headers["x-request-id"]
    assert not platform.models.requests
    if what in ("unknown relation", "typo", "refused"):
        assert response.headers["x-should-retry"] == "false"
        async with asyncio.timeout(30):  # tidying up follows the answer
            while not platform.sandbox.detached:
                await asyncio.sleep(0.01)
    else:
        assert (await platform.http.get("/v1/runs")).json()["data"] == []


@pytest.mark.req("C2")
async def test_fault_after_the_hold_is_told_in_the_stream(tmp_path: Path) -> None:
    async with platform_of(tmp_path, hold_s=0.2, heartbeat_s=0.1) as platform:
        await platform.source()
        data = {"source": "shop", "query": "SLOW"}
        async with platform.http.stream(
            "POST", "/v1/chat/completions", json=question(data, stream=True)
        ) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.aiter_lines()
            async for line in lines:
                if line.startswith(": keep-alive"):
                    break
            await platform.stop["sandbox"]()
            rest = [line async for line in lines if line.startswith("data: ")]
    assert rest[-1] == "data: [DONE]"
    errors = [json.loads(line[6:]) for line in rest[:-1] if "error" in json.loads(line[6:])]
    assert [each["error"]["reason"] for each in errors] == ["SERVICE_UNAVAILABLE"]
    assert "sandbox" in errors[0]["error"]["message"]


@pytest.mark.req("C7")
@pytest.mark.parametrize("where", ["fetch", "model", "program"])
async def test_disconnect_stops_the_run_everywhere(platform: Platform, where: str) -> None:
    await platform.source()
    data = [{"source": "shop", "query": "SLOW"}] if where == "fetch" else [ORDERS]
    platform.models.turns = [
        f"<Analyze>x{HANG}" if where == "model" else CODE.format("wait_for_ever()")
    ]
    held = {
        "fetch": platform.sandbox.import_held,
        "model": platform.models.held,
        "program": platform.sandbox.held,
    }[where]
    asking = asyncio.create_task(platform.chat(*data, stream=True))
    await held.reached.wait()
    asking.cancel()
    async with asyncio.timeout(30):
        await held.stopped.wait()
    async with asyncio.timeout(30):
        while (run := (await platform.http.get("/v1/runs")).json()["data"][0])[
            "status"
        ] != "cancelled":
            await asyncio.sleep(0.01)
        while not platform.sandbox.detached:
            await asyncio.sleep(0.01)
    assert platform.sandbox.detached == [run["id"]]


@pytest.mark.req("C7")
async def test_cancel_ends_the_stream_and_the_program(platform: Platform) -> None:
    platform.models.turns = [CODE.format("wait_for_ever()")]
    asking = asyncio.create_task(platform.chat(stream=True))
    await platform.sandbox.held.reached.wait()
    (run,) = (await platform.http.get("/v1/runs")).json()["data"]
    assert run["status"] == "working"
    cancelled = await platform.http.post(f"/v1/runs/{run['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert platform.sandbox.held.stopped.is_set()
    assert "cancelled" in (await asking).text


@pytest.mark.req("C8")
async def test_detached_run_outlives_its_connection(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]
    asking = asyncio.create_task(platform.chat(stream=True, detach=True))
    await platform.models.held.reached.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    (run,) = (await platform.http.get("/v1/runs")).json()["data"]
    assert run["status"] == "working"
    await platform.http.post(f"/v1/runs/{run['id']}/cancel")


@pytest.mark.req("C8", "C9")
async def test_background_run_is_given_at_once_and_followed(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format("print(6 * 7)"), ANSWER.format("It is 42.")]
    headers = {"idempotency-key": "report-of-monday"}
    begun = await platform.http.post("/v1/runs", json=question(ORDERS), headers=headers)
    assert begun.status_code == 202
    run = begun.json()
    assert begun.headers["location"] == f"/v1/runs/{run['id']}"
    assert run["object"] == "run" and run["thread_id"]
    events = await platform.http.get(f"/v1/runs/{run['id']}/events")
    told = [json.loads(line[6:]) for line in events.text.splitlines() if line.startswith("data: ")]
    assert told[-1]["completed"]["answer"] == "It is 42."
    ended = (await platform.http.get(begun.headers["location"])).json()
    assert (ended["status"], ended["usage"]["rounds"]) == ("completed", 1)
    again = await platform.http.post("/v1/runs", json=question(ORDERS), headers=headers)
    assert again.json()["id"] == run["id"]
    assert len(platform.models.requests) == 2


@pytest.mark.req("C2", "S6")
async def test_fault_of_a_background_runs_source_is_the_runs(platform: Platform) -> None:
    await platform.source()
    missing = {"source": "shop", "table": "public.nothing"}
    run = (await platform.http.post("/v1/runs", json=question(missing))).raise_for_status().json()
    await platform.http.get(f"/v1/runs/{run['id']}/events")
    ended = (await platform.http.get(f"/v1/runs/{run['id']}")).json()
    assert ended["status"] == "failed" and "public.nothing" in ended["error"]["message"]
    assert platform.models.requests == []


async def test_background_run_that_cannot_begin_is_refused(platform: Platform) -> None:
    refused = await platform.http.post("/v1/runs", json=question({"source": "none", "path": "x"}))
    assert refused.status_code == 404
    assert refused.json()["error"]["reason"] == "SOURCE_NOT_FOUND"
    assert (await platform.http.get("/v1/runs")).json()["data"] == []


async def spoken(platform: Platform) -> None:
    """Until the model's first words are the run's: what fails before them is an HTTP status."""
    (run,) = (await platform.http.get("/v1/runs")).json()["data"]
    watching = AnalystServiceStub(platform.grpc).WatchRun(WatchRunRequest(run_id=run["id"]))
    async for each in watching:
        if each.event.HasField("block_text"):
            break
    watching.cancel()


@pytest.mark.req("S5", "S6")
@pytest.mark.parametrize("service", ["sandbox", "inference"])
async def test_service_that_dies_under_a_run_is_named(platform: Platform, service: str) -> None:
    waits = CODE.format("wait_for_ever()") if service == "sandbox" else f"<Analyze>x{HANG}"
    platform.models.turns = [waits]
    held = platform.sandbox.held if service == "sandbox" else platform.models.held
    asking = asyncio.create_task(platform.stream())
    await held.reached.wait()
    await spoken(platform)
    await platform.stop[service]()
    async with asyncio.timeout(5):
        chunks = await asking
    errors = [chunk["error"] for chunk in chunks if "error" in chunk]
    assert len(errors) == 1
    assert errors[0]["reason"] == "SERVICE_UNAVAILABLE"
    assert service in errors[0]["message"] and errors[0]["remedy"]


@pytest.mark.req("S5", "S6")
@pytest.mark.parametrize("service", ["credentials", "connector", "sandbox", "inference"])
async def test_service_that_is_away_is_a_503(platform: Platform, service: str) -> None:
    await platform.source()
    await platform.stop[service]()
    response = await platform.chat(ORDERS)
    if service == "connector":  # the sandbox double fetches by itself; the type is known already
        assert response.status_code == 200
        response = await platform.http.get("/v1/data-sources/shop/browse")
    assert response.status_code == 503, response.text
    error = response.json()["error"]
    assert error["reason"] == "SERVICE_UNAVAILABLE"
    assert "does not answer" in error["message"]


@pytest.mark.req("C5")
async def test_thread_keeps_workspace_and_history(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format("x = 5"), ANSWER.format("First answer.")]
    first = (await platform.chat(ORDERS)).json()["choices"][0]["message"]
    platform.models.turns = [CODE.format("print(x)"), ANSWER.format("Second.")]
    messages = [{"role": "user", "content": "And now?", "thread_id": first["thread_id"]}]
    body = {"messages": messages, "model": "tiny"}
    reply = (await platform.http.post("/v1/chat/completions", json=body)).json()
    assert reply["choices"][0]["message"]["thread_id"] == first["thread_id"]
    asked = platform.models.requests[2].messages
    assert "orders.csv" in asked[-1].content
    said = "\n".join(message.content for message in asked[:-1])
    assert "How many?" in said and "First answer." in said
    assert "5\n" in platform.models.requests[3].messages[-1].content
    thread = (await platform.http.get(f"/v1/threads/{first['thread_id']}")).json()
    assert [m["role"] for m in thread["messages"]] == ["user", "assistant"] * 2
    assert thread["messages"][2]["content"] == "And now?"
    gone = await platform.http.delete(f"/v1/threads/{first['thread_id']}")
    assert gone.status_code == 200
    assert platform.sandbox.removed == [first["thread_id"]]
    assert (await platform.http.get(f"/v1/threads/{first['thread_id']}")).status_code == 404
    assert (await platform.http.get("/v1/runs")).json()["data"] == []


async def test_thread_that_is_busy_is_a_conflict(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]
    asking = asyncio.create_task(platform.chat(thread_id="t-1", stream=True))
    await platform.models.held.reached.wait()
    response = await platform.chat(thread_id="t-1")
    assert response.status_code == 409
    assert response.json()["error"]["reason"] == "CONFLICT"
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.req("C3")
async def test_same_idempotency_key_gives_the_same_run(platform: Platform) -> None:
    headers = {"idempotency-key": "abc"}
    first = await platform.http.post("/v1/chat/completions", json=question(), headers=headers)
    again = await platform.http.post("/v1/chat/completions", json=question(), headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert len(platform.models.requests) == 1


async def test_uploaded_file_lies_in_the_workspace(platform: Platform) -> None:
    upload = {"file": ("mine.csv", b"a,b\n1,2\n")}
    made = (await platform.http.post("/v1/files", files=upload)).json()
    reply = (await platform.chat(file_ids=[made["id"]])).json()
    thread = reply["choices"][0]["message"]["thread_id"]
    assert platform.sandbox.files[thread] == {"mine.csv": b"a,b\n1,2\n"}
    assert "mine.csv" in platform.models.requests[0].messages[-1].content


@pytest.mark.req("S6")
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"n": 2}, 400),
        ({"messages": []}, 400),
        ({"messages": "hello"}, 400),
        ({"model": "no-such-model"}, 404),
        ({"temperature": "hot"}, 400),
        ({"file_ids": ["file-nope"]}, 404),
        ({"stream_options": 1}, 400),
        ({"thread_id": "../x"}, 400),
    ],
)
async def test_bad_request_names_its_field(
    platform: Platform, change: dict[str, Any], status: int
) -> None:
    response = await platform.http.post("/v1/chat/completions", json={**question(), **change})
    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == next(iter(change))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
async def test_body_that_is_no_object_is_told(platform: Platform, raw: bytes) -> None:
    response = await platform.http.post("/v1/chat/completions", content=raw)
    assert response.status_code == 400
    assert response.json()["error"]["reason"] == "INVALID_FIELD"


@pytest.mark.req("C4")
async def test_bound_of_rounds_asks_for_the_answer(tmp_path: Path) -> None:
    async with platform_of(tmp_path, rounds=2) as platform:
        platform.models.turns = [*([CODE.format("print(1)")] * 3), ANSWER.format("the last word")]
        reply = (await platform.chat()).json()
        assert "the last word" in reply["choices"][0]["message"]["content"]
        assert reply["usage"]["rounds"] == 2
        assert reply["choices"][0]["finish_reason"] == "length"
        assert "limit of rounds" in platform.models.requests[-1].messages[-1].content


@pytest.mark.req("C4")
async def test_error_of_a_program_goes_back_to_the_model(platform: Platform) -> None:
    platform.models.turns = [CODE.format("1 / 0"), ANSWER.format("so be it")]
    chunks = await platform.stream()
    assert "ZeroDivisionError" in platform.models.requests[1].messages[-1].content
    finished = [
        c["isobath"]["program_finished"] for c in chunks if "program_finished" in c["isobath"]
    ]
    assert finished[0]["outcome"] == "error"


async def test_many_runs_at_once(platform: Platform) -> None:
    replies = await asyncio.gather(*(platform.chat() for _ in range(30)))
    assert {reply.status_code for reply in replies} == {200}


async def test_too_many_runs_are_told_to_wait(tmp_path: Path) -> None:
    async with platform_of(tmp_path, max_runs=1) as platform:
        platform.models.turns = [f"<Analyze>x{HANG}"]
        asking = asyncio.create_task(platform.chat(stream=True))
        await platform.models.held.reached.wait()
        response = await platform.chat()
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["reason"] == "TOO_BUSY"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.req("C8", "S8")
async def test_run_that_a_crash_cut_off_is_told_as_interrupted(tmp_path: Path) -> None:
    async with platform_of(tmp_path) as platform:
        reply = (await platform.chat()).json()
        run_id = reply["id"].removeprefix("chatcmpl-")
    from sqlalchemy import create_engine, text

    engine = create_engine(f"sqlite:///{tmp_path / 'gateway' / 'gateway.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE runs SET state = 'working', ended_ms = NULL"))
        connection.execute(
            text(
                "DELETE FROM events WHERE sequence = "
                "(SELECT max(sequence) FROM events WHERE run_id = :r)"
            ),
            {"r": run_id},
        )
    engine.dispose()
    async with platform_of(tmp_path) as platform:
        run = (await platform.http.get(f"/v1/runs/{run_id}")).json()
        assert run["status"] == "interrupted"
        assert run["error"]["reason"] == "RUN_INTERRUPTED"
        events = await platform.http.get(f"/v1/runs/{run_id}/events")
        assert "RUN_INTERRUPTED" in events.text.splitlines()[-2]


@pytest.mark.req("S2")
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer isb-wrong", "Basic abc"])
async def test_without_a_known_key_nothing_is_told(platform: Platform, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    base = f"http://{platform.settings.http_bind}"
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as stranger:
        for path in ("/v1/models", "/v1/data-sources", "/v1/files", "/v1/runs", "/v1/threads/x"):
            response = await stranger.get(path)
            assert response.status_code == 401, path
            assert response.json()["error"]["reason"] == "UNAUTHENTICATED"
        assert (await stranger.post("/v1/chat/completions", json=question())).status_code == 401


@pytest.mark.req("T4")
async def test_adapter_that_comes_is_listed_and_asked_at_once_and_gone_at_once(
    platform: Platform,
) -> None:
    async def listed() -> set[str]:
        return {each["id"] for each in (await platform.http.get("/v1/models")).json()["data"]}

    before = await listed()
    platform.models.adapters.append("sales-v1")
    assert await listed() - before == {"sales-v1", "sales-v1:plain"}
    platform.models.turns = [ANSWER.format("ours")]
    reply = (await platform.chat(model="sales-v1")).json()
    assert "ours" in reply["choices"][0]["message"]["content"] and reply["model"] == "sales-v1"
    assert platform.models.requests[-1].model == "sales-v1"
    platform.models.adapters.clear()
    assert await listed() == before
    refused = await platform.chat(model="sales-v1")
    assert refused.status_code == 404 and "sales-v1" in refused.json()["error"]["message"]


@pytest.mark.req("C3")
async def test_plain_model_answers_without_tools_or_thread(platform: Platform) -> None:
    listed = (await platform.http.get("/v1/models")).json()["data"]
    assert {each["id"]: each["agent"] for each in listed} == {
        "DeepAnalyze-8B": True,
        "tiny": True,
        "tiny:plain": False,
    }
    platform.models.turns = ["A <Code>title</Code> it is"] * 2
    reply = (await platform.chat(model="tiny:plain")).json()
    assert reply["choices"][0]["message"]["content"] == "A <Code>title</Code> it is"
    assert platform.models.requests[0].model == "tiny"
    assert not platform.models.requests[0].stop_after_code
    assert platform.models.requests[0].messages[0].content == "How many?"
    chunks = await platform.stream(model="tiny:plain")
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == "A <Code>title</Code> it is"
    assert (await platform.http.get("/v1/threads")).json()["data"] == []
    assert not platform.sandbox.files
    refused = await platform.chat({"source": "shop", "table": "t"}, model="tiny:plain")
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "data_sources"


@pytest.mark.req("C7")
async def test_whole_answer_of_a_cancelled_run_says_that_it_was_cancelled(
    platform: Platform,
) -> None:
    platform.models.turns = [f"<Answer>x{HANG}"]
    asking = asyncio.create_task(platform.chat())
    await platform.models.held.reached.wait()
    (run,) = (await platform.http.get("/v1/runs")).json()["data"]
    await platform.http.post(f"/v1/runs/{run['id']}/cancel")
    response = await asking
    assert response.status_code == 499, response.text
    assert response.json()["error"]["reason"] == "CANCELLED"
