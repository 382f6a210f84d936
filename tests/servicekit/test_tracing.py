"""Spans from a service to a collector, over real sockets: the right parents, and nothing that must
not be told."""

import asyncio
import io
import json
import time
from typing import Any

import grpc
import pytest

from servicekit import context, exporting, logs, metrics, tracing
from servicekit.channels import streaming
from servicekit.exporting import TraceSettings, trace_settings
from servicekit.secrets import Secret
from servicekit.settings import SettingsError
from servicekit.testing import open_channel, running
from tests.collector import Collector, collecting
from tests.servicekit.probe import NAME, Probe, mount

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = PARENT.split("-")[1]
UNSAMPLED = PARENT[:-2] + "00"


@pytest.fixture
def collector():
    with collecting() as listening:
        yield listening


def sent(outcome: str) -> float:
    labels = {"outcome": outcome}
    return metrics.REGISTRY.get_sample_value("isobath_trace_spans_total", labels) or 0.0


def call(opened: Any, request: bytes, *headers: tuple[str, str], method="Unary"):
    return opened.unary_unary(f"/{NAME}/{method}")(request, metadata=headers, timeout=20)


@pytest.mark.req("S7")
@pytest.mark.parametrize("protocol", ["grpc", "http", "http/protobuf"])
async def test_spans_reach_the_collector(collector: Collector, protocol: str) -> None:
    endpoint = collector.grpc if protocol == "grpc" else collector.http
    settings = TraceSettings(endpoint, protocol, headers=Secret("X-Key=abc%20def, b=c"))  # type: ignore[arg-type]
    before = sent("exported")
    with (
        exporting.exporting(settings, "probe"),
        tracing.span("outer", kind=tracing.SERVER),
        tracing.span("inner") as inner,
    ):
        inner.tell({"n": 1, "ok": True, "word": "w"})
        inner.note("happened")
    outer, inner_told = collector.named("outer")[0], collector.named("inner")[0]
    assert inner_told.parent_id == outer.span_id and inner_told.trace_id == outer.trace_id
    assert inner_told.attributes == {"n": 1, "ok": True, "word": "w"}
    assert inner_told.events == ("happened",) and outer.kind == "server"
    told = outer.resource
    assert (told["service.name"], told["service.namespace"]) == ("probe", "isobath")
    assert told["service.version"] and told["service.instance.id"] and told["telemetry.sdk.name"]
    assert collector.headers["x-key"] == "abc def" and collector.headers["b"] == "c"
    assert sent("exported") == before + 2


@pytest.mark.req("S7")
async def test_call_over_two_services_is_one_trace(collector: Collector, no_leaks) -> None:
    """As clients begin them: the first server takes whoever comes, the second only continues."""
    with exporting.exporting(TraceSettings(collector.grpc), "probe"):
        async with running((mount, Probe())) as far:
            near_probe = Probe(peer=far.address)
            async with running((mount, near_probe)) as near, open_channel(near) as opened:
                assert await call(opened, b"hop", ("traceparent", PARENT)) is not None
                # without a trace none begins here
                await call(opened, b"hop")
    spans = {(span.kind, span.parent_id): span for span in collector.spans}
    assert len(collector.spans) == 3 and {span.trace_id for span in collector.spans} == {TRACE}
    first = spans["server", PARENT.split("-")[2]]
    onward = spans["client", first.span_id]
    assert spans["server", onward.span_id].name == f"{NAME}/Unary"
    assert first.attributes["rpc.service"] == NAME and first.attributes["rpc.method"] == "Unary"
    assert {s.attributes["rpc.response.status_code"] for s in collector.spans} == {"OK"}
    assert not any(span.failed for span in collector.spans)


@pytest.mark.req("S7", "S4")
@pytest.mark.parametrize(
    ("request_bytes", "failed", "reason"),
    [(b"unknown", "INTERNAL", ""), (b"narrow", "", "TOO_LARGE"), (b"foreign", "", "NOT_FOUND")],
)
async def test_faults_are_marked_by_reason_and_never_by_their_text(
    collector: Collector, request_bytes: bytes, failed: str, reason: str
) -> None:
    """As the semantic conventions have it, a refusal is no error of a server's span."""
    with exporting.exporting(TraceSettings(collector.grpc), "probe"):
        async with running((mount, Probe())) as server, open_channel(server) as opened:
            with pytest.raises(grpc.aio.AioRpcError):
                await call(opened, request_bytes, ("traceparent", PARENT))
    (span,) = [span for span in collector.spans if span.kind == "server"]
    assert (span.failed, span.attributes.get("isobath.reason", "")) == (failed, reason)
    assert not any(b"internal-detail" in raw or b"too narrow" in raw for raw in collector.raw)


