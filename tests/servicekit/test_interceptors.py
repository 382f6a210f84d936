"""The server around a call: each kind of RPC, over real gRPC."""

import asyncio
import hashlib
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit import logs, metrics
from servicekit.channels import calling, faults, streaming
from servicekit.secrets import Secret
from servicekit.server import Server, ServerSettings
from servicekit.status import RemoteFault, decode
from servicekit.testing import open_channel, running
from tests.servicekit.probe import NAME, Probe, method, mount

KINDS = ("Unary", "ServerStream", "ClientStream", "Both")


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
async def server(probe: Probe) -> AsyncIterator[Server]:
    async with running((mount, probe)) as started:
        yield started


@pytest.fixture
async def opened(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(server) as channel:
        yield channel


def start(opened: grpc.aio.Channel, kind: str, request: bytes, **options):
    streams_in = kind in ("ClientStream", "Both")
    return method(opened, kind)(iter([request]) if streams_in else request, **options)


async def answers(opened: grpc.aio.Channel, kind: str, request: bytes, **options) -> list[bytes]:
    call = start(opened, kind, request, **options)
    if kind in ("Unary", "ClientStream"):
        return [await call]
    return [message async for message in call]


async def refusal(opened: grpc.aio.Channel, kind: str, request: bytes, **options) -> RemoteFault:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await answers(opened, kind, request, **options)
    return decode(refused.value)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Unary", [b"x"]),
        ("ServerStream", [b"first", b"x"]),
        ("WritesItself", [b"written", b"x"]),
        ("ClientStream", [b"x"]),
        ("Both", [b"x"]),
    ],
)
async def test_call_of_each_kind_answers(no_leaks, opened, kind, expected):
    assert await answers(opened, kind, b"x") == expected


