import hashlib
import io
from datetime import UTC, datetime, timedelta

import grpc
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from isobath.connector.v1 import connector_pb2 as pb
from isobath.credentials.v1 import credentials_pb2 as credentials
from servicekit.status import decode
from tests.blob_connector.conftest import Lake, fault_of, joined

CSV = b"id,amount,day\n1,2.5,2026-01-01\n2,,2026-01-02\n"
NAMES = ["plain.csv", "with space/é ü.csv", "a%2Fb#c?.csv", "x" * 900 + ".csv", "dots/..csv"]


def parquet(rows: int = 10) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": range(rows), "name": [f"n{i}" for i in range(rows)]}), sink)
    return sink.getvalue()


def sas(lake: Lake) -> str:
    return generate_container_sas(
        lake.azurite.account,
        lake.container.container_name,
        account_key=lake.azurite.key,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )


@pytest.mark.req("B1")
@pytest.mark.parametrize("way", ["account_key", "connection_string", "sas_token"])
async def test_each_way_to_sign_in_reads(lake: Lake, way: str) -> None:
    secrets = {
        "account_key": lake.azurite.key,
        "connection_string": lake.azurite.connection_string,
        "sas_token": sas(lake),
    }
    await lake.container.upload_blob("a.csv", CSV)
    await lake.secret(**{way: secrets[way]})  # type: ignore[arg-type]
    assert joined(await lake.fetch("a.csv", grant=await lake.grant(version=2))) == CSV


@pytest.mark.req("B5", "D4")
async def test_wrong_key_is_told_without_the_key(lake: Lake) -> None:
    wrong = "d3Jvbmcta2V5LXRoYXQtaXMtcGxhbnRlZA=="
    await lake.secret(account_key=wrong)
    grant = await lake.grant()
    checked = await lake.stub.Check(pb.CheckRequest(grant=grant))
    assert [(s.name, s.passed) for s in checked.steps] == [("reach", True), ("authenticate", False)]
    fault = await fault_of(lake.stub.Browse(pb.BrowseRequest(grant=grant)))
    assert fault.reason == "SOURCE_AUTHENTICATION_FAILED"
    assert lake.azurite.account in fault.message
    assert wrong not in str(fault) + str(checked)


@pytest.mark.req("D4")
async def test_check_of_a_good_source_passes(lake: Lake) -> None:
    checked = await lake.stub.Check(pb.CheckRequest(grant=await lake.grant()))
    assert all(step.passed for step in checked.steps) and len(checked.steps) == 3


@pytest.mark.req("B6")
async def test_missing_blob_and_container_are_named(lake: Lake) -> None:
    inspect = pb.InspectRequest(grant=await lake.grant(), path="no/such.csv")
    fault = await fault_of(lake.stub.Inspect(inspect))
    assert fault.reason == "PATH_NOT_FOUND" and "no/such.csv" in fault.message
    elsewhere = await lake.grant(config={"container": "nowhere"}, version=3)
    fault = await fault_of(lake.stub.Browse(pb.BrowseRequest(grant=elsewhere)))
    assert fault.reason == "PATH_NOT_FOUND" and "nowhere" in fault.message


@pytest.mark.req("B2")
async def test_browse_is_hierarchical_paged_and_globs(lake: Lake) -> None:
    for name in ("top.csv", "s/2026-01/a.csv", "s/2026-01/b.json", "s/2026-02/a.csv"):
        await lake.container.upload_blob(name, CSV)
    assert await lake.browse(page_size=1) == ["s/", "top.csv"]
    assert await lake.browse(page_size=1, path="s/2026-01") == [
        "s/2026-01/a.csv",
        "s/2026-01/b.json",
    ]
    assert await lake.browse(page_size=1, glob="s/*/*.csv") == [
        "s/2026-01/a.csv",
        "s/2026-02/a.csv",
    ]
    assert await lake.browse(page_size=1, glob="**/*.json") == ["s/2026-01/b.json"]


@pytest.mark.req("B2")
async def test_page_token_of_another_list_is_refused(lake: Lake) -> None:
    for number in range(3):
        await lake.container.upload_blob(f"{number}.csv", CSV)
    grant = await lake.grant()
    page = await lake.stub.Browse(pb.BrowseRequest(grant=grant, page_size=2))
    for token in (page.next_page_token, "torn"):
        request = pb.BrowseRequest(grant=grant, page_size=1, page_token=token)
        assert (await fault_of(lake.stub.Browse(request))).reason == "INVALID_FIELD"


