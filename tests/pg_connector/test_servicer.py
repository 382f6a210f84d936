import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import jsonschema
import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToDict

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from isobath.credentials.v1 import credentials_pb2 as credentials_pb
from servicekit.channels import calling
from servicekit.status import RemoteFault
from tests.pg_connector.conftest import PASSWORD, Platform


async def failing(platform: Platform, what: str, **fields: Any) -> RemoteFault:
    with pytest.raises(RemoteFault) as caught:
        await platform.fetch(what, **fields)
    assert PASSWORD not in str(caught.value) + str(caught.value.fields)
    return caught.value


async def test_describe_gives_schemas_that_its_own_examples_keep(platform: Platform) -> None:
    told = await platform.call("Describe", pb.DescribeRequest())
    assert told.type == "postgresql" and told.takes_queries and not told.stores
    config, secrets = MessageToDict(told.config_schema), MessageToDict(told.secrets_schema)
    for template in told.templates:
        example = MessageToDict(template.example)
        jsonschema.Draft202012Validator(config).validate(example["config"])
        jsonschema.Draft202012Validator(secrets).validate(example["secrets"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"host": "h", "database": "d", "user": "u", "pass": "x"}, config)


async def test_check_of_a_reader_passes(platform: Platform) -> None:
    told = await platform.call("Check", pb.CheckRequest(grant=await platform.grant()))
    assert [(s.name, s.passed) for s in told.steps] == [
        ("reach", True), ("authenticate", True), ("read", True),
    ]  # fmt: skip
    assert told.server_version.startswith("PostgreSQL 1") and told.latency.ToNanoseconds() > 0
    assert not told.writable and not told.warnings and not told.advice


async def test_check_warns_of_a_superuser_and_advises_a_reader(
    platform: Platform, postgres: Postgres
) -> None:
    await platform.put(postgres.password, "ds-root")
    grant = await platform.grant(source_id="ds-root", config={"user": postgres.user})
    told = await platform.call("Check", pb.CheckRequest(grant=grant))
    assert told.writable and told.warnings == ["postgres is a superuser"]
    assert 'GRANT SELECT ON ALL TABLES IN SCHEMA "public" TO "postgres_reader";' in told.advice


@pytest.mark.parametrize(
    ("config", "steps", "reason"),
    [
        ({"port": 1}, ["reach"], "SOURCE_UNREACHABLE"),
        ({"database": "nosuch"}, ["reach", "authenticate"], "SOURCE_UNREACHABLE"),
        ({"user": "nosuch"}, ["reach", "authenticate"], "SOURCE_AUTHENTICATION_FAILED"),
    ],
)
async def test_check_names_the_step_that_failed(
    platform: Platform, config: dict[str, Any], steps: list[str], reason: str
) -> None:
    grant = await platform.grant(config=config)
    told = await platform.call("Check", pb.CheckRequest(grant=grant))
    assert [step.name for step in told.steps] == steps
    last = told.steps[-1]
    assert not last.passed and last.reason == reason and last.message and last.remedy


async def test_check_goes_through_a_unix_socket(platform: Platform, postgres: Postgres) -> None:
    grant = await platform.grant(config={"host": str(postgres.socket_folder)})
    told = await platform.call("Check", pb.CheckRequest(grant=grant))
    assert all(step.passed for step in told.steps) and len(told.steps) == 3


@pytest.mark.req("D8")
async def test_browse_lists_schemas_then_relations(platform: Platform) -> None:
    grant = await platform.grant()
    top = await platform.call("Browse", pb.BrowseRequest(grant=grant))
    assert [(e.path, e.kind) for e in top.entries] == [
        ("Odd Name", pb.ENTRY_KIND_SCHEMA), ("public", pb.ENTRY_KIND_SCHEMA),
    ]  # fmt: skip
    public = await platform.call("Browse", pb.BrowseRequest(grant=grant, path="public"))
    assert [(e.path, e.kind, e.readable) for e in public.entries] == [
        ("public.big_orders", pb.ENTRY_KIND_VIEW, True),
        ("public.customers", pb.ENTRY_KIND_TABLE, True),
        ("public.orders", pb.ENTRY_KIND_TABLE, True),
        ("public.secrets", pb.ENTRY_KIND_TABLE, False),
    ]
    assert public.entries[1].comment == "who buys" and public.entries[1].size_bytes > 0


