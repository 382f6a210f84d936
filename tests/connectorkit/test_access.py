import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from connectorkit.access import STATUSES, Gate, Grace, Patience
from connectorkit.feed import waits
from connectorkit.refusals import (
    ExpiredGrant,
    GateClosed,
    InvalidGrant,
    OutsideGrant,
    RevokedGrant,
)
from grants import errors
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.server import Server, ServerSettings
from servicekit.status import RemoteFault, outcome
from servicekit.testing import no_leaks, open_channel, running
from services.credentials.app import mount
from services.credentials.issuer import Issuer
from services.credentials.settings import Settings
from services.credentials.vaults import hashicorp
from tests.credentials import kv_double

__all__ = ["no_leaks"]

Stub = rpc.CredentialServiceStub
HASTY = Patience(
    start_s=5, call_s=5, silence_s=5, retry_first_s=0.01, retry_longest_s=0.05, keys_gap_s=0.01
)
SECRET = {"password": Secret("pass-word-1")}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", heartbeat_s=0.05, key_lead_s=0.0)


@pytest.fixture
async def server(no_leaks: object, settings: Settings) -> AsyncIterator[Server]:
    async with running((mount, settings)) as started:
        yield started


@pytest.fixture
async def stub(server: Server) -> AsyncIterator[Stub]:
    async with open_channel(server) as channel:
        yield Stub(channel)


@pytest.fixture
async def gate(server: Server) -> AsyncIterator[Gate]:
    async with opened(server.address) as gate:
        yield gate


def opened(address: str, **changes: Any) -> Gate:
    return Gate(address, changes.pop("token", None), "postgresql", **{"patience": HASTY, **changes})


async def mint(stub: Stub, **changes: Any) -> str:
    fields = {
        "owner": "owner-1",
        "source_id": "ds-1",
        "source_type": "postgresql",
        "operations": ["read"],
        "run_id": "run-1",
    }
    answer = await stub.MintGrant(pb.MintGrantRequest(**{**fields, **changes}), wait_for_ready=True)
    return str(answer.grant)


async def put(stub: Stub, password: str = "pass-word-1", source_id: str = "ds-1") -> None:
    fields = {"password": password}
    request = pb.PutSecretRequest(
        source_id=source_id, owner="owner-1", fields=fields, source_type="postgresql"
    )
    await stub.PutSecret(request)


async def admitted(gate: Gate, token: str) -> None:
    """Waits until the gate takes the grant; the test's own timeout ends it otherwise."""
    while True:
        try:
            gate.admit(token, "read")
            return
        except (InvalidGrant, GateClosed):
            await asyncio.sleep(0.005)


async def refused(gate: Gate, token: str, kind: type[Exception]) -> None:
    while True:
        try:
            gate.admit(token, "read")
        except kind:
            return
        await asyncio.sleep(0.005)


def closings(gate: Gate) -> "asyncio.Queue[str]":
    queue: asyncio.Queue[str] = asyncio.Queue()
    gate.on_close(queue.put_nowait)
    return queue


