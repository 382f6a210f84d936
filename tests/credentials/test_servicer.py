import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.duration_pb2 import Duration

from grants import tokens
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.channels import channel, streaming
from servicekit.health import wait_ready
from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.server import ServerSettings
from servicekit.status import RemoteFault, decode
from services.credentials import errors, reading
from services.credentials.sealing import new_key
from services.credentials.servicer import NAME, STATUSES, allow
from tests.credentials import kv_double
from tests.credentials.conftest import Service, mint_request, put_request

Stub = rpc.CredentialServiceStub


async def refusal(call: Any) -> RemoteFault:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return decode(refused.value)


async def minted(stub: Stub, **changes: Any) -> str:
    answer: pb.MintGrantResponse = await stub.MintGrant(mint_request(**changes))
    return answer.grant


async def redeemed(stub: Stub, grant: str) -> dict[str, str]:
    answer = await stub.RedeemGrant(pb.RedeemGrantRequest(grant=grant))
    return dict(answer.fields)


async def caught_up(watch: AsyncIterator[pb.WatchRevocationsResponse]) -> list[pb.Revocation]:
    before: list[pb.Revocation] = []
    async for event in watch:
        if event.WhichOneof("event") == "caught_up":
            return before
        before.append(event.revocation)
    raise AssertionError("the stream ended")


@pytest.mark.req("S1")
async def test_grant_is_redeemed_for_the_secret_and_a_lease(no_leaks: object, stub: Stub) -> None:
    put = await stub.PutSecret(put_request(expected_version=0))
    assert (put.version, put.fields_set) == (1, ["password"])
    mint = await stub.MintGrant(mint_request())
    answer = await stub.RedeemGrant(pb.RedeemGrantRequest(grant=mint.grant))
    assert dict(answer.fields) == {"password": "pass-word-1"}
    lease = answer.lease_expires_at.ToDatetime(tzinfo=UTC)
    assert datetime.now(UTC) < lease <= mint.expires_at.ToDatetime(tzinfo=UTC)


async def test_minted_grant_verifies_offline_with_the_public_keys(stub: Stub) -> None:
    answer = await stub.GrantKeys(pb.GrantKeysRequest())
    keys = {k.key_id: Ed25519PublicKey.from_public_bytes(k.public_key) for k in answer.keys}
    mint = await stub.MintGrant(
        mint_request(
            scopes=["public.*"], max_rows=5, max_time=Duration(seconds=2, nanos=500_000_000)
        )
    )
    grant = tokens.verify(mint.grant, keys, datetime.now(UTC))
    assert grant.grant_id == mint.grant_id
    assert grant.config == {"host": "db", "port": 5432}
    assert isinstance(grant.config["port"], int)
    assert (grant.scopes, grant.max_rows, grant.max_seconds) == (("public.*",), 5, 2.5)
    assert (grant.owner, grant.caller, grant.run_id) == ("owner-1", "key-1", "run-1")


@pytest.mark.req("D2")
async def test_description_names_what_is_set(stub: Stub) -> None:
    await stub.PutSecret(put_request())
    described = await stub.DescribeSecret(pb.DescribeSecretRequest(source_id="ds-1"))
    assert (described.version, described.fields_set) == (1, ["password"])
    assert "pass-word-1" not in str(described)
    fault = await refusal(stub.DescribeSecret(pb.DescribeSecretRequest(source_id="ds-2")))
    assert (fault.reason, fault.fields["id"]) == ("NOT_FOUND", "ds-2")


async def test_conflicting_version_is_told(stub: Stub) -> None:
    await stub.PutSecret(put_request())
    await stub.PutSecret(put_request(fields={"password": "b"}))
    fault = await refusal(stub.PutSecret(put_request(expected_version=0)))
    assert (fault.code, fault.reason) == (grpc.StatusCode.ABORTED, "CONFLICT")