async def test_client_span_of_a_refused_call_is_an_error(collector: Collector) -> None:
    with exporting.exporting(TraceSettings(collector.grpc), "probe"):
        async with running((mount, Probe())) as server, open_channel(server) as opened:
            with tracing.continued(PARENT), pytest.raises(grpc.aio.AioRpcError):
                await call(opened, b"narrow")
    (client,) = [span for span in collector.spans if span.kind == "client"]
    assert client.failed == "OUT_OF_RANGE" and client.attributes["error.type"] == "OUT_OF_RANGE"


async def test_stream_that_is_left_is_no_error(collector: Collector, no_leaks) -> None:
    probe = Probe()
    with exporting.exporting(TraceSettings(collector.grpc), "probe"):
        async with running((mount, probe)) as server, open_channel(server) as opened:
            with tracing.continued(PARENT):
                method: Any = opened.unary_stream(f"/{NAME}/ServerStream")  # type: ignore[call-arg]
                async with streaming(method(b"wait")) as messages:
                    assert await anext(aiter(messages)) == b"first"
            await probe.ended.wait()
    assert {span.kind: span.failed for span in collector.spans} == {"client": "", "server": ""}
    assert {s.attributes["rpc.response.status_code"] for s in collector.spans} == {"CANCELLED"}


@pytest.mark.req("S4")
async def test_log_lines_tell_the_trace_and_the_span(collector: Collector) -> None:
    text = io.StringIO()
    logs.configure("test", stream=text)
    try:
        with exporting.exporting(TraceSettings(collector.grpc), "probe"):
            async with running((mount, Probe())) as server, open_channel(server) as opened:
                await call(opened, b"x", ("traceparent", PARENT))
    finally:
        logs.configure("")
    (line,) = [
        each for each in map(json.loads, text.getvalue().splitlines()) if each["event"] == "rpc"
    ]
    assert line["trace_id"] == TRACE and line["span_id"] == collector.spans[0].span_id


@pytest.mark.req("S4")
def test_log_lines_tell_the_user_the_source_and_the_operation() -> None:
    text = io.StringIO()
    logs.configure("test", stream=text)
    try:
        with context.entered_request("r-1"):
            context.tell(user="ann", source_id="ds-1", operation="read")
            logs.get("x").info("looked")
            logs.get("x").info("looked", source_id="ds-2")
        logs.get("x").info("outside")
    finally:
        logs.configure("")
    first, second, outside = map(json.loads, text.getvalue().splitlines())
    told = {"request_id": "r-1", "user": "ann", "source_id": "ds-1", "operation": "read"}
    assert {name: first.get(name) for name in told} == told
    assert second["source_id"] == "ds-2"
    assert not told.keys() & outside.keys() and "trace_id" not in outside


@pytest.mark.req("S7")
async def test_without_a_collector_a_trace_passes_through_and_no_span_is_made() -> None:
    assert not tracing.is_on()
    assert tracing.begin("x", kind=tracing.SERVER) is tracing.NOTHING
    async with running((mount, Probe())) as far, running((mount, Probe(peer=far.address))) as near:
        text = io.StringIO()
        logs.configure("test", stream=text)
        try:
            async with open_channel(near) as opened:
                await call(opened, b"hop", ("traceparent", PARENT))
                await asyncio.sleep(0.05)
        finally:
            logs.configure("")
    lines = [
        each for each in map(json.loads, text.getvalue().splitlines()) if each["event"] == "rpc"
    ]
    assert [line["trace_id"] for line in lines] == [TRACE, TRACE]


@pytest.mark.parametrize("given", ["", "00-zz", "junk", "00-" + "0" * 32 + "-" + "1" * 16 + "-01"])
async def test_trace_that_cannot_be_read_is_none(given: str) -> None:
    with tracing.entered({"traceparent": given}):
        assert tracing.headers() == {} and tracing.identifiers() is None


@pytest.mark.req("S7")
async def test_what_is_kept_with_work_continues_its_trace_elsewhere(collector: Collector) -> None:
    with (
        exporting.exporting(TraceSettings(collector.grpc), "first"),
        tracing.entered({"traceparent": PARENT, "tracestate": "v=1,w=2"}),
        tracing.span("begun"),
    ):
        kept = tracing.carried()
    assert kept.endswith(" v=1,w=2") and len(kept) < 600
    with (
        exporting.exporting(TraceSettings(collector.grpc), "second"),
        # in the middle of something else
        tracing.span("other", kind=tracing.SERVER),
        tracing.continued(kept),
        tracing.span("went on"),
    ):
        assert tracing.headers()["tracestate"] == "v=1,w=2"
    begun, went_on = collector.named("begun")[0], collector.named("went on")[0]
    assert (went_on.trace_id, went_on.parent_id) == (TRACE, begun.span_id)
    with tracing.continued(""):
        assert tracing.carried() == ""


