"""The OpenAPI document: valid, complete, and true of what is sent and answered."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from jsonschema import Draft202012Validator

from services.gateway.http.app import openapi
from services.gateway.http.reference.document import TAGS, Undescribed
from services.gateway.http.reference.operations import OPERATIONS
from tests.gateway.conftest import ANSWER, CODE, Platform, draft, question
from tests.gateway.truth import Truth, document, operations, stream_problem

METASCHEMA = json.loads((Path(__file__).parent / "openapi-3.1.json").read_text())
DATA = {"source": "shop", "table": "public.orders"}
CALLS = [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in operations()]


def test_document_is_valid_openapi() -> None:
    errors = [error.message for error in Draft202012Validator(METASCHEMA).iter_errors(document())]
    assert errors == []


def test_schemas_are_schemas_and_refer_to_what_is_there() -> None:
    schemas = document()["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document())))
    assert referred <= {*schemas}, "these are referred to and not there"
    assert not {*schemas} - referred, "these are there, and nothing refers to them"


@pytest.mark.parametrize(("method", "path", "told"), CALLS)
def test_operation_is_described(method: str, path: str, told: dict[str, Any]) -> None:
    assert told["summary"] and told["description"], "the route needs a docstring"
    assert {*told["tags"]} <= {*TAGS}
    placed = {each["name"] for each in told.get("parameters", ()) if each["in"] == "path"}
    assert placed == set(re.findall(r"{(\w+)}", path))
    assert all(each["description"] for each in told.get("parameters", ()))
    answers = [told["responses"][each] for each in told["responses"] if each.startswith("2")]
    assert answers and all(content["schema"] for a in answers for content in a["content"].values())
    public = told.get("security") == []
    assert public or {"401", "403", "429"} <= {*told["responses"]}


def test_ids_of_operations_are_their_own() -> None:
    counted = Counter(told["operationId"] for _, _, told in operations())
    assert set(counted.values()) == {1}


def test_route_without_an_entry_says_where_to_add_it() -> None:
    router = APIRouter()
    router.get("/v1/new")(lambda: None)
    with pytest.raises(Undescribed, match=r"GET /v1/new .* OPERATIONS in .*/operations\.py"):
        openapi([router])


def test_entry_without_a_route_is_not_kept() -> None:
    assert {f"{method} {path}" for method, path, _ in operations()} == {*OPERATIONS}


async def test_every_operation_answers_as_the_document_says(platform: Platform) -> None:
    """`platform.http` holds each exchange against the document."""
    await _walk(platform)
    called = {(id, str(status)) for id, status, _ in platform.truth.seen}
    described = {
        (told["operationId"], status)
        for _, _, told in operations()
        for status in told["responses"]
        if status.startswith("2")
    }
    assert not described - called, "no test calls these: add them to _walk in this file"


async def _walk(platform: Platform) -> None:
    http = platform.http
    await http.post("/v1/data-sources", json=draft(description="the shop", teams=["*"]))
    guide = {
        "notes": {"public.orders": "orders"},
        "queries": [{"question": "q", "sql": "SELECT 1"}],
    }
    await http.patch("/v1/data-sources/shop", json={"guide": guide, "teams": []})
    for place in ("data-sources", "data-sources/shop", "data-source-templates"):
        await http.get(f"/v1/{place}")
    await http.post("/v1/data-sources/shop/test")
    await http.get("/v1/data-sources/shop/browse", params={"page_size": 5, "include": "tags"})
    for place in ("schema", "preview", "statistics"):
        await http.get(f"/v1/data-sources/shop/{place}", params={"path": "public.orders"})
    body = {"sql": "SELECT $1", "params": [1, "a", None, True], "limit": 5, "timeout_s": 1.5}
    for accept in ("", "text/csv", "application/vnd.apache.arrow.stream"):
        await http.post("/v1/data-sources/shop/query", json=body, headers={"accept": accept})
    for wanted in ({}, {"range": "bytes=2-4"}):
        place = "/v1/data-sources/shop/content"
        await http.get(place, params={"path": "notes.txt"}, headers=wanted)
    await _walk_files(http)
    await _walk_runs(platform)
    await _walk_access(http)
    for place in ("/v1/models", "/v1/models/DeepAnalyze-8B", "/health", "/metrics"):
        await http.get(place)
    for place in ("/livez", "/healthz", "/readyz", "/v1/admin/tasks", "/v1/admin/memory"):
        await http.get(place)
    await http.get("/v1/admin/profile", params={"seconds": 0.05})
    await http.post("/v1/admin/log-level", json={"level": "INFO"})
    await http.delete("/v1/data-sources/shop")


async def _walk_files(http: httpx.AsyncClient) -> None:
    sent = await http.post("/v1/files", files={"file": ("a.csv", b"a,b\n")})
    place = f"/v1/files/{sent.json()['id']}"
    await http.get("/v1/files", params={"limit": 10})
    await http.get(place)
    await http.get(f"{place}/content")
    await http.get(f"{place}/content", headers={"range": "bytes=0-0"})
    await http.delete(place)


async def _walk_runs(platform: Platform) -> None:
    http = platform.http
    platform.models.turns = [
        CODE.format("print(1)\nsave('out.csv', b'a,b')\nshow(b'png')"),
        ANSWER.format("It is 1."),
    ]
    whole = (await platform.chat({**DATA, "limit": 2, "as": "mine"})).json()
    run, thread = whole["run_id"], whole["thread_id"]
    await platform.stream(thread_id=thread, stream_options={"include_usage": True})
    started = await http.post("/v1/runs", json=question(DATA))
    events = await http.get(f"/v1/runs/{started.json()['id']}/events")
    assert not stream_problem(events.text, "watchRun")
    await _walk_approvals(platform)
    await http.get("/v1/runs", params={"thread_id": thread})
    await http.get(f"/v1/runs/{run}")
    await http.post(f"/v1/runs/{run}/cancel")
    for form in ("notebook", "html"):
        await http.get(f"/v1/runs/{run}/export", params={"format": form})
    await http.get(f"/v1/runs/{run}/conversation")
    await http.post(f"/v1/runs/{run}/feedback", json={"rating": "down", "correction": "Two."})
    await http.get(f"/v1/runs/{run}/feedback")
    await http.delete(f"/v1/runs/{run}/feedback")
    platform.models.turns = [CODE.format("print(2)\nsave('two.csv', b'a')"), ANSWER.format("Two.")]
    made = await http.post("/v1/responses", json={"input": "How many?", "data_sources": [DATA]})
    place = f"/v1/responses/{made.json()['id']}"
    await http.get(place)
    stream = await http.get(place, params={"stream": "true"})
    assert not stream_problem(stream.text, "createResponse")
    await http.post(f"{place}/cancel")
    await http.get(f"{place}/input_items")
    await http.delete(place)
    await http.get("/v1/threads")
    await http.get(f"/v1/threads/{thread}")
    await http.delete(f"/v1/threads/{thread}")


async def _walk_approvals(platform: Platform) -> None:
    platform.models.turns = [CODE.format("wishes('query', 'SELECT 1')"), ANSWER.format("So.")]
    asked = question({"source": "shop"}, approval=["query"])
    place = f"/v1/runs/{(await platform.http.post('/v1/runs', json=asked)).json()['id']}/approvals"
    while not (await platform.http.get(place)).json()["data"]:
        await asyncio.sleep(0.05)
    await platform.http.post(place, json={"approved": True, "comment": "good"})
    await platform.http.get(place)


async def _walk_access(http: httpx.AsyncClient) -> None:
    quota = {"requests_per_minute": 100}
    asked = {"owner": "kim", "scope": "read-only", "quota": quota, "lifetime_s": 60}
    made = await http.post("/v1/keys", json=asked)
    place = f"/v1/keys/{made.json()['id']}"
    await http.patch(place, json={"name": "nightly", "teams": ["sales"]})
    await http.get("/v1/keys", params={"ended": "true"})
    await http.delete(place)
    await http.get("/v1/caller")
    await http.get("/v1/usage", params={"everybody": "true"})


def _narrower(told: dict[str, Any]) -> Iterator[str]:
    order = ["read-only", "analyst", "admin"]
    yield from order[: order.index(told["x-scope"])] if "x-scope" in told else ()


async def test_scope_that_the_document_names_is_what_it_takes(platform: Platform) -> None:
    keys = {}
    for scope in ("read-only", "analyst"):
        made = await platform.http.post("/v1/keys", json={"owner": scope, "scope": scope})
        keys[scope] = made.json()["key"]
    for method, path, told in operations():
        if "x-scope" not in told:
            continue
        # a thing that is not there: who may call is told so, who may not is refused before
        place = re.sub(r"{\w+}", "none", path)
        for scope, key in keys.items():
            async with platform.caller(key) as other:
                # of revoking and usage it also depends on whose they are
                response = await other.request(method, place, json={})
            refused = response.status_code == 403
            assert refused == (scope in _narrower(told)), (method, path, scope, response.text)


def test_truth_finds_what_the_document_lacks() -> None:
    told = next(each for _, path, each in operations() if path == "/health")
    truth = Truth()
    request = httpx.Request("GET", "http://gateway/health")
    good = {"status": "ok", "services": {"sandbox": "SERVING"}}

    def check(status: int, body: Any, asked: httpx.Request = request) -> None:
        response = httpx.Response(status, json=body, request=asked)
        truth.check(told, response, "application/json")

    check(200, good)
    with pytest.raises(AssertionError, match=r"Additional properties.*'more'"):
        check(200, {**good, "more": 1})
    with pytest.raises(AssertionError, match="'services' is a required property"):
        check(200, {"status": "ok"})
    with pytest.raises(AssertionError, match=r"gave 418 .*which the document does not have"):
        check(418, good)
    with pytest.raises(AssertionError, match="parameter x is not described"):
        check(200, good, httpx.Request("GET", "http://gateway/health?x=1"))
