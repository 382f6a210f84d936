"""One question is one trace over every service, each a process of its own."""

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collector import Collector, Span, collecting
from tests.e2e.conftest import ROOT, Platform, start, stop
from tests.e2e.question import QUESTION, body

pytestmark = pytest.mark.slow
SERVICES = {"gateway", "credentials", "pg_connector", "blob_connector", "sandbox", "inference"}
CLIENT_SPAN = "b7ad6b7169203331"


def parent(trace: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{CLIENT_SPAN}-01"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as listening:
        yield listening


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("traced") / "home"
    running = start(home, ISOBATH_TRACES_ENDPOINT=collector.grpc)
    try:
        yield running
    finally:
        stop(running)


class Trace:
    """The spans of one trace."""

    def __init__(self, collector: Collector, trace: str) -> None:
        self.spans = [span for span in collector.spans if span.trace_id == trace]
        self.by_id = {span.span_id: span for span in self.spans}

    def path(self, span: Span) -> list[str]:
        """From the span up to where the client's trace begins."""
        found = [f"{span.service} {span.name}"]
        while span.parent_id != CLIENT_SPAN:
            span = self.by_id[span.parent_id]
            found.append(f"{span.service} {span.name}")
        return found

    def one(self, service: str, name: str, kind: str = "") -> Span:
        found = [
            span
            for span in self.spans
            if span.service == service and name in span.name and kind in ("", span.kind)
        ]
        assert found, f"no {service}: {name} in {sorted((s.service, s.name) for s in self.spans)}"
        return found[0]


def ended(trace: str, *names: str) -> Any:
    """The spans of these names have come, and those of all services, which come by themselves."""

    def enough(collector: Collector) -> bool:
        spans = [span for span in collector.spans if span.trace_id == trace]
        return set(names) <= {span.name for span in spans} and _whole(spans)

    return enough


def _whole(spans: list[Span]) -> bool:
    known = {span.span_id for span in spans} | {CLIENT_SPAN}
    return all(span.parent_id in known for span in spans)


@pytest.mark.req("S7", "S4")
def test_question_is_one_trace_over_all_services(traced: Platform, collector: Collector) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with traced.http() as http:
        answer = http.post("/v1/chat/completions", json=body(), headers=parent(trace))
    assert answer.status_code == 200, answer.text
    route = "POST /v1/chat/completions"
    collector.wait(ended(trace, route, "run agent"), "the question's trace")
    found = Trace(collector, trace)
    assert {span.service for span in found.spans} >= SERVICES
    (root,) = [span for span in found.spans if span.parent_id == CLIENT_SPAN]
    assert (root.service, root.name, root.kind) == ("gateway", route, "server")
    assert root.attributes["http.response.status_code"] == 200
    # each span hangs on the one root, over whichever services
    tops = {found.path(span)[-1] for span in found.spans}
    assert tops == {f"gateway {route}"}

    fetch = found.path(found.one("pg_connector", "COPY"))
    assert [each.split()[0] for each in fetch] == [
        *("pg_connector", "pg_connector", "sandbox", "sandbox"),
        *("gateway", "gateway", "gateway", "gateway"),
    ]
    assert fetch[-2] == "gateway run agent" and fetch[-3] == "gateway fetch"
    minted = found.path(found.one("credentials", "MintGrant", "server"))
    assert minted[1].startswith("gateway isobath.credentials") and minted[2] == "gateway run agent"
    blob = found.path(found.one("blob_connector", "blob GET"))
    assert blob[1].endswith("ConnectorService/Fetch")
    chat = found.one("inference", "chat ")
    assert [each.split()[0] for each in found.path(chat)][:4] == [
        *("inference", "inference", "gateway", "gateway")
    ]
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    assert chat.attributes["gen_ai.latency.time_to_first_token"] >= 0
    kernel = found.path(found.one("sandbox", "kernel"))
    assert kernel[1].endswith("SandboxService/Execute") and "gateway program" in kernel
    run = found.one("gateway", "run agent")
    assert run.attributes["isobath.run.outcome"] == "completed"
    assert run.attributes["isobath.run.rounds"] >= 1
    assert not any(span.failed for span in found.spans), [s for s in found.spans if s.failed]

    counts: dict[str, int] = defaultdict(int)
    for span in found.spans:
        counts[span.parent_id] += 1
    assert max(counts.values()) <= 128
    # neither the question, nor data, nor code, nor what opens a source
    said = b"\n".join(collector.raw)
    for text in (QUESTION, "import pandas", "SELECT c0", traced.key):
        assert text.encode() not in said, text
    # and the log of each service names the trace
    logs: list[Path] = sorted((traced.home / "logs").glob("*"))
    telling = {log.stem.split(".")[0] for log in logs if trace in log.read_text(errors="replace")}
    assert telling >= SERVICES


@pytest.mark.req("S7", "C1")
def test_run_in_the_background_keeps_the_trace_of_its_request(
    traced: Platform, collector: Collector
) -> None:
    trace = "11111111111111112222222222222222"
    with traced.http() as http:
        begun = http.post("/v1/runs", json=body(), headers=parent(trace))
        assert begun.status_code == 202, begun.text
        place = f"/v1/runs/{begun.json()['id']}/events"
        assert '"completed"' in http.get(place).text
    collector.wait(ended(trace, "POST /v1/runs", "run agent"), "the run's trace")
    found = Trace(collector, trace)
    asked, run = found.one("gateway", "POST /v1/runs"), found.one("gateway", "run agent")
    assert run.parent_id == asked.span_id and run.ended > asked.ended
    assert {span.service for span in found.spans} >= SERVICES


@pytest.mark.req("S7", "P5")
def test_fault_is_marked_where_it_happened(traced: Platform, collector: Collector) -> None:
    trace = "33333333333333334444444444444444"
    asked = {"messages": [{"role": "user", "content": "?"}]}
    wrong = [{"source": "sales", "query": "SELECT no_such_column FROM public.orders"}]
    with traced.http() as http:
        answer = http.post(
            "/v1/chat/completions", json={**asked, "data_sources": wrong}, headers=parent(trace)
        )
    assert answer.status_code == 422, answer.text
    collector.wait(ended(trace, "POST /v1/chat/completions", "run agent"), "the fault's trace")
    found = Trace(collector, trace)
    statement = next(
        s for s in found.spans if s.service == "pg_connector" and s.kind == "client" and s.failed
    )
    assert statement.attributes["db.response.status_code"] == "42703"
    assert found.one("gateway", "run agent").failed == "QUERY_FAILED"
    fetch = found.one("sandbox", "ConnectorService/Fetch", "client")
    assert fetch.failed == "FAILED_PRECONDITION"
    # the caller's mistake is no fault of the server
    assert not found.one("gateway", "POST /v1/chat/completions").failed
    assert not any(b"no_such_column" in raw for raw in collector.raw)


@pytest.mark.req("S7")
def test_commands_of_the_page_work(traced: Platform, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    commands = re.findall(r"^    (curl .*)$", page, re.MULTILINE)
    assert len(commands) >= 6
    environ = {
        "PATH": os.environ["PATH"],
        "ISOBATH": traced.ready["http"],
        "KEY": traced.key,
        "no_proxy": "*",
    }
    for command in commands:
        shell = ["bash", "-euc", command.replace("curl ", "curl -fsS ", 1)]
        ran = subprocess.run(shell, cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
    assert "<html" in (tmp_path / "profile.html").read_text()
