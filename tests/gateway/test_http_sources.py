"""Data sources over HTTP: registry, data, owners."""

import asyncio
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import jwt
import pyarrow as pa
import pytest

from isobath.credentials.v1 import credentials_pb2 as credentials
from isobath.credentials.v1.credentials_pb2_grpc import CredentialServiceStub
from servicekit.channels import channel
from tests.gateway.conftest import Platform, chunks_of, draft, question
from tests.gateway.doubles import HANG

BASE = "/v1/data-sources"


@pytest.mark.req("D1", "D2")
async def test_source_is_made_shown_changed_and_deleted(platform: Platform) -> None:
    made = await platform.http.post(BASE, json=draft(description="the shop"))
    assert made.status_code == 201
    source = made.json()
    assert source["object"] == "data_source" and source["secrets_set"] == ["password"]
    assert source["version"] == 1 and "secrets" not in source
    by_name = (await platform.http.get(f"{BASE}/shop")).json()
    assert by_name == (await platform.http.get(f"{BASE}/{source['id']}")).json() == source
    assert (await platform.http.get(BASE)).json()["data"] == [source]
    change = {"description": "new", "config": {"host": "other", "port": 1}}
    change["secrets"] = {"password": "planted-password"}
    changed = (await platform.http.patch(f"{BASE}/shop", json=change)).json()
    assert changed["config"] == change["config"] and changed["version"] == 2
    renamed = (await platform.http.patch(f"{BASE}/shop", json={"name": "store"})).json()
    assert renamed["name"] == "store" and renamed["version"] == 2
    gone = await platform.http.delete(f"{BASE}/store")
    assert gone.json() == {"id": source["id"], "object": "data_source", "deleted": True}
    missing = await platform.http.get(f"{BASE}/store")
    assert missing.status_code == 404
    assert missing.json()["error"]["reason"] == "SOURCE_NOT_FOUND"


@pytest.mark.req("D5")
@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"config": {"port": 1}}, 400, "config.host"),
        ({"config": {"host": "db", "port": "many"}}, 400, "config.port"),
        ({"config": {"host": "db", "colour": 1}}, 400, "config"),
        ({"config": 5}, 400, "config"),
        ({"secrets": {}}, 400, "secrets.password"),
        ({"secrets": {"password": 5}}, 400, "secrets.password"),
        ({"secrets": {"password": "p", "other": "q"}}, 400, "secrets"),
        ({"name": ""}, 400, "name"),
        ({"name": "has space"}, 400, "name"),
        ({"type": "oracle"}, 400, None),
    ],
)
async def test_bad_source_names_its_field_and_leaves_nothing(
    platform: Platform, tmp_path: Path, change: dict[str, Any], status: int, param: str | None
) -> None:
    response = await platform.http.post(BASE, json={**draft(), **change})
    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param
    assert (await platform.http.get(BASE)).json()["data"] == []
    assert _secrets_kept(tmp_path) == 0


@pytest.mark.req("D2", "S1")
async def test_stored_secret_does_not_follow_a_source_to_another_host(platform: Platform) -> None:
    await platform.source()
    before = (await platform.http.get(f"{BASE}/shop")).json()
    change: dict[str, Any] = {"config": {"host": "elsewhere"}}
    refused = await platform.http.patch(f"{BASE}/shop", json=change)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "secrets.password")
    assert "needs its secret again" in error["message"] and "password" in error["remedy"]
    assert (await platform.http.get(f"{BASE}/shop")).json() == before
    same = {"config": before["config"], "description": "the same place"}
    assert (await platform.http.patch(f"{BASE}/shop", json=same)).status_code == 200
    change["secrets"] = {"password": "planted-password"}
    assert (await platform.http.patch(f"{BASE}/shop", json=change)).json()["version"] == 3
    assert (await platform.http.post(f"{BASE}/shop/test")).status_code == 200