@asynccontextmanager
async def counted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The sources that were redeemed, in order."""
    redeem, seen = Issuer.redeem, list[str]()

    async def count(self: Issuer, grant: Any) -> Any:
        seen.append(grant.source_id)
        return await redeem(self, grant)

    with monkeypatch.context() as patch:
        patch.setattr(Issuer, "redeem", count)
        yield seen


async def test_grant_is_admitted_and_stands_for_the_secret(stub: Stub, gate: Gate) -> None:
    await put(stub)
    grant = gate.admit(await mint(stub), "read", "public.orders")
    assert (grant.owner, grant.source_id, grant.run_id) == ("owner-1", "ds-1", "run-1")
    assert await gate.secrets(grant) == SECRET


@pytest.mark.req("X4", "S3")
async def test_grant_is_admitted_only_as_far_as_it_reaches(stub: Stub, gate: Gate) -> None:
    scoped = await mint(stub, scopes=["public.*"])
    gate.admit(scoped, "read", "public.orders")
    for operation, path in (("write", None), ("read", "secret.orders"), ("read", "")):
        with pytest.raises(OutsideGrant) as beyond:
            gate.admit(scoped, operation, path)
        assert beyond.value.metadata() == {"operation": operation, "path": path or ""}


async def test_grant_for_another_type_is_refused(stub: Stub, gate: Gate) -> None:
    with pytest.raises(InvalidGrant, match="azure_blob"):
        gate.admit(await mint(stub, source_type="azure_blob"), "read")


async def test_torn_grant_is_refused(stub: Stub, gate: Gate) -> None:
    token = await mint(stub)
    for torn in ("", "x.y.z", token[:-2], "A" + token):
        with pytest.raises(InvalidGrant) as invalid:
            gate.admit(torn, "read")
        assert token[:20] not in str(invalid.value)


async def test_expired_grant_is_refused(server: Server, stub: Stub) -> None:
    later = datetime.now(UTC) + timedelta(minutes=11)
    async with opened(server.address, clock=lambda: later) as gate:
        with pytest.raises(ExpiredGrant) as expired:
            gate.admit(await mint(stub), "read")
        assert "expired_at" in expired.value.metadata()


@pytest.mark.req("D3", "P7")
async def test_deleting_a_source_closes_it_and_voids_its_grants(stub: Stub, gate: Gate) -> None:
    await put(stub)
    await put(stub, source_id="ds-2")
    token, other = await mint(stub), await mint(stub, source_id="ds-2")
    grant = gate.admit(token, "read")
    await gate.secrets(grant)
    closed = closings(gate)
    await stub.DeleteSecret(pb.DeleteSecretRequest(source_id="ds-1"))
    assert await closed.get() == "ds-1"
    for ask in (lambda: gate.admit(token, "read"), lambda: gate.check(grant, "read")):
        with pytest.raises(RevokedGrant):
            ask()
    with pytest.raises(RevokedGrant):
        await gate.secrets(grant)
    gate.admit(other, "read")


@pytest.mark.req("P7")
async def test_changed_secret_closes_the_source_and_is_read_anew(stub: Stub, gate: Gate) -> None:
    await put(stub)
    assert await gate.secrets(gate.admit(await mint(stub), "read")) == SECRET
    closed = closings(gate)
    await put(stub, "pass-word-2")
    assert await closed.get() == "ds-1"
    fresh = gate.admit(await mint(stub), "read")
    assert await gate.secrets(fresh) == {"password": Secret("pass-word-2")}


async def test_revoked_owner_closes_the_sources_that_were_open(stub: Stub, gate: Gate) -> None:
    gate.admit(await mint(stub), "read")
    gate.admit(await mint(stub, source_id="ds-2", owner="owner-2"), "read")
    closed = closings(gate)
    await stub.RevokeGrant(pb.RevokeGrantRequest(owner="owner-1"))
    assert await closed.get() == "ds-1"
    assert closed.empty()


@pytest.mark.req("X5")
async def test_revoked_run_is_refused_and_closes_nothing(stub: Stub, gate: Gate) -> None:
    token = await mint(stub)
    gate.admit(token, "read")
    closed = closings(gate)
    await stub.RevokeGrant(pb.RevokeGrantRequest(run_id="run-1"))
    # revocations come in order, so this one tells that the other has arrived
    await stub.RevokeGrant(pb.RevokeGrantRequest(source_id="ds-9"))
    assert await closed.get() == "ds-9"
    with pytest.raises(RevokedGrant):
        gate.admit(token, "read")


async def test_closer_that_fails_or_hangs_does_not_stop_the_others(stub: Stub, gate: Gate) -> None:
    async def fail(source_id: str) -> None:
        raise ValueError(source_id)

    async def hang(source_id: str) -> None:
        await asyncio.Event().wait()

    gate.on_close(fail)
    gate.on_close(hang)
    closed = closings(gate)
    for source_id in ("ds-1", "ds-2"):
        await stub.RevokeGrant(pb.RevokeGrantRequest(source_id=source_id))
        assert await closed.get() == source_id


async def test_secret_is_redeemed_once_however_many_ask(
    stub: Stub, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(stub)
    grants = [gate.admit(await mint(stub), "read") for _ in range(5)]
    async with counted(monkeypatch) as seen:
        answers = await asyncio.gather(*(gate.secrets(grant) for grant in grants))
        await gate.secrets(grants[0])
    assert answers == [SECRET] * 5
    assert seen == ["ds-1"]


async def test_secret_that_the_source_refused_is_redeemed_once_more(
    stub: Stub, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(stub)
    grant = gate.admit(await mint(stub), "read")
    async with counted(monkeypatch) as seen:
        refused = await gate.secrets(grant)
        others = [gate.other_secrets(grant, refused) for _ in range(5)]
        assert await asyncio.gather(*others) == [SECRET] * 5
    assert seen == ["ds-1"] * 2


async def test_one_who_stops_waiting_leaves_the_secret_to_the_others(
    stub: Stub, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(stub)
    grant = gate.admit(await mint(stub), "read")
    async with counted(monkeypatch) as seen:
        first = asyncio.create_task(gate.secrets(grant))
        second = asyncio.create_task(gate.secrets(grant))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == SECRET
        with pytest.raises(asyncio.CancelledError):
            await first
    assert seen == ["ds-1"]


async def test_versions_and_owners_have_leases_of_their_own(
    stub: Stub, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(stub)
    async with counted(monkeypatch) as seen:
        for version in (1, 2, 1):
            token = await mint(stub, source_version=version)
            await gate.secrets(gate.admit(token, "read"))
        assert seen == ["ds-1", "ds-1"]
        stranger = gate.admit(await mint(stub, owner="owner-2"), "read")
        assert await gate.secrets(stranger) == {}


@pytest.mark.req("S1")
async def test_grant_for_another_place_gets_no_secret_that_is_held_already(
    stub: Stub, gate: Gate
) -> None:
    await put(stub)
    assert await gate.secrets(gate.admit(await mint(stub), "read")) == SECRET
    elsewhere = gate.admit(await mint(stub, config={"host": "evil.example.com"}), "read")
    with pytest.raises(RemoteFault) as refused:
        await gate.secrets(elsewhere)
    assert refused.value.reason == "GRANT_INVALID"


async def test_secret_is_redeemed_again_when_its_lease_ended(
    server: Server, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [datetime.now(UTC)]
    async with opened(server.address, clock=lambda: now[0]) as gate:
        await put(stub)
        token = await mint(stub, lifetime=timedelta(hours=2))
        grant = gate.admit(token, "read")
        async with counted(monkeypatch) as seen:
            await gate.secrets(grant)
            now[0] += timedelta(minutes=14)
            await gate.secrets(grant)
            now[0] += timedelta(minutes=2)
            await gate.secrets(grant)
        assert seen == ["ds-1", "ds-1"]


@pytest.mark.req("S1", "S5")
async def test_lease_bears_a_vault_that_is_sealed_and_then_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashicorp._RETRY, "total", 0)
    now = [datetime.now(UTC)]
    with kv_double.running() as (url, kept):
        token = Secret(kv_double.TOKEN)
        vault = replace(settings, vault="hashicorp", vault_url=url, vault_token=token)
        async with (
            running((mount, vault)) as server,
            open_channel(server) as link,
            opened(server.address, clock=lambda: now[0]) as gate,
        ):
            await put(Stub(link))
            token_of = await mint(Stub(link), lifetime=timedelta(hours=2))
            grant = gate.admit(token_of, "read")
            assert await gate.secrets(grant) == SECRET
            kept.sealed = True
            assert await gate.secrets(grant) == SECRET
            now[0] += timedelta(minutes=16)
            with pytest.raises(GateClosed, match="sealed"):
                await gate.secrets(grant)
            kept.sealed = False
            assert await gate.secrets(grant) == SECRET


async def test_source_without_a_secret_has_no_fields(stub: Stub, gate: Gate) -> None:
    assert await gate.secrets(gate.admit(await mint(stub), "read")) == {}


async def test_grant_under_a_new_key_is_admitted_once_the_key_is_known(
    stub: Stub, gate: Gate
) -> None:
    old = await mint(stub)
    await stub.RotateKeys(pb.RotateKeysRequest())
    token = await mint(stub)
    with pytest.raises(InvalidGrant) as unknown:
        gate.admit(token, "read")
    assert unknown.value.retry_after_s == 1.0
    await admitted(gate, token)
    gate.admit(old, "read")


async def test_keys_are_not_fetched_for_each_grant_of_an_unknown_key(
    server: Server, stub: Stub, tmp_path: Path
) -> None:
    strange = Settings(home=tmp_path / "strange")
    async with running((mount, strange)) as other, open_channel(other) as channel:
        token = await mint(Stub(channel))
    asked = 0
    async with opened(server.address, patience=replace(HASTY, keys_gap_s=60.0)) as gate:
        fetch = gate._feed._fetch_keys

        async def count() -> None:
            nonlocal asked
            asked += 1
            await fetch()

        gate._feed._fetch_keys = count  # type: ignore[method-assign]
        for _ in range(50):
            with pytest.raises(InvalidGrant):
                gate.admit(token, "read")
            await asyncio.sleep(0)
    assert asked == 0


def silence(gate: Gate, seconds: float) -> None:
    gate._feed._heard_at = asyncio.get_running_loop().time() - seconds


@pytest.mark.req("S5")
async def test_short_outage_is_borne_for_what_was_known(
    settings: Settings, no_leaks: object
) -> None:
    grace = Grace(new_s=15, known_s=300)
    async with running((mount, settings)) as server, open_channel(server) as channel:
        stub = Stub(channel)
        await put(stub)
        known, fresh = await mint(stub), await mint(stub)
        gate = await opened(server.address, grace=grace).__aenter__()
        try:
            grant = gate.admit(known, "read")
            await gate.secrets(grant)
            address = server.address
        except BaseException:
            await gate.__aexit__(None, None, None)
            raise
    try:
        silence(gate, 20)
        gate.admit(known, "read")
        assert await gate.secrets(grant) == SECRET
        with pytest.raises(GateClosed):
            gate.admit(fresh, "read")
        silence(gate, 400)
        with pytest.raises(GateClosed):
            gate.admit(known, "read")
        async with running((mount, settings), server_settings=ServerSettings(bind=address)):
            await admitted(gate, fresh)
    finally:
        await gate.__aexit__(None, None, None)


@pytest.mark.req("D3")
async def test_revocation_during_an_outage_is_heard_after_it(
    settings: Settings, no_leaks: object
) -> None:
    async with running((mount, settings)) as server, open_channel(server) as channel:
        token = await mint(Stub(channel))
        bind = ServerSettings(bind=server.address, drain_s=1.0)
    async with running((mount, settings), server_settings=bind):
        gate = opened(bind.bind)
        await gate.__aenter__()
        gate.admit(token, "read")
    try:
        elsewhere = ServerSettings(drain_s=1.0)
        async with (
            running((mount, settings), server_settings=elsewhere) as server,
            open_channel(server) as channel,
        ):
            await Stub(channel).RevokeGrant(pb.RevokeGrantRequest(run_id="run-1"))
        async with running((mount, settings), server_settings=bind):
            await refused(gate, token, RevokedGrant)
    finally:
        await gate.__aexit__(None, None, None)


async def test_gate_without_the_credential_service_opens_and_refuses(
    settings: Settings, no_leaks: object
) -> None:
    port = free_port()
    async with opened(f"127.0.0.1:{port}", patience=replace(HASTY, start_s=0.01)) as gate:
        assert not gate.ready
        with pytest.raises(GateClosed):
            gate.admit("x.y.z", "read")
        bind = ServerSettings(bind=f"127.0.0.1:{port}", drain_s=1.0)
        async with (
            running((mount, settings), server_settings=bind) as server,
            open_channel(server) as channel,
        ):
            await admitted(gate, await mint(Stub(channel)))
            assert gate.ready


class NeverCaughtUp(rpc.CredentialServiceServicer):
    async def GrantKeys(self, request: Any, context: Any) -> pb.GrantKeysResponse:
        return pb.GrantKeysResponse()

    async def WatchRevocations(
        self, request: Any, context: Any
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        while True:
            yield pb.WatchRevocationsResponse(heartbeat=pb.Heartbeat())
            await asyncio.sleep(0.001)


@asynccontextmanager
async def never_caught_up(server: Server, _: None) -> AsyncIterator[None]:
    server.register(
        "isobath.credentials.v1.CredentialService",
        lambda to: rpc.add_CredentialServiceServicer_to_server(NeverCaughtUp(), to),
        endless=frozenset({"WatchRevocations"}),
    )
    yield


async def test_gate_that_never_caught_up_stays_closed(no_leaks: object) -> None:
    async with (
        running((never_caught_up, None)) as server,
        opened(server.address, patience=replace(HASTY, start_s=0.1)) as gate,
    ):
        assert not gate.ready
        with pytest.raises(GateClosed):
            gate.admit("x.y.z", "read")


@pytest.mark.req("S3")
async def test_connector_that_is_not_known_cannot_redeem(
    settings: Settings, tmp_path: Path, no_leaks: object
) -> None:
    digests = {
        name: hashlib.sha256(f"token-{name}".encode()).hexdigest()
        for name in ("gateway", "sandbox")
    }
    (tmp_path / "callers.json").write_text(json.dumps(digests))
    guarded = ServerSettings(drain_s=1.0, callers_file=tmp_path / "callers.json")
    async with (
        running((mount, settings), server_settings=guarded) as server,
        open_channel(server, token=Secret("token-gateway")) as channel,
        opened(server.address, token=Secret("token-sandbox")) as gate,
    ):
        await put(Stub(channel))
        grant = gate.admit(await mint(Stub(channel)), "read")
        with pytest.raises(GateClosed, match="does not know"):
            await gate.secrets(grant)


async def test_redemption_goes_through_when_the_service_comes_back(
    stub: Stub, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(stub)
    grant = gate.admit(await mint(stub), "read")
    calls = itertools.count()
    redeem = Issuer.redeem

    async def stumble(self: Issuer, asked: Any) -> Any:
        if next(calls) < 2:
            raise GateClosed("away")
        return await redeem(self, asked)

    monkeypatch.setattr(Issuer, "redeem", stumble)
    assert await gate.secrets(grant) == SECRET


async def test_failure_that_will_last_is_not_tried_again(
    stub: Stub, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = gate.admit(await mint(stub), "read")
    calls = 0

    async def fail(self: Issuer, asked: Any) -> Any:
        nonlocal calls
        calls += 1
        raise ValueError

    monkeypatch.setattr(Issuer, "redeem", fail)
    with pytest.raises(RemoteFault):
        await gate.secrets(grant)
    assert calls == 1


async def test_error_of_the_connector_comes_out_as_it_is(server: Server) -> None:
    with pytest.raises(KeyError):
        async with opened(server.address):
            raise KeyError


async def test_defect_of_the_gate_ends_the_connector(
    server: Server, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would go on without hearing of any revocation."""

    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as group:
        async with opened(server.address) as gate:
            monkeypatch.setattr(gate._feed, "_apply", break_down)
            await stub.RevokeGrant(pb.RevokeGrantRequest(run_id="run-1"))
            await asyncio.Event().wait()
    assert group.group_contains(ZeroDivisionError)


