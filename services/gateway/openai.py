"""Events of a run as OpenAI's chat completions: pure, values in, JSON-ready values out.

The content is the model's own tagged text, with the platform's `<Execute>` and `<File>` blocks laid
out as upstream DeepAnalyze does, so that its clients work unchanged. Each chunk also carries the
typed event it was made of under `isobath`: protobuf's JSON of isobath.analyst.v1.Event, and `type`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict

from isobath.analyst.v1 import analyst_pb2 as analyst

_OPENING = {
    analyst.BLOCK_KIND_ANALYZE: "<Analyze>",
    analyst.BLOCK_KIND_UNDERSTAND: "<Understand>",
    analyst.BLOCK_KIND_CODE: "<Code>",
    analyst.BLOCK_KIND_ANSWER: "<Answer>",
    analyst.BLOCK_KIND_EXECUTE: "\n<Execute>\n```\n",
    analyst.BLOCK_KIND_FILE: "\n<File>",
}
_CLOSING = {
    analyst.BLOCK_KIND_ANALYZE: "</Analyze>",
    analyst.BLOCK_KIND_UNDERSTAND: "</Understand>",
    analyst.BLOCK_KIND_CODE: "</Code>",
    analyst.BLOCK_KIND_ANSWER: "</Answer>",
    analyst.BLOCK_KIND_EXECUTE: "\n```\n</Execute>\n",
    analyst.BLOCK_KIND_FILE: "</File>\n",
}
_KIND_NAMES = dict(zip(analyst.BlockKind.values(), analyst.BlockKind.keys(), strict=True))
# the bound "tokens" is what OpenAI calls "length"
_FINISH = {"tokens": "length"}

Json = dict[str, Any]


def content(event: analyst.Event) -> str:
    """What an event adds to the answer's text."""
    kind = event.WhichOneof("event")
    if kind == "block_text":
        return str(event.block_text.text)
    if kind == "block_opened":
        return _OPENING.get(event.block_opened.kind, "")
    if kind == "block_closed":
        return _CLOSING.get(event.block_closed.kind, "")
    return ""


def typed(event: analyst.Event) -> Json:
    """The event as protobuf's JSON, with the name of what happened under `type`."""
    told: Json = MessageToDict(event, preserving_proto_field_name=True)
    return {**told, "type": event.WhichOneof("event")}


def link(file: analyst.FileInfo) -> Json:
    """A file as upstream's clients expect it."""
    return {"name": file.name, "url": file.url}


def usage(used: analyst.RunUsage) -> Json:
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "rounds": used.rounds,
        "fetched_bytes": used.fetched_bytes,
        "fetched_rows": used.fetched_rows,
        "seconds": round(used.elapsed.ToMilliseconds() / 1000, 3),
        "estimated": used.estimated,
    }


@dataclass
class Chunks:
    """One answer as `chat.completion.chunk` objects, ready to be sent as server-sent events."""

    run_id: str
    model: str
    created: int
    include_usage: bool = False
    thread_id: str = ""
    _head: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._head = orjson.dumps(self._shell())[:-1]

    def lines(self, events: Iterable[analyst.Event]) -> bytes:
        """Server-sent events for these, in one piece; a failure is told as the API's error."""
        return b"".join(line for event in events for line in self._lines(event))

    def _lines(self, event: analyst.Event) -> Iterator[bytes]:
        kind = event.WhichOneof("event")
        if kind == "block_text":
            yield self._text_line(event)
        elif kind in ("failed", "cancelled"):
            yield data({"error": ended_badly(event), "isobath": typed(event)})
            yield DONE
        else:
            yield data(self.chunk(event))
        if kind == "completed":
            if self.include_usage:
                yield data({**self._shell(), "choices": [], "usage": usage(event.completed.usage)})
            yield DONE

    def chunk(self, event: analyst.Event) -> Json:
        """The chunk of an event that is no failure."""
        kind = event.WhichOneof("event")
        choice: Json = {"index": 0, "delta": {}, "finish_reason": None}
        chunk: Json = {**self._shell(), "choices": [choice], "isobath": typed(event)}
        if kind == "started":
            self.thread_id = event.started.thread_id
            choice["delta"] = {"role": "assistant", "content": ""}
        elif kind == "completed":
            files = [link(file) for file in event.completed.files]
            choice["delta"] = {"files": files, "thread_id": self.thread_id}
            choice["finish_reason"] = _FINISH.get(event.completed.finish, "stop")
            chunk["generated_files"] = files
        elif text := content(event):
            choice["delta"] = {"content": text}
        return chunk

    def _shell(self) -> Json:
        return {
            "id": f"chatcmpl-{self.run_id}",
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
        }

    def _text_line(self, event: analyst.Event) -> bytes:
        """The same as of `chunk`, in a quarter of its time: nearly all events are these."""
        text = orjson.dumps(event.block_text.text)
        kind = event.block_text.kind
        named = b'"kind":"%s",' % _KIND_NAMES[kind].encode() if kind else b""
        return (
            b'data: %s,"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}],'
            b'"isobath":{"run_id":"%s","sequence":"%d","at":"%s",'
            b'"block_text":{%s"text":%s},"type":"block_text"}}\n\n'
        ) % (
            self._head,
            text,
            event.run_id.encode(),
            event.sequence,
            event.at.ToJsonString().encode(),
            named,
            text,
        )


DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


def data(value: Json) -> bytes:
    """One server-sent event."""
    return b"data: %s\n\n" % orjson.dumps(value)


def ended_badly(event: analyst.Event) -> Json:
    """The error of a run's last event."""
    if event.HasField("cancelled"):
        return error("the run was cancelled", reason="CANCELLED", status=499)
    failed = event.failed
    return error(
        failed.message,
        reason=failed.reason,
        status=status(failed.code, failed.reason),
        remedy=failed.remedy,
        fields=dict(failed.metadata),
    )


def status_of(event: analyst.Event) -> int:
    """The HTTP status of a run's last event that is no answer."""
    if event.HasField("cancelled"):
        return 499
    return status(event.failed.code, event.failed.reason)


# ErrorReason to HTTP where the gRPC code alone would not tell
_BY_REASON = {
    "PATH_NOT_FOUND": 422,
    "SOURCE_AUTHENTICATION_FAILED": 422,
    "SOURCE_FORBIDDEN": 422,
    "SOURCE_UNREACHABLE": 502,
    "TOO_LARGE": 413,
    "WORKSPACE_FULL": 413,
    "CHECKSUM_MISMATCH": 502,
    "GRANT_INVALID": 502,
    "GRANT_EXPIRED": 502,
    "GRANT_REVOKED": 409,
    "KERNEL_DIED": 502,
    "MODEL_REFUSED": 502,
    "TIER_UNAVAILABLE": 503,
    "RUN_INTERRUPTED": 503,
    "RUN_BOUND_REACHED": 422,
    "UNSUPPORTED": 400,
}
# numbers of google.rpc.Code
_BY_CODE = {
    1: 499,  # CANCELLED
    3: 400,  # INVALID_ARGUMENT
    4: 504,  # DEADLINE_EXCEEDED
    5: 404,  # NOT_FOUND
    6: 409,  # ALREADY_EXISTS
    7: 403,  # PERMISSION_DENIED
    8: 429,  # RESOURCE_EXHAUSTED
    9: 422,  # FAILED_PRECONDITION
    10: 409,  # ABORTED
    11: 400,  # OUT_OF_RANGE
    12: 501,  # UNIMPLEMENTED
    13: 500,  # INTERNAL
    14: 503,  # UNAVAILABLE
    15: 502,  # DATA_LOSS
    16: 401,  # UNAUTHENTICATED
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def status(code: int, reason: str) -> int:
    """The HTTP status of a google.rpc.Code with an ErrorReason."""
    return _BY_REASON.get(reason) or _BY_CODE.get(code, 500)


def error(
    message: str,
    *,
    reason: str,
    status: int,
    remedy: str = "",
    fields: Json | None = None,
    request_id: str = "",
) -> Json:
    """OpenAI's error object. What the reason documents stands beside it: sqlstate, position …"""
    more = dict(fields or {})
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {
        **more,
        "message": message,
        "type": kind,
        "param": more.pop("field", None),
        "code": reason.lower(),
        "reason": reason,
        "remedy": remedy or more.get("remedy", ""),
        "request_id": request_id or more.get("request_id", ""),
    }


def completion(
    events: Sequence[analyst.Event],
    *,
    model: str,
    created: int,
    attached: Sequence[analyst.FileInfo] = (),
) -> Json:
    """All of a completed run as one `chat.completion`."""
    last = events[-1]
    thread_id = next((e.started.thread_id for e in events if e.HasField("started")), "")
    files = [link(file) for file in last.completed.files]
    message = {
        "role": "assistant",
        "content": "".join(content(event) for event in events),
        "refusal": None,
        "thread_id": thread_id,
        "files": files,
    }
    finish = _FINISH.get(last.completed.finish, "stop")
    return {
        "id": f"chatcmpl-{last.run_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": finish},
        ],
        "usage": usage(last.completed.usage),
        "generated_files": files,
        "attached_files": [link(file) for file in attached],
        "isobath": typed(last),
    }


def parse_body(raw: bytes) -> Json | None:
    """The JSON object of a request's body, or None where it is something else."""
    try:
        body = orjson.loads(raw)
    except json.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
