"""What clients of OpenAI's API rely on, as a table: a request, and what must hold of its answer.

`CHATS` are run by a raw HTTP client and by the official SDK, `ROUTES` by the raw client alone.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import openai

from tests.gateway.conftest import ANSWER, CODE

AGENT, PLAIN = "DeepAnalyze-8B", "tiny:plain"
ASK = {"model": AGENT, "messages": [{"role": "user", "content": "How many?"}]}
PROGRAM = (CODE.format("print(6 * 7)\nsave('out.csv', b'a,b')"), ANSWER.format("It is 42."))
USER = {"role": "user", "content": "How many?"}


@dataclass(frozen=True)
class Reply:
    """An answer, however it came: `whole` is a JSON body, `chunks` those of a stream."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wire: str = ""
    whole: dict[str, Any] = field(default_factory=dict)
    chunks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def objects(self) -> list[dict[str, Any]]:
        return self.chunks or [self.whole]

    @property
    def text(self) -> str:
        choices = [choice for each in self.objects for choice in each["choices"]]
        said = [choice.get("delta") or choice.get("message") or {} for choice in choices]
        return "".join(each.get("content") or "" for each in said)

    @property
    def finish_reasons(self) -> list[str]:
        choices = [choice for each in self.objects for choice in each["choices"]]
        return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]


Check = Callable[[Reply], object]


@dataclass(frozen=True)
class Case:
    """`body` is merged over a question. `says`: the model's turns. `error`: of the envelope, what
    must be so. `raises`: what the SDK makes of it. `holds`: of any answer; `wire`: of the raw one.
    `runs`: how many runs are kept."""

    name: str
    body: Mapping[str, Any] = field(default_factory=dict)
    says: tuple[str, ...] = ("A title",)
    sends: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    error: Mapping[str, Any] = field(default_factory=dict)
    raises: type[openai.APIStatusError] | None = None
    holds: tuple[Check, ...] = ()
    wire: tuple[Check, ...] = ()
    runs: int = 1

    @property
    def request(self) -> dict[str, Any]:
        return {**ASK, **self.body}


@dataclass(frozen=True)
class Route:
    """Any request. `gets`: headers of the answer, None = absent."""

    name: str
    method: str
    path: str
    content: bytes | None = None
    sends: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    error: Mapping[str, Any] = field(default_factory=dict)
    gets: Mapping[str, str | None] = field(default_factory=dict)
    holds: tuple[Check, ...] = ()


def reply_of(status: int, headers: Mapping[str, str], wire: str) -> Reply:
    """Of the raw client."""
    if headers.get("content-type", "").startswith("text/event-stream"):
        data = [line[6:] for line in wire.splitlines() if line.startswith("data: ")]
        assert data.pop() == "[DONE]"
        return Reply(status, headers, wire, chunks=[json.loads(each) for each in data])
    whole = json.loads(wire) if wire and "json" in headers.get("content-type", "") else {}
    return Reply(status, headers, wire, whole=whole)


# What must hold


