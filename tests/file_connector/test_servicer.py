"""The calls of the contract, on real folders."""

import bz2
import gzip
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from isobath.connector.v1 import connector_pb2 as pb
from isobath.credentials.v1 import credentials_pb2 as credentials
from isobath.errors.v1 import errors_pb2
from servicekit.status import OWN_STATUSES, decode
from services.file_connector import errors
from services.file_connector.servicer import STATUSES
from tests.file_connector.conftest import Shelf, arrow, fault_of, joined, open_shelf

CSV = b"id,amount,day\n1,2.5,2026-01-01\n2,,2026-01-02\n"
NAMES = ["plain.csv", "with space/é ü.csv", "a%2Fb#c?.csv", "x" * 250 + ".csv", "dots/a..csv"]
FRAME = pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b", None]})


def parquet(rows: int = 10) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": range(rows), "name": [f"n{i}" for i in range(rows)]}), sink)
    return sink.getvalue()


# Describe and Check


@pytest.mark.req("D6", "D11")
async def test_describe_tells_settings_and_examples(shelf: Shelf) -> None:
    told = await shelf.stub.Describe(pb.DescribeRequest())
    assert (told.type, told.title) == ("local_file", "Local folder")
    assert told.takes_paths and told.takes_globs and told.takes_queries and told.stores
    schema = dict(told.config_schema["properties"])
    assert list(schema["root"]["enum"]) == ["data"]
    assert list(told.config_schema["required"]) == ["root"]
    assert not dict(told.secrets_schema["properties"])
    for template in told.templates:
        assert template.description and template.paths and template.queries
        assert template.example["type"] == "local_file"
        assert set(dict(template.example["config"])) <= set(schema)
    assert "list(" in told.code_notes and "query(" in told.code_notes


@pytest.mark.req("D4", "D11")
async def test_check_of_a_good_source_passes(shelf: Shelf) -> None:
    shelf.put("a.csv", CSV)
    told = await shelf.check(folder="")
    assert [(s.name, s.passed) for s in told.steps] == [
        ("reach", True),
        ("authenticate", True),
        ("read", True),
    ]
    assert told.writable and told.server_version and told.HasField("latency")


@pytest.mark.req("D4", "D11")
async def test_check_tells_what_stands_in_the_way(shelf: Shelf) -> None:
    told = await shelf.check(folder="nowhere")
    assert [(s.name, s.reason) for s in told.steps] == [("reach", "PATH_NOT_FOUND")]
    told = await shelf.check(root="other")
    (step,) = told.steps
    assert (step.name, step.reason) == ("reach", "ADDRESS_NOT_ALLOWED")
    assert "'other'" in step.message and "data" in step.message and step.remedy
    shelf.root.rmdir()
    told = await shelf.check(folder="")
    (step,) = told.steps
    assert (step.name, step.reason) == ("reach", "SOURCE_UNREACHABLE")
    assert str(shelf.root) not in str(told)


@pytest.mark.req("D8", "D11")
async def test_without_a_root_every_source_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with open_shelf(tmp_path, roots=(), writable_roots=()) as shelf:
        shelf.put("a.csv", CSV)
        (step,) = (await shelf.check(folder="")).steps
        assert step.reason == "ADDRESS_NOT_ALLOWED"
        assert "ISOBATH_FILE_CONNECTOR_ROOTS" in step.remedy
        for call in (shelf.browse(), shelf.inspect("a.csv"), shelf.fetch("a.csv")):
            fault = await fault_of(call)
            assert fault.reason == "ADDRESS_NOT_ALLOWED"
            assert fault.fields["setting"] == "ISOBATH_FILE_CONNECTOR_ROOTS"


# Browse


