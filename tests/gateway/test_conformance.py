"""The table of `conformance.py` by a raw client and by the official SDK; then what needs more than
one request: keys of idempotency, retries, faults in a stream, heartbeats."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from services.gateway import admission
from tests.gateway.conformance import ASK, CHATS, ROUTES, Case, Reply, Route, reply_of
from tests.gateway.conftest import ANSWER, KEY, Platform, platform_of, question
from tests.gateway.doubles import HANG

pytestmark = [pytest.mark.req("C3"), pytest.mark.asyncio(loop_scope="module")]
CHAT = "/v1/chat/completions"
FAILING = f"<Analyze>x{HANG}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """One gateway for the table: its cases do not touch each other."""
    async with platform_of(tmp_path_factory.mktemp("conformance")) as running:
        await running.source()
        yield running


def base(platform: Platform) -> str:
    return f"http://{platform.settings.http_bind}/v1"


def sdk(platform: Platform, **more: Any) -> openai.AsyncOpenAI:
    given: dict[str, Any] = {"max_retries": 0, "api_key": KEY, **more}
    return openai.AsyncOpenAI(base_url=base(platform), **given)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(shared: Platform) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(shared) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def blocking(shared: Platform) -> AsyncIterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base(shared), api_key=KEY, max_retries=0) as made:
        yield made


async def newest(platform: Platform) -> list[str]:
    page = await platform.http.get("/v1/runs", params={"page_size": 5})
    return [run["id"] for run in page.raise_for_status().json()["data"]]


@contextlib.asynccontextmanager
async def counted(platform: Platform, case: Case) -> AsyncIterator[None]:
    """The model says what the case has it say; so many runs are kept of it."""
    platform.models.turns = list(case.says)
    before = await newest(platform)
    yield
    assert len(set(await newest(platform)) - set(before)) == case.runs


def require(error: dict[str, Any], case: Case | Route, request_id: str) -> None:
    assert error["message"] and error["request_id"] == request_id
    assert {name: error[name] for name in case.error} == dict(case.error)


@pytest.mark.parametrize("case", CHATS, ids=lambda case: case.name)
async def test_chat_by_a_raw_client(shared: Platform, case: Case) -> None:
    async with counted(shared, case):
        response = await shared.http.post(CHAT, json=case.request, headers=case.sends)
    assert response.status_code == case.status, response.text
    assert response.headers["x-request-id"]
    reply = reply_of(response.status_code, response.headers, response.text)
    if case.status != 200:
        require(reply.whole["error"], case, response.headers["x-request-id"])
    for check in (*case.holds, *case.wire):
        assert check(reply) in (None, True)


def arguments(case: Case) -> dict[str, Any]:
    """All of the body as extras: the SDK's own types leave out what they do not know."""
    named = {name: case.request[name] for name in ("model", "messages")}
    extra = {name: value for name, value in case.request.items() if name not in named}
    stream = extra.pop("stream", None)
    if not isinstance(stream, bool):
        extra |= {} if stream is None else {"stream": stream}
        stream = False
    return {**named, "stream": stream, "extra_body": extra, "extra_headers": case.sends}


def require_error(raised: openai.APIStatusError, case: Case) -> None:
    assert raised.status_code == case.status
    require(raised.body, case, raised.request_id or "")  # type: ignore[arg-type]
    for name in ("param", "code", "type"):
        if name in case.error:
            assert getattr(raised, name) == case.error[name]


@pytest.mark.parametrize("case", CHATS, ids=lambda case: case.name)
async def test_chat_by_the_sdk(shared: Platform, client: openai.AsyncOpenAI, case: Case) -> None:
    async with counted(shared, case):
        create = client.chat.completions.create
        if case.raises:
            with pytest.raises(case.raises) as raised:
                await create(**arguments(case))
            require_error(raised.value, case)
            return
        answer = await create(**arguments(case))
        if isinstance(answer, openai.AsyncStream):
            reply = Reply(chunks=[chunk.to_dict() async for chunk in answer])
        else:
            reply = Reply(whole=answer.to_dict())
    for check in case.holds:
        assert check(reply) in (None, True)