def whole_completion(reply: Reply) -> None:
    whole, choice = reply.whole, reply.whole["choices"][0]
    assert whole["object"] == "chat.completion" and whole["id"].startswith("chatcmpl-")
    assert isinstance(whole["created"], int) and whole["model"]
    assert len(whole["choices"]) == 1 and choice["index"] == 0
    assert choice["message"]["role"] == "assistant"
    assert set(whole["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}


def chunks_of_one_completion(reply: Reply) -> None:
    same = {(c["id"], c["created"], c["model"], c["object"]) for c in reply.chunks}
    assert len(same) == 1
    ((id, created, model, kind),) = same
    assert id.startswith("chatcmpl-") and created and model and kind == "chat.completion.chunk"
    first, *rest = [c["choices"][0] for c in reply.chunks if c["choices"]]
    assert first["delta"]["role"] == "assistant" and first["delta"]["content"] == ""
    assert not any("role" in each["delta"] for each in rest)
    assert all(each["index"] == 0 for each in (first, *rest))
    assert [each["finish_reason"] for each in rest[:-1]] == [None] * (len(rest) - 1)
    assert rest[-1]["finish_reason"]


def usage_at_the_end(reply: Reply) -> None:
    *chunks, last = reply.chunks
    assert last["choices"] == [] and last["usage"]["total_tokens"] > 0
    assert not any(each.get("usage") for each in chunks)


def no_usage(reply: Reply) -> None:
    assert not any(each.get("usage") for each in reply.chunks)
    assert all(each["choices"] for each in reply.chunks)


def comment_first(reply: Reply) -> None:
    assert reply.wire.startswith(": run run-")


def event_stream(reply: Reply) -> None:
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-should-retry"] == "false"
    # unnamed events only: a name makes the SDK take it for a chunk of its own kind
    assert not any(line.startswith("event:") for line in reply.wire.splitlines())


def files_listed(reply: Reply) -> None:
    last = [each for each in reply.objects if each["choices"]][-1]
    names = [each["name"] for each in last["generated_files"]]
    assert names[0] == "out.csv" and "report.md" in names
    said = last["choices"][0].get("delta") or last["choices"][0]["message"]
    assert said["files"] == last["generated_files"] and said["thread_id"].startswith("thread-")
    for each in last["generated_files"]:
        assert each["url"].startswith(f"/v1/files/{each['id']}/content")
    assert f"[out.csv](/v1/files/{last['generated_files'][0]['id']}/content" in reply.text


def finishes(reason: str) -> Check:
    def check(reply: Reply) -> None:
        assert reply.finish_reasons == [reason]

    return check


def says(text: str) -> Check:
    def check(reply: Reply) -> None:
        assert text in reply.text

    return check


def of_thread(id: str) -> Check:
    def check(reply: Reply) -> None:
        (last,) = [each for each in reply.objects if each["choices"]][-1]["choices"]
        assert (last.get("delta") or last["message"])["thread_id"] == id

    return check


def refused(field: str, what: str, name: str = "", **body: Any) -> Case:
    """A body that names what cannot be honoured."""
    error = {"param": field, "code": "unsupported_parameter", "reason": "UNSUPPORTED"}
    return bad(name or f"{field}: {what}", field, body, {**error})


def bad(
    name: str, field: str, body: Mapping[str, Any], error: Mapping[str, Any] | None = None
) -> Case:
    """A body with a value that no server of this API takes."""
    told = error or {"param": field, "code": "invalid_field", "reason": "INVALID_FIELD"}
    told = {**told, "type": "invalid_request_error"}
    return Case(name, body, status=400, error=told, raises=openai.BadRequestError, runs=0)


def passed_over(name: str, **body: Any) -> Case:
    """A field that changes nothing."""
    return Case(name, {"model": PLAIN, **body}, holds=(says("A title"),))


def saying(*messages: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": [*messages]}


def parts(*given: Mapping[str, Any]) -> dict[str, Any]:
    return saying({"role": "user", "content": [{"type": "text", "text": "How many?"}, *given]})


STREAM: dict[str, Any] = {"stream": True}
COUNTED = {"stream": True, "stream_options": {"include_usage": True}}
CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
SHOP = {"source": "shop"}

CHATS: list[Case] = [
    # shapes
    Case("whole", says=PROGRAM, holds=(whole_completion, files_listed, finishes("stop"))),
    Case(
        "streamed",
        STREAM,
        says=PROGRAM,
        holds=(chunks_of_one_completion, files_listed, no_usage, finishes("stop")),
        wire=(comment_first, event_stream),
    ),
    Case("streamed, usage", COUNTED, says=PROGRAM, holds=(chunks_of_one_completion, usage_at_the_end)),
    Case(
        "streamed, usage not wanted",
        {"stream": True, "stream_options": {"include_usage": False}},
        says=PROGRAM,
        holds=(no_usage,),
    ),
    Case("streamed at once", {**STREAM, "hold": False}, says=PROGRAM,
         holds=(chunks_of_one_completion, files_listed), wire=(comment_first, event_stream)),
    Case("plain, whole", {"model": PLAIN}, holds=(whole_completion, says("A title"), finishes("stop"))),
    Case("plain, streamed", {"model": PLAIN, **COUNTED},
         holds=(chunks_of_one_completion, usage_at_the_end, says("A title"), finishes("stop"))),
    Case("a bound is length", {"max_rounds": 1}, says=(PROGRAM[0], PROGRAM[0], PROGRAM[1]),
         holds=(finishes("length"), says("It is 42."))),
    Case("a bound is length, streamed", {"max_rounds": 1, **STREAM},
         says=(PROGRAM[0], PROGRAM[0], PROGRAM[1]), holds=(finishes("length"),)),
    # threads: body, last message, metadata, header
    Case("thread of the body", {**saying({**USER, "thread_id": "b"}), "thread_id": "a"},
         sends={"x-thread-id": "d"}, says=PROGRAM, holds=(of_thread("a"),)),
    Case("thread of the message", {**saying({**USER, "thread_id": "b"}), "metadata": {"thread_id": "c"}},
         says=PROGRAM, holds=(of_thread("b"),)),
    Case("thread of metadata", {"metadata": {"thread_id": "c"}}, sends={"x-thread-id": "d"},
         says=PROGRAM, holds=(of_thread("c"),)),
    Case("thread of the header", sends={"x-thread-id": "d"}, says=PROGRAM, holds=(of_thread("d"),)),
    # roles and contents
    Case("developer and system", {"model": PLAIN, **saying({"role": "developer", "content": "x"},
         {"role": "system", "content": "y"}, USER)}, holds=(says("A title"),)),
    Case("history of tools", {"model": PLAIN, **saying(USER,
         {"role": "assistant", "content": None, "tool_calls": [CALL]},
         {"role": "tool", "tool_call_id": "c", "content": "rain"}, USER)}, holds=(says("A title"),)),
    Case("history of functions", {"model": PLAIN, **saying(USER,
         {"role": "assistant", "content": None, "function_call": CALL["function"]},
         {"role": "function", "name": "weather", "content": "rain"}, USER)}, holds=(says("A title"),)),
    Case("history of programs", {"model": PLAIN, **saying(USER,
         {"role": "assistant", "content": "<Code>1</Code>"}, {"role": "execute", "content": "1"}, USER)},
         holds=(says("A title"),)),
    Case("parts of text", {"model": PLAIN, **parts({"type": "text", "text": "b"})}, holds=(says("A title"),)),
    refused("messages[0].content[1]", "picture",
            **parts({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}})),
    refused("messages[0].content[1]", "sound",
            **parts({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})),
    refused("messages[0].content[1]", "file by value",
            **parts({"type": "file", "file": {"file_data": "AA==", "filename": "a.csv"}})),
    # what is passed over
    passed_over("user and metadata", user="u", metadata={"a": "b"}, store=True),
    passed_over("tiers and caches", service_tier="auto", safety_identifier="s", prompt_cache_key="k"),
    passed_over("penalties", presence_penalty=1, frequency_penalty=-0.5),
    passed_over("of other servers", top_k=40, min_p=0.1, repetition_penalty=1.1, whatever={"a": []}),
    passed_over("reasoning", reasoning_effort="low", verbosity="low"),
    passed_over("tools that are not to be used", tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="none"),
    passed_over("nothing said", tools=None, stop=None, n=None, seed=None, logprobs=None, metadata=None),
    passed_over("passed on", temperature=0, top_p=0.5, seed=7, stop=["END"], max_tokens=100),
    passed_over("newer limit", max_completion_tokens=100),
    # what is refused by name
    refused("n", "two", n=2),
    refused("logprobs", "wanted", logprobs=True),
    refused("top_logprobs", "wanted", top_logprobs=2),
    refused("logit_bias", "given", logit_bias={"5": 1}),
    refused("tools", "given", tools=[{"type": "function", "function": {"name": "f"}}]),
    refused("functions", "given", functions=[{"name": "f"}]),
    refused("tool_choice", "demanded", tool_choice="required"),
    refused("response_format", "object", response_format={"type": "json_object"}),
    refused("response_format", "schema", response_format={"type": "json_schema", "json_schema": {"name": "x"}}),
    refused("modalities", "audio", modalities=["text", "audio"]),
    refused("audio", "given", audio={"voice": "alloy", "format": "wav"}),
    refused("web_search_options", "given", web_search_options={"search_context_size": "low"}),
    refused("stop", "of the analyst", stop=["END"]),
    # wrong values
    bad("too hot", "temperature", {"temperature": 2.1}),
    bad("temperature in words", "temperature", {"temperature": "hot"}),
    bad("top_p above one", "top_p", {"top_p": 2}),
    bad("penalty beyond", "presence_penalty", {"presence_penalty": 2.5}),
    bad("no tokens", "max_tokens", {"max_tokens": 0}),
    bad("tokens in words", "max_completion_tokens", {"max_completion_tokens": "10"}),
    bad("stream in words", "stream", {"stream": "true"}),
    bad("options of a stream", "stream_options", {"stream": True, "stream_options": []}),
    bad("usage in words", "include_usage", {"stream": True, "stream_options": {"include_usage": 1}}),
    bad("no messages", "messages", {"messages": []}),
    bad("messages as text", "messages", {"messages": "How many?"}),
    bad("last word is not the user's", "messages", saying(USER, {"role": "assistant", "content": "x"})),
    bad("unknown role", "messages[0].role", saying({"role": "robot", "content": "x"}, USER)),
    bad("content of a number", "messages[0].content", saying({"role": "user", "content": 5})),
    bad("model of a number", "model", {"model": 5}),
    bad("user of a number", "user", {"user": 5}),
    bad("hold in words", "hold", {"hold": "no"}),
    # what is not there, or refused by a source, before a byte
    Case("unknown model", {"model": "gpt-4o"}, status=404, raises=openai.NotFoundError, runs=0,
         error={"param": "model", "code": "model_not_found", "type": "not_found_error"}),
    Case("unknown model, streamed", {"model": "gpt-4o", **STREAM}, status=404, raises=openai.NotFoundError,
         error={"param": "model", "code": "model_not_found"}, runs=0),
    Case("unknown source", {"data_sources": [{"source": "x", "path": "y"}]}, status=404,
         raises=openai.NotFoundError, error={"reason": "SOURCE_NOT_FOUND"}, runs=0),
    Case("unknown file", {"file_ids": ["file-x"]}, status=404, raises=openai.NotFoundError,
         error={"param": "file_ids", "reason": "NOT_FOUND"}, runs=0),
    *(
        Case(f"wrong SQL{', streamed' if more else ''}",
             {"data_sources": [{**SHOP, "query": "SELECT FORM"}], **more}, status=422,
             raises=openai.UnprocessableEntityError,
             error={"reason": "QUERY_FAILED", "remedy": "Correct the query."},
             wire=(lambda reply: reply.headers["x-should-retry"] == "false",))
        for more in ({}, STREAM)
    ),
    Case("a key too long", sends={"idempotency-key": "k" * 256}, status=400, raises=openai.BadRequestError,
         error={"param": "idempotency-key"}, runs=0),
]  # fmt: skip

TYPE = {"content-type": "application/json"}
CHAT = "/v1/chat/completions"
UNREADABLE = {"reason": "INVALID_FIELD", "param": "body", "type": "invalid_request_error"}
NO_ROUTE = {"code": "unknown_url", "reason": "NOT_FOUND"}


def lists_models(reply: Reply) -> None:
    assert reply.whole["object"] == "list"
    assert [each["id"] for each in reply.whole["data"]] == [AGENT, "tiny", PLAIN]
    for each in reply.whole["data"]:
        assert each["object"] == "model" and each["owned_by"] and isinstance(each["created"], int)


def says_what_is_there(reply: Reply) -> None:
    assert "/v1/chat/completions" in reply.whole["error"]["remedy"]


def without_body(reply: Reply) -> None:
    assert reply.wire == ""


ROUTES: list[Route] = [
    Route("no body", "POST", CHAT, b"", TYPE, 400, UNREADABLE),
    Route("torn body", "POST", CHAT, b'{"messages": [', TYPE, 400, UNREADABLE),
    Route("a list", "POST", CHAT, b"[]", TYPE, 400, UNREADABLE),
    Route("no UTF-8", "POST", CHAT, b'{"a": "\xff"}', TYPE, 400, UNREADABLE),
    Route("half a surrogate", "POST", CHAT, b'{"messages": "\\ud800"}', TYPE, 400, UNREADABLE),
    Route("a form", "POST", CHAT, b"messages=hello", {"content-type": "application/x-www-form-urlencoded"}, 400, UNREADABLE),
    Route("more than 16 MiB", "POST", CHAT, b" " * (16 * 1024 * 1024 + 1), TYPE, 413, {"reason": "TOO_LARGE"}),
    Route("no key", "POST", CHAT, b"{}", {**TYPE, "authorization": ""}, 401,
          {"code": "invalid_api_key", "type": "authentication_error"}, {"www-authenticate": "Bearer"}),
    Route("wrong key", "GET", "/v1/models", None, {"authorization": "Bearer sk-x"}, 401, {"code": "invalid_api_key"}),
    Route("models", "GET", "/v1/models", holds=(lists_models,)),
    Route("one model", "GET", f"/v1/models/{AGENT}", holds=(lambda r: r.whole["object"] == "model",)),
    Route("a plain model", "GET", f"/v1/models/{PLAIN}", holds=(lambda r: r.whole["id"] == PLAIN,)),
    Route("no such model", "GET", "/v1/models/gpt-4o", status=404, error={"code": "model_not_found", "param": "model"}),
    Route("head of models", "HEAD", "/v1/models", holds=(without_body,), gets={"content-type": "application/json"}),
    Route("head of health", "HEAD", "/health", holds=(without_body,)),
    Route("own request id", "GET", "/v1/models", sends={"x-request-id": "mine-1"}, gets={"x-request-id": "mine-1"}),
    Route("get of chat", "GET", CHAT, status=405, error={"reason": "UNSUPPORTED"}, gets={"allow": "POST"}),
    Route("options without origins", "OPTIONS", CHAT, status=405, gets={"access-control-allow-origin": None}),
    Route("completions", "POST", "/v1/completions", b"{}", TYPE, 404, NO_ROUTE, holds=(says_what_is_there,)),
    Route("embeddings", "POST", "/v1/embeddings", b"{}", TYPE, 404, NO_ROUTE, holds=(says_what_is_there,)),
    Route("anything else", "GET", "/v2/what", status=404, error=NO_ROUTE, holds=(says_what_is_there,)),
]  # fmt: skip