@pytest.mark.req("D5")
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": {"password": "planted-1"}}, "config.password"),
        ({"operations": []}, "operations"),
        ({"operations": ["drop"]}, "operations"),
        ({"source_id": "../x"}, "source_id"),
        ({"lifetime": Duration(seconds=90_000)}, "lifetime"),
        ({"lifetime": Duration()}, "lifetime"),
        ({"owner": ""}, "owner"),
    ],
)
async def test_grant_that_cannot_be_is_refused(stub: Stub, changes: Any, field: str) -> None:
    fault = await refusal(stub.MintGrant(mint_request(**changes)))
    assert (fault.code, fault.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert fault.fields["field"] == field
    assert "planted-1" not in fault.message + fault.remedy


@pytest.mark.parametrize(
    "changes", [{"owner": ""}, {"source_id": "a/b"}, {"fields": {"": "x"}}, {"source_type": ""}]
)
async def test_secret_that_cannot_be_is_refused(stub: Stub, changes: Any) -> None:
    assert (await refusal(stub.PutSecret(put_request(**changes)))).reason == "INVALID_FIELD"


async def test_torn_grant_is_refused(stub: Stub) -> None:
    grant = await minted(stub)
    fault = await refusal(redeemed(stub, grant[:-1]))
    assert (fault.code, fault.reason) == (grpc.StatusCode.UNAUTHENTICATED, "GRANT_INVALID")
    assert grant[:-1] not in fault.message


async def test_source_without_a_secret_is_not_found(stub: Stub) -> None:
    assert (await refusal(redeemed(stub, await minted(stub)))).reason == "NOT_FOUND"


@pytest.mark.req("S2")
async def test_grant_of_another_owner_does_not_reach_the_secret(stub: Stub) -> None:
    await stub.PutSecret(put_request())
    assert (
        await refusal(redeemed(stub, await minted(stub, owner="owner-2")))
    ).reason == "NOT_FOUND"


@pytest.mark.req("S1", "S4")
@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"host": "evil.example.com", "port": 5432}},
        {"config": {"host": "db", "port": 5433}},
        {"config": {"host": "db", "port": 5432, "sslmode": "disable"}},
        {"config": {}},
        {"source_type": "azure_blob"},
    ],
)
async def test_grant_for_another_place_does_not_reach_the_secret(
    stub: Stub, told: StringIO, changes: Any
) -> None:
    await stub.PutSecret(put_request())
    fault = await refusal(redeemed(stub, await minted(stub, **changes)))
    assert (fault.code, fault.reason) == (grpc.StatusCode.UNAUTHENTICATED, "GRANT_INVALID")
    assert "ds-1" in fault.message and "again" in fault.remedy
    lines = [json.loads(line) for line in told.getvalue().splitlines()]
    refused = [line for line in lines if line.get("operation") == "redeem_grant"]
    assert [line["refused"] for line in refused] == ["InvalidGrant"]
    assert refused[0]["source_id"] == "ds-1"
    assert await redeemed(stub, await minted(stub)) == {"password": "pass-word-1"}


@pytest.mark.req("S1", "D5")
async def test_changing_where_a_source_connects_needs_every_secret_again(stub: Stub) -> None:
    elsewhere = {"host": "evil.example.com"}
    both = {"password": "pass-word-1", "client_key": "key-1"}
    await stub.PutSecret(put_request(fields=both))
    for fields in ({}, {"password": "new"}):
        fault = await refusal(stub.PutSecret(put_request(fields=fields, config=elsewhere)))
        assert fault.reason == "INVALID_FIELD"
        assert fault.fields["field"] == "fields." + min(both.keys() - fields.keys())
        assert "needs its secret again" in fault.message
    fault = await refusal(stub.PutSecret(put_request(fields={}, source_type="azure_blob")))
    assert fault.reason == "INVALID_FIELD"
    assert await redeemed(stub, await minted(stub)) == both
    new = put_request(fields={"password": "new"}, clear=["client_key"], config=elsewhere)
    assert (await stub.PutSecret(new)).version == 2
    assert await redeemed(stub, await minted(stub, config=elsewhere)) == {"password": "new"}
    assert (await refusal(redeemed(stub, await minted(stub)))).reason == "GRANT_INVALID"


