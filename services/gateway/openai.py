"""Runs in OpenAI's shapes: chunks, whole completions, errors. Pure.

The content is the model's own tagged text, with what the platform wrote (`<Execute>`, `<File>`)
between, as upstream DeepAnalyze clients read it. Each chunk carries its typed event as `isobath`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.statuses import http_status

TAGS = {
    analyst.BLOCK_KIND_ANALYZE: "Analyze",
    analyst.BLOCK_KIND_UNDERSTAND: "Understand",
    analyst.BLOCK_KIND_CODE: "Code",
    analyst.BLOCK_KIND_EXECUTE: "Execute",
    analyst.BLOCK_KIND_FILE: "File",
    analyst.BLOCK_KIND_ANSWER: "Answer",
}
# OpenAI's own words where it has one for the case, which clients look for
CODES = {
    "UNAUTHENTICATED": "invalid_api_key",
    "CONTEXT_TOO_LONG": "context_length_exceeded",
    "TOO_BUSY": "rate_limit_exceeded",
}
_NOT_FOUND = {"model": "model_not_found", "route": "unknown_url"}
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
# what is left of an answer that was stopped is no answer
CANCELLED = analyst.RunFailed(reason="CANCELLED", message="the run was cancelled", code=1)


def content(event: analyst.Event) -> str:
    """What an event adds to the message's text."""
    kind = event.WhichOneof("event")
    if kind == "block_text":
        return str(event.block_text.text)
    if kind == "block_opened":
        return _opening(event.block_opened.kind)
    return _closing(event.block_closed.kind) if kind == "block_closed" else ""


def _opening(kind: analyst.BlockKind) -> str:
    """What a program printed stands in a fence, as upstream has it: a tag in it is then text."""
    if kind == analyst.BLOCK_KIND_EXECUTE:
        return "\n<Execute>\n```\n"
    tag = TAGS.get(kind, "")
    before = "\n" if kind == analyst.BLOCK_KIND_FILE else ""
    return f"{before}<{tag}>" if tag else ""


def _closing(kind: analyst.BlockKind) -> str:
    if kind == analyst.BLOCK_KIND_EXECUTE:
        return "\n```\n</Execute>\n"
    tag = TAGS.get(kind, "")
    after = "\n" if kind == analyst.BLOCK_KIND_FILE else ""
    return f"</{tag}>{after}" if tag else ""


def event_json(event: analyst.Event) -> dict[str, Any]:
    """An event as HTTP shows it."""
    return MessageToDict(event, preserving_proto_field_name=True)


def files_json(files: Sequence[analyst.FileInfo]) -> list[dict[str, Any]]:
    """Artifacts as upstream lists them, with their ids."""
    return [
        {
            "name": f.name,
            "url": f.url,
            "id": f.id,
            "media_type": f.media_type,
            "bytes": f.size_bytes,
        }
        for f in files
    ]


def written_json(written: Sequence[analyst.WrittenArtifact]) -> list[dict[str, Any]]:
    """What became of the files that `artifacts_to` asked for."""
    return [
        {
            "file_id": each.file_id,
            "source": each.source,
            "path": each.path,
            **(
                {"reason": each.reason, "message": each.message, "remedy": each.remedy}
                if each.reason
                else {"bytes": each.size_bytes, "etag": each.etag}
            ),
        }
        for each in written
    ]


def usage_json(usage: analyst.RunUsage) -> dict[str, Any]:
    """OpenAI's counts, and this platform's beside them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "rounds": usage.rounds,
        "fetched_bytes": usage.fetched_bytes,
        "fetched_rows": usage.fetched_rows,
        "seconds": usage.elapsed.ToMilliseconds() / 1000,
        "waited_seconds": usage.waited.ToMilliseconds() / 1000,
        "estimated": usage.estimated,
    }


def finish_reason(finish: str) -> str:
    """Why it ended, in OpenAI's words: a bound counts as length."""
    return "stop" if finish == "answer" else "length"


