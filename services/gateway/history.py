"""The messages of a chat request, as OpenAI's clients send them, and as the model is to see them.
Pure.

Clients replay conversations that other models and tools took part in: what a tool answered is told
as output, the part of `execute`, and a call of one is told in words.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from servicekit.status import InvalidField
from services.gateway.conversation import Message, Role
from services.gateway.errors import UnsupportedField
from services.gateway.fields import listed, text

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "execute": "execute",
    "tool": "execute",
    "function": "execute",
}
_TEXTS = ("text", "input_text", "output_text")


def messages(raw: Sequence[Any]) -> tuple[Message, ...]:
    """All messages, the question last. Raises `InvalidField`, `UnsupportedField`."""
    said = tuple(_message(each, f"messages[{i}]") for i, each in enumerate(raw))
    if not said or said[-1].role != "user":
        raise InvalidField("messages", "messages must end with one of role user")
    if not said[-1].content.strip():
        where = f"messages[{len(said) - 1}].content"
        raise InvalidField(where, f"{where} is empty")
    return said


def attached(raw: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """Ids of files in all messages: as `file_ids`, or as parts of type `file`."""
    for number, message in enumerate(raw):
        yield from listed(message, "file_ids", f"messages[{number}].")
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "file":
                yield part["file"]["file_id"]


def _message(raw: Any, where: str) -> Message:
    if not isinstance(raw, dict):
        raise InvalidField(where, f"{where} must be an object with role and content")
    given = raw.get("role")
    role = ROLES.get(given) if isinstance(given, str) else None
    if role is None:
        raise InvalidField(f"{where}.role", f"{where}.role must be one of {', '.join(ROLES)}")
    content = _content(raw.get("content"), f"{where}.content")
    if role == "assistant" and not content:
        content = text(raw, "refusal", f"{where}.") or "\n".join(_calls(raw, where))
    return Message(role, content)


def _content(raw: Any, where: str) -> str:
    if raw is None:
        return ""
    if isinstance(raw, str):
        told = raw
    elif isinstance(raw, list):
        parts = (_part(part, f"{where}[{i}]") for i, part in enumerate(raw))
        told = "\n".join(part for part in parts if part)
    else:
        raise InvalidField(where, f"{where} must be a string or a list of parts")
    if "\0" in told:
        # PostgreSQL keeps none in a text
        raise InvalidField(where, f"{where} holds a NUL character")
    return told


def _part(part: Any, where: str) -> str:
    """The part's text; a file has none, see `attached`."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise InvalidField(where, f"{where} must be an object with a type")
    if kind in _TEXTS or kind == "refusal":
        said = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(said, str):
            raise InvalidField(where, f"{where} must hold text, a string")
        return said
    if kind == "file" and isinstance(part.get("file"), dict):
        if isinstance(part["file"].get("file_id"), str):
            return ""
        raise UnsupportedField(
            where,
            f"{where}: a file is named by its file_id only",
            remedy="Upload it with POST /v1/files first.",
        )
    raise UnsupportedField(
        where,
        f"{where}: parts of type {kind} are not taken, only text and file",
        remedy="Describe it in words, or upload a file for the program to read.",
    )


def _calls(raw: Mapping[str, Any], where: str) -> Iterator[str]:
    """Tools that another model called."""
    old = raw.get("function_call")
    calls = [*listed(raw, "tool_calls", f"{where}."), *([{"function": old}] if old else [])]
    for call in calls:
        called = call.get("function") or call.get("custom") if isinstance(call, dict) else None
        if isinstance(called, dict):
            given = called.get("arguments") or called.get("input") or ""
            yield f"Called {called.get('name', '')}({given})."