@pytest.mark.parametrize("what", ["grant_id", "source_id", "run_id", "owner"])
async def test_revoked_grant_is_refused_and_a_new_one_stands(stub: Stub, what: str) -> None:
    await stub.PutSecret(put_request())
    mint = await stub.MintGrant(mint_request())
    subjects = {"source_id": "ds-1", "run_id": "run-1", "owner": "owner-1"}
    subject = subjects.get(what, mint.grant_id)
    await stub.RevokeGrant(pb.RevokeGrantRequest(**{what: subject}))
    fault = await refusal(redeemed(stub, mint.grant))
    assert (fault.code, fault.reason) == (grpc.StatusCode.UNAUTHENTICATED, "GRANT_REVOKED")
    assert await redeemed(stub, await minted(stub)) == {"password": "pass-word-1"}


async def test_revoking_nothing_is_refused(stub: Stub) -> None:
    for request in (pb.RevokeGrantRequest(), pb.RevokeGrantRequest(run_id="")):
        assert (await refusal(stub.RevokeGrant(request))).reason == "INVALID_FIELD"


@pytest.mark.req("D3")
async def test_deleting_a_secret_revokes_and_tells_the_watchers(stub: Stub) -> None:
    await stub.PutSecret(put_request())
    grant = await minted(stub)
    async with streaming(stub.WatchRevocations(pb.WatchRevocationsRequest())) as watch:
        assert await caught_up(watch) == []
        deleted = await stub.DeleteSecret(pb.DeleteSecretRequest(source_id="ds-1"))
        event = await anext(aiter(watch))
    assert deleted.existed
    assert event.revocation.source_id == "ds-1"
    assert (await refusal(redeemed(stub, grant))).reason == "GRANT_REVOKED"
    again = await stub.DeleteSecret(pb.DeleteSecretRequest(source_id="ds-1"))
    assert not again.existed


@pytest.mark.req("P7")
async def test_changing_a_secret_revokes_the_grants_for_the_old(stub: Stub) -> None:
    await stub.PutSecret(put_request())
    old = await minted(stub)
    await stub.PutSecret(put_request(fields={"password": "pass-word-2"}))
    assert (await refusal(redeemed(stub, old))).reason == "GRANT_REVOKED"
    assert await redeemed(stub, await minted(stub)) == {"password": "pass-word-2"}


async def test_watch_begins_with_everything_revoked_and_beats(service: Service) -> None:
    async with service.started(heartbeat_s=0.01) as stub:
        await stub.RevokeGrant(pb.RevokeGrantRequest(run_id="run-1"))
        async with streaming(stub.WatchRevocations(pb.WatchRevocationsRequest())) as watch:
            assert [one.run_id for one in await caught_up(watch)] == ["run-1"]
            assert (await anext(aiter(watch))).WhichOneof("event") == "heartbeat"


async def spent(stub: Stub, grant: str, **wanted: int) -> tuple[int, int]:
    answer = await stub.SpendGrant(pb.SpendGrantRequest(grant=grant, **wanted))
    return answer.rows, answer.bytes


@pytest.mark.req("X4", "P9")
async def test_bounded_grant_is_used_up_over_calls_and_restarts(service: Service) -> None:
    async with service.started() as stub:
        grant = await minted(stub, max_rows=10, max_bytes=1000)
        assert await spent(stub, grant, rows=4, bytes=300) == (4, 300)
        assert await spent(stub, grant, rows=20, bytes=300) == (6, 300)
        assert (await refusal(spent(stub, grant, rows=1))).reason == "BEYOND_GRANT"
        assert await spent(stub, grant, unused_rows=5) == (0, 0)
    async with service.started() as stub:
        assert await spent(stub, grant) == (5, 400)
        fault = await refusal(spent(stub, grant))
        assert (fault.reason, "used up" in fault.message) == ("BEYOND_GRANT", True)
        free = await minted(stub)
        assert await spent(stub, free, rows=5) == (0, 0)
        assert (await refusal(spent(stub, grant, rows=-1))).reason == "INVALID_FIELD"
        await stub.RevokeGrant(pb.RevokeGrantRequest(run_id="run-1"))
        assert (await refusal(spent(stub, grant))).reason == "GRANT_REVOKED"


async def test_shares_taken_at_the_same_time_are_together_the_grant(stub: Stub) -> None:
    grant = await minted(stub, max_rows=10)
    takes = [spent(stub, grant, rows=3) for _ in range(6)]
    answers = await asyncio.gather(*takes, return_exceptions=True)
    took = [answer[0] for answer in answers if isinstance(answer, tuple)]
    assert sorted(took) == [1, 3, 3, 3]


