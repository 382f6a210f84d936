"""From code in the sandbox to the statement at the database: one trace, of which the code knows
nothing and which holds no value."""

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit import tracing
from servicekit.channels import calling
from servicekit.exporting import TraceSettings, exporting
from tests.collector import Collector, Span, collecting
from tests.pg_connector.conftest import Platform
from tests.sandbox.boxes import TIERS, place

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BOUND = "a-value-that-is-bound"
CODE = f"""
import os
asked = sources['sales'].query('SELECT $1::text AS said', ['{BOUND}'])
print(asked.said.tolist())
print([name for name in os.environ if 'trace' in name.lower()])
try:
    sources['sales'].query('SELECT wrong FROM public.orders')
except sources.QueryError as error:
    print(error.sqlstate)
"""


def above(collector: Collector, span: Span) -> list[str]:
    by_id = {each.span_id: each for each in collector.spans}
    found = []
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        found.append(span.name.rpartition("/")[2])
    return found


@pytest.mark.req("S7", "X2", "D2")
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox")
async def test_query_from_code_belongs_to_the_trace_of_its_program(
    platform: Platform, told: bool
) -> None:
    grant = await platform.grant(operations=["read", "list"])
    source = pb.Source(name="sales", source_id="ds-1", type="postgresql", grant=grant)
    with (
        collecting() as collector,
        exporting(TraceSettings(collector.grpc, statements=told), "all of them"),
    ):
        async with (
            place(TIERS[0], connectors=(platform.address,)) as sandbox,
            sandbox.box() as box,
        ):
            request = pb.AttachSourcesRequest(session_id=box.id, run_id="run", sources=[source])
            await calling(box.stub.AttachSources(request))
            with tracing.continued(PARENT):
                ran = await box.run(CODE)
    assert ran.out == f"['{BOUND}']\n[]\n42703\n" and ran.traceback == ""
    assert {span.trace_id for span in collector.spans} == {PARENT.split("-")[1]}
    selected = next(s for s in collector.spans if "db.response.returned_rows" in s.attributes)
    chain = ["Fetch", "Fetch", "broker fetch", "kernel", "Execute", "Execute"]
    assert above(collector, selected) == chain
    assert selected.attributes["db.system.name"] == "postgresql"
    assert selected.attributes["db.response.returned_rows"] == 1
    assert (selected.attributes.get("db.query.text") == "SELECT $1::text AS said") == told
    refused = next(s for s in collector.spans if s.attributes.get("db.response.status_code"))
    assert refused.failed and refused.attributes["db.response.status_code"] == "42703"
    assert {"QUERY_FAILED"} == {s.failed for s in collector.named("broker fetch")} - {""}
    said = b"".join(collector.raw)
    assert BOUND.encode() not in said
    assert (b"SELECT wrong" in said) == told