@pytest.mark.req("S6")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("request_bytes", "code", "reason"),
    [
        (b"base", grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT"),
        (b"narrow", grpc.StatusCode.OUT_OF_RANGE, "TOO_LARGE"),
        (b"narrower", grpc.StatusCode.OUT_OF_RANGE, "TOO_LARGE"),
        (b"foreign", grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    ],
)
async def test_fault_in_each_kind_is_mapped_by_its_class(opened, kind, request_bytes, code, reason):
    fault = await refusal(opened, kind, request_bytes)
    assert (fault.code, fault.reason) == (code, reason)
    assert "internal-detail" not in fault.message


async def test_fault_keeps_remedy_fields_and_retry(opened):
    fault = await refusal(opened, "Unary", b"narrow")
    assert fault.message == "too narrow"
    assert fault.remedy == "Ask for something else."
    assert fault.fields["field"] == "width" and fault.retry_after_s == 1.5


@pytest.mark.req("S6", "S4")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("request_bytes", [b"unknown", b"unmapped", b"broken"])
async def test_unforeseen_error_is_sanitised_for_the_caller_and_whole_in_the_log(
    server, kind, request_bytes
):
    text = io.StringIO()
    logs.configure("test", stream=text)
    try:
        async with open_channel(server) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await answers(opened, kind, request_bytes, metadata=(("x-request-id", "given-77"),))
    finally:
        logs.configure("")
    error = refused.value
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error; request id given-77"
    assert "internal-detail" not in repr(error) and "vouched" not in repr(error)
    (failure,) = [line for line in map(json.loads, text.getvalue().splitlines()) if "trace" in line]
    assert failure["request_id"] == "given-77" and failure["level"] == "error"


async def test_fault_with_a_long_text_still_arrives(opened):
    fault = await refusal(opened, "Unary", b"long")
    assert fault.reason == "CONFLICT" and fault.message.startswith("üü")


async def test_servicer_that_aborts_itself_keeps_its_own_words(opened):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await method(opened, "Aborts")(b"")
    assert refused.value.code() is grpc.StatusCode.DATA_LOSS
    assert refused.value.details() == "own words"


async def test_unknown_method_is_unimplemented(opened):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await opened.unary_unary(f"/{NAME}/Nothing")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.req("S4")
@pytest.mark.parametrize("kind", KINDS)
async def test_request_id_given_is_echoed(opened, kind):
    call = start(opened, kind, b"x", metadata=(("x-request-id", "given-1"),))
    if kind in ("ServerStream", "Both"):
        assert [message async for message in call]
    assert dict(await call.trailing_metadata())["x-request-id"] == "given-1"


@pytest.mark.parametrize("offered", ["", 'a"b', "x" * 500])
async def test_request_id_unfit_is_replaced(opened, offered):
    answer = await method(opened, "Unary")(b"context", metadata=(("x-request-id", offered),))
    assert len(answer.split()[0]) == 32


async def test_request_id_made_is_echoed_with_an_error(opened):
    fault = await refusal(opened, "Unary", b"base")
    assert len(fault.fields["request_id"]) == 32


@pytest.mark.req("S4")
async def test_access_log_has_a_line_per_call(server):
    text = io.StringIO()
    logs.configure("test", stream=text)
    try:
        async with open_channel(server) as opened:
            await answers(opened, "ServerStream", b"x")
            await refusal(opened, "Unary", b"base")
        # a line is written once the call has ended here too
        async with asyncio.timeout(10):
            while text.getvalue().count('"event": "rpc"') < 2:
                await asyncio.sleep(0.01)
    finally:
        logs.configure("")
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    first, second = [line for line in lines if line["event"] == "rpc"]
    assert first["method"] == f"/{NAME}/ServerStream" and first["code"] == "OK"
    assert second["method"] == f"/{NAME}/Unary" and second["code"] == "FAILED_PRECONDITION"
    assert first["caller"] == "local" and first["peer"] and first["seconds"] >= 0


@pytest.mark.req("S7")
async def test_metrics_count_by_method_and_code(opened):
    def count(code: str) -> float:
        labels = {"method": f"/{NAME}/Both", "code": code}
        return metrics.REGISTRY.get_sample_value("isobath_rpc_handled_total", labels) or 0

    ok, refused = count("OK"), count("OUT_OF_RANGE")
    await answers(opened, "Both", b"x")
    await refusal(opened, "Both", b"narrow")
    # a call is counted when its answer is on its way
    async with asyncio.timeout(10):
        while (count("OK"), count("OUT_OF_RANGE")) != (ok + 1, refused + 1):
            await asyncio.sleep(0.01)
    running_now = metrics.REGISTRY.get_sample_value(
        "isobath_rpc_running", {"method": f"/{NAME}/Both"}
    )
    assert running_now == 0


@pytest.mark.req("C7")
@pytest.mark.parametrize("kind", ["Unary", "ServerStream", "Both"])
async def test_cancel_reaches_the_servicer(no_leaks, probe, opened, kind):
    call = start(opened, kind, b"wait")
    reading = asyncio.create_task(call.read() if kind == "Both" else call.code())
    await probe.started.wait() if kind != "ServerStream" else await call.read()
    call.cancel()
    await asyncio.wait_for(probe.ended.wait(), 5)
    reading.cancel()


@pytest.mark.req("C7")
async def test_streaming_left_with_break_cancels_the_call(no_leaks, probe, opened):
    async with streaming(method(opened, "ServerStream")(b"wait")) as call:
        async for message in faults(call):
            assert message == b"first"
            break
    await asyncio.wait_for(probe.ended.wait(), 5)


async def test_channel_closed_by_the_client_ends_the_servicer(no_leaks, probe, server):
    async with open_channel(server) as opened:
        call = method(opened, "ServerStream")(b"wait")
        assert await call.read() == b"first"
    await asyncio.wait_for(probe.ended.wait(), 5)


async def test_deadline_ends_the_servicer_and_tells_the_caller(probe, opened):
    with pytest.raises(RemoteFault) as refused:
        await calling(method(opened, "Unary")(b"wait", timeout=0.1))
    assert refused.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert refused.value.reason == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(probe.ended.wait(), 5)


async def test_deadline_and_request_id_travel_over_two_hops(server):
    async with (
        running((mount, Probe(peer=server.address))) as front,
        open_channel(front) as opened,
    ):
        headers = (("x-request-id", "two-hops"),)
        answer = await method(opened, "Unary")(b"hop", timeout=7, metadata=headers)
    identifier, _, left = answer.decode().split()
    assert identifier == "two-hops"
    # without the incoming deadline the second hop would have the channel's own 30 s
    assert 0 < float(left) < 8


async def test_second_hop_down_is_told_as_unavailable_not_internal(server):
    async with (
        running((mount, Probe(peer="127.0.0.1:1"))) as front,
        open_channel(front) as opened,
    ):
        fault = await refusal(opened, "Unary", b"hop")
    assert fault.code is grpc.StatusCode.UNAVAILABLE
    assert fault.reason == "SERVICE_UNAVAILABLE" and "127.0.0.1" not in fault.message


async def test_call_without_deadline_has_none_on_a_stream_and_the_default_otherwise(server):
    async with open_channel(server, default_timeout_s=12) as opened:
        unary = await method(opened, "Unary")(b"context")
        _, stream = await answers(opened, "ServerStream", b"context")
    assert 0 < float(unary.split()[2]) <= 13
    assert float(stream.split()[2]) == -1


# identities


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def callers_file(tmp_path: Path) -> Path:
    path = tmp_path / "callers.json"
    path.write_text(json.dumps({"gateway": digest("g-token"), "sandbox": digest("s-token")}))
    return path


@pytest.fixture
async def guarded(probe: Probe, callers_file: Path) -> AsyncIterator[Server]:
    settings = ServerSettings(callers_file=callers_file)
    async with running((mount, probe), server_settings=settings) as started:
        yield started


async def said(server: Server, token: str | None, name: str = "Unary") -> str:
    secret = None if token is None else Secret(token)
    async with open_channel(server, token=secret) as opened:
        return str((await calling(method(opened, name)(b"context"))).decode().split()[1])


@pytest.mark.req("S3")
async def test_caller_with_a_known_token_is_identified(guarded):
    assert await said(guarded, "g-token") == "gateway"
    assert await said(guarded, "s-token") == "sandbox"


@pytest.mark.req("S3")
@pytest.mark.parametrize("token", [None, "wrong", ""])
async def test_caller_without_a_known_token_is_refused(guarded, token):
    with pytest.raises(RemoteFault) as refused:
        await said(guarded, token)
    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.value.reason == "UNAUTHENTICATED" and refused.value.remedy


@pytest.mark.req("S3")
async def test_caller_not_allowed_for_the_method_is_refused(guarded):
    with pytest.raises(RemoteFault) as refused:
        await said(guarded, "s-token", "Aborts")
    assert refused.value.reason == "CALLER_NOT_ALLOWED"
    assert dict(refused.value.fields)["identity"] == "sandbox"
    with pytest.raises(RemoteFault) as reached:
        await said(guarded, "g-token", "Aborts")
    assert reached.value.code is grpc.StatusCode.DATA_LOSS


@pytest.mark.req("S3")
async def test_method_that_names_nobody_is_nobody_s(guarded):
    for token in ("g-token", "s-token"):
        async with open_channel(guarded, token=Secret(token)) as opened:
            with pytest.raises(RemoteFault) as refused:
                async for _ in faults(method(opened, "ServerStream")(b"")):
                    pass
        assert refused.value.reason == "CALLER_NOT_ALLOWED"


async def test_callers_file_changed_counts_at_the_next_call(guarded, callers_file):
    callers_file.write_text(json.dumps({"gateway": digest("rotated")}))
    os.utime(callers_file, ns=(1, 1))
    assert await said(guarded, "rotated") == "gateway"
    with pytest.raises(RemoteFault):
        await said(guarded, "g-token")


async def test_callers_file_broken_later_leaves_the_last_good_one(guarded, callers_file):
    callers_file.write_text("{")
    os.utime(callers_file, ns=(1, 1))
    assert await said(guarded, "g-token") == "gateway"


@pytest.mark.req("S7")
async def test_health_and_reflection_need_no_token(guarded):
    async with open_channel(guarded) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        for name in ("", NAME):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2.ServerReflectionRequest(list_services="*")
        listing = reflection_pb2_grpc.ServerReflectionStub(opened).ServerReflectionInfo(iter([ask]))
        names = {s.name async for r in listing for s in r.list_services_response.service}
    assert {NAME, "grpc.health.v1.Health"} <= names