def asked(client: openai.OpenAI, case: Case) -> Reply:
    answer = client.chat.completions.create(**arguments(case))
    if isinstance(answer, openai.Stream):
        return Reply(chunks=[chunk.to_dict() for chunk in answer])
    return Reply(whole=answer.to_dict())


@pytest.mark.parametrize("case", CHATS, ids=lambda case: case.name)
async def test_chat_by_the_blocking_sdk(
    shared: Platform, blocking: openai.OpenAI, case: Case
) -> None:
    async with counted(shared, case):
        if case.raises:
            with pytest.raises(case.raises) as raised:
                await asyncio.to_thread(asked, blocking, case)
            require_error(raised.value, case)
            return
        reply = await asyncio.to_thread(asked, blocking, case)
    for check in case.holds:
        assert check(reply) in (None, True)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_route_by_a_raw_client(shared: Platform, route: Route) -> None:
    response = await shared.http.request(
        route.method, route.path, content=route.content, headers=route.sends
    )
    assert response.status_code == route.status, response.text
    for name, value in route.gets.items():
        assert response.headers.get(name) == value
    reply = reply_of(response.status_code, response.headers, response.text)
    if route.error:
        require(reply.whole["error"], route, response.headers["x-request-id"])
    for check in route.holds:
        assert check(reply) in (None, True)


# More than one request


async def going(platform: Platform) -> str:
    """The run, once its model speaks."""
    await platform.models.held.reached.wait()
    (run,) = (await platform.http.get("/v1/runs")).json()["data"]
    return str(run["id"])


async def test_key_gives_the_run_again_also_while_it_streams(tmp_path: Path) -> None:
    async with platform_of(tmp_path) as platform:
        platform.models.turns = [FAILING]
        headers = {"idempotency-key": "a"}
        body = question(stream=True)
        asking = [
            asyncio.create_task(platform.http.post(CHAT, json=body, headers=headers))
            for _ in range(3)
        ]
        run_id = await going(platform)
        # one that waits along goes away: the others' answer is still wanted
        asking.append(asyncio.create_task(platform.http.post(CHAT, json=body, headers=headers)))
        await asyncio.sleep(0.1)
        asking.pop().cancel()
        await asyncio.sleep(0.1)
        assert (await platform.http.get(f"/v1/runs/{run_id}")).json()["status"] == "working"
        await platform.http.post(f"/v1/runs/{run_id}/cancel")
        replies = [(await each).raise_for_status().text for each in asking]
        assert all(reply.startswith(f": run {run_id}\n") for reply in replies)
        assert len(platform.models.requests) == 1
        assert len((await platform.http.get("/v1/threads")).json()["data"]) == 1
        # and when the last one goes, so does the run: another key is another run
        platform.models.held.reached.clear()
        platform.models.turns = [FAILING]
        last = asyncio.create_task(platform.http.post(CHAT, json=body))
        await platform.models.held.reached.wait()
        last.cancel()
        async with asyncio.timeout(30):
            while (await platform.http.get("/v1/runs")).json()["data"][0]["status"] == "working":
                await asyncio.sleep(0.01)


async def test_key_is_of_one_question(shared: Platform) -> None:
    async with sdk(shared) as client:

        async def ask(text: str, **more: Any) -> str:
            shared.models.turns = [ANSWER.format("so")]
            messages: Any = [{"role": "user", "content": text}]
            headers = {"Idempotency-Key": "one"}
            answer = await client.chat.completions.create(
                model="DeepAnalyze-8B", messages=messages, extra_headers=headers, **more
            )
            return str(answer.id)

        first = await ask("How many?")
        assert await ask("How many?") == first
        # what changes the form and not the question is left to the client
        assert await ask("How many?", user="u") == first
        with pytest.raises(openai.BadRequestError) as raised:
            await ask("How few?")
        assert raised.value.param == "idempotency-key"
        assert "another request" in raised.value.message


