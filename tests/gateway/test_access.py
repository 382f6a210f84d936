"""Keys, scopes, quotas, teams and usage, over HTTP and gRPC."""

import asyncio
import hashlib
import inspect
import sqlite3
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass

from isobath.analyst.v1 import access_pb2 as access
from isobath.analyst.v1 import access_pb2_grpc as access_rpc
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from servicekit.channels import channel
from servicekit.secrets import Secret
from servicekit.status import decode
from services.gateway.access.keys import KeyDraft, Keys
from services.gateway.store import database
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform, draft, question
from tests.gateway.doubles import HANG

ORDERS = {"source": "shop", "table": "public.orders"}


def reason(response: httpx.Response) -> str:
    return str(response.json()["error"]["reason"])


# Keys


@pytest.mark.req("S2")
async def test_key_is_made_shown_once_used_and_revoked(platform: Platform) -> None:
    asked = {"owner": "ann", "name": "nightly", "scope": "read-only", "teams": ["sales"]}
    made = (await platform.http.post("/v1/keys", json=asked)).json()
    assert made["key"].startswith("isb-") and made["scope"] == "read-only"
    async with platform.caller(made["key"]) as ann:
        who = (await ann.get("/v1/caller")).json()
        assert (who["owner"], who["scope"], who["teams"]) == ("ann", "read-only", ["sales"])
        listed = (await ann.get("/v1/keys")).json()["data"]
        assert [each["id"] for each in listed] == [made["id"]]
        assert "key" not in listed[0] and listed[0]["last_used_at"]
        assert len((await platform.http.get("/v1/keys")).json()["data"]) == 2
        revoked = (await platform.http.delete(f"/v1/keys/{made['id']}")).json()
        assert revoked["revoked_at"]
        refused = await ann.get("/v1/caller")
        assert refused.status_code == 401 and "revoked" in refused.text
    assert len((await platform.http.get("/v1/keys")).json()["data"]) == 1
    assert len((await platform.http.get("/v1/keys", params={"ended": "true"})).json()["data"]) == 2


@pytest.mark.req("S2")
async def test_key_that_expired_is_refused(platform: Platform) -> None:
    async with platform.other(lifetime_s=0.2) as brief:
        await asyncio.sleep(0.3)
        refused = await brief.get("/v1/caller")
        assert refused.status_code == 401 and "expired" in refused.text


@pytest.mark.req("S2")
async def test_keys_are_changed_and_listed_in_pages(platform: Platform) -> None:
    ids = {
        (await platform.http.post("/v1/keys", json={"name": f"k{n}"})).json()["id"]
        for n in range(5)
    }
    seen: list[str] = []
    params: dict[str, str] = {"page_size": "2"}
    while True:
        page = (await platform.http.get("/v1/keys", params=params)).json()
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        params["page_token"] = page["next_page_token"]
    assert len(seen) == 6 and ids < {*seen}
    id = ids.pop()
    change = {"name": "new", "teams": ["a"], "quota": {"rows_per_day": 5}}
    changed = (await platform.http.patch(f"/v1/keys/{id}", json=change)).json()
    assert changed["name"] == "new" and changed["quota"]["rows_per_day"] == 5
    assert changed["teams"] == ["a"]
    assert (await platform.http.patch("/v1/keys/none", json={})).status_code == 404


@pytest.mark.req("S2", "D5")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"scope": "root"}, "scope"),
        ({"teams": "sales"}, "teams"),
        ({"teams": [""]}, "teams"),
        ({"quota": {"tokens": 1}}, "quota.tokens"),
        ({"quota": {"rows_per_day": -1}}, "quota.rows_per_day"),
        ({"quota": {"rows_per_day": "5"}}, "quota.rows_per_day"),
        ({"lifetime_s": 0}, "lifetime"),
        ({"lifetime_s": "x"}, "lifetime_s"),
        ({"owner": "x" * 201}, "owner"),
        ({"name": "x" * 201}, "name"),
    ],
)
async def test_wrong_key_is_refused_by_its_field(
    platform: Platform, body: dict[str, Any], param: str
) -> None:
    refused = await platform.http.post("/v1/keys", json=body)
    assert refused.status_code == 400 and refused.json()["error"]["param"] == param