@pytest.mark.req("S1")
async def test_rotated_keys_keep_old_grants_and_secrets(service: Service) -> None:
    async with service.started(key_lead_s=0.0) as stub:
        await stub.PutSecret(put_request())
        old = await minted(stub)
        rotated = await stub.RotateKeys(pb.RotateKeysRequest())
        new = await minted(stub)
        keys = (await stub.GrantKeys(pb.GrantKeysRequest())).keys
        assert rotated.secrets_reencrypted == 1
        assert [key.key_id for key in keys][-1] == rotated.key_id
        assert [key.HasField("not_after") for key in keys] == [True, False]
        for grant in (old, new):
            assert await redeemed(stub, grant) == {"password": "pass-word-1"}


async def test_rotated_key_does_not_sign_before_it_is_known(stub: Stub) -> None:
    rotated = await stub.RotateKeys(pb.RotateKeysRequest())
    published = (await stub.GrantKeys(pb.GrantKeysRequest())).keys
    assert rotated.key_id in [key.key_id for key in published]
    assert jwt.get_unverified_header(await minted(stub))["kid"] != rotated.key_id


@pytest.mark.req("S1")
async def test_grants_secrets_and_revocations_survive_a_restart(service: Service) -> None:
    async with service.started() as stub:
        await stub.PutSecret(put_request())
        good, bad = await minted(stub), await minted(stub, run_id="run-2")
        await stub.RevokeGrant(pb.RevokeGrantRequest(run_id="run-2"))
    async with service.started() as stub:
        assert await redeemed(stub, good) == {"password": "pass-word-1"}
        assert (await refusal(redeemed(stub, bad))).reason == "GRANT_REVOKED"


@pytest.mark.req("S1")
async def test_secrets_in_vault_are_redeemed_all_the_same(service: Service) -> None:
    with kv_double.running() as (url, kept):
        changes = {"vault": "hashicorp", "vault_url": url, "vault_token": Secret(kv_double.TOKEN)}
        async with service.started(**changes) as stub:
            await stub.PutSecret(put_request())
            assert list(kept.versions) == ["isobath/sources/ds-1"]
            assert await redeemed(stub, await minted(stub)) == {"password": "pass-word-1"}
            kept.failures = [500]
            fault = await refusal(stub.PutSecret(put_request()))
            assert (fault.reason, fault.fields["service"]) == ("SERVICE_UNAVAILABLE", "vault")


CALLERS = ("gateway", "pg_connector", "blob_connector", "file_connector", "sandbox", "inference")
REQUESTS = {
    "PutSecret": put_request(),
    "DeleteSecret": pb.DeleteSecretRequest(source_id="ds-1"),
    "DescribeSecret": pb.DescribeSecretRequest(source_id="ds-1"),
    "MintGrant": mint_request(),
    "RedeemGrant": pb.RedeemGrantRequest(grant="x"),
    "SpendGrant": pb.SpendGrantRequest(grant="x"),
    "RevokeGrant": pb.RevokeGrantRequest(run_id="run-1"),
    "ReadModelKey": pb.ReadModelKeyRequest(),
    "GrantKeys": pb.GrantKeysRequest(),
    "RotateKeys": pb.RotateKeysRequest(),
}


@pytest.mark.req("S3")
async def test_identities_may_call_only_what_is_theirs(service: Service, tmp_path: Path) -> None:
    digests = {name: hashlib.sha256(f"token-{name}".encode()).hexdigest() for name in CALLERS}
    (tmp_path / "callers.json").write_text(json.dumps(digests))
    service.server_settings = ServerSettings(drain_s=1.0, callers_file=tmp_path / "callers.json")
    service.token = Secret("token-gateway")
    table = allow(
        frozenset({"gateway"}),
        frozenset({"pg_connector", "blob_connector", "file_connector"}),
        frozenset({"inference"}),
    )
    async with service.started():
        for name in CALLERS:
            async with channel(service.address, token=Secret(f"token-{name}")) as link:
                for method, request in REQUESTS.items():
                    refused = await _not_allowed(getattr(Stub(link), method), request)
                    assert refused == (not table[method] & {name, "*"}), (name, method)
    exported = [json.loads(line) for line in reading.exported(service.settings)]
    told = [each for each in exported if each.get("refused") == "CallerNotAllowed"]
    assert [(each["caller"], each["method"]) for each in told] == [
        (name, method) for name in CALLERS for method in REQUESTS if not table[method] & {name, "*"}
    ]
    assert all(each["operation"] == "call" and each["request_id"] for each in told)


