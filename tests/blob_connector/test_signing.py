"""Signing in: what each credential may, what is said of it, and that nothing of it is told."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from dev.azurite import Azurite
from isobath.connector.v1 import connector_pb2 as pb
from isobath.credentials.v1 import credentials_pb2 as credentials
from servicekit.secrets import Secret
from services.blob_connector.checking import expiry_warning
from services.blob_connector.errors import BadConfig
from services.blob_connector.identity import account_of, connect
from services.blob_connector.settings import Settings
from tests.blob_connector.conftest import Lake, fault_of, joined, open_lake
from tests.blob_connector.proxy import Proxy, answer

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def sas(lake: Lake, permission: str, hours: float = 24 * 30, key: str = "") -> str:
    return generate_container_sas(
        lake.azurite.account,
        lake.container.container_name,
        account_key=key or lake.azurite.key,
        permission=ContainerSasPermissions.from_string(permission),
        start=datetime.now(UTC) - timedelta(hours=2),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )


async def checked(lake: Lake, version: int, **secret: str) -> pb.CheckResponse:
    await lake.secret(**secret)  # type: ignore[arg-type]
    told: pb.CheckResponse = await lake.stub.Check(
        pb.CheckRequest(grant=await lake.grant(version=version))
    )
    return told


@pytest.mark.req("D4", "B1")
async def test_check_tells_what_the_credential_may(lake: Lake) -> None:
    await lake.container.upload_blob("a.csv", b"a\n1\n")
    told = await checked(lake, 2, account_key=lake.azurite.key)
    assert [step.passed for step in told.steps] == [True] * 3
    assert told.writable and "sp=rl" in told.advice and not told.warnings
    assert told.latency.nanos and told.server_version.startswith("Azurite-Blob/3")
    read = await checked(lake, 3, sas_token="?" + sas(lake, "rl"))
    assert all(step.passed for step in read.steps) and not read.writable and not read.advice
    assert (await checked(lake, 4, sas_token=sas(lake, "rlw"))).writable
    assert (await checked(lake, 5, sas_token=sas(lake, "rlc"))).writable
    soon = await checked(lake, 6, sas_token=sas(lake, "rl", hours=5))
    assert len(soon.warnings) == 1 and "SAS token ends at" in soon.warnings[0]
    in_string = (
        f"BlobEndpoint={lake.azurite.account_url};SharedAccessSignature={sas(lake, 'rl', 5)}"
    )
    told = await checked(lake, 7, connection_string=in_string)
    assert all(step.passed for step in told.steps) and told.warnings and not told.writable
    # nothing was written to find that out
    assert [n async for n in lake.container.list_blob_names()] == ["a.csv"]


@pytest.mark.req("D4", "B5")
@pytest.mark.parametrize(
    ("permission", "hours", "step", "reason", "remedy"),
    [
        ("l", 24, "read", "SOURCE_FORBIDDEN", "data-plane role"),
        ("r", 24, "read", "SOURCE_FORBIDDEN", "sp=rl"),
        ("rl", -1, "authenticate", "SOURCE_AUTHENTICATION_FAILED", "expired"),
    ],
)
async def test_check_says_which_step_failed_and_what_to_do(
    lake: Lake, permission: str, hours: float, step: str, reason: str, remedy: str
) -> None:
    await lake.container.upload_blob("a.csv", b"a\n1\n")
    told = await checked(lake, 2, sas_token=sas(lake, permission, hours))
    last = told.steps[-1]
    assert (last.name, last.passed, last.reason) == (step, False, reason)
    assert remedy in last.remedy and "SAS token" in last.message


@pytest.mark.req("B5", "S4", "S6")
async def test_no_part_of_a_secret_is_told_or_logged(
    lake: Lake, capfd: pytest.CaptureFixture[str]
) -> None:
    planted = base64.b64encode(b"planted-key-that-nobody-may-see!").decode()
    account, url = lake.azurite.account, lake.azurite.account_url
    ways: list[dict[str, str]] = [
        {"account_key": planted},
        {"account_key": "planted-key-that-is-no-base64"},
        {"account_key": "planted key, with ; and \n lines"},
        {"sas_token": f"sv=2022-11-02&sp=rl&sr=c&se=2099-01-01&sig={planted}"},
        {"sas_token": "planted-token-that-is-no-token"},
        {"connection_string": f"AccountName={account};AccountKey={planted};BlobEndpoint={url}"},
        {"connection_string": "planted-connection-string"},
        {"connection_string": f"AccountKey={planted}"},
        {"connection_string": f"BlobEndpoint={url};SharedAccessSignature=sig={planted}&sp=rl"},
    ]
    said: list[str] = []
    for version, way in enumerate(ways, 2):
        await lake.secret(**way)  # type: ignore[arg-type]
        grant = await lake.grant(version=version)
        said.append(str(await lake.stub.Check(pb.CheckRequest(grant=grant))))
        for call in (
            lake.browse(grant=grant), lake.inspect("a.csv", grant=grant),
            lake.preview("a.csv", grant=grant), lake.fetch("a.csv", grant=grant),
            lake.store("a.csv", b"x", grant=grant),
        ):  # fmt: skip
            fault = await fault_of(call)
            assert fault.reason in ("SOURCE_AUTHENTICATION_FAILED", "INVALID_FIELD"), (way, fault)
            said.append(f"{fault} {fault.remedy} {dict(fault.fields)}")
    logs = "".join(capfd.readouterr())
    for text in (*said, logs):
        assert "planted" not in text and planted not in text and planted[:12] not in text
    assert lake.azurite.key not in logs and "SOURCE_AUTHENTICATION_FAILED" in "".join(said)


@pytest.mark.req("D5", "B1")
@pytest.mark.parametrize(
    ("config", "secrets", "field"),
    [
        ({}, {}, "secrets"),
        ({}, {"account_key": "a2V5", "sas_token": "sig=x"}, "secrets"),
        ({}, {"password": "x"}, "secrets"),
        ({"account_url": ""}, {"account_key": "a2V5"}, "config.account_url"),
        ({"account_url": ""}, {"sas_token": "sig=x"}, "config.account_url"),
        ({"account_url": "https://"}, {"sas_token": "sig=x"}, "config.account_url"),
        ({"container": ""}, {"account_key": "a2V5"}, "config.container"),
        ({}, {"connection_string": "nonsense"}, "secrets.connection_string"),
        ({}, {"account_key": ""}, "secrets.account_key"),
    ],
)
async def test_settings_that_make_no_connection_name_the_field(
    config: dict[str, str], secrets: dict[str, str], field: str
) -> None:
    whole = {"account_url": "https://a.blob.core.windows.net", "container": "c", **config}
    with pytest.raises(BadConfig) as raised:
        connect(whole, {name: Secret(value) for name, value in secrets.items()}, Settings())
    assert raised.value.metadata()["field"] == field


@pytest.mark.req("B1")
@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("https://acct.blob.core.windows.net", "acct"),
        ("https://acct.privatelink.blob.core.windows.net/", "acct"),
        ("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"),
        ("http://localhost:10000/devstoreaccount1/", "devstoreaccount1"),
        ("http://[::1]:10000/acct", "acct"),
    ],
)
def test_account_is_read_off_its_address(url: str, account: str) -> None:
    assert account_of(url) == account


@pytest.mark.req("D4")
@pytest.mark.parametrize(
    ("days", "said"), [(None, ""), (30, ""), (3, "ends at 2026-06-04"), (-1, "ended at 2026-05-31")]
)
def test_expiry_is_warned_of_a_week_before(days: int | None, said: str) -> None:
    when = None if days is None else NOW + timedelta(days=days)
    warned = expiry_warning(when, NOW)
    assert said in warned and bool(said) == bool(warned)


@pytest.mark.req("D3", "B1")
async def test_new_secret_is_used_once_the_lease_of_the_old_one_ends(
    azurite: Azurite, tmp_path: Path, no_leaks: Any
) -> None:
    async with open_lake(azurite, tmp_path, lease_s=1.0, retries=0) as lake:
        await lake.container.upload_blob("a.csv", b"x")
        assert joined(await lake.fetch("a.csv")) == b"x"
        await lake.secret(account_key=base64.b64encode(b"wrong").decode())
        assert await settled(lake, steps=2) == "SOURCE_AUTHENTICATION_FAILED"
        await lake.secret(account_key=lake.azurite.key)
        assert await settled(lake, steps=3) == ""
        assert joined(await lake.fetch("a.csv")) == b"x"


async def settled(lake: Lake, steps: int) -> str:
    """What the last step of a check says, once there are so many."""
    for _ in range(100):
        told = await lake.stub.Check(pb.CheckRequest(grant=await lake.grant()))
        if len(told.steps) == steps:
            return str(told.steps[-1].reason)
        await asyncio.sleep(0.05)
    pytest.fail("the old secret is still in use")


@pytest.mark.req("P7")
async def test_disconnect_lets_go_and_the_next_call_connects_again(lake: Lake) -> None:
    await lake.container.upload_blob("a.csv", b"x")
    grant = await lake.grant()
    assert await lake.browse(grant=grant) == ["a.csv"]
    for closed in (1, 0):
        told = await lake.stub.Disconnect(pb.DisconnectRequest(grant=grant))
        assert told.closed == closed
    assert await lake.browse(grant=grant) == ["a.csv"]


async def test_sources_beyond_those_kept_open_work_on(
    azurite: Azurite, tmp_path: Path, no_leaks: Any
) -> None:
    async with open_lake(azurite, tmp_path, open_containers=2) as lake:
        await lake.container.upload_blob("a.csv", b"x")
        for _ in range(2):
            for version in range(1, 6):
                grant = await lake.grant(version=version)
                assert await lake.browse(grant=grant) == ["a.csv"]


@pytest.mark.req("B1", "B2")
async def test_sas_of_a_directory_asks_for_nothing_beside_it(lake: Lake, proxy: Proxy) -> None:
    """Azurite knows no such SAS (sr=d): here it is held that each request lies in the directory."""
    listed = (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob><Name>team/a/x.csv'
        "</Name><Properties><Last-Modified>Sun, 01 Nov 2026 10:00:00 GMT</Last-Modified><Etag>0x1"
        "</Etag><Content-Length>4</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
        "</Blobs><NextMarker/></EnumerationResults>"
    )
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {len(listed)}"
    page = f"{head}\r\nConnection: close\r\n\r\n{listed}".encode()
    refused = answer("403 Forbidden", "AuthorizationPermissionMismatch", "It may not.")
    token = "sv=2022-11-02&sp=rl&sr=d&sdd=2&se=2099-01-01T00:00:00Z&sig=abc%3D"
    config = lake.config(**lake.through(proxy), prefix="team/a")
    await lake.secret(source_id="ds-dir", config=config, sas_token=token)
    request = credentials.MintGrantRequest(
        owner="me",
        caller="key",
        source_id="ds-dir",
        source_type="azure_blob",
        source_version=1,
        config=config,
        operations=("list", "read"),
    )
    grant = (await lake.credentials.MintGrant(request)).grant
    proxy.answers = [page, page, page, page, refused]
    assert await lake.browse(grant=grant, glob="**") == ["x.csv"]
    told = await lake.stub.Check(pb.CheckRequest(grant=grant))
    assert all(step.passed for step in told.steps), told
    assert not told.writable and [line.split(" ")[0] for line in proxy.requests] == [
        *("GET", "GET", "GET", "HEAD", "PUT")
    ]
    for line in proxy.requests:
        place, _, query = line.split(" ")[1].partition("?")
        within = "prefix=team/a/" in query.replace("%2F", "/") or "/team/a/" in place
        assert within and "sr=d" in query and "sig=abc%3D" in query, line