async def test_key_is_free_again_after_a_day(
    shared: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> str:
        reply = await shared.http.post(CHAT, json=ASK, headers={"idempotency-key": "daily"})
        return str(reply.raise_for_status().json()["id"])

    first = await ask()
    assert await ask() == first
    monkeypatch.setattr(admission, "KEY_LIFETIME_MS", -1)
    second = await ask()
    monkeypatch.undo()
    assert second != first and await ask() == second


async def test_request_id_is_made_and_given_to_the_sdk(shared: Platform) -> None:
    shared.models.turns = ["x"]
    async with sdk(shared) as client:
        answer = await client.chat.completions.create(**{**ASK, "model": "tiny:plain"})  # type: ignore[call-overload]
        assert answer._request_id
        with pytest.raises(openai.NotFoundError) as raised:
            await client.models.retrieve("x")
        assert raised.value.request_id != answer._request_id


async def test_sdk_never_asks_twice_once_a_run_began(tmp_path: Path) -> None:
    async with platform_of(tmp_path) as platform:
        await platform.stop["sandbox"]()
        async with sdk(platform, max_retries=2) as client:
            with pytest.raises(openai.InternalServerError) as raised:
                await client.chat.completions.create(**ASK)  # type: ignore[call-overload]
        assert raised.value.status_code == 503
        assert raised.value.response.headers["x-should-retry"] == "false"
        assert raised.value.response.headers["retry-after"] == "2"
        assert len(await newest(platform)) == 1


async def test_sdk_asks_again_where_nothing_began(tmp_path: Path) -> None:
    async with platform_of(tmp_path, max_runs=1) as platform:
        platform.models.turns = [FAILING, ANSWER.format("at last")]
        first = asyncio.create_task(platform.http.post(CHAT, json=question(stream=True)))
        run_id = await going(platform)
        refused = await platform.http.post(CHAT, json=question())
        assert refused.status_code == 429
        assert refused.headers["x-should-retry"] == "true"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        async with sdk(platform) as client:
            with pytest.raises(openai.RateLimitError):
                await client.chat.completions.create(**ASK)  # type: ignore[call-overload]
        await platform.http.post(f"/v1/runs/{run_id}/cancel")
        await first
        async with sdk(platform, max_retries=2) as client:
            answer = await client.chat.completions.create(**ASK)  # type: ignore[call-overload]
        assert "at last" in answer.choices[0].message.content
        assert len(await newest(platform)) == 2


async def test_classes_of_the_sdk(tmp_path: Path) -> None:
    async with platform_of(tmp_path) as platform:
        async with sdk(platform, api_key="wrong") as stranger:
            with pytest.raises(openai.AuthenticationError) as unknown:
                await stranger.models.list()
            assert unknown.value.code == "invalid_api_key"
        made = {"owner": "reader", "scope": "read-only"}
        key = (await platform.http.post("/v1/keys", json=made)).json()["key"]
        async with sdk(platform, api_key=key) as reader:
            with pytest.raises(openai.PermissionDeniedError):
                await reader.chat.completions.create(**ASK)  # type: ignore[call-overload]
        few = {"owner": "few", "quota": {"requests_per_minute": 1}}
        key = (await platform.http.post("/v1/keys", json=few)).json()["key"]
        async with sdk(platform, api_key=key) as often:
            await often.models.list()
            with pytest.raises(openai.RateLimitError) as limited:
                await often.models.list()
            assert limited.value.code == "rate_limit_exceeded"
            assert int(limited.value.response.headers["retry-after"]) <= 60
        spent = {"owner": "spent", "quota": {"tokens_per_day": 1}}
        key = (await platform.http.post("/v1/keys", json=spent)).json()["key"]
        async with sdk(platform, api_key=key) as poor:
            await poor.chat.completions.create(**ASK)  # type: ignore[call-overload]
            with pytest.raises(openai.RateLimitError) as used_up:
                while True:  # what a run used is counted behind its answer
                    await poor.chat.completions.create(**ASK)  # type: ignore[call-overload]
            assert used_up.value.code == "insufficient_quota"
        platform.models.turns = [FAILING]
        busy = asyncio.create_task(platform.chat(thread_id="t", stream=True))
        await platform.models.held.reached.wait()
        async with sdk(platform) as client:
            with pytest.raises(openai.ConflictError):
                await client.chat.completions.create(**ASK, extra_body={"thread_id": "t"})  # type: ignore[call-overload]
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)


async def spoken(stream: Any) -> None:
    """Until the model's first words came."""
    async for chunk in stream:
        if "x" in (chunk.choices[0].delta.content or ""):
            return


