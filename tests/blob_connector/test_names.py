"""Names as people and programs give them, and containers with many of them."""

import asyncio

import pytest

from isobath.connector.v1 import connector_pb2 as pb
from services.blob_connector import listing
from tests.blob_connector.conftest import Lake, fault_of, joined

ODD = [
    "%2e%2e/x.csv",
    "/abs.csv",
    "a//b.csv",
    "brace{a,b}.csv",
    "c[1].csv",
    "d?e*.csv",
    "end.",
    "nothing",
    "q#?%&=+;@.csv",
    "with space/é ü 数据 😀.csv",
    "y" * 1000 + ".csv",
    "z\u200b.csv",
    "~tilde'quote\".csv",
]


@pytest.mark.req("B2", "B3")
async def test_what_browse_shows_is_what_fetch_takes(lake: Lake) -> None:
    """Also where a name looks like a pattern: that blob alone is meant."""
    decoys = ["c1.csv", "bracea.csv", "dxe.csv"]
    for name in [*ODD, *decoys]:
        await lake.container.upload_blob(name, name.encode())
    flat = await lake.browse(glob="**", page_size=3)
    assert sorted(flat) == sorted([*ODD, *decoys])
    for name in ODD:
        events = await lake.fetch(name)
        assert joined(events) == name.encode() and events[-1].complete.items == 1


@pytest.mark.req("B3", "X4")
@pytest.mark.parametrize("name", ["../a", "a/../b", "./a", "a/.", "..", "a\\..\\b", "a/.."])
async def test_names_that_lead_elsewhere_are_not_asked_for(lake: Lake, name: str) -> None:
    fault = await fault_of(lake.fetch(name))
    assert fault.reason == "PATH_NOT_FOUND" and "not asked for" in fault.message


@pytest.mark.parametrize("path", ["", "folder/"])
async def test_folder_is_not_fetched(lake: Lake, path: str) -> None:
    assert (await fault_of(lake.fetch(path))).reason == "INVALID_FIELD"


async def test_torn_pattern_is_told_unless_a_blob_is_named_so(lake: Lake) -> None:
    assert (await fault_of(lake.fetch("a[.csv"))).reason == "INVALID_FIELD"
    assert (await fault_of(lake.browse(glob="a{.csv"))).reason == "INVALID_FIELD"
    await lake.container.upload_blob("a[.csv", b"x")
    assert joined(await lake.fetch("a[.csv")) == b"x"


@pytest.mark.req("B2")
async def test_entries_tell_size_time_type_and_etag(lake: Lake) -> None:
    from azure.storage.blob import ContentSettings

    kind = ContentSettings(content_type="text/csv")
    put = await lake.container.upload_blob("f/a.csv", b"12345", content_settings=kind)
    await lake.container.upload_blob("f/g/b.csv", b"1")
    kept = await put.get_blob_properties()
    page = await lake.stub.Browse(pb.BrowseRequest(grant=await lake.grant(), path="f/"))
    blob, folder = page.entries
    assert (folder.path, folder.name, folder.kind) == ("f/g/", "g", pb.ENTRY_KIND_PREFIX)
    assert (blob.path, blob.name, blob.kind) == ("f/a.csv", "a.csv", pb.ENTRY_KIND_BLOB)
    assert (blob.size_bytes, blob.content_type) == (5, "text/csv")
    assert blob.etag == kept.etag.strip('"') and blob.readable
    assert blob.modified_at.ToDatetime() == kept.last_modified.replace(tzinfo=None)


async def test_folder_that_is_not_there_is_told(lake: Lake) -> None:
    assert await lake.browse() == []
    fault = await fault_of(lake.browse(path="nowhere"))
    assert fault.reason == "PATH_NOT_FOUND" and "nowhere/" in fault.message
    assert (await fault_of(lake.fetch("*.csv"))).reason == "PATH_NOT_FOUND"