async def _not_allowed(method: Any, request: Any) -> bool:
    try:
        await method(request)
    except grpc.aio.AioRpcError as exc:
        return decode(exc).reason == "CALLER_NOT_ALLOWED"
    return False


def test_every_method_has_its_callers() -> None:
    methods = {m.name for m in pb.DESCRIPTOR.services_by_name["CredentialService"].methods}
    assert allow(frozenset(), frozenset(), frozenset()).keys() == methods
    assert pb.DESCRIPTOR.services_by_name["CredentialService"].full_name == NAME


def test_every_fault_has_a_status() -> None:
    def below(kind: type[BaseException]) -> set[type[BaseException]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    leaves = {kind for kind in below(errors.CredentialsFault) if not kind.__subclasses__()}
    assert leaves <= STATUSES.keys()


@pytest.mark.req("D2", "S4")
async def test_planted_secrets_are_in_no_log_file_or_error(
    service: Service, home: Path, told: StringIO
) -> None:
    planted, wrong = f"planted-{uuid.uuid4().hex}", f"planted-{uuid.uuid4().hex}"
    shown = []
    async with service.started() as stub:
        await stub.PutSecret(put_request(fields={"password": planted}))
        await redeemed(stub, grant := await minted(stub))
        shown.append(await refusal(stub.MintGrant(mint_request(config={"password": wrong}))))
        shown.append(await refusal(stub.PutSecret(put_request(owner="", fields={"k": wrong}))))
        shown.append(
            await refusal(stub.PutSecret(put_request(owner="other", fields={"password": wrong})))
        )
        await stub.PutSecret(put_request(fields={"password": wrong}))
        shown.append(await refusal(redeemed(stub, grant)))
        await stub.RotateKeys(pb.RotateKeysRequest())
        await stub.DeleteSecret(pb.DeleteSecretRequest(source_id="ds-1"))
    everything = told.getvalue() + "".join(f"{f!r} {f} {dict(f.fields)}" for f in shown)
    files = b"".join(path.read_bytes() for path in home.iterdir())
    for secret in (planted, wrong, grant.split(".")[2]):
        assert secret not in everything
        assert secret.encode() not in files
    audited = [
        line for line in map(json.loads, told.getvalue().splitlines()) if "operation" in line
    ]
    done = [line["operation"] for line in audited if "refused" not in line]
    assert done == [
        "put_secret",
        "mint_grant",
        "redeem_grant",
        "put_secret",
        "rotate_keys",
        "delete_secret",
    ]
    assert [line["refused"] for line in audited if "refused" in line] == [
        "InvalidField",
        "InvalidField",
        "InvalidField",
        "RevokedGrant",
    ]
    assert all(line["request_id"] and line["caller"] for line in audited)


async def test_process_serves_until_it_is_told_to_stop(home: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.credentials"],
        env={
            **os.environ,
            "ISOBATH_CREDENTIALS_SERVER_BIND": f"127.0.0.1:{port}",
            "ISOBATH_CREDENTIALS_HOME": str(home),
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        await wait_ready(f"127.0.0.1:{port}", 20)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.wait()


async def test_process_with_a_wrong_key_says_so_and_ends(home: Path, service: Service) -> None:
    async with service.started():
        pass
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.credentials"],
        env={
            **os.environ,
            "ISOBATH_CREDENTIALS_SERVER_BIND": "127.0.0.1:0",
            "ISOBATH_CREDENTIALS_HOME": str(home),
            "ISOBATH_CREDENTIALS_KEY": new_key().reveal(),
        },
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "does not open" in ended.stderr
    assert "Traceback" not in ended.stderr
