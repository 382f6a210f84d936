"""What a response was asked with: kept with its run, and told again. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

# fields of the request that a response shows
_ECHOED = (
    "instructions",
    "metadata",
    "temperature",
    "top_p",
    "previous_response_id",
    "max_output_tokens",
    "background",
)


def kept(body: Mapping[str, Any]) -> str:
    """Of a request that `chat_body` took."""
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return orjson.dumps({"input": items, "echoed": echoed(body)}).decode()


def echoed(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a response shows of its request."""
    return {name: body[name] for name in _ECHOED if body.get(name) is not None}


def told(kept: str, question: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Items and echoed fields of what was kept; of a run that another API began, its question."""
    if not kept:
        return [{"role": "user", "content": question}], {}
    found = orjson.loads(kept)
    return found["input"], found["echoed"]


def input_items(items: Sequence[Mapping[str, Any]], run_id: str) -> list[dict[str, Any]]:
    """As OpenAI lists them: each with an id and its parts."""
    return [_item(item, f"{run_id}_in_{number}") for number, item in enumerate(items)]


def _item(item: Mapping[str, Any], id: str) -> dict[str, Any]:
    if item.get("type", "message") != "message":
        return {"id": id, **item}
    role, content = item.get("role"), item.get("content")
    if isinstance(content, str):
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    parts = [
        {**part, "annotations": part.get("annotations", [])}
        if part.get("type") == "output_text"
        else dict(part)
        for part in content or ()
    ]
    made = {"type": "message", "role": role, "status": "completed", "content": parts}
    return {"id": item.get("id") or f"msg_{id}", **made}
