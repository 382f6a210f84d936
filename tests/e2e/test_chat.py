"""The same question over the OpenAI SDK and over gRPC: one run, one sequence of events."""

import asyncio
import json
import re
from typing import Any

import grpc
import httpx
import openai
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from dev.samples.facts import facts_of_seed
from tests.e2e.conftest import Platform
from tests.e2e.question import DATA, MESSAGES, MODEL, QUESTION, body

pytestmark = pytest.mark.slow
ENDS = {"completed", "failed", "cancelled"}


def ask_by_openai(platform: Platform) -> tuple[str, list[dict[str, Any]]]:
    """The answer's text, and the typed event of each chunk."""
    client = openai.OpenAI(
        base_url=platform.ready["http"] + "/v1", api_key=platform.key, max_retries=0
    )
    stream = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        stream=True,
        extra_body={"data_sources": DATA},
    )
    text, events = "", []
    for chunk in stream:
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        if event := (chunk.model_extra or {}).get("isobath"):
            events.append(event)
    return text, events


class Reflected:
    """A gRPC client that knows nothing of the contracts but what the server's reflection tells."""

    def __init__(self, platform: Platform) -> None:
        self.channel = grpc.insecure_channel(platform.ready["grpc"])
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.metadata = (("authorization", f"Bearer {platform.key}"),)

    def stream(self, service: str, method: str, request: dict[str, Any]) -> list[dict[str, Any]]:
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        taken = message_factory.GetMessageClass(described.input_type)
        given = message_factory.GetMessageClass(described.output_type)
        call = self.channel.unary_stream(
            f"/{service}/{method}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=given.FromString,
        )
        message = json_format.ParseDict(request, taken())
        return [
            json_format.MessageToDict(each, preserving_proto_field_name=True)["event"]
            for each in call(message, metadata=self.metadata, timeout=150)
        ]


def selections() -> list[dict[str, Any]]:
    """The same data as gRPC takes it."""
    return [
        {k: v for k, v in each.items() if k != "limit"}
        | ({"limits": {"max_rows": each["limit"]}} if "limit" in each else {})
        for each in DATA
    ]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """What happened, without progress and notices, which depend on timing."""
    oneof = (
        *("started", "file_ready", "block_opened", "block_closed", "program_started"),
        *("figure", "artifact", "program_finished", "completed", "failed", "cancelled"),
    )
    return [name for event in events for name in oneof if name in event]


@pytest.mark.req("C1", "C3", "C4", "C6")
def test_demo_question_over_openai_and_grpc_gives_the_same_events(platform: Platform) -> None:
    text, over_http = ask_by_openai(platform)
    reflected = Reflected(platform)
    service = "isobath.analyst.v1.AnalystService"
    run_id = over_http[0]["run_id"]
    watched = reflected.stream(service, "WatchRun", {"run_id": run_id})
    assert [int(e["sequence"]) for e in watched] == list(range(1, len(watched) + 1))
    shown = [e["sequence"] for e in over_http]
    assert [int(number) for number in shown] == [int(e["sequence"]) for e in watched]

    asked = reflected.stream(
        service, "Chat", {"model": MODEL, "messages": MESSAGES, "data_sources": selections()}
    )
    assert sorted(kinds(asked)) == sorted(kinds(watched))
    answers = [e["completed"]["answer"] for e in (watched[-1], asked[-1])]
    assert answers[0] == answers[1]
    # in the text, links lead to where the files are
    linked = re.sub(r"\]\(http\S+?/files/[^)]*\)", "](…)", text)
    assert re.sub(r"\]\([^)]*\)", "](…)", answers[0].strip()) in linked


@pytest.mark.req("C1", "C4")
def test_answer_names_region_and_carrier_that_the_data_shows(platform: Platform) -> None:
    truth = facts_of_seed()
    with platform.http() as api:
        reply = api.post("/v1/chat/completions", json=body()).raise_for_status().json()
    answer = reply["choices"][0]["message"]["content"].split("<Answer>")[1]
    assert truth.worst_region in answer
    assert truth.late_carrier in answer
    assert "rule-based" in answer
    assert any(f["name"].endswith(".png") for f in reply["generated_files"])
    assert any(f["name"].endswith(".md") for f in reply["generated_files"])


@pytest.mark.req("B4", "C6")
def test_figures_and_report_of_a_run_can_be_downloaded_and_lie_in_the_lake(
    api: httpx.Client,
) -> None:
    asked = body(artifacts_to={"source": "lake", "prefix": "results/{run_id}/"})
    reply = api.post("/v1/chat/completions", json=asked).raise_for_status().json()
    written = {each["path"]: each["bytes"] for each in reply["written_files"]}
    assert len(written) == len(reply["generated_files"]) > 1
    folder = next(iter(written)).rpartition("/")[0] + "/"
    listed = api.get("/v1/data-sources/lake/browse", params={"path": folder})
    found = {each["path"]: each["size_bytes"] for each in listed.raise_for_status().json()["data"]}
    assert found == written
    for file in reply["generated_files"]:
        content = api.get(file["url"]).raise_for_status().content
        if file["name"].endswith(".png"):
            assert content.startswith(b"\x89PNG")
        if file["name"].endswith(".md"):
            assert QUESTION in content.decode()


@pytest.mark.req("C1")
def test_sources_alone_are_told_to_the_model(api: httpx.Client) -> None:
    """The embedded analyst queries nothing live, and says so; that it was asked at all shows that
    both sources told what they hold."""
    asked = body(data_sources=[{"source": "sales"}, {"source": "lake"}])
    reply = api.post("/v1/chat/completions", json=asked).raise_for_status().json()
    assert "Name a table, a path or a query" in reply["choices"][0]["message"]["content"]


@pytest.mark.req("C5", "X6")
def test_thread_goes_on_where_it_was(api: httpx.Client) -> None:
    first = api.post("/v1/chat/completions", json=body()).raise_for_status().json()
    thread = first["choices"][0]["message"]["thread_id"]
    again = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "How many orders are there?"}],
    }
    second = api.post("/v1/chat/completions", json={**again, "thread_id": thread})
    reply = second.raise_for_status().json()["choices"][0]["message"]
    assert reply["thread_id"] == thread
    assert f"{facts_of_seed().orders:,}" in reply["content"]


@pytest.mark.req("C8")
def test_dropped_stream_is_taken_up_from_the_last_event(api: httpx.Client) -> None:
    with api.stream("POST", "/v1/chat/completions", json=body(stream=True)) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: {") and (event := json.loads(line[6:]).get("isobath")):
                break
    run_id = event["run_id"]
    state = api.get(f"/v1/runs/{run_id}").raise_for_status().json()
    assert state["id"] == run_id
    headers = {"last-event-id": str(event["sequence"])}
    with api.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as stream:
        numbers = [int(line[3:]) for line in stream.iter_lines() if line.startswith("id:")]
    start = int(event["sequence"]) + 1
    assert numbers == list(range(start, start + len(numbers)))


@pytest.mark.req("C7")
async def test_disconnect_cancels_the_run(platform: Platform) -> None:
    headers = {"authorization": f"Bearer {platform.key}"}
    base = platform.ready["http"]
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as api:
        async with api.stream("POST", "/v1/chat/completions", json=body(stream=True)) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: {") and (event := json.loads(line[6:]).get("isobath")):
                    break
        for _ in range(100):
            state = (await api.get(f"/v1/runs/{event['run_id']}")).json()["status"]
            if state in ENDS:
                break
            await asyncio.sleep(0.05)
    assert state == "cancelled"