async def test_browse_pages_by_key(platform: Platform) -> None:
    grant, seen, token = await platform.grant(), [], ""
    while True:
        request = pb.BrowseRequest(grant=grant, path="public", page_size=2, page_token=token)
        page = await platform.call("Browse", request)
        seen += [entry.name for entry in page.entries]
        if not (token := page.next_page_token):
            break
        with pytest.raises(RemoteFault) as caught:
            await platform.call("Browse", pb.BrowseRequest(grant=grant, page_token=token))
        assert caught.value.reason == "INVALID_FIELD"
    assert seen == ["big_orders", "customers", "orders", "secrets"]


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("public.*orders", ["big_orders", "orders"]),
        ("*orders", ["big_orders", "orders"]),
        ("public.order?", ["orders"]),
        ("**", ["Table.1", "big_orders", "customers", "orders", "secrets"]),
        ("*(orders", []),
    ],
)
async def test_browse_by_glob(platform: Platform, glob: str, names: list[str]) -> None:
    request = pb.BrowseRequest(grant=await platform.grant(), glob=glob)
    page = await platform.call("Browse", request)
    assert [entry.name for entry in page.entries] == names


async def test_browse_shows_only_what_the_grant_reaches(platform: Platform) -> None:
    grant = await platform.grant(scopes=["public.orders"])
    top = await platform.call("Browse", pb.BrowseRequest(grant=grant))
    below = await platform.call("Browse", pb.BrowseRequest(grant=grant, path="public"))
    assert [e.path for e in top.entries] == ["public"]
    assert [e.path for e in below.entries] == ["public.orders"]


async def test_browse_of_an_unknown_schema_is_told(platform: Platform) -> None:
    with pytest.raises(RemoteFault) as caught:
        await platform.call("Browse", pb.BrowseRequest(grant=await platform.grant(), path="nosuch"))
    assert caught.value.reason == "PATH_NOT_FOUND"


@pytest.mark.req("D9")
async def test_inspect_tells_columns_keys_and_indexes(platform: Platform) -> None:
    grant = await platform.grant()
    told = await platform.call("Inspect", pb.InspectRequest(grant=grant, path="orders"))
    assert told.entry.path == "public.orders"
    amount = told.columns[2]
    assert (amount.name, amount.type, amount.arrow_type) == (
        "amount",
        "numeric(12,2)",
        "decimal128(12, 2)",
    )
    kinds = {c.kind: c for c in told.constraints}
    foreign = kinds[pb.CONSTRAINT_KIND_FOREIGN_KEY]
    assert (list(foreign.columns), foreign.references_path) == (["customer_id"], "public.customers")
    assert list(foreign.references_columns) == ["id"]
    assert list(kinds[pb.CONSTRAINT_KIND_PRIMARY_KEY].columns) == ["id"]
    assert "amount" in kinds[pb.CONSTRAINT_KIND_CHECK].definition
    assert [(i.name, list(i.columns), i.unique) for i in told.indexes] == [
        ("orders_by_customer", ["customer_id", "at"], False), ("orders_pkey", ["id"], True),
    ]  # fmt: skip
    far = await platform.call("Inspect", pb.InspectRequest(grant=grant, path="customers"))
    back = next(c for c in far.constraints if c.kind == pb.CONSTRAINT_KIND_REFERENCED_BY)
    assert (back.references_path, list(back.columns)) == ("public.orders", ["id"])
    assert far.columns[2].comment == "where they live"
    assert far.columns[3].default_expression == "'2025-01-01'::date"


async def test_inspect_of_a_view_shows_its_text(platform: Platform) -> None:
    request = pb.InspectRequest(grant=await platform.grant(), path="public.big_orders")
    told = await platform.call("Inspect", request)
    assert "amount > " in told.definition and told.entry.kind == pb.ENTRY_KIND_VIEW
    assert (await platform.call("Inspect", request)) == told


