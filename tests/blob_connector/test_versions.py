"""What a blob was before: snapshots on Azurite, versions and deleted blobs as Azure tells them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, fault_of, joined
from tests.blob_connector.proxy import Proxy
from tests.blob_connector.test_servicer import CSV

OLD, NOW = "versionid=2026-11-01T10:00:00.1234567Z", "2026-11-02T10:00:00.0000000Z"
BLOB = """<Blob><Name>a.csv</Name>{told}<Properties><Last-Modified>Sun, 01 Nov 2026 10:00:00 GMT</Last-Modified>
<Etag>0x1</Etag><Content-Length>4</Content-Length><Content-Type>text/csv</Content-Type><BlobType>BlockBlob</BlobType>{more}</Properties></Blob>"""
LISTED = """<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"""


def answer(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body]).encode()


def account_sas(lake: Lake) -> str:
    """Azurite takes a container's for snapshots only if it was signed for that very one."""
    return generate_account_sas(
        lake.azurite.account,
        account_key=lake.azurite.key,
        resource_types=ResourceTypes(container=True, object=True),
        permission=AccountSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )


async def fetched(lake: Lake, grant: str, **selection: Any) -> list[pb.FetchResponse]:
    request = pb.FetchRequest(grant=grant, selection=pb.Selection(**selection))
    return [event async for event in lake.stub.Fetch(request)]


async def snapshots(lake: Lake) -> list[str]:
    """Of a.csv, the older first; what it is now is the third."""
    client = lake.container.get_blob_client("a.csv")
    found = []
    for text in (b"n\n1\n", b"n\n2\n"):
        await client.upload_blob(text, overwrite=True)
        found.append(f"snapshot={(await client.create_snapshot())['snapshot']}")
    await client.upload_blob(b"n\n3\n4\n", overwrite=True)
    return found


async def entries(lake: Lake, **request: Any) -> list[pb.Entry]:
    """Of all pages, each of one."""
    found: list[pb.Entry] = []
    grant, token = await lake.grant(), ""
    while True:
        asked = pb.BrowseRequest(grant=grant, page_token=token, page_size=1, **request)
        page = await lake.stub.Browse(asked)
        assert len(page.entries) <= 1
        found += page.entries
        if not (token := page.next_page_token):
            return found


@pytest.mark.req("B2")
async def test_snapshots_are_listed_where_they_are_asked_for(lake: Lake) -> None:
    old = await snapshots(lake)
    await lake.container.upload_blob("b.csv", CSV)
    assert [each.path for each in await entries(lake, glob="**")] == ["a.csv", "b.csv"]
    found = await entries(lake, glob="**", include=[pb.INCLUDE_SNAPSHOTS])
    assert [(each.path, each.version) for each in found] == [
        ("a.csv", old[0]),
        ("a.csv", old[1]),
        ("a.csv", ""),
        ("b.csv", ""),
    ]
    assert [each.size_bytes for each in found[:3]] == [4, 4, 6]


@pytest.mark.req("B2")
async def test_tags_are_told_where_they_are_asked_for(lake: Lake) -> None:
    await lake.container.upload_blob("x/a.csv", CSV, tags={"team": "north", "year": "2026"})
    for request in ({"path": "x/"}, {"glob": "**"}):
        (plain,) = await entries(lake, **request)
        assert dict(plain.properties) == {"tier": "Hot"}
        (found,) = await entries(lake, include=[pb.INCLUDE_TAGS], **request)
        told = {"tier": "Hot", "tag.team": "north", "tag.year": "2026"}
        assert dict(found.properties) == told


