"""What an account refuses, by cause: in the words that Azure has for it, given by the proxy."""

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from dev.azurite import Azurite
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.testing import Leaks
from services.blob_connector.identity import Place
from services.blob_connector.refusals import Refusal, refused
from services.blob_connector.retrying import told_wait_s
from tests.blob_connector.conftest import Lake, fault_of, joined, open_lake
from tests.blob_connector.proxy import Proxy, answer

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOT_AUTHENTICATED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is "
    "formed correctly including the signature."
)
FIREWALL = "This request is not authorized to perform this operation."
ROLE = "This request is not authorized to perform this operation using this permission."
MAC = (
    "The MAC signature found in the HTTP request 'aaaa' is not the same as any computed signature."
)
OLD = "Request date header too old: 'Mon, 01 Jan 2026 00:00:00 GMT'"


@pytest.mark.req("B5", "D4")
@pytest.mark.parametrize(
    ("given", "reason", "message", "remedy"),
    [
        (("403 F", "AuthorizationPermissionMismatch", ROLE), "SOURCE_FORBIDDEN", "may not read",
         "Storage Blob Data Reader"),
        (("403 F", "AuthorizationFailure", FIREWALL), "SOURCE_FORBIDDEN", "from here", "networking"),
        (("403 F", "AuthenticationFailed", NOT_AUTHENTICATED), "SOURCE_AUTHENTICATION_FAILED",
         "account key", "rotated"),
        (("403 F", "KeyBasedAuthenticationNotPermitted", "Keys are off."), "SOURCE_FORBIDDEN",
         "may not read", "Entra"),
        (("404 N", "ContainerNotFound", "The specified container does not exist."),
         "PATH_NOT_FOUND", "there is no container", "Correct the container"),
        (("409 C", "AccountIsDisabled", "The account is disabled."), "SOURCE_FORBIDDEN", "read",
         "Enable"),
        (("400 B", "InvalidUri", "The URI is not one."), "SOURCE_UNREACHABLE", "400",
         "account_url"),
    ],
)  # fmt: skip
async def test_refusal_is_told_by_cause(
    lake: Lake, proxy: Proxy, given: tuple[str, str, str], reason: str, message: str, remedy: str
) -> None:
    grant = await lake.grant(config=lake.through(proxy))
    proxy.answers = [answer(*given)]
    fault = await fault_of(lake.browse(grant=grant))
    assert (fault.reason, message in fault.message) == (reason, True), fault
    assert remedy in (fault.remedy or ""), fault.remedy
    # asked once: to ask again would lock an account out sooner
    assert len(proxy.requests) == 1


@pytest.mark.req("B5")
async def test_clock_that_is_off_is_told(lake: Lake, proxy: Proxy) -> None:
    grant = await lake.grant(config=lake.through(proxy))
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=42), usegmt=True)
    refusal = ("403 Forbidden", "AuthenticationFailed", NOT_AUTHENTICATED)
    proxy.answers = [answer(*refusal, f"Date: {later}", detail=MAC)]
    fault = await fault_of(lake.browse(grant=grant))
    assert fault.reason == "SOURCE_AUTHENTICATION_FAILED"
    assert "off by 42 min" in fault.message and "clock" in (fault.remedy or "")
    proxy.answers = [answer(*refusal, detail=OLD)]
    fault = await fault_of(lake.browse(grant=grant))
    assert "clock" in fault.message and "NTP" in (fault.remedy or "")


def sas_place(**changes: Any) -> Place:
    return Place(account="acct", container="c", prefix="", way="sas_token", **changes)


@pytest.mark.req("B5")
def test_sas_that_ended_or_has_not_begun_is_told_with_its_time() -> None:
    refusal = Refusal("AuthenticationFailed", NOT_AUTHENTICATED)
    for changes, said in (
        ({"expires_at": NOW - timedelta(days=1)}, "the SAS ended at 2026-05-31 00:00 UTC"),
        ({"starts_at": NOW + timedelta(hours=1)}, "the SAS begins at 2026-06-01 01:00 UTC"),
    ):
        fault = refused(refusal, sas_place(**changes), "a.csv", writing=False, now=NOW)
        assert said in fault.message and fault.remedy
    plain = refused(refusal, sas_place(), "a.csv", writing=False, now=NOW)
    assert plain.message.endswith("'c'") and "expired" in plain.remedy