@pytest.mark.req("D2", "S4")
async def test_no_secret_and_no_long_text_stands_in_a_span(collector: Collector) -> None:
    planted = Secret("planted-in-a-span")
    with (
        exporting.exporting(TraceSettings(collector.grpc), "probe"),
        pytest.raises(ValueError, match="planted"),
        tracing.span("leaks", kind=tracing.SERVER) as span,
    ):
        span.tell({"password": "hunter22", "said": f"x {planted.reveal()}"})
        span.tell({"long": "y" * 10_000, tracing.STATEMENT: "SELECT " + "z" * 10_000})
        span.note("note", {"authorization": "Bearer abcdefghijkl"})
        raise ValueError(f"with {planted.reveal()} in it")
    (told,) = collector.spans
    assert told.failed == "ValueError" and told.attributes["password"] == "***"
    assert told.attributes["said"] == "x ***" and len(told.attributes["long"]) == 256
    assert len(told.attributes[tracing.STATEMENT]) == 2048
    for secret in (b"planted", b"hunter22", b"abcdefghijkl"):
        assert not any(secret in raw for raw in collector.raw)


@pytest.mark.req("S7")
async def test_sampling_follows_the_caller_and_else_the_ratio(collector: Collector) -> None:
    with exporting.exporting(TraceSettings(collector.grpc, ratio=0.0), "probe"):
        async with running((mount, Probe())) as server, open_channel(server) as opened:
            await call(opened, b"x", ("traceparent", UNSAMPLED))
            with tracing.span("begins here", kind=tracing.SERVER):
                assert not int(tracing.headers()["traceparent"][-2:], 16) & 1
            await call(opened, b"x", ("traceparent", PARENT))
    assert [span.trace_id for span in collector.spans] == [TRACE]


@pytest.mark.req("S7")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_collector_that_is_away_costs_spans_and_nothing_else(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_EXPORT_S", 0.5)
    failed = sent("failed")
    with exporting.exporting(TraceSettings("http://127.0.0.1:1", protocol), "probe"):  # type: ignore[arg-type]
        async with running((mount, Probe())) as server, open_channel(server) as opened:
            assert await call(opened, b"x", ("traceparent", PARENT)) == b"x"
    until = time.monotonic() + 10
    while sent("failed") == failed and time.monotonic() < until:
        time.sleep(0.05)
    assert sent("failed") == failed + 1


async def test_collector_that_refuses_is_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_EXPORT_S", 0.5)
    collector.refuse = True
    failed = sent("failed")
    with (
        exporting.exporting(TraceSettings(collector.http, "http"), "probe"),
        tracing.span("x", kind=tracing.SERVER),
    ):
        assert tracing.is_on()
    assert sent("failed") == failed + 1


async def test_what_waits_is_bounded(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_QUEUE", 3)
    monkeypatch.setattr(exporting, "_BATCH", 3)
    monkeypatch.setattr(exporting, "_EVERY_S", 60.0)
    dropped, exported = sent("dropped"), sent("exported")
    with exporting.exporting(TraceSettings(collector.grpc), "probe"):
        for _ in range(50):
            with tracing.span("many", kind=tracing.SERVER):
                pass
    lost, came = sent("dropped") - dropped, sent("exported") - exported
    assert lost > 0 and came >= 3 and lost + came == 50


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, TraceSettings()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"}, TraceSettings("http://c:1")),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:2",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_TRACES_SAMPLER_ARG": "0.25",
                "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
            },
            TraceSettings("http://c:2", "http/protobuf", Secret("a=b"), ratio=0.25),
        ),
        (
            {
                "ISOBATH_TRACES_ENDPOINT": "https://ours:1",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
                "ISOBATH_TRACES_STATEMENTS": "true",
            },
            TraceSettings("https://ours:1", statements=True),
        ),
        (
            {"ISOBATH_TRACES_ENDPOINT": "http://c:1", "OTEL_SDK_DISABLED": "true"},
            TraceSettings(),
        ),
    ],
)
def test_settings_are_ours_and_else_those_of_opentelemetry(environ, expected) -> None:
    assert trace_settings(environ) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {"ISOBATH_TRACES_ENDPOINT": "collector:4317"},
        {"ISOBATH_TRACES_RATIO": "2"},
        {"ISOBATH_TRACES_PROTOCOL": "udp"},
        {"ISOBATH_TRACES_HEADERS": "no-value"},
    ],
)
def test_wrong_settings_are_refused_by_name(environ) -> None:
    with pytest.raises(SettingsError, match="ISOBATH_TRACES_"):
        trace_settings(environ)