@pytest.mark.req("B2", "B1")
@pytest.mark.parametrize("way", ["account_key", "connection_string", "sas_token"])
async def test_snapshot_is_read_by_each_way_to_sign_in(lake: Lake, way: str) -> None:
    old = await snapshots(lake)
    secrets = {
        "account_key": lake.azurite.key,
        "connection_string": lake.azurite.connection_string,
        "sas_token": account_sas(lake),
    }
    await lake.secret(**{way: secrets[way]})  # type: ignore[arg-type]
    grant = await lake.grant(version=2)

    def chosen(version: str) -> pb.Selection:
        return pb.Selection(path="a.csv", version=version)

    for version, text in zip([*old, ""], (b"n\n1\n", b"n\n2\n", b"n\n3\n4\n"), strict=True):
        assert joined(await fetched(lake, grant, path="a.csv", version=version)) == text
    asked = pb.InspectRequest(grant=grant, path="a.csv", version=old[0])
    told = await lake.stub.Inspect(asked)
    assert told.entry.version == old[0] and [each.name for each in told.columns] == ["n"]
    shown = await lake.stub.Preview(pb.PreviewRequest(grant=grant, selection=chosen(old[1])))
    assert shown.columns[0].name == "n"


@pytest.mark.req("B2", "D4")
async def test_wrong_versions_are_told(lake: Lake) -> None:
    await snapshots(lake)
    grant = await lake.grant()
    gone = "snapshot=2020-01-01T00:00:00.0000000Z"
    fault = await fault_of(fetched(lake, grant, path="a.csv", version=gone))
    assert fault.reason == "PATH_NOT_FOUND"
    for version in ("yesterday", "snapshot=", "sig=x", "snapshot=2020-01-01T00:00:00.0Z&sig=x"):
        fault = await fault_of(fetched(lake, grant, path="a.csv", version=version))
        assert (fault.reason, fault.fields["field"]) == ("INVALID_FIELD", "version")
    asked = fetched(lake, grant, query=pb.Query(sql="FROM 'a.csv'"), version=OLD)
    fault = await fault_of(asked)
    assert (fault.reason, fault.fields["field"]) == ("INVALID_FIELD", "selection.version")
    fault = await fault_of(lake.browse(grant=grant, include=[pb.INCLUDE_VERSIONS]))
    assert (fault.reason, fault.fields["field"]) == ("INVALID_FIELD", "include")


@pytest.mark.req("B2")
async def test_versions_and_deleted_blobs_are_told_apart(lake: Lake, proxy: Proxy) -> None:
    deleted = "<Deleted>true</Deleted>"
    blobs = [
        BLOB.format(told=f"<VersionId>{OLD.partition('=')[2]}</VersionId>", more=""),
        BLOB.format(
            told=f"<VersionId>{NOW}</VersionId><IsCurrentVersion>true</IsCurrentVersion>", more=""
        ),
        BLOB.format(
            told=deleted, more="<RemainingRetentionDays>6</RemainingRetentionDays>"
        ).replace("a.csv", "gone.csv"),
    ]
    listed = LISTED.format(blobs="".join(blobs))
    proxy.answers = [answer("200 OK", listed, "Content-Type: application/xml")]
    grant = await lake.grant(config=lake.through(proxy))
    include = [pb.INCLUDE_VERSIONS, pb.INCLUDE_DELETED]
    page = await lake.stub.Browse(pb.BrowseRequest(grant=grant, glob="*", include=include))
    assert [(each.path, each.version, each.readable) for each in page.entries] == [
        ("a.csv", OLD, True),
        ("a.csv", "", True),
        ("gone.csv", "", False),
    ]
    gone = page.entries[2]
    assert gone.properties["deleted"] == "true" and "6 more days" in gone.comment
    assert "include=metadata%2Cversions%2Cdeleted" in proxy.requests[0].replace(",", "%2C")


@pytest.mark.req("B2")
async def test_version_is_asked_of_the_service(lake: Lake, proxy: Proxy) -> None:
    kept = (
        "ETag: 0x1",
        "x-ms-blob-type: BlockBlob",
        "Last-Modified: Sun, 01 Nov 2026 10:00:00 GMT",
    )
    proxy.answers = [
        answer("200 OK", "n\n7\n", *kept),
        answer("206 Partial Content", "n\n7\n", *kept, "Content-Range: bytes 0-3/4"),
    ]
    grant = await lake.grant(config=lake.through(proxy))
    assert joined(await fetched(lake, grant, path="a.csv", version=OLD)) == b"n\n7\n"
    for request, method in zip(proxy.requests, ("HEAD", "GET"), strict=True):
        assert request.startswith(method)
        assert "versionid=2026-11-01T10" in request.replace("%3A", ":")