async def test_fault_in_a_stream_is_raised_by_the_sdk(tmp_path: Path) -> None:
    async with platform_of(tmp_path) as platform, sdk(platform) as client:
        platform.models.turns = [FAILING]
        stream = await client.chat.completions.create(**ASK, stream=True)  # type: ignore[call-overload]
        await spoken(stream)
        await platform.stop["inference"]()
        with pytest.raises(openai.APIError) as raised:
            await spoken(stream)
        assert not isinstance(raised.value, openai.APIStatusError)
        assert "inference" in raised.value.message
        assert raised.value.code == "service_unavailable"


async def test_cancelled_stream_is_no_answer(tmp_path: Path) -> None:
    async with platform_of(tmp_path) as platform, sdk(platform) as client:
        platform.models.turns = [FAILING, FAILING]
        stream = await client.chat.completions.create(**ASK, stream=True)  # type: ignore[call-overload]
        await spoken(stream)
        run_id = await going(platform)
        await platform.http.post(f"/v1/runs/{run_id}/cancel")
        with pytest.raises(openai.APIError) as raised:
            await spoken(stream)
        assert raised.value.code == "cancelled"
        platform.models.held.reached.clear()
        whole = asyncio.create_task(client.chat.completions.create(**ASK))  # type: ignore[call-overload]
        await platform.models.held.reached.wait()
        run_id = (await platform.http.get("/v1/runs")).json()["data"][0]["id"]
        await platform.http.post(f"/v1/runs/{run_id}/cancel")
        with pytest.raises(openai.APIStatusError) as stopped:
            await whole
        assert stopped.value.status_code == 499 and stopped.value.code == "cancelled"


async def test_stream_that_is_not_held_begins_before_the_data_came(tmp_path: Path) -> None:
    slow = {"source": "shop", "query": "SLOW"}
    async with platform_of(tmp_path, heartbeat_s=0.1) as platform:
        await platform.source()
        body = question(slow, stream=True, hold=False)
        async with platform.http.stream("POST", CHAT, json=body) as response:
            assert response.status_code == 200
            lines = [line async for line in _until(response, ": keep-alive", times=3)]
        assert lines[0].startswith(": run run-")
        told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        # its fault is then the stream's
        bad = question({"source": "shop", "query": "DENIED"}, stream=True, hold=False)
        text = (await platform.http.post(CHAT, json=bad)).raise_for_status().text
        assert "SOURCE_AUTHENTICATION_FAILED" in text and text.endswith("data: [DONE]\n\n")
        async with sdk(platform) as client:
            extra = {"data_sources": bad["data_sources"], "hold": False}
            stream = await client.chat.completions.create(**ASK, stream=True, extra_body=extra)  # type: ignore[call-overload]
            with pytest.raises(openai.APIError, match="refused the password"):
                await spoken(stream)


async def _until(response: httpx.Response, line: str, *, times: int) -> AsyncIterator[str]:
    async for each in response.aiter_lines():
        yield each
        times -= each == line
        if not times:
            return


@pytest.mark.parametrize("allowed", ["https://chat.example.com", "*"])
async def test_pages_of_allowed_origins_may_call(tmp_path: Path, allowed: str) -> None:
    async with platform_of(tmp_path, cors_origins=(allowed,)) as platform:
        asks = {
            "origin": "https://chat.example.com",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type, x-stainless-lang",
        }
        base = f"http://{platform.settings.http_bind}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as browser:
            first = await browser.options(CHAT, headers=asks)
            assert first.status_code == 200
            assert first.headers["access-control-allow-origin"] == allowed
            for each in ("authorization", "content-type", "x-stainless-lang"):
                assert each in first.headers["access-control-allow-headers"]
            # an error, too, is told to the page
            second = await browser.post(CHAT, json={}, headers={"origin": asks["origin"]})
            assert second.status_code == 401
            assert second.headers["access-control-allow-origin"] == allowed
            assert "x-request-id" in second.headers["access-control-expose-headers"]
            if allowed != "*":
                other = await browser.options(CHAT, headers={**asks, "origin": "https://e.com"})
                assert other.status_code == 400