async def test_preview_gives_first_rows(platform: Platform) -> None:
    selection = pb.Selection(path="public.orders")
    request = pb.PreviewRequest(grant=await platform.grant(), selection=selection, rows=7)
    told = await platform.call("Preview", request)
    table = pa.ipc.open_stream(told.arrow).read_all()
    assert table.num_rows == 7 and told.truncated and len(told.columns) == 5
    query = pb.Selection(query=pb.Query(sql="SELECT 1 AS a"))
    whole = await platform.call(
        "Preview", pb.PreviewRequest(grant=await platform.grant(), selection=query)
    )
    assert not whole.truncated


@pytest.mark.req("D10")
async def test_profile_of_a_small_relation_is_exact(platform: Platform) -> None:
    request = pb.ProfileRequest(grant=await platform.grant(), path="public.customers")
    told = await platform.call("Profile", request)
    assert (told.basis, told.rows) == ("exact", 100)
    region = told.columns[2]
    assert (region.distinct, region.null_fraction) == (2, 0.0)
    assert {(t.value, t.fraction) for t in region.top_values} == {("Nordvik", 0.5), ("Sund", 0.5)}
    assert told.columns[0].mean == 50.5


@pytest.mark.req("D10")
async def test_profile_of_a_large_relation_is_the_server_s(
    platform: Platform, postgres: Postgres
) -> None:
    await postgres.execute(
        "INSERT INTO customers SELECT g, 'c', 'Far' FROM generate_series(101, 30000) g;"
        "ANALYZE customers",
        database=platform.database,
    )
    request = pb.ProfileRequest(grant=await platform.grant(), path="customers")
    told = await platform.call("Profile", request)
    assert told.basis == "server statistics; least and greatest of id exact"
    assert told.rows == 30_000
    region = told.columns[2]
    assert region.top_values[0].value == "Far" and region.top_values[0].fraction > 0.99
    assert told.columns[0].distinct == 30_000 and told.columns[0].minimum == "1"


async def test_store_is_not_supported(platform: Platform) -> None:
    async def events() -> AsyncIterator[pb.StoreRequest]:
        grant = await platform.grant(operations=["write"])
        yield pb.StoreRequest(start=pb.StoreStart(grant=grant, path="x"))

    with pytest.raises(RemoteFault) as caught:
        await calling(platform.stub.Store(events()))
    assert caught.value.reason == "UNSUPPORTED"


@pytest.mark.req("B2", "D4")
async def test_earlier_states_are_not_supported(platform: Platform) -> None:
    grant = await platform.grant()
    orders = pb.Selection(path="public.orders", version="snapshot=2026-01-01T00:00:00Z")
    for method, request in (
        ("Browse", pb.BrowseRequest(grant=grant, glob="**", include=[pb.INCLUDE_VERSIONS])),
        ("Inspect", pb.InspectRequest(grant=grant, path="public.orders", version="v")),
        ("Preview", pb.PreviewRequest(grant=grant, selection=orders)),
    ):
        with pytest.raises(RemoteFault) as caught:
            await platform.call(method, request)
        assert (caught.value.reason, caught.value.fields["ability"]) == ("UNSUPPORTED", "versions")


async def test_disconnect_closes_what_was_kept(platform: Platform) -> None:
    await platform.fetch("SELECT 1 AS a")
    request = pb.DisconnectRequest(grant=await platform.grant())
    assert (await platform.call("Disconnect", request)).closed == 1
    assert (await platform.call("Disconnect", request)).closed == 0


@pytest.mark.req("D14")
async def test_typo_is_shown_where_it_stands(platform: Platform) -> None:
    fault = await failing(platform, "SELECT id,\n       amout\nFROM orders")
    assert fault.reason == "QUERY_FAILED"
    assert (fault.fields["sqlstate"], fault.fields["line"]) == ("42703", "2")
    assert fault.message.endswith("LINE 2:        amout\n               ^")
    assert "amount" in fault.remedy
    fault = await failing(platform, "SELEC id FROM orders")
    assert (fault.fields["sqlstate"], fault.fields["position"]) == ("42601", "1")
    # a column of a type that is asked for as text leaves positions as they are
    fault = await failing(platform, "SELECT inet '::1', 1/0 AS a, nosuch(1)")
    assert fault.fields["position"] == "30"


