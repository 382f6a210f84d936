"""Compressed blobs, given as they are and unpacked."""

import bz2
import gzip
from typing import Any

import pyarrow as pa
import pytest
from azure.storage.blob import ContentSettings
from hypothesis import given
from hypothesis import strategies as st

from connectorkit.files.packing import ENDINGS, packing_of, without_packing
from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, fault_of, joined

MIB = 1024 * 1024
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def brotli(data: bytes) -> bytes:
    return bytes(pa.Codec("brotli").compress(data, asbytes=True))


async def unpacked(lake: Lake, path: str, **request: Any) -> list[pb.FetchResponse]:
    return await lake.fetch(path, format=pb.FORMAT_UNPACKED, **request)


def header(events: list[pb.FetchResponse]) -> pb.Header:
    return next(each.header for each in events if each.HasField("header"))


@pytest.mark.req("B3")
@pytest.mark.parametrize(
    ("name", "data", "encoding", "inner"),
    [
        ("x/a.log.gz", gzip.compress(b"text" * 999_999), "", "x/a.log"),
        # two members, as `cat a.gz b.gz` makes them
        ("a.csv.gz", gzip.compress(b"text") + gzip.compress(b"text" * 999_998), "", "a.csv"),
        ("a.bin.ZST", zstd(b"text" * 999_999), "", "a.bin"),
        ("a.bz2", bz2.compress(b"text" * 999_999), "", "a"),
        ("plain", gzip.compress(b"text" * 999_999), "gzip", "plain"),
        ("a.csv.gz", gzip.compress(b"text" * 999_999), "gzip", "a.csv"),
        ("page.html", brotli(b"text" * 999_999), "br", "page.html"),
        ("a.csv", b"text" * 999_999, "", "a.csv"),
        ("a.csv", b"text" * 999_999, "identity", "a.csv"),
    ],
    ids=["gzip", "members", "zstd", "bz2", "encoded", "both", "brotli", "plain", "identity"],
)
async def test_blob_is_given_unpacked_where_that_is_asked_for(
    lake: Lake, name: str, data: bytes, encoding: str, inner: str
) -> None:
    settings = ContentSettings(content_encoding=encoding)
    await lake.container.upload_blob(name, data, content_settings=settings)
    assert joined(await lake.fetch(name)) == data
    events = await unpacked(lake, name)
    expected = b"text" * 999_999
    assert joined(events) == expected
    told = header(events)
    assert (told.name, told.format) == (inner, pb.FORMAT_UNPACKED)
    assert told.HasField("size_bytes") == (data == expected)
    assert events[-1].complete.bytes == len(expected)


@pytest.mark.req("B3")
async def test_pattern_gives_each_blob_unpacked(lake: Lake) -> None:
    await lake.container.upload_blob("l/1.log.gz", gzip.compress(b"one"))
    await lake.container.upload_blob("l/2.log", b"two")
    await lake.container.upload_blob("l/3.log.gz", gzip.compress(b""))
    events = await unpacked(lake, "l/*")
    names = [each.header.name for each in events if each.HasField("header")]
    assert names == ["l/1.log", "l/2.log", "l/3.log"]
    assert joined(events) == b"onetwo" and events[-1].complete.items == 3


@pytest.mark.req("B3", "B5")
@pytest.mark.parametrize("over", [0, 1])
async def test_what_is_unpacked_is_counted(lake: Lake, over: int) -> None:
    """Ten thousand times smaller than what it holds."""
    await lake.container.upload_blob("bomb.gz", gzip.compress(b"\0" * (24 * MIB + over)))
    grant = await lake.grant(max_bytes=24 * MIB)
    if over:
        fault = await fault_of(unpacked(lake, "bomb.gz", grant=grant))
        assert fault.reason == "TOO_LARGE" and fault.fields["path"] == "bomb.gz"
        assert f"{24 * MIB:,}" in fault.message
    else:
        assert (await unpacked(lake, "bomb.gz", grant=grant))[-1].complete.bytes == 24 * MIB


@pytest.mark.req("B3", "D4")
@pytest.mark.parametrize(
    "data",
    [b"this is no gzip", gzip.compress(b"x" * 99_999)[:-9], b"\x1f\x8b"],
    ids=["no gzip", "cut", "its first bytes"],
)
async def test_torn_packing_is_told(lake: Lake, data: bytes) -> None:
    await lake.container.upload_blob("a.gz", data)
    fault = await fault_of(unpacked(lake, "a.gz"))
    assert fault.reason == "UNREADABLE_FORMAT" and "a.gz cannot be read as gzip" in fault.message


@pytest.mark.req("B3")
async def test_part_of_what_is_packed_is_refused(lake: Lake) -> None:
    await lake.container.upload_blob("a.gz", gzip.compress(b"one"))
    fault = await fault_of(unpacked(lake, "a.gz", offset_bytes=1))
    assert (fault.reason, fault.fields["field"]) == ("INVALID_FIELD", "offset_bytes")


@pytest.mark.req("B5", "D9")
async def test_table_that_was_stored_with_an_encoding_is_read(lake: Lake) -> None:
    settings = ContentSettings(content_encoding="gzip", content_type="text/csv")
    data = gzip.compress(b"id,name\n1,a\n2,b\n")
    await lake.container.upload_blob("t.csv", data, content_settings=settings)
    assert (await lake.table("t.csv")).to_pydict() == {"id": [1, 2], "name": ["a", "b"]}
    told = await lake.inspect("t.csv")
    assert [each.name for each in told.columns] == ["id", "name"]
    assert told.entry.properties["content_encoding"] == "gzip"


@given(st.text(), st.sampled_from([*ENDINGS, ""]))
def test_name_of_what_is_within_lacks_the_ending_alone(stem: str, ending: str) -> None:
    name = f"x{stem}{ending}"
    if ending:
        assert without_packing(name) == f"x{stem}" and packing_of(name) == ENDINGS[ending]
    elif not packing_of(name):
        assert without_packing(name) == name
