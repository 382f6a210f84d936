"""Events as OpenAI's objects."""

from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.errors.v1 import errors_pb2
from services.gateway import openai, statuses
from services.gateway.openai import Chunks

pytestmark = pytest.mark.req("C3")


def events(*kinds: dict[str, Any]) -> list[analyst.Event]:
    at = Timestamp(seconds=1_760_000_000, nanos=120_000_000)
    return [
        analyst.Event(run_id="run-1", sequence=n, at=at, **each) for n, each in enumerate(kinds, 1)
    ]


CODE, EXECUTE, FILE = (
    analyst.BLOCK_KIND_CODE,
    analyst.BLOCK_KIND_EXECUTE,
    analyst.BLOCK_KIND_FILE,
)
USAGE = analyst.RunUsage(
    prompt_tokens=10, completion_tokens=5, rounds=1, fetched_bytes=7, elapsed=Duration(seconds=2)
)
PNG = analyst.FileInfo(id="file-1", name="a.png", url="/v1/files/file-1/content")
RUN = events(
    {"started": analyst.RunStarted(thread_id="thread-1", model="m", tier="landlock")},
    {"fetch_progress": analyst.FetchProgress(source="s", rows=3, bytes=9)},
    {"block_opened": analyst.BlockOpened(kind=CODE)},
    {"block_text": analyst.BlockText(kind=CODE, text='print("ü\u2028")\n')},
    {"block_closed": analyst.BlockClosed(kind=CODE)},
    {"block_text": analyst.BlockText(text="\n")},
    {"program_started": analyst.ProgramStarted(round=1, code="x")},
    {"block_opened": analyst.BlockOpened(kind=EXECUTE)},
    {"block_text": analyst.BlockText(kind=EXECUTE, text="ü")},
    {"block_closed": analyst.BlockClosed(kind=EXECUTE)},
    {"block_opened": analyst.BlockOpened(kind=FILE)},
    {"block_text": analyst.BlockText(kind=FILE, text="\n![a.png](u)\n")},
    {"block_closed": analyst.BlockClosed(kind=FILE)},
    {"completed": analyst.RunCompleted(answer="so", usage=USAGE, finish="answer", files=[PNG])},
)
TEXT = (
    '<Code>print("ü\u2028")\n</Code>\n'
    "\n<Execute>\n```\nü\n```\n</Execute>\n"
    "\n<File>\n![a.png](u)\n</File>\n"
)


def chunks(*run: analyst.Event, include_usage: bool = False) -> list[dict[str, Any]]:
    made = Chunks("run-1", "m", created=1, include_usage=include_usage)
    return [chunk for event in run for chunk in made.of(event, "request-1")]


def test_stream_holds_text_events_and_files() -> None:
    got = chunks(*RUN, include_usage=True)
    counted = got.pop()
    assert counted["choices"] == []
    assert counted["usage"]["total_tokens"] == 15
    assert len(got) == len(RUN)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in got) == TEXT
    last = got[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["thread_id"] == "thread-1"
    (file,) = last["generated_files"]
    assert (file["name"], file["url"]) == ("a.png", PNG.url)
    assert [c["choices"][0]["finish_reason"] for c in got[:-1]] == [None] * (len(got) - 1)


def test_each_chunk_carries_its_typed_event() -> None:
    for event, chunk in zip(RUN, chunks(*RUN), strict=True):
        assert json_format.ParseDict(chunk["isobath"], analyst.Event()) == event


def test_chunks_fit_the_official_types() -> None:
    for chunk in chunks(*RUN, include_usage=True):
        ChatCompletionChunk.model_validate(chunk, strict=True)
    whole = openai.completion("run-1", "m", RUN, created=1)
    ChatCompletion.model_validate(whole, strict=True)


def test_whole_completion_has_the_same_text_and_upstreams_fields() -> None:
    whole = openai.completion("run-1", "m", RUN, created=1)
    message = whole["choices"][0]["message"]
    assert message["content"] == TEXT
    assert message["thread_id"] == "thread-1"
    assert message["files"] == whole["generated_files"]
    assert whole["usage"]["seconds"] == 2.0


def test_bound_is_told_as_length() -> None:
    (event,) = events({"completed": analyst.RunCompleted(finish="tokens")})
    (chunk,) = chunks(event)
    assert chunk["choices"][0]["finish_reason"] == "length"


def test_failure_is_an_error_with_its_fields() -> None:
    failed = analyst.RunFailed(
        reason="QUERY_FAILED",
        message="syntax error",
        remedy="Correct the query.",
        metadata={"position": "8", "sqlstate": "42601"},
        code=9,
    )
    (event,) = events({"failed": failed})
    (told,) = chunks(event)
    error = told["error"]
    assert error["reason"] == "QUERY_FAILED"
    assert error["details"]["position"] == "8"
    assert error["remedy"] == "Correct the query."
    assert error["type"] == "invalid_request_error"
    assert error["request_id"] == "request-1"
    assert "failed" in told["isobath"]


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (3, "INVALID_FIELD", 400),
        (5, "SOURCE_NOT_FOUND", 404),
        (5, "NOT_FOUND", 404),
        (5, "PATH_NOT_FOUND", 422),
        (6, "ALREADY_EXISTS", 409),
        (10, "CONFLICT", 409),
        (16, "UNAUTHENTICATED", 401),
        (7, "CALLER_NOT_ALLOWED", 403),
        (7, "BEYOND_GRANT", 403),
        (7, "SOURCE_FORBIDDEN", 422),
        (9, "SOURCE_AUTHENTICATION_FAILED", 422),
        (9, "QUERY_FAILED", 422),
        (9, "QUERY_NOT_READ_ONLY", 422),
        (9, "TIER_UNAVAILABLE", 503),
        (4, "QUERY_TIMEOUT", 504),
        (11, "TOO_LARGE", 413),
        (8, "TOO_BUSY", 429),
        (8, "WORKSPACE_FULL", 413),
        (10, "RUN_INTERRUPTED", 503),
        (10, "KERNEL_DIED", 502),
        (14, "SOURCE_UNREACHABLE", 502),
        (14, "SERVICE_UNAVAILABLE", 503),
        (14, "MODEL_UNAVAILABLE", 503),
        (15, "CHECKSUM_MISMATCH", 502),
        (13, "INTERNAL", 500),
        (12, "UNSUPPORTED", 400),
        (2, "", 500),
    ],
)
def test_status_of_reason(code: int, reason: str, expected: int) -> None:
    assert statuses.http_status(reason, code) == expected


def test_reasons_with_a_status_of_their_own_are_of_the_contract() -> None:
    known = {
        name.removeprefix("ERROR_REASON_")
        for name in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name
    }
    assert set(statuses._BY_REASON) <= known


def test_every_fault_of_the_gateway_has_a_status() -> None:
    from services.gateway import errors

    drawn = set(_below(errors.GatewayFault))
    assert drawn == set(statuses.STATUSES)


def _below(cls: type[Any]) -> list[type[Any]]:
    return [kind for sub in cls.__subclasses__() for kind in (sub, *_below(sub))]


def test_error_names_its_field() -> None:
    told = openai.envelope(400, "INVALID_FIELD", "no", details={"field": "config.port"})["error"]
    assert told["param"] == "config.port"
    assert told["code"] == "invalid_field"