@pytest.mark.req("B5")
@pytest.mark.parametrize("writing", [False, True])
def test_missing_role_names_the_role_of_the_operation(writing: bool) -> None:
    place = Place(account="acct", container="c", prefix="", way="managed_identity")
    fault = refused(Refusal("AuthorizationPermissionMismatch"), place, "a", writing=writing)
    assert ("Contributor on the" in fault.remedy) == writing and "Storage Blob Data" in fault.remedy


@pytest.mark.req("B6", "S5")
async def test_retry_after_is_kept(lake: Lake, proxy: Proxy) -> None:
    await lake.container.upload_blob("a.bin", b"here")
    grant = await lake.grant(config=lake.through(proxy))
    busy = ("503 Busy", "ServerBusy", "Operations per second is over the account limit.")
    proxy.answers = [answer(*busy, "Retry-After: 1")]
    began = time.monotonic()
    assert joined(await lake.fetch("a.bin", grant=grant)) == b"here"
    assert time.monotonic() - began >= 1
    # one that asks for longer than anybody would wait is told at once, with the time
    proxy.answers = [answer(*busy, "Retry-After: 120")]
    await lake.stub.Disconnect(pb.DisconnectRequest(grant=grant))
    fault = await fault_of(lake.fetch("a.bin", grant=grant))
    assert fault.code is grpc.StatusCode.UNAVAILABLE and fault.retry_after_s == 120
    assert "120 s" in (fault.remedy or "") and "throttled" in fault.message


def test_wait_is_read_in_each_unit() -> None:
    assert told_wait_s({"x-ms-retry-after-ms": "1500"}) == 1.5
    assert told_wait_s({"Retry-After": "7"}) == 7
    assert told_wait_s({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}) == 0
    assert told_wait_s({}) == 0


@pytest.mark.req("B6")
async def test_burst_of_503_in_the_middle_loses_nothing(
    azurite: Azurite, tmp_path: Path, proxy: Proxy, no_leaks: Leaks
) -> None:
    data = bytes(range(256)) * 8192
    busy = answer("503 Busy", "ServerBusy", "Ingress is over the account limit.")

    async def bursts() -> None:
        for at in (100_000, 800_000, 1_500_000):
            while proxy.passed < at or proxy.cuts or proxy.answers:
                await asyncio.sleep(0.001)
            proxy.answers.append(busy)
            proxy.cuts.append(at)

    # seven faults in all: each of them may meet the same range
    async with open_lake(azurite, tmp_path, range_bytes=256 * 1024, retries=7) as lake:
        await lake.container.upload_blob("a.bin", io.BytesIO(data))
        grant = await lake.grant(config=lake.through(proxy))
        proxy.answers = [busy]
        faults = asyncio.create_task(bursts())
        events = await lake.fetch("a.bin", grant=grant)
        faults.cancel()
    assert joined(events) == data and proxy.answered_busy


@pytest.mark.req("B6")
async def test_server_that_stalls_is_asked_again(
    azurite: Azurite, tmp_path: Path, proxy: Proxy, no_leaks: Leaks
) -> None:
    data = bytes(range(256)) * 8192
    async with open_lake(azurite, tmp_path, read_timeout_s=0.5, retries=4) as lake:
        await lake.container.upload_blob("a.bin", io.BytesIO(data))
        grant = await lake.grant(config=lake.through(proxy))
        await lake.browse(grant=grant)
        proxy.gate.clear()
        asyncio.get_running_loop().call_later(0.8, proxy.gate.set)
        assert joined(await lake.fetch("a.bin", grant=grant)) == data
        # one that never goes on is told
        proxy.gate.clear()
        fault = await fault_of(lake.fetch("a.bin", grant=grant))
        assert fault.reason in ("CHECKSUM_MISMATCH", "SOURCE_UNREACHABLE") and fault.remedy
        proxy.gate.set()
