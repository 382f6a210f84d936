"""Bad input: each with its own clear error, and nothing left behind."""

import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, Platform
from tests.e2e.question import MESSAGES, MODEL

pytestmark = pytest.mark.slow


def chat(api: httpx.Client, *data: dict[str, Any], stream: bool = False) -> httpx.Response:
    body = {"model": MODEL, "messages": MESSAGES, "data_sources": list(data), "stream": stream}
    return api.post("/v1/chat/completions", json=body)


def error(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()["error"]
    assert found["message"] and found["request_id"]
    return found


CASES: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "unknown source": ({"source": "nowhere", "table": "t"}, 404, "SOURCE_NOT_FOUND", "nowhere"),
    "missing blob": ({"source": "lake", "path": "no/such.csv"}, 422, "PATH_NOT_FOUND", "such.csv"),
    "missing table": ({"source": "sales", "table": "public.nope"}, 422, "", "nope"),
    "typo in SQL": (
        {"source": "sales", "query": "SELECT region, count(*) FORM orders"},
        422,
        "QUERY_FAILED",
        "orders",
    ),
    "writing SQL": (
        {"source": "sales", "query": "DELETE FROM orders"},
        422,
        "QUERY_NOT_READ_ONLY",
        "",
    ),
    "nothing selected": ({"source": "sales", "limit": 5}, 400, "INVALID_FIELD", ""),
    "wrong type": (
        {"source": "sales", "type": "azure_blob", "path": "x"},
        400,
        "INVALID_FIELD",
        "",
    ),
}


@pytest.mark.req("C2", "S6", "P5", "B6")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_fetch_fault_ends_the_request_before_a_token(
    api: httpx.Client, case: str, stream: bool
) -> None:
    selection, status, reason, word = CASES[case]
    response = chat(api, selection, stream=stream)
    assert response.status_code == status, response.text
    found = error(response)
    assert word in found["message"]
    if reason:
        assert found["reason"] == reason


@pytest.mark.req("P5")
def test_typo_marks_its_position(api: httpx.Client) -> None:
    query = "SELECT region,\n  count(*)\nFORM orders"
    found = error(chat(api, {"source": "sales", "query": query}))
    assert "^" in found["message"] or "position" in found


@pytest.mark.req("P9")
def test_query_over_the_limit_is_cut_and_told(api: httpx.Client, platform: Platform) -> None:
    source = platform.ready["sources"]["sales"]
    sql = {"sql": "SELECT * FROM order_lines", "limit": 7}
    reply = api.post(f"/v1/data-sources/{source}/query", json=sql).raise_for_status().json()
    assert reply["row_count"] == 7 and reply["truncated"] is True


@pytest.mark.req("P6")
def test_slow_query_is_stopped_at_its_timeout(api: httpx.Client, platform: Platform) -> None:
    source = platform.ready["sources"]["sales"]
    slow = "SELECT count(*) FROM order_lines a, order_lines b, order_lines c"
    response = api.post(f"/v1/data-sources/{source}/query", json={"sql": slow, "timeout_s": 1})
    assert response.status_code in {422, 504}
    assert error(response)["reason"] == "QUERY_TIMEOUT"


@pytest.mark.req("S2")
@pytest.mark.parametrize("key", ["isb-wrong", "x", "x" * 4000])
def test_wrong_api_key_is_refused(platform: Platform, key: str) -> None:
    with platform.http(key) as api:
        response = api.get("/v1/data-sources")
    assert response.status_code == 401
    assert error(response)["reason"] == "UNAUTHENTICATED"


@pytest.mark.req("S2")
def test_source_of_another_owner_does_not_exist(platform: Platform) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "services.gateway", "keys", "create", "--owner", "stranger"],
        cwd=ROOT,
        env={"ISOBATH_GATEWAY_HOME": str(platform.home / "gateway"), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    key = made.stdout.split()[-1]
    source = platform.ready["sources"]["sales"]
    with platform.http(key) as api:
        assert api.get("/v1/data-sources").json()["data"] == []
        assert error(api.get(f"/v1/data-sources/{source}"))["reason"] == "SOURCE_NOT_FOUND"
        found = error(chat(api, {"source_id": source, "table": "public.orders"}))
    assert found["reason"] == "SOURCE_NOT_FOUND"


@pytest.mark.req("D4", "D3")
def test_wrong_password_is_told_and_the_source_removed(
    api: httpx.Client, platform: Platform
) -> None:
    sales = api.get(f"/v1/data-sources/{platform.ready['sources']['sales']}").json()
    body = {
        "name": "wrong-password",
        "type": "postgresql",
        "config": sales["config"],
        "secrets": {"password": "not-the-password"},
    }
    made = api.post("/v1/data-sources", json=body)
    assert made.status_code == 201, made.text
    assert "not-the-password" not in made.text
    tried = api.post(f"/v1/data-sources/{made.json()['id']}/test").raise_for_status().json()
    assert "SOURCE_AUTHENTICATION_FAILED" in str(tried)
    found = chat(api, {"source": "wrong-password", "table": "public.orders"})
    assert error(found)["reason"] == "SOURCE_AUTHENTICATION_FAILED"
    assert api.delete(f"/v1/data-sources/{made.json()['id']}").status_code in {200, 204}
    again = chat(api, {"source": "wrong-password", "table": "public.orders"})
    assert error(again)["reason"] == "SOURCE_NOT_FOUND"


@pytest.mark.req("D5")
def test_bad_settings_are_named_before_anything_is_stored(api: httpx.Client) -> None:
    body = {"name": "bad", "type": "postgresql", "config": {"port": "many"}, "secrets": {}}
    response = api.post("/v1/data-sources", json=body)
    assert response.status_code == 400
    assert error(response)["param"]
    names = [each["name"] for each in api.get("/v1/data-sources").json()["data"]]
    assert "bad" not in names


@pytest.mark.req("S6")
@pytest.mark.parametrize(
    "change",
    [{"n": 2}, {"messages": []}, {"model": "no-such-model"}, {"messages": "hello"}],
)
def test_bad_chat_request_names_its_field(api: httpx.Client, change: dict[str, Any]) -> None:
    response = api.post(
        "/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES, **change}
    )
    assert response.status_code in {400, 404}
    assert error(response)["param"] == next(iter(change))