@pytest.mark.req("S2", "D2")
async def test_database_alone_does_not_tell_keys(platform: Platform) -> None:
    """Neither the key nor its plain hash is in it, and with another hash key nothing fits."""
    made = (await platform.http.post("/v1/keys", json={})).json()
    kept = (platform.settings.home / "gateway.db").read_bytes()
    kept += (platform.settings.home / "gateway.db-wal").read_bytes()
    assert made["key"].encode() not in kept
    assert hashlib.sha256(made["key"].encode()).hexdigest().encode() not in kept
    assert (platform.settings.home / "key_hash").stat().st_mode & 0o777 == 0o600
    async with database.opened(f"sqlite+aiosqlite:///{platform.settings.home}/gateway.db") as store:
        assert await Keys(store, b"another").find(made["key"]) is None


@pytest.mark.req("S2")
async def test_keys_of_the_first_schema_go_on(tmp_path: Path) -> None:
    """They were plain hashes, and could do everything."""
    path = tmp_path / "old.db"
    hashed = hashlib.sha256(b"old-key").hexdigest()
    async with database.opened(f"sqlite+aiosqlite:///{path}") as store:
        keys = Keys(store, b"h")
        await keys.create(KeyDraft("me"), "old-key")
        with sqlite3.connect(path) as connection:
            changed = "UPDATE api_keys SET digest = ?, keyed = 0, scope = 3"
            connection.execute(changed, (hashed,))
        assert await keys.find("old-key") is None
        await keys.seal()
        await keys.seal()
        found = await keys.find("old-key")
    assert found is not None and found.scope.word == "admin"


# Scopes


def routes(platform: Platform) -> dict[tuple[str, str], int]:
    """What the scope read-only must not do, with the status that says so."""
    return {
        ("POST", "/v1/chat/completions"): 403,
        ("POST", "/v1/runs"): 403,
        ("POST", "/v1/runs/x/cancel"): 403,
        ("DELETE", "/v1/threads/x"): 403,
        ("POST", "/v1/files"): 403,
        ("DELETE", "/v1/files/x"): 403,
        ("POST", "/v1/data-sources"): 403,
        ("PATCH", "/v1/data-sources/x"): 403,
        ("DELETE", "/v1/data-sources/x"): 403,
        ("POST", "/v1/keys"): 403,
        ("PATCH", "/v1/keys/x"): 403,
        ("DELETE", "/v1/keys/x"): 403,
        ("GET", "/v1/usage?everybody=true"): 403,
        ("GET", "/v1/runs"): 200,
        ("GET", "/v1/data-sources"): 200,
        ("GET", "/v1/models"): 200,
        ("GET", "/v1/usage"): 200,
        ("POST", "/v1/data-sources/x/test"): 404,
        ("POST", "/v1/data-sources/x/query"): 404,
    }


@pytest.mark.req("S2")
async def test_reader_looks_and_changes_nothing(platform: Platform) -> None:
    async with platform.other(scope="read-only") as reader:
        for (method, path), status in routes(platform).items():
            body = {"sql": "SELECT 1"} if method == "POST" else None
            answer = await reader.request(method, path, json=body)
            assert answer.status_code == status, (method, path, answer.text)
            assert status != 403 or reason(answer) == "NOT_ALLOWED"
    async with platform.other(scope="analyst") as analyst_:
        assert (await analyst_.post("/v1/keys", json={})).status_code == 403
        assert (await analyst_.post("/v1/data-sources", json=draft("mine"))).status_code == 201


READS = frozenset(
    {
        "WatchRun",
        "GetRun",
        "ExportRun",
        "GetConversation",
        "ListFeedback",
        "ListRuns",
        "ListApprovals",
        "GetStatus",
        "ListThreads",
        "GetThread",
        "ListModels",
        "ListDataSources",
        "GetDataSource",
        "CheckDataSource",
        "BrowseDataSource",
        "InspectDataSource",
        "PreviewDataSource",
        "ProfileDataSource",
        "FetchDataSource",
        "ListTemplates",
        "ListFiles",
        "GetFile",
        "DownloadFile",
        "GetCaller",
        "ListKeys",
        "GetUsage",
    }
)


