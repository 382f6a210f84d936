"""Which accounts this connector connects to."""

from pathlib import Path

import pytest

from dev.azurite import Azurite
from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, fault_of, no_leaks, open_lake
from tests.blob_connector.proxy import Proxy, answer, proxying

__all__ = ["no_leaks"]
SETTING = {"setting": "ISOBATH_BLOB_CONNECTOR_ALLOWED_HOSTS"}


@pytest.mark.req("D8")
@pytest.mark.parametrize(
    "host", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "0.0.0.0", "[fe80::1]"]
)
async def test_metadata_addresses_are_refused_by_default(lake: Lake, host: str) -> None:
    grant = await lake.grant(config={"account_url": f"http://{host}/acct"})
    fault = await fault_of(lake.stub.Browse(pb.BrowseRequest(grant=grant)))
    assert fault.reason == "ADDRESS_NOT_ALLOWED" and fault.fields.items() >= SETTING.items()
    checked = await lake.stub.Check(pb.CheckRequest(grant=grant))
    assert [(step.name, step.reason) for step in checked.steps] == [
        ("reach", "ADDRESS_NOT_ALLOWED")
    ]


@pytest.mark.req("D8")
async def test_endpoint_of_a_connection_string_is_judged_too(lake: Lake) -> None:
    text = (
        f"BlobEndpoint=http://169.254.169.254/acct;AccountName=acct;AccountKey={lake.azurite.key}"
    )
    await lake.secret(connection_string=text)
    fault = await fault_of(lake.stub.Browse(pb.BrowseRequest(grant=await lake.grant())))
    assert fault.reason == "ADDRESS_NOT_ALLOWED"


@pytest.mark.req("D8")
@pytest.mark.parametrize(
    ("allowed", "reached"),
    [("127.0.0.0/8", True), ("127.0.0.*", True), ("10.0.0.0/8", False), ("*.windows.net", False)],
)
async def test_only_what_the_deployment_allows_is_reached(
    azurite: Azurite, tmp_path: Path, no_leaks: object, allowed: str, reached: bool
) -> None:
    async with open_lake(azurite, tmp_path, allowed_hosts=(allowed,)) as lake:
        checked = await lake.stub.Check(pb.CheckRequest(grant=await lake.grant()))
    reasons = {step.reason for step in checked.steps}
    assert reasons == ({""} if reached else {"ADDRESS_NOT_ALLOWED"})


@pytest.mark.req("D8")
async def test_redirect_to_another_host_is_not_followed(lake: Lake, proxy: Proxy) -> None:
    async with proxying(lake.azurite.port) as other:
        place = f"Location: http://127.0.0.1:{other.port}/{lake.azurite.account}/elsewhere"
        proxy.answers = [answer("307 Temporary Redirect", "", "there", place)]
        grant = await lake.grant(config=lake.through(proxy))
        fault = await fault_of(lake.stub.Browse(pb.BrowseRequest(grant=grant)))
        assert fault.reason == "SOURCE_UNREACHABLE"
        assert other.passed == 0 and len(proxy.requests) == 1