@pytest.mark.req("B3", "B6")
@pytest.mark.parametrize("name", NAMES)
async def test_blob_of_any_name_arrives_whole(lake: Lake, name: str) -> None:
    await lake.container.upload_blob(name, CSV)
    events = await lake.fetch(name)
    assert events[0].header.name == name
    assert joined(events) == CSV
    assert events[-2].summary.sha256 == hashlib.sha256(CSV).hexdigest()
    assert events[-1].complete.items == 1


@pytest.mark.req("B8", "B6")
@pytest.mark.filterwarnings("ignore:Sending a large body")
async def test_large_blob_arrives_in_bounded_pieces(lake: Lake) -> None:
    data = bytes(range(256)) * 20_000
    await lake.container.upload_blob("big.bin", io.BytesIO(data))
    events = await lake.fetch("big.bin")
    assert joined(events) == data
    assert max(len(event.piece) for event in events) <= 1024 * 1024
    assert any(event.HasField("progress") for event in events)
    part = await lake.fetch("big.bin", offset_bytes=1000, length_bytes=300_000)
    assert joined(part) == data[1000:301_000]


@pytest.mark.req("B7")
async def test_size_limit_is_told_before_bytes_move(lake: Lake) -> None:
    await lake.container.upload_blob("a.csv", CSV * 100)
    call = lake.fetch("a.csv", limits=pb.Limits(max_bytes=100))
    fault = await fault_of(call)
    assert fault.reason == "TOO_LARGE" and fault.fields["limit_bytes"] == "100"


async def test_raw_glob_gives_an_item_for_each_blob(lake: Lake) -> None:
    for name in ("s/a.csv", "s/b.csv", "t/c.csv"):
        await lake.container.upload_blob(name, CSV)
    events = await lake.fetch("s/*.csv", format=pb.FORMAT_RAW)
    headers = [event.header.name for event in events if event.HasField("header")]
    assert headers == ["s/a.csv", "s/b.csv"]
    assert events[-1].complete.bytes == 2 * len(CSV)


@pytest.mark.req("P3")
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.json", "t.jsonl", "t.arrow"])
async def test_each_format_is_read_as_a_table(lake: Lake, name: str) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b", None]})
    sink = io.BytesIO()
    if name.endswith("csv"):
        frame.to_csv(sink, index=False)
    elif name.endswith("parquet"):
        frame.to_parquet(sink)
    elif name.endswith("arrow"):
        table = pa.Table.from_pandas(frame)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        frame.to_json(sink, orient="records", lines=name.endswith("l"))
    await lake.container.upload_blob(name, sink.getvalue())
    grant = await lake.grant()
    shown = await lake.stub.Inspect(pb.InspectRequest(grant=grant, path=name))
    assert [column.name for column in shown.columns] == ["id", "name"]
    events = await lake.fetch(name, format=pb.FORMAT_ARROW)
    with pa.ipc.open_stream(joined(events)) as reader:
        assert reader.read_all().to_pydict() == {"id": [1, 2, 3], "name": ["a", "b", None]}


async def test_glob_is_one_table_with_rows_limited_exactly(lake: Lake) -> None:
    for month in (1, 2):
        await lake.container.upload_blob(f"m/{month}.parquet", parquet())
    grant = await lake.grant()
    shown = await lake.stub.Inspect(pb.InspectRequest(grant=grant, path="m/*.parquet"))
    assert shown.rows == 20 and len(shown.members) == 2
    limits = pb.Limits(max_rows=13)
    events = await lake.fetch("m/*.parquet", format=pb.FORMAT_CSV, limits=limits)
    assert len(joined(events).splitlines()) == 14
    summary = next(event.summary for event in events if event.HasField("summary"))
    assert summary.truncated and summary.truncated_by == "row limit of 13"