@pytest.mark.req("D2")
async def test_changes_at_the_same_time_leave_secret_and_settings_of_one_of_them(
    platform: Platform,
) -> None:
    source_id = await platform.source()
    hosts = [f"host-{n}" for n in range(6)]
    changes = [{"config": {"host": host}, "secrets": {"password": host}} for host in hosts]
    answers = await asyncio.gather(
        *(platform.http.patch(f"{BASE}/shop", json=change) for change in changes)
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    shown = (await platform.http.get(f"{BASE}/shop")).json()
    assert shown["config"]["host"] in hosts
    async with channel(platform.settings.credentials) as link:
        stub = CredentialServiceStub(link)
        request = credentials.MintGrantRequest(
            owner="default", source_id=source_id, source_type="double", operations=["read"]
        )
        request.config.update(shown["config"])
        minted = await stub.MintGrant(request)
        redeemed = await stub.RedeemGrant(credentials.RedeemGrantRequest(grant=minted.grant))
    assert dict(redeemed.fields) == {"password": shown["config"]["host"]}


async def test_change_that_a_lost_gateway_began_is_made_good_by_the_next(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_id = await platform.source()
    async with channel(platform.settings.credentials) as link:
        put = credentials.PutSecretRequest(
            source_id=source_id, owner="default", source_type="double", fields={"password": "x"}
        )
        await CredentialServiceStub(link).PutSecret(put)
    change = {"config": {"host": "new"}, "secrets": {"password": "planted-password"}}
    going_on = await platform.http.patch(f"{BASE}/shop", json=change)
    assert (going_on.status_code, going_on.json()["error"]["reason"]) == (409, "CONFLICT")
    monkeypatch.setattr("services.gateway.registry._LEFT_BEHIND_S", 0.0)
    changed = await platform.http.patch(f"{BASE}/shop", json=change)
    assert (changed.status_code, changed.json()["version"]) == (200, 3)


@pytest.mark.req("D5")
async def test_taken_name_is_a_conflict_and_leaves_no_secret(
    platform: Platform, tmp_path: Path
) -> None:
    await platform.source()
    again = await platform.http.post(BASE, json=draft())
    assert again.status_code == 409
    assert again.json()["error"]["reason"] == "ALREADY_EXISTS"
    assert again.json()["error"]["param"] == "name"
    assert _secrets_kept(tmp_path) == 1
    await platform.source("other")
    change = {"name": "shop", "secrets": {"password": "new"}, "description": "new"}
    renamed = await platform.http.patch(f"{BASE}/other", json=change)
    assert renamed.status_code == 409
    assert (await platform.http.get(f"{BASE}/other")).json()["version"] == 1


@pytest.mark.req("D3")
async def test_deleting_removes_the_secret(platform: Platform, tmp_path: Path) -> None:
    await platform.source()
    assert _secrets_kept(tmp_path) == 1
    await platform.http.delete(f"{BASE}/shop")
    assert _secrets_kept(tmp_path) == 0


def _secrets_kept(folder: Path) -> int:
    with sqlite3.connect(folder / "credentials" / "store.db") as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        name = next(each for (each,) in tables if "secret" in each)
        return int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])