@pytest.mark.req("D1", "D11")
async def test_browse_is_hierarchical_paged_and_globs(shelf: Shelf) -> None:
    for name in ("top.csv", "s/2026-01/a.csv", "s/2026-01/b.json", "s/2026-02/a.csv", "s-1/a.csv"):
        shelf.put(name, CSV)
    assert await shelf.browse(page_size=1) == ["s-1/", "s/", "top.csv"]
    for path in ("s/2026-01", "s/2026-01/"):
        listed = await shelf.browse(page_size=1, path=path)
        assert listed == ["s/2026-01/a.csv", "s/2026-01/b.json"]
    for size in (1, 2, 100):
        assert await shelf.browse(page_size=size, glob="s/*/*.csv") == [
            "s/2026-01/a.csv",
            "s/2026-02/a.csv",
        ]
        assert await shelf.browse(page_size=size, glob="**") == [
            "s-1/a.csv",
            "s/2026-01/a.csv",
            "s/2026-01/b.json",
            "s/2026-02/a.csv",
            "top.csv",
        ]
    assert await shelf.browse(path="s", glob="**/*.json") == ["s/2026-01/b.json"]
    assert await shelf.browse(glob="none/*.csv") == await shelf.browse(glob="t*/x") == []


@pytest.mark.req("D1", "D11")
async def test_entry_tells_of_a_file(shelf: Shelf) -> None:
    place = shelf.put("s/a.csv.gz", gzip.compress(CSV))
    (folder,) = await shelf.entries()
    assert (folder.path, folder.name, folder.kind) == ("s/", "s", pb.ENTRY_KIND_PREFIX)
    (entry,) = await shelf.entries(path="s/")
    assert (entry.path, entry.name, entry.kind) == ("s/a.csv.gz", "a.csv.gz", pb.ENTRY_KIND_BLOB)
    assert entry.size_bytes == place.stat().st_size and entry.readable
    assert entry.content_type == "application/gzip" and entry.etag
    modified = entry.modified_at.ToDatetime(UTC)
    assert abs((modified - datetime.now(UTC)).total_seconds()) < 60
    shelf.put("s/a.csv.gz", gzip.compress(CSV + CSV))
    (changed,) = await shelf.entries(path="s/")
    assert changed.etag != entry.etag


@pytest.mark.req("D11")
async def test_pages_go_on_where_files_come_and_go(shelf: Shelf) -> None:
    for number in range(6):
        shelf.put(f"{number}.csv", CSV)
    grant = await shelf.grant()
    page = await shelf.stub.Browse(pb.BrowseRequest(grant=grant, page_size=2))
    assert [entry.path for entry in page.entries] == ["0.csv", "1.csv"]
    (shelf.root / "1.csv").unlink()
    (shelf.root / "2.csv").unlink()
    shelf.put("1a.csv", CSV)
    request = pb.BrowseRequest(grant=grant, page_size=2, page_token=page.next_page_token)
    page = await shelf.stub.Browse(request)
    assert [entry.path for entry in page.entries] == ["1a.csv", "3.csv"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"page_size": -1},
        {"page_size": 1001},
        {"glob": "[x"},
        {"page_token": "torn"},
        {"include": [pb.INCLUDE_SNAPSHOTS]},
    ],
)
async def test_browse_that_cannot_be_is_refused(shelf: Shelf, wanted: dict[str, Any]) -> None:
    request = pb.BrowseRequest(grant=await shelf.grant(), **wanted)
    assert (await fault_of(shelf.stub.Browse(request))).reason == "INVALID_FIELD"


async def test_page_token_of_another_list_is_refused(shelf: Shelf) -> None:
    for number in range(3):
        shelf.put(f"{number}.csv", CSV)
    grant = await shelf.grant()
    page = await shelf.stub.Browse(pb.BrowseRequest(grant=grant, page_size=2))
    request = pb.BrowseRequest(grant=grant, page_size=1, page_token=page.next_page_token)
    assert (await fault_of(shelf.stub.Browse(request))).reason == "INVALID_FIELD"