@pytest.mark.req("D10")
async def test_preview_and_profile_of_a_blob(lake: Lake) -> None:
    await lake.container.upload_blob("p.parquet", parquet(50))
    grant = await lake.grant()
    selection = pb.Selection(path="p.parquet")
    shown = await lake.stub.Preview(pb.PreviewRequest(grant=grant, selection=selection, rows=5))
    with pa.ipc.open_stream(shown.arrow) as reader:
        assert reader.read_all().num_rows == 5
    assert shown.truncated
    told = await lake.stub.Profile(pb.ProfileRequest(grant=grant, path="p.parquet"))
    assert told.rows == 50
    assert [column.name for column in told.columns] == ["id", "name"]
    assert told.columns[0].mean == pytest.approx(24.5)


async def test_blob_that_is_no_table_is_told(lake: Lake) -> None:
    await lake.container.upload_blob("bad.parquet", b"not parquet at all")
    request = pb.InspectRequest(grant=await lake.grant(), path="bad.parquet")
    fault = await fault_of(lake.stub.Inspect(request))
    assert fault.reason == "UNREADABLE_FORMAT" and "bad.parquet" in fault.message


@pytest.mark.req("B4")
async def test_store_writes_once_and_over_only_when_asked(lake: Lake) -> None:
    async def store(data: bytes, *, overwrite: bool = False) -> pb.StoreResponse:
        start = pb.StoreStart(grant=await lake.grant(), path="out/r.csv", overwrite=overwrite)
        call = lake.stub.Store(iter([pb.StoreRequest(start=start), pb.StoreRequest(piece=data)]))
        answer: pb.StoreResponse = await call
        return answer

    assert (await store(b"one")).size_bytes == 3
    assert (await fault_of(store(b"two"))).reason == "ALREADY_EXISTS"
    await store(b"three", overwrite=True)
    assert joined(await lake.fetch("out/r.csv")) == b"three"


@pytest.mark.req("X4", "B4")
async def test_grant_bounds_what_is_seen_read_and_written(lake: Lake) -> None:
    for name in ("in/a.csv", "out/b.csv"):
        await lake.container.upload_blob(name, CSV)
    grant = await lake.grant("list", "read", scopes=["in/"])
    page = await lake.stub.Browse(pb.BrowseRequest(grant=grant, glob="**"))
    assert [entry.path for entry in page.entries] == ["in/a.csv"]
    assert joined(await lake.fetch("in/a.csv", grant=grant)) == CSV
    assert (await fault_of(lake.fetch("out/b.csv", grant=grant))).reason == "BEYOND_GRANT"
    start = pb.StoreStart(grant=grant, path="in/new.csv")
    refused = await fault_of(lake.stub.Store(iter([pb.StoreRequest(start=start)])))
    assert refused.reason == "BEYOND_GRANT"


@pytest.mark.req("B4")
async def test_prefix_confines_everything(lake: Lake) -> None:
    for name in ("in/a.csv", "out/b.csv"):
        await lake.container.upload_blob(name, CSV)
    grant = await lake.grant(config={"prefix": "in"}, version=4)
    page = await lake.stub.Browse(pb.BrowseRequest(grant=grant))
    assert [entry.path for entry in page.entries] == ["a.csv"]
    assert joined(await lake.fetch("a.csv", grant=grant)) == CSV
    for name in ("../out/b.csv", "x/../../out/b.csv", "..\\out/b.csv"):
        assert (await fault_of(lake.fetch(name, grant=grant))).reason == "PATH_NOT_FOUND"


@pytest.mark.req("D3")
async def test_deleted_source_is_refused_and_closed(lake: Lake) -> None:
    await lake.container.upload_blob("a.csv", CSV)
    grant = await lake.grant()
    assert joined(await lake.fetch("a.csv", grant=grant)) == CSV
    await lake.credentials.DeleteSecret(credentials.DeleteSecretRequest(source_id=lake.name))
    for _ in range(200):
        try:
            await lake.fetch("a.csv", grant=grant)
        except grpc.RpcError as refused:
            assert decode(refused).reason == "GRANT_REVOKED"
            return
    pytest.fail("the grant outlived its source")


@pytest.mark.req("D6", "D11")
async def test_describe_tells_settings_and_examples(lake: Lake) -> None:
    told = await lake.stub.Describe(pb.DescribeRequest())
    assert told.type == "azure_blob" and told.takes_globs and told.stores
    assert {t.title for t in told.templates} >= {"Account key", "SAS token", "Managed identity"}
    assert told.config_schema["required"][0] == "container"