@pytest.mark.req("S2")
async def test_reader_may_call_what_reads_over_grpc_and_nothing_else(platform: Platform) -> None:
    made = (await platform.http.post("/v1/keys", json={"scope": "read-only"})).json()
    allowed = set()
    async with channel(platform.grpc_address, token=Secret(made["key"])) as opened:
        for file in (analyst.DESCRIPTOR, access.DESCRIPTOR):
            for service in file.services_by_name.values():
                for method in service.methods:
                    if not await _is_refused(opened, service.full_name, method):
                        allowed.add(method.name)
    assert allowed == READS


async def _is_refused(opened: grpc.aio.Channel, service: str, method: Any) -> bool:
    kind = f"{'stream' if method.client_streaming else 'unary'}_"
    kind += "stream" if method.server_streaming else "unary"
    request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = getattr(opened, kind)(
        f"/{service}/{method.name}", request.SerializeToString, reply.FromString
    )
    sent = request(id="x") if "id" in request.DESCRIPTOR.fields_by_name else request()
    answer = call(iter([sent]) if method.client_streaming else sent)
    try:
        if inspect.isawaitable(answer) and not method.server_streaming:
            await answer
        else:
            async for _ in answer:
                pass
    except grpc.aio.AioRpcError as failed:
        return decode(failed).reason == "NOT_ALLOWED"
    return False


@pytest.mark.req("S2")
async def test_key_may_revoke_itself_and_no_other(platform: Platform) -> None:
    made = (await platform.http.post("/v1/keys", json={"owner": "ann"})).json()
    other = (await platform.http.post("/v1/keys", json={"owner": "ann"})).json()
    async with platform.caller(made["key"]) as ann:
        assert (await ann.delete(f"/v1/keys/{other['id']}")).status_code == 403
        assert (await ann.delete(f"/v1/keys/{made['id']}")).status_code == 200
        assert (await ann.get("/v1/caller")).status_code == 401


# Quotas and usage