@pytest.mark.parametrize("size", [-1, 1001])
async def test_page_of_an_impossible_size_is_refused(lake: Lake, size: int) -> None:
    assert (await fault_of(lake.browse(page_size=size))).reason == "INVALID_FIELD"


@pytest.mark.req("B2")
async def test_pages_lose_nothing_when_blobs_come_and_go(lake: Lake) -> None:
    for number in range(20):
        await lake.container.upload_blob(f"{number:02d}.csv", b"")
    grant, found, token = await lake.grant(), list[str](), ""
    for number in range(100):
        page = await lake.stub.Browse(
            pb.BrowseRequest(grant=grant, glob="*.csv", page_size=3, page_token=token)
        )
        found += [entry.path for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
        # one comes before what was shown, and the last shown goes
        await lake.container.upload_blob(f"00-{number}.csv", b"")
        await lake.container.delete_blob(found[-1])
    assert [name for name in found if "-" not in name] == [f"{n:02d}.csv" for n in range(20)]
    assert len(set(found)) == len(found)


@pytest.mark.req("B2")
async def test_many_blobs_on_many_pages_are_listed_once_each(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the service's pages are of 5,000; smaller ones are as many for fewer blobs
    monkeypatch.setattr(listing, "PAGE", 64)
    names = [f"f{number % 7}/{number:05d}.csv" for number in range(500)]
    slots = asyncio.Semaphore(32)

    async def put(name: str) -> None:
        async with slots:
            await lake.container.upload_blob(name, b"")

    await asyncio.gather(*map(put, names))
    assert await lake.browse(glob="**", page_size=100) == sorted(names)
    assert await lake.browse(path="f3", page_size=99) == sorted(n for n in names if n[:2] == "f3")
    assert await lake.browse(glob="f[12]/*99.csv", page_size=7) == sorted(
        name for name in names if name[:2] in ("f1", "f2") and name.endswith("99.csv")
    )
    assert await lake.browse() == [f"f{number}/" for number in range(7)]
    events = await lake.fetch("f5/*.csv")
    assert events[-1].complete.items == len([name for name in names if name[:2] == "f5"])


@pytest.mark.req("B2")
async def test_only_blobs_as_they_are_now_are_shown(lake: Lake) -> None:
    client = lake.container.get_blob_client("a.csv")
    await client.upload_blob(b"old")
    await client.create_snapshot()
    await client.upload_blob(b"new", overwrite=True)
    # a folder of a hierarchical namespace is an empty blob of its own
    await lake.container.upload_blob("dir", b"", metadata={"hdi_isfolder": "true"})
    await lake.container.upload_blob("dir/b.csv", b"b")
    await lake.container.upload_blob("gone.csv", b"")
    await lake.container.delete_blob("gone.csv")
    assert await lake.browse() == ["a.csv", "dir/"]
    assert await lake.browse(glob="**") == ["a.csv", "dir/b.csv"]
    assert joined(await lake.fetch("a.csv")) == b"new"
    assert (await lake.fetch("**"))[-1].complete.items == 2


@pytest.mark.req("B2")
async def test_archived_blob_says_so_and_how_to_rehydrate(lake: Lake) -> None:
    for name in ("cold.csv", "warm.csv"):
        await lake.container.upload_blob(name, b"a\n1\n", metadata={"owner": "ann"})
    await lake.container.get_blob_client("cold.csv").set_standard_blob_tier("Archive")
    page = await lake.stub.Browse(pb.BrowseRequest(grant=await lake.grant()))
    cold, warm = page.entries
    assert not cold.readable and "rehydrate" in cold.comment.lower()
    assert cold.properties["tier"] == "Archive" and warm.readable and not warm.comment
    for path in ("cold.csv", "*.csv"):
        fault = await fault_of(lake.fetch(path))
        assert fault.reason == "SOURCE_FORBIDDEN" and "archive" in fault.message
        assert "set-tier" in (fault.remedy or "")
    told = (await lake.inspect("warm.csv")).entry.properties
    assert told["metadata.owner"] == "ann"
