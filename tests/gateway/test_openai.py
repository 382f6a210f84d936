"""Events as OpenAI's objects."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.errors.v1 import errors_pb2
from services.gateway import openai
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


def sent(stream: bytes) -> list[Any]:
    lines = stream.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines)
    return [line if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def test_stream_holds_text_events_and_files() -> None:
    chunks = Chunks("run-1", "m", 1, include_usage=True)
    got = sent(chunks.lines(RUN))
    assert got.pop() == "data: [DONE]"
    counted = got.pop()
    assert counted["choices"] == []
    assert counted["usage"]["total_tokens"] == 15
    assert len(got) == len(RUN)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in got) == TEXT
    last = got[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["thread_id"] == "thread-1"
    assert last["generated_files"] == [{"name": "a.png", "url": PNG.url}]
    assert [c["choices"][0]["finish_reason"] for c in got[:-1]] == [None] * (len(got) - 1)


def test_each_chunk_carries_its_typed_event() -> None:
    for event, chunk in zip(RUN, sent(Chunks("run-1", "m", 1).lines(RUN)), strict=False):
        told = chunk["isobath"]
        assert told.pop("type") == event.WhichOneof("event")
        assert json_format.ParseDict(told, analyst.Event()) == event


def test_chunk_written_by_hand_is_the_one_made_by_protobuf() -> None:
    chunks = Chunks("run-1", "m", 1)
    for event in RUN:
        if event.HasField("block_text"):
            assert sent(chunks.lines([event])) == [chunks.chunk(event)]


def test_chunks_fit_the_official_types() -> None:
    for chunk in sent(Chunks("run-1", "m", 1, include_usage=True).lines(RUN))[:-1]:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    whole = openai.completion(RUN, model="m", created=1)
    ChatCompletion.model_validate(whole, strict=True)


def test_whole_completion_has_the_same_text_and_upstreams_fields() -> None:
    whole = openai.completion(RUN, model="m", created=1, attached=[PNG])
    message = whole["choices"][0]["message"]
    assert message["content"] == TEXT
    assert message["thread_id"] == "thread-1"
    assert message["files"] == whole["generated_files"] == whole["attached_files"]
    assert whole["usage"]["seconds"] == 2.0


def test_bound_of_tokens_is_told_as_length() -> None:
    (event,) = events({"completed": analyst.RunCompleted(finish="tokens")})
    chunk = Chunks("run-1", "m", 1).chunk(event)
    assert chunk["choices"][0]["finish_reason"] == "length"


def test_failure_is_told_once_and_ends_the_stream() -> None:
    failed = analyst.RunFailed(
        reason="QUERY_FAILED",
        message="syntax error",
        remedy="Correct the query.",
        metadata={"position": "8", "sqlstate": "42601"},
        code=9,
    )
    (event,) = events({"failed": failed})
    told, done = sent(Chunks("run-1", "m", 1).lines([event]))
    assert done == "data: [DONE]"
    error = told["error"]
    assert error["reason"] == "QUERY_FAILED"
    assert error["position"] == "8"
    assert error["remedy"] == "Correct the query."
    assert error["type"] == "invalid_request_error"
    assert openai.status_of(event) == 422
    assert told["isobath"]["type"] == "failed"


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
        (4, "QUERY_TIMEOUT", 504),
        (11, "TOO_LARGE", 413),
        (8, "TOO_BUSY", 429),
        (8, "WORKSPACE_FULL", 413),
        (14, "SOURCE_UNREACHABLE", 502),
        (14, "SERVICE_UNAVAILABLE", 503),
        (14, "MODEL_UNAVAILABLE", 503),
        (13, "INTERNAL", 500),
        (12, "UNSUPPORTED", 400),
        (2, "", 500),
    ],
)
def test_status_of_reason(code: int, reason: str, expected: int) -> None:
    assert openai.status(code, reason) == expected


def test_special_reasons_are_reasons_of_the_contract() -> None:
    known = {name.removeprefix("ERROR_REASON_") for name in dict(errors_pb2.ErrorReason.items())}
    assert set(openai._BY_REASON) <= known


def test_error_names_its_field() -> None:
    told = openai.error("no", reason="INVALID_FIELD", status=400, fields={"field": "config.port"})
    assert told["param"] == "config.port"
    assert told["code"] == "invalid_field"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"1", b"\xff"])
def test_body_that_is_no_object_is_none(raw: bytes) -> None:
    assert openai.parse_body(raw) is None