@pytest.mark.req("S2", "C9")
async def test_requests_a_minute_are_held(platform: Platform) -> None:
    async with platform.other(quota={"requests_per_minute": 3}) as busy:
        statuses = [(await busy.get("/v1/models")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        refused = await busy.get("/v1/models")
        error = refused.json()["error"]
        assert error["reason"] == "QUOTA_EXCEEDED"
        assert error["details"]["quota"] == "requests_per_minute"
        assert 1 <= int(refused.headers["retry-after"]) <= 21
    assert (await platform.http.get("/v1/models")).status_code == 200


@pytest.mark.req("S2", "C9")
async def test_tokens_of_a_day_bound_a_run_and_then_refuse_the_next(platform: Platform) -> None:
    async with platform.other(quota={"tokens_per_day": 12}) as frugal:
        platform.models.turns = [CODE.format("print(1)"), ANSWER.format("one")]
        first = await frugal.post("/v1/chat/completions", json=question())
        assert first.status_code == 200, first.text
        run = first.json()["id"].removeprefix("chatcmpl-")
        assert (await frugal.get(f"/v1/runs/{run}")).json()["ended_at"]
        today = (await frugal.get("/v1/caller")).json()["today"]
        assert today["runs"] == 1 and today["prompt_tokens"] + today["completion_tokens"] > 12
        assert platform.models.requests[0].sampling.max_tokens <= 12
        refused = await frugal.post("/v1/chat/completions", json=question())
        assert refused.status_code == 429 and reason(refused) == "QUOTA_EXCEEDED"
        assert 1 <= int(refused.headers["retry-after"]) <= 24 * 60 * 60


@pytest.mark.req("S2", "C9")
async def test_rows_of_a_day_are_counted_whichever_way_they_go(platform: Platform) -> None:
    async with platform.other("ann", quota={"rows_per_day": 2}) as ann:
        assert (await ann.post("/v1/data-sources", json=draft())).status_code == 201
        query = {"sql": "SELECT 1", "limit": 2}
        for _ in range(2):
            fetched = await ann.post("/v1/data-sources/shop/query", json=query)
            assert fetched.status_code == 200, fetched.text
        used = (await ann.get("/v1/caller")).json()["today"]
        assert used["rows"] == 2 and used["bytes"] > 0
        refused = await ann.post("/v1/data-sources/shop/query", json=query)
        assert refused.status_code == 429 and reason(refused) == "QUOTA_EXCEEDED"
        refused = await ann.post("/v1/chat/completions", json=question(ORDERS))
        assert refused.status_code == 429


@pytest.mark.req("S2", "C7")
async def test_runs_at_once_are_held_by_key(platform: Platform) -> None:
    async with platform.other(quota={"runs_at_once": 1}) as one:
        platform.models.turns = [HANG]
        going = (await one.post("/v1/runs", json=question())).json()
        refused = await one.post("/v1/runs", json=question())
        assert refused.status_code == 429
        assert refused.json()["error"]["details"]["quota"] == "runs_at_once"
        await one.post(f"/v1/runs/{going['id']}/cancel")
        platform.models.turns = [ANSWER.format("one")]
        assert (await one.post("/v1/chat/completions", json=question())).status_code == 200


@pytest.mark.req("C9")
async def test_usage_is_summed_up_by_day_and_key(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [ANSWER.format("one")]
    assert (await platform.chat(ORDERS)).status_code == 200
    async with platform.other("ann") as ann:
        assert (await ann.get("/v1/models")).status_code == 200
        own = (await ann.get("/v1/usage")).json()
        assert [line["owner"] for line in own["data"]] == ["ann"]
        assert own["total"]["requests"] == 2 and own["total"]["runs"] == 0
        assert (await ann.get("/v1/usage?everybody=true")).status_code == 403
    everybody = (await platform.http.get("/v1/usage?everybody=true")).json()
    assert {line["owner"] for line in everybody["data"]} == {"ann", "default"}
    mine = (await platform.http.get("/v1/usage")).json()["total"]
    assert mine["runs"] == 1 and mine["rows"] == 2 and mine["completion_tokens"] > 0
    for params in ({"from": "yesterday"}, {"from": "2026-01-02", "to": "2026-01-01"}):
        assert (await platform.http.get("/v1/usage", params=params)).status_code == 400
    past = {"from": "2020-01-01", "to": "2020-01-02"}
    assert (await platform.http.get("/v1/usage", params=past)).json()["data"] == []


@pytest.mark.req("S2", "C9")
async def test_keys_quotas_and_usage_over_grpc(platform: Platform) -> None:
    stub = access_rpc.AccessServiceStub(platform.grpc)
    made = await stub.CreateKey(
        access.CreateKeyRequest(
            owner="ann",
            name="n",
            scope=access.SCOPE_READ_ONLY,
            teams=["sales"],
            quota=access.Quota(rows_per_day=5),
            lifetime=Duration(seconds=60),
        )
    )
    lasts = made.key.expires_at.ToMilliseconds() - made.key.created_at.ToMilliseconds()
    assert lasts == 60_000 and not made.key.HasField("last_used_at")
    async with channel(platform.grpc_address, token=Secret(made.secret)) as opened:
        ann = access_rpc.AccessServiceStub(opened)
        who = await ann.GetCaller(access.GetCallerRequest())
        assert (who.owner, who.scope, who.quota.rows_per_day) == ("ann", 1, 5)
        assert who.today.requests == 1
        usage = await ann.GetUsage(access.GetUsageRequest())
        assert [line.owner for line in usage.lines] == ["ann"] and usage.total.requests == 2
        changed = await stub.UpdateKey(access.UpdateKeyRequest(id=made.key.id, name="m"))
        assert changed.key.name == "m" and list(changed.key.teams) == ["sales"]
        listed = await ann.ListKeys(access.ListKeysRequest())
        assert [key.id for key in listed.keys] == [made.key.id]
        await stub.RevokeKey(access.RevokeKeyRequest(id=made.key.id))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ann.GetCaller(access.GetCallerRequest())
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    unset = await stub.CreateKey(access.CreateKeyRequest())
    assert (unset.key.scope, unset.key.owner) == (access.SCOPE_ANALYST, "default")


# Teams


@pytest.mark.req("S2", "X1")
async def test_shared_source_is_seen_and_asked_by_the_team_and_changed_by_its_owner(
    platform: Platform,
) -> None:
    source = await platform.source("shop", teams=["sales"])
    async with (
        platform.other("ann", teams=["sales"]) as ann,
        platform.other("bob", teams=["legal"]) as bob,
    ):
        found = (await ann.get("/v1/data-sources/shop")).json()
        assert (found["id"], found["owner"], found["teams"]) == (source, "default", ["sales"])
        assert [each["id"] for each in (await ann.get("/v1/data-sources")).json()["data"]] == [
            source
        ]
        platform.models.turns = [ANSWER.format("one")]
        answered = await ann.post("/v1/chat/completions", json=question(ORDERS))
        assert answered.status_code == 200, answered.text
        assert (await ann.get("/v1/data-sources/shop/browse")).status_code == 200
        for method in ("PATCH", "DELETE"):
            refused = await ann.request(method, f"/v1/data-sources/{source}", json={})
            assert refused.status_code == 403 and reason(refused) == "NOT_ALLOWED"
        written = question(artifacts_to={"source": "shop", "prefix": "x/"})
        assert (await ann.post("/v1/chat/completions", json=written)).status_code == 403
        assert (await bob.get("/v1/data-sources/shop")).status_code == 404
        assert (await bob.get("/v1/data-sources")).json()["data"] == []
        everybody = {"teams": ["*"]}
        assert (await platform.http.patch("/v1/data-sources/shop", json=everybody)).is_success
        assert (await bob.get("/v1/data-sources/shop")).status_code == 200
        unshared: dict[str, list[str]] = {"teams": []}
        assert (await platform.http.patch("/v1/data-sources/shop", json=unshared)).is_success
        assert (await ann.get("/v1/data-sources/shop")).status_code == 404


@pytest.mark.req("S2")
async def test_own_source_goes_before_one_of_its_name_that_is_shared(platform: Platform) -> None:
    theirs = await platform.source("shop", teams=["sales"])
    async with (
        platform.other("ann", teams=["sales"]) as ann,
        platform.other("bob", teams=["sales", "legal"]) as bob,
        platform.other("eve", teams=["sales"]) as eve,
    ):
        mine = (await ann.post("/v1/data-sources", json=draft(teams=["sales"]))).json()["id"]
        assert (await ann.get("/v1/data-sources/shop")).json()["id"] == mine
        assert (await ann.get(f"/v1/data-sources/{theirs}")).json()["id"] == theirs
        ambiguous = await eve.get("/v1/data-sources/shop")
        assert ambiguous.status_code == 409 and mine in ambiguous.json()["error"]["remedy"]
        listed = [each["id"] for each in (await eve.get("/v1/data-sources")).json()["data"]]
        assert listed == sorted([mine, theirs])
        pages, params = [], {"page_size": "1"}
        while True:
            page = (await eve.get("/v1/data-sources", params=params)).json()
            pages += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                break
            params["page_token"] = page["next_page_token"]
        assert pages == listed
        refused = await ann.post("/v1/data-sources", json=draft("other", teams=["legal"]))
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "teams"
        assert (await bob.post("/v1/data-sources", json=draft(teams=["legal"]))).is_success


@pytest.mark.req("S2")
async def test_first_key_is_an_admin_and_is_kept(platform: Platform) -> None:
    who = (await platform.http.get("/v1/caller")).json()
    assert (who["owner"], who["scope"]) == ("default", "admin")
    kept = (await platform.http.get("/v1/keys")).json()["data"]
    assert [each["name"] for each in kept] == ["first key"]
    assert KEY not in str(kept)


@pytest.mark.req("S2")
async def test_source_over_grpc_tells_its_teams(platform: Platform) -> None:
    stub = rpc.DataSourceServiceStub(platform.grpc)
    made = await stub.CreateDataSource(
        analyst.CreateDataSourceRequest(
            name="shop",
            type="double",
            config_json='{"host": "db"}',
            secrets={"password": "planted-password"},
            teams=["sales"],
        )
    )
    assert (made.data_source.owner, list(made.data_source.teams)) == ("default", ["sales"])
    change = analyst.UpdateDataSourceRequest(id="shop", teams=access.Teams())
    changed = await stub.UpdateDataSource(change)
    assert list(changed.data_source.teams) == []