async def test_leaving_while_entering_leaves_nothing(no_leaks: object) -> None:
    entering = asyncio.create_task(opened(f"127.0.0.1:{free_port()}").__aenter__())
    await asyncio.sleep(0.05)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering


async def test_leaving_while_a_secret_is_on_its_way_leaves_nothing(
    stub: Stub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()

    async def hang(self: Issuer, asked: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Issuer, "redeem", hang)
    async with opened(server.address) as gate:
        waiting = asyncio.create_task(gate.secrets(gate.admit(await mint(stub), "read")))
        await started.wait()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidGrant("x"), "GRANT_INVALID"),
        (ExpiredGrant("x", datetime(2026, 1, 1, tzinfo=UTC)), "GRANT_EXPIRED"),
        (RevokedGrant("x"), "GRANT_REVOKED"),
        (OutsideGrant("x", "read", "p"), "BEYOND_GRANT"),
        (GateClosed("x"), "SERVICE_UNAVAILABLE"),
        (errors.KeyUnknown("k"), "GRANT_INVALID"),
        (errors.GrantMalformed("x"), "GRANT_INVALID"),
        (errors.BeyondGrant("read", "p", "list"), "BEYOND_GRANT"),
    ],
)
@pytest.mark.req("S6")
def test_every_refusal_has_a_status(error: Exception, reason: str) -> None:
    shown = outcome(error, STATUSES, "r-1")
    assert shown.known
    assert shown.reason == reason
    assert shown.code is not grpc.StatusCode.INTERNAL


def test_waits_grow_with_jitter_up_to_the_longest() -> None:
    patience = Patience(retry_first_s=1, retry_longest_s=4)
    assert list(itertools.islice(waits(patience, lambda: 1.0), 5)) == [1, 2, 4, 4, 4]
    assert list(itertools.islice(waits(patience, lambda: 0.0), 3)) == [0.5, 1, 2]