class Chunks:
    """A run's events as `chat.completion.chunk` objects."""

    def __init__(self, run_id: str, model: str, *, created: int, include_usage: bool) -> None:
        self._base = {
            "id": f"chatcmpl-{run_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._include_usage = include_usage
        self._thread_id = ""

    def of(self, event: analyst.Event, request_id: str) -> list[dict[str, Any]]:
        """Chunks for one event: one, and after the last the usage where it was asked for."""
        kind = event.WhichOneof("event")
        if kind == "failed":
            return [{**failure(event.failed, request_id), "isobath": event_json(event)}]
        if kind == "cancelled":
            return [{**failure(CANCELLED, request_id), "isobath": event_json(event)}]
        if kind == "completed":
            return self._end(event)
        delta: dict[str, Any] = {"content": text} if (text := content(event)) else {}
        if kind == "started":
            self._thread_id = event.started.thread_id
            delta = {"role": "assistant", "content": ""}
        return [self._chunk(delta, None, isobath=event_json(event))]

    def _end(self, event: analyst.Event) -> list[dict[str, Any]]:
        files = files_json(event.completed.files)
        delta = {"files": files, "thread_id": self._thread_id}
        reason = finish_reason(event.completed.finish)
        last = self._chunk(
            delta,
            reason,
            isobath=event_json(event),
            generated_files=files,
            written_files=written_json(event.completed.written),
        )
        if not self._include_usage:
            return [last]
        return [last, {**self._base, "choices": [], "usage": usage_json(event.completed.usage)}]

    def _chunk(self, delta: dict[str, Any], reason: str | None, **extra: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**self._base, "choices": [choice], **extra}


def completion(
    run_id: str, model: str, events: Sequence[analyst.Event], *, created: int
) -> dict[str, Any]:
    """A whole `chat.completion` from all events of a completed run."""
    done = events[-1].completed
    started = next(each.started for each in events if each.HasField("started"))
    files = files_json(done.files)
    message = {
        "role": "assistant",
        "content": "".join(content(each) for each in events),
        "thread_id": started.thread_id,
        "files": files,
    }
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(done.finish)}
    attached = [each.file_ready.path for each in events if each.HasField("file_ready")]
    return {
        "id": f"chatcmpl-{run_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage_json(done.usage),
        "generated_files": files,
        "attached_files": attached,
        "written_files": written_json(done.written),
        "run_id": run_id,
        "thread_id": started.thread_id,
    }


def failure(failed: analyst.RunFailed, request_id: str) -> dict[str, Any]:
    """The error envelope of a failed run."""
    return envelope(
        http_status(failed.reason, failed.code),
        failed.reason,
        failed.message,
        remedy=failed.remedy,
        details=failed.metadata,
        request_id=request_id,
    )


def code_of(reason: str, fields: Mapping[str, str]) -> str:
    """OpenAI's code for a reason, or the reason itself in lower case."""
    if reason == "NOT_FOUND" and (found := _NOT_FOUND.get(fields.get("kind", ""))):
        return found
    if reason == "QUOTA_EXCEEDED":
        # of a day: to ask again soon is of no use
        whole_day = fields.get("quota", "").endswith("_per_day")
        return "insufficient_quota" if whole_day else "rate_limit_exceeded"
    if reason == "UNSUPPORTED" and "field" in fields:
        return "unsupported_parameter"
    return CODES.get(reason, reason.lower())


def envelope(
    status: int,
    reason: str,
    message: str,
    *,
    remedy: str = "",
    details: Mapping[str, str] | None = None,
    request_id: str = "",
) -> dict[str, Any]:
    """OpenAI's error object, with this platform's reason, remedy and details."""
    fields = dict(details or {})
    return {
        "error": {
            "message": message,
            "type": TYPES.get(status, "api_error"),
            "param": fields.get("field"),
            "code": code_of(reason, fields),
            "reason": reason,
            "remedy": remedy,
            "details": fields,
            "request_id": request_id or fields.get("request_id", ""),
        }
    }