@pytest.mark.req("B6", "D11")
async def test_what_is_not_there_is_named(shelf: Shelf) -> None:
    for call in (
        shelf.inspect("no/such.csv"),
        shelf.fetch("no/such.csv"),
        shelf.fetch("no/such*.csv"),
        shelf.preview("no/such.csv"),
        shelf.browse(path="no/such.csv"),
        shelf.browse(path="no/such.csv", glob="*"),
        shelf.query("FROM 'no/such.csv'"),
    ):
        fault = await fault_of(call)
        assert fault.reason == "PATH_NOT_FOUND" and "no/such" in fault.message
    for path in ("", "folder/"):
        assert (await fault_of(shelf.fetch(path))).reason == "INVALID_FIELD"
    request = pb.InspectRequest(grant=await shelf.grant(), path="a.csv", version="snapshot=x")
    assert (await fault_of(shelf.stub.Inspect(request))).reason == "INVALID_FIELD"


# Reading


@pytest.mark.req("B3", "D11")
@pytest.mark.parametrize("name", NAMES)
async def test_file_of_any_name_arrives_whole(shelf: Shelf, name: str) -> None:
    shelf.put(name, CSV)
    events = await shelf.fetch(name)
    header = events[0].header
    assert (header.name, header.size_bytes, header.format) == (name, len(CSV), pb.FORMAT_RAW)
    assert joined(events) == CSV
    assert events[-2].summary.sha256 == hashlib.sha256(CSV).hexdigest()
    assert events[-1].complete.items == 1