async def test_runtime_error_is_told(platform: Platform) -> None:
    fault = await failing(platform, "SELECT 1 / (g - 500) AS a FROM generate_series(1, 1000) g")
    assert (fault.reason, fault.fields["sqlstate"]) == ("QUERY_FAILED", "22012")


@pytest.mark.req("D13")
@pytest.mark.parametrize(
    "sql", ["DELETE FROM orders", "SELECT 1; SELECT 2", "SELECT nextval('s')", "SET ROLE postgres"]
)
async def test_writing_statement_is_refused(platform: Platform, sql: str) -> None:
    fault = await failing(platform, sql)
    assert fault.reason == "QUERY_NOT_READ_ONLY" and fault.fields["construct"]


async def test_missing_path_right_and_scope_are_told_apart(platform: Platform) -> None:
    assert (await failing(platform, "public.nosuch")).reason == "PATH_NOT_FOUND"
    fault = await failing(platform, "public.secrets")
    assert (fault.reason, fault.fields["path"]) == ("SOURCE_FORBIDDEN", "public.secrets")
    scoped = await platform.grant(scopes=["public.orders"])
    assert len(await platform.fetch("orders", grant=scoped)) > 3
    for what in ("public.customers", "public.nosuch", "SELECT * FROM customers"):
        fault = await failing(platform, what, grant=scoped)
        assert fault.reason == "BEYOND_GRANT", what
    assert len(await platform.fetch("SELECT * FROM orders o", grant=scoped)) > 3


async def test_wrong_password_is_told(platform: Platform) -> None:
    await platform.put("wrong-one-9", "ds-wrong")
    fault = await failing(platform, "orders", grant=await platform.grant(source_id="ds-wrong"))
    assert fault.reason == "SOURCE_AUTHENTICATION_FAILED"
    assert "wrong-one-9" not in str(fault) + str(fault.fields)
    assert fault.fields["identity"] == platform.config["user"]


async def test_unreachable_host_is_told(platform: Platform) -> None:
    fault = await failing(platform, "orders", grant=await platform.grant(config={"port": 1}))
    assert fault.reason == "SOURCE_UNREACHABLE" and fault.fields["host"].endswith(":1")


@pytest.mark.req("S5")
async def test_revocation_stops_the_query_and_closes_the_pool(platform: Platform) -> None:
    grant = await platform.grant()
    running = asyncio.create_task(
        platform.fetch("SELECT pg_sleep(120), 'stop me' AS x", grant=grant)
    )
    while not await platform.activity("stop me"):
        await asyncio.sleep(0.02)
    await platform.revoke()
    with pytest.raises(RemoteFault) as caught:
        await running
    assert caught.value.reason == "GRANT_REVOKED"
    while await platform.activity("stop me"):
        await asyncio.sleep(0.02)
    assert (await failing(platform, "orders", grant=grant)).reason == "GRANT_REVOKED"


@pytest.mark.req("P7")
@pytest.mark.parametrize("how", ["deleted", "changed", "owner revoked"])
async def test_connections_end_with_what_they_were_made_for(platform: Platform, how: str) -> None:
    await platform.fetch("SELECT 'mine' AS x")
    kept = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{platform.config['user']}'"
    watching: asyncpg.Connection[Any] = await asyncpg.connect(platform.postgres.dsn)
    assert await watching.fetchval(kept) == 1
    if how == "deleted":
        request = credentials_pb.DeleteSecretRequest(source_id="ds-1")
        await platform.credentials.DeleteSecret(request)
    elif how == "changed":
        await platform.put("another-password-1")
    else:
        by_owner = credentials_pb.RevokeGrantRequest(owner="owner-1", cause="test")
        await platform.credentials.RevokeGrant(by_owner)
    while await watching.fetchval(kept):
        await asyncio.sleep(0.02)
    await watching.close()


async def test_call_leaves_nothing_behind_for_the_next(platform: Platform) -> None:
    await platform.fetch("SELECT 1 AS a")
    events = await platform.fetch(
        "SELECT current_setting('TimeZone') AS z, current_setting('transaction_read_only') AS r"
    )
    assert b"".join(e.piece for e in events) == b"z,r\nUTC,on\n"