@pytest.mark.req("D2", "S4")
async def test_secret_is_in_no_answer_log_or_database(
    platform: Platform, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await platform.source()
    said = [(await platform.http.get(BASE)).text]
    said.append((await platform.http.post(f"{BASE}/shop/test")).text)
    bad = draft("bad", config={"host": 5})
    said.append((await platform.http.post(BASE, json=bad)).text)
    said.append(
        (
            await platform.http.patch(f"{BASE}/shop", json={"secrets": {"x": "planted-password"}})
        ).text
    )
    told = capfd.readouterr()
    assert "planted-password" not in "".join(said) + told.out + told.err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"planted-password" not in path.read_bytes(), path


@pytest.mark.req("D4")
async def test_check_tells_each_step(platform: Platform) -> None:
    await platform.source()
    good = (await platform.http.post(f"{BASE}/shop/test")).json()
    assert good["ok"] is True and good["writable"] is True and good["latency_ms"] == 5
    assert [step["name"] for step in good["steps"]] == ["reach", "authenticate"]
    platform.connector.refuses_password = True
    bad = (await platform.http.post(f"{BASE}/shop/test")).json()
    assert bad["ok"] is False
    assert bad["steps"][1]["reason"] == "SOURCE_AUTHENTICATION_FAILED"


@pytest.mark.req("D1", "D10")
async def test_what_lies_in_a_source_is_shown(platform: Platform) -> None:
    await platform.source()
    browsed = (await platform.http.get(f"{BASE}/shop/browse")).json()
    assert browsed["data"][0]["path"] == "public.orders"
    assert browsed["next_page_token"] == "more"
    schema = await platform.http.get(f"{BASE}/shop/schema", params={"path": "public.orders"})
    assert [column["name"] for column in schema.json()["columns"]] == ["region", "count"]
    preview = await platform.http.get(
        f"{BASE}/shop/preview", params={"path": "public.orders", "limit": "1"}
    )
    assert preview.json()["rows"] == [["north", 3]] and preview.json()["truncated"] is True
    statistics = await platform.http.get(
        f"{BASE}/shop/statistics", params={"path": "public.orders"}
    )
    assert statistics.json()["columns"][0]["mean"] == 3.5
    for what in ("schema", "preview", "statistics", "content"):
        missing = await platform.http.get(f"{BASE}/shop/{what}")
        assert missing.status_code == 400 and missing.json()["error"]["param"] == "path"
    absent = await platform.http.get(f"{BASE}/shop/schema", params={"path": "x"})
    assert absent.status_code == 422 and absent.json()["error"]["reason"] == "PATH_NOT_FOUND"


@pytest.mark.req("D1", "S1")
async def test_grant_of_a_query_is_for_no_more_than_it_asks(platform: Platform) -> None:
    await platform.source()
    body = {"sql": "SELECT 1", "limit": 7, "max_bytes": 4096, "timeout_s": 2.5}
    answer = await platform.http.post(f"{BASE}/shop/query", json=body)
    assert answer.status_code == 200, answer.text
    grant = jwt.decode(platform.connector.grants[-1], options={"verify_signature": False})
    assert (grant["max_rows"], grant["max_bytes"], grant["max_seconds"]) == (7, 4096, 2.5)
    below = await platform.http.post(f"{BASE}/shop/query", json={**body, "limit": -1})
    assert below.json()["error"]["reason"] == "INVALID_FIELD"


@pytest.mark.req("D1", "P9", "P10")
async def test_query_gives_rows_or_streams_by_accept(platform: Platform) -> None:
    await platform.source()
    body = {"sql": "SELECT $1", "params": ["é", 2]}
    rows = (await platform.http.post(f"{BASE}/shop/query", json=body)).json()
    assert rows["rows"] == [["SELECT $1", "['é', 2]"]]
    assert rows["row_count"] == 1 and rows["columns"][0]["name"] == "sql"
    assert rows["elapsed_ms"] >= 0
    assert platform.connector.last_limits.max_rows == 1000
    csv = await platform.http.post(
        f"{BASE}/shop/query", json={"sql": "SELECT 1"}, headers={"accept": "text/csv"}
    )
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text.startswith("sql,bound\n")
    accept = {"accept": "application/vnd.apache.arrow.stream"}
    arrow = await platform.http.post(f"{BASE}/shop/query", json={"sql": "SELECT 1"}, headers=accept)
    assert pa.ipc.open_stream(io.BytesIO(arrow.content)).read_all().num_rows == 1


@pytest.mark.req("P5", "S6")
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
async def test_query_that_fails_is_told_with_its_position(platform: Platform, accept: str) -> None:
    await platform.source()
    response = await platform.http.post(
        f"{BASE}/shop/query", json={"sql": "SELECT FORM"}, headers={"accept": accept}
    )
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["reason"] == "QUERY_FAILED" and error["details"]["position"] == "8"


@pytest.mark.parametrize("change", [{"sql": 5}, {"sql": ""}, {"limit": -1}, {"params": [{}]}])
async def test_bad_query_body_is_refused(platform: Platform, change: dict[str, Any]) -> None:
    await platform.source()
    response = await platform.http.post(f"{BASE}/shop/query", json={"sql": "SELECT 1", **change})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["reason"] == "INVALID_FIELD"


@pytest.mark.req("D1")
@pytest.mark.parametrize(
    ("range", "status", "body", "told"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=0-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    ],
)
async def test_blob_is_given_as_it_is_with_ranges(
    platform: Platform, range: str | None, status: int, body: bytes, told: str | None
) -> None:
    await platform.source()
    headers = {} if range is None else {"range": range}
    response = await platform.http.get(
        f"{BASE}/shop/content", params={"path": "notes.txt"}, headers=headers
    )
    assert response.status_code == status
    assert response.content == body
    assert response.headers.get("content-range") == told


@pytest.mark.req("D6")
async def test_templates_come_from_the_connectors(platform: Platform) -> None:
    (template,) = (await platform.http.get("/v1/data-source-templates")).json()["data"]
    assert template["type"] == "double"
    assert template["config_schema"]["required"] == ["host"]
    assert template["templates"][0]["example"]["name"] == "shop"


@pytest.mark.req("D1")
async def test_pages_hold_every_source_once(platform: Platform) -> None:
    for number in range(5):
        await platform.source(f"s{number}")
    seen, token = [], ""
    while True:
        params = {"page_size": "2", "page_token": token}
        page = (await platform.http.get(BASE, params=params)).json()
        seen += [each["name"] for each in page["data"]]
        if not (token := page["next_page_token"] or ""):
            break
    assert seen == [f"s{number}" for number in range(5)]
    for params in ({"page_size": "5000"}, {"page_size": "x"}, {"page_token": "%%"}):
        assert (await platform.http.get(BASE, params=params)).status_code == 400


@pytest.mark.req("S2")
async def test_what_belongs_to_another_is_not_there(platform: Platform) -> None:
    source = await platform.source()
    file = (await platform.http.post("/v1/files", files={"file": ("a.txt", b"a")})).json()["id"]
    reply = (await platform.chat()).json()
    run = reply["id"].removeprefix("chatcmpl-")
    thread = reply["choices"][0]["message"]["thread_id"]
    async with platform.other() as stranger:
        for path in ("/v1/data-sources", "/v1/files", "/v1/runs", "/v1/threads"):
            assert (await stranger.get(path)).json()["data"] == []
        for path in (
            f"{BASE}/{source}",
            f"{BASE}/shop",
            f"{BASE}/{source}/browse",
            f"/v1/files/{file}",
            f"/v1/files/{file}/content",
            f"/v1/runs/{run}",
            f"/v1/runs/{run}/events",
            f"/v1/threads/{thread}",
        ):
            assert (await stranger.get(path)).status_code == 404, path
        for path in (f"{BASE}/{source}", f"/v1/files/{file}", f"/v1/threads/{thread}"):
            assert (await stranger.delete(path)).status_code == 404, path
        assert (await stranger.post(f"/v1/runs/{run}/cancel")).status_code == 404
        asked = question({"source_id": source, "table": "public.orders"})
        refused = await stranger.post("/v1/chat/completions", json=asked)
        assert refused.json()["error"]["reason"] == "SOURCE_NOT_FOUND"
        stolen = await stranger.post("/v1/chat/completions", json=question(thread_id=thread))
        assert stolen.status_code == 404
        taken = await stranger.post("/v1/chat/completions", json=question(file_ids=[file]))
        assert taken.status_code == 404
        # the same name is free to another owner
        assert (await stranger.post(BASE, json=draft())).status_code == 201
    assert (await platform.http.get(f"{BASE}/shop")).json()["id"] == source


async def test_file_is_kept_listed_given_and_deleted(platform: Platform) -> None:
    ids = []
    for number in range(5):
        upload = {"file": (f"../n{number}.txt", b"x" * number)}
        made = (await platform.http.post("/v1/files", files=upload)).json()
        assert made["object"] == "file" and made["status"] == "processed"
        assert made["filename"] == f"n{number}.txt" and made["bytes"] == number
        ids.append(made["id"])
    seen: list[str] = []
    last = ""
    while True:
        params = {"limit": "2", **({"after": last} if last else {})}
        page = (await platform.http.get("/v1/files", params=params)).json()
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        last = seen[-1]
    assert sorted(seen) == sorted(ids) and len(seen) == 5
    content = await platform.http.get(f"/v1/files/{ids[3]}/content")
    assert content.content == b"xxx" and content.headers["x-content-type-options"] == "nosniff"
    assert (await platform.http.delete(f"/v1/files/{ids[3]}")).json()["deleted"] is True
    assert (await platform.http.get(f"/v1/files/{ids[3]}/content")).status_code == 404
    missing = await platform.http.post("/v1/files", data={"purpose": "assistants"})
    assert missing.status_code == 400 and missing.json()["error"]["param"] == "file"


@pytest.mark.req("S7")
async def test_pages_of_the_service_itself(platform: Platform) -> None:
    health = await platform.http.get("/health")
    assert health.status_code == 200 and health.json()["status"] == "ok"
    assert {"credentials", "sandbox", "inference"} <= set(health.json()["services"])
    metrics = (await platform.http.get("/metrics")).text
    assert "isobath_rpc_handled" in metrics
    document = (await platform.http.get("/openapi.json")).json()
    assert "/v1/chat/completions" in document["paths"]
    assert (await platform.http.get("/docs")).status_code == 200
    unknown = await platform.http.get("/v1/nothing")
    assert unknown.status_code == 404 and unknown.json()["error"]["request_id"]
    wrong = await platform.http.put("/v1/models")
    assert wrong.status_code == 405 and "error" in wrong.json()
    await platform.stop["inference"]()
    ill = await platform.http.get("/health")
    assert ill.status_code == 503 and ill.json()["services"]["inference"] != "SERVING"


async def test_request_id_that_is_offered_comes_back(platform: Platform) -> None:
    response = await platform.http.get("/v1/models", headers={"x-request-id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"


@pytest.mark.req("X5", "S4")
async def test_run_takes_its_grants_and_sources_away(platform: Platform) -> None:
    source = await platform.source()
    platform.models.turns = [f"<Answer>x{HANG}"]
    text = ""
    async with platform.http.stream(
        "POST",
        "/v1/chat/completions",
        json=question({"source": "shop", "table": "public.orders"}, stream=True),
    ) as response:
        await platform.models.held.reached.wait()
        ((key, attached),) = platform.sandbox.attached.items()
        assert [(each.name, each.source_id) for each in attached] == [("shop", source)]
        assert attached[0].grant == platform.sandbox.import_items[0].source.grant
        await platform.http.post(f"/v1/runs/{key[1]}/cancel")
        text = (await response.aread()).decode()
    assert "cancelled" in json.dumps(chunks_of(text)[-1])
    assert platform.sandbox.detached == [key[1]]