@pytest.mark.req("B8", "D11")
@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 4 * 1024 * 1024, 5_120_001])
async def test_file_of_any_size_arrives_in_bounded_pieces(shelf: Shelf, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    shelf.put("big.bin", data)
    events = await shelf.fetch("big.bin")
    assert joined(events) == data
    assert max(len(event.piece) for event in events) <= 1024 * 1024
    assert events[-1].complete.bytes == size
    if size > 302_000:
        part = await shelf.fetch("big.bin", offset_bytes=1000, length_bytes=300_000)
        assert joined(part) == data[1000:301_000]
        rest = await shelf.fetch("big.bin", offset_bytes=size - 5)
        assert joined(rest) == data[-5:]
    fault = await fault_of(shelf.fetch("big.bin", offset_bytes=size + 1))
    assert fault.reason == "INVALID_FIELD"


@pytest.mark.req("B7", "D11")
async def test_size_limit_is_told_before_bytes_move(tmp_path: Path) -> None:
    async with open_shelf(tmp_path, max_file_bytes=2000, max_request_bytes=3000) as shelf:
        for name in ("s/a.csv", "s/b.csv"):
            shelf.put(name, CSV * 40)
        fault = await fault_of(shelf.fetch("s/a.csv", limits=pb.Limits(max_bytes=100)))
        assert fault.reason == "TOO_LARGE" and fault.fields["limit_bytes"] == "100"
        assert joined(await shelf.fetch("s/a.csv")) == CSV * 40
        fault = await fault_of(shelf.fetch("s/*.csv"))
        assert fault.reason == "TOO_LARGE" and "2 files together" in fault.message
        shelf.put("c.csv", CSV * 100)
        for format in (pb.FORMAT_RAW, pb.FORMAT_CSV, pb.FORMAT_UNPACKED):
            fault = await fault_of(shelf.fetch("c.csv", format=format))
            assert fault.reason == "TOO_LARGE" and fault.fields["path"] == "c.csv"


@pytest.mark.req("D11")
async def test_raw_glob_gives_an_item_for_each_file(shelf: Shelf) -> None:
    for name in ("s/a.csv", "s/b.csv", "t/c.csv"):
        shelf.put(name, CSV)
    events = await shelf.fetch("s/*.csv", format=pb.FORMAT_RAW)
    headers = [event.header.name for event in events if event.HasField("header")]
    assert headers == ["s/a.csv", "s/b.csv"]
    assert events[-1].complete.bytes == 2 * len(CSV)
    # a file whose own name is a pattern is that file alone
    shelf.put("s/*.csv", b"own")
    assert joined(await shelf.fetch("s/*.csv")) == b"own"


@pytest.mark.req("B3", "D11")
@pytest.mark.parametrize(
    ("name", "data", "inner"),
    [
        ("l/a.log.gz", gzip.compress(b"one line\n" * 9), "l/a.log"),
        ("l/a.log.bz2", bz2.compress(b"one line\n" * 9), "l/a.log"),
        ("l/a.log", b"one line\n" * 9, "l/a.log"),
    ],
    ids=["gzip", "bzip2", "plain"],
)
async def test_compressed_file_is_given_unpacked(
    shelf: Shelf, name: str, data: bytes, inner: str
) -> None:
    shelf.put(name, data)
    events = await shelf.fetch(name, format=pb.FORMAT_UNPACKED)
    assert joined(events) == b"one line\n" * 9 and events[0].header.name == inner
    assert joined(await shelf.fetch(name)) == data
    limits = pb.Limits(max_bytes=80)
    fault = await fault_of(shelf.fetch(name, format=pb.FORMAT_UNPACKED, limits=limits))
    assert fault.reason == "TOO_LARGE"


def written(name: str) -> bytes:
    sink = io.BytesIO()
    match name.split(".", 1)[1]:
        case "csv" | "csv.gz":
            FRAME.to_csv(sink, index=False)
        case "tsv":
            FRAME.to_csv(sink, index=False, sep="\t")
        case "parquet":
            FRAME.to_parquet(sink)
        case "xlsx":
            FRAME.to_excel(sink, index=False)
        case "feather":
            pyarrow.feather.write_feather(pa.Table.from_pandas(FRAME), sink)
        case "arrow":
            table = pa.Table.from_pandas(FRAME)
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        case _:
            FRAME.to_json(sink, orient="records", lines=name.endswith("l"))
    return gzip.compress(sink.getvalue()) if name.endswith(".gz") else sink.getvalue()


KINDS = ["csv", "csv.gz", "tsv", "parquet", "xlsx", "feather", "arrow", "json", "jsonl"]


@pytest.mark.req("P3", "D11")
@pytest.mark.parametrize("kind", KINDS)
async def test_each_format_is_read_as_a_table(shelf: Shelf, kind: str) -> None:
    shelf.put(f"t.{kind}", written(f"t.{kind}"))
    shown = await shelf.inspect(f"t.{kind}")
    assert [column.name for column in shown.columns] == ["id", "name"]
    for format in (pb.FORMAT_ARROW, pb.FORMAT_PARQUET, pb.FORMAT_CSV):
        events = await shelf.fetch(f"t.{kind}", format=format)
        if format == pb.FORMAT_ARROW:
            read = arrow(events)
        elif format == pb.FORMAT_PARQUET:
            read = pq.read_table(io.BytesIO(joined(events)))
        else:
            assert joined(events) == b'id,name\n1,"a"\n2,"b"\n3,\n'
            continue
        assert read.to_pydict() == {"id": [1, 2, 3], "name": ["a", "b", None]}
    (only,) = (await shelf.table(f"t.{kind}", columns=["name"])).column_names
    assert only == "name"


@pytest.mark.req("D11")
async def test_workbook_tells_its_sheets(shelf: Shelf) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Targets"
    book.active.append(["region", "target"])
    book.active.append(["North", 3])
    book.create_sheet("Notes").append(["x"])
    sink = io.BytesIO()
    book.save(sink)
    shelf.put("budget.xlsx", sink.getvalue())
    shown = await shelf.inspect("budget.xlsx")
    assert dict(shown.entry.properties) == {"sheet": "Targets", "sheets": "Targets, Notes"}
    assert (await shelf.table("budget.xlsx")).to_pydict() == {"region": ["North"], "target": [3]}


@pytest.mark.req("P9", "D11")
async def test_glob_is_one_table_with_rows_limited_exactly(shelf: Shelf) -> None:
    for month in (1, 2):
        shelf.put(f"year=2026/month={month}/part.parquet", parquet())
    path = "year=*/month=*/*.parquet"
    shown = await shelf.inspect(path)
    assert shown.rows == 20 and len(shown.members) == 2
    # what the folders say is in columns
    assert [column.name for column in shown.columns] == ["id", "name", "year", "month"]
    limits = pb.Limits(max_rows=13)
    events = await shelf.fetch(path, format=pb.FORMAT_CSV, limits=limits)
    assert len(joined(events).splitlines()) == 14
    summary = next(event.summary for event in events if event.HasField("summary"))
    assert summary.truncated and summary.truncated_by == "row limit of 13"
    events = await shelf.fetch(path, format=pb.FORMAT_CSV, limits=pb.Limits(max_bytes=100))
    assert len(joined(events)) <= 100 and events[-2].summary.truncated_by == "byte limit of 100"


@pytest.mark.req("D10", "D11")
async def test_preview_and_profile_of_a_file(shelf: Shelf) -> None:
    shelf.put("p.parquet", parquet(50))
    shown = await shelf.preview("p.parquet", rows=5)
    with pa.ipc.open_stream(shown.arrow) as reader:
        assert reader.read_all().num_rows == 5
    assert shown.truncated
    told = await shelf.stub.Profile(pb.ProfileRequest(grant=await shelf.grant(), path="p.parquet"))
    assert told.rows == 50 and told.basis == "exact"
    assert [column.name for column in told.columns] == ["id", "name"]
    assert told.columns[0].mean == pytest.approx(24.5)


@pytest.mark.req("D11", "P10")
async def test_sql_over_files_reads_what_it_names_and_nothing_else(shelf: Shelf) -> None:
    for region, amount in (("North", 2), ("South", 3)):
        shelf.put(f"sales/{region}.csv", f"region,amount\n{region},{amount}\n{region},1\n")
    sql = (
        "SELECT region, sum(amount) AS n FROM 'sales/*.csv' WHERE amount > $1 GROUP BY 1 ORDER BY 1"
    )
    found = await shelf.query(sql, pb.Parameter(integer=1))
    assert found.to_pydict() == {"region": ["North", "South"], "n": [2, 3]}
    outside = shelf.root.parent / "secret.csv"
    outside.write_text("a\nkept\n")
    for path in (str(outside), "../secret.csv", f"file://{outside}", "/proc/self/environ"):
        fault = await fault_of(shelf.query(f"SELECT * FROM '{path}'"))
        assert fault.reason in ("PATH_NOT_FOUND", "QUERY_NOT_READ_ONLY", "QUERY_FAILED"), fault
        assert "kept" not in str(fault)
    fault = await fault_of(shelf.query("SELEC 1"))
    assert fault.reason in ("QUERY_FAILED", "QUERY_NOT_READ_ONLY")
    fault = await fault_of(shelf.query("COPY (SELECT 1) TO 'x.csv'"))
    assert fault.reason == "QUERY_NOT_READ_ONLY" and not (shelf.root / "x.csv").exists()


@pytest.mark.req("S6", "D11")
@pytest.mark.parametrize("name", ["bad.parquet", "bad.arrow", "bad.xlsx", "bad.csv.gz", "bad.json"])
async def test_file_that_is_no_table_is_told(shelf: Shelf, name: str) -> None:
    shelf.put(name, b"not what the name says at all")
    fault = await fault_of(shelf.inspect(name))
    assert fault.reason == "UNREADABLE_FORMAT" and name in fault.message
    assert joined(await shelf.fetch(name)) == b"not what the name says at all"


# Grants


@pytest.mark.req("X4", "D11")
async def test_grant_bounds_what_is_seen_read_and_written(shelf: Shelf) -> None:
    for name in ("in/a.csv", "out/b.csv", "in/sub/c.csv"):
        shelf.put(name, CSV)
    grant = await shelf.grant("list", "read", scopes=["in/"])
    assert await shelf.browse(grant=grant, glob="**") == ["in/a.csv", "in/sub/c.csv"]
    assert await shelf.browse(grant=grant) == ["in/"]
    assert joined(await shelf.fetch("in/a.csv", grant=grant)) == CSV
    assert (await shelf.query("FROM 'in/*.csv'", grant=grant)).num_rows == 2
    for call in (
        shelf.fetch("out/b.csv", grant=grant),
        shelf.fetch("*/*.csv", grant=grant),
        shelf.fetch("[io]*/*.csv", grant=grant),
        shelf.fetch("in/../out/b.csv", grant=grant),
        shelf.inspect("out/b.csv", grant=grant),
        shelf.query("FROM 'out/b.csv'", grant=grant),
        shelf.store("in/new.csv", b"x", grant=grant),
    ):
        assert (await fault_of(call)).reason == "BEYOND_GRANT"
    listing = await shelf.grant("list")
    assert (await fault_of(shelf.fetch("in/a.csv", grant=listing))).reason == "BEYOND_GRANT"


@pytest.mark.req("X4", "D11")
async def test_grant_is_spent_over_all_its_calls(shelf: Shelf) -> None:
    shelf.put("a.csv", CSV)
    grant = await shelf.grant("read", max_rows=3)
    assert (await shelf.table("a.csv", grant=grant)).num_rows == 2
    assert (await shelf.table("a.csv", grant=grant)).num_rows == 1
    assert (await fault_of(shelf.table("a.csv", grant=grant))).reason == "BEYOND_GRANT"


async def test_grant_of_another_type_is_refused(shelf: Shelf) -> None:
    request = credentials.MintGrantRequest(
        owner="me",
        caller="key",
        source_id="ds-lake",
        source_type="azure_blob",
        source_version=1,
        config=shelf.config(),
        operations=["list"],
    )
    grant = (await shelf.credentials.MintGrant(request)).grant
    assert (await fault_of(shelf.browse(grant=grant))).reason == "GRANT_INVALID"
    assert (await fault_of(shelf.browse(grant="forged"))).reason == "GRANT_INVALID"


@pytest.mark.req("D3", "D11")
async def test_deleted_source_is_refused(shelf: Shelf) -> None:
    shelf.put("a.csv", CSV)
    grant = await shelf.grant()
    assert joined(await shelf.fetch("a.csv", grant=grant)) == CSV
    told = await shelf.stub.Disconnect(pb.DisconnectRequest(grant=grant))
    assert told.closed == 0
    await shelf.credentials.DeleteSecret(credentials.DeleteSecretRequest(source_id=shelf.name))
    for _ in range(200):
        try:
            await shelf.fetch("a.csv", grant=grant)
        except grpc.RpcError as refused:
            assert decode(refused).reason == "GRANT_REVOKED"
            return
    pytest.fail("the grant outlived its source")


@pytest.mark.req("D11")
async def test_folder_confines_everything(shelf: Shelf) -> None:
    for name in ("in/a.csv", "in/deep/b.csv", "out/c.csv"):
        shelf.put(name, CSV)
    grant = await shelf.grant(config={"folder": "in/"})
    assert await shelf.browse(grant=grant, glob="**") == ["a.csv", "deep/b.csv"]
    assert joined(await shelf.fetch("a.csv", grant=grant)) == CSV
    for name in ("../out/c.csv", "x/../../out/c.csv", "/out/c.csv", "in/a.csv"):
        fault = await fault_of(shelf.fetch(name, grant=grant))
        assert fault.reason == "PATH_NOT_FOUND"
    for folder in ("../data", "/etc", "in/..", ".hidden"):
        elsewhere = await shelf.grant(config={"folder": folder})
        fault = await fault_of(shelf.browse(grant=elsewhere))
        assert fault.reason == "INVALID_FIELD" and fault.fields["field"] == "config.folder"


# Errors


def leaves(kind: type[BaseException]) -> set[type[BaseException]]:
    below = [leaves(each) for each in kind.__subclasses__()]
    return set().union(*below) if below else {kind}


@pytest.mark.req("S6")
def test_each_fault_has_a_status_and_a_documented_reason() -> None:
    assert leaves(errors.FolderFault) <= {*STATUSES, *OWN_STATUSES}
    values = errors_pb2.ErrorReason.DESCRIPTOR.values
    known = {value.name.removeprefix("ERROR_REASON_") for value in values}
    assert {status.reason for status in STATUSES.values()} <= known
