"""The body of a request to OpenAI's Responses API, as a chat's body. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from servicekit.status import InvalidField
from services.gateway.errors import UnsupportedField
from services.gateway.responses.rendering import PREFIX

# items of an earlier response that a client sends back: the thread has them already
_REMEMBERED = frozenset({"reasoning", "code_interpreter_call", "item_reference"})
_CARRIED = (
    "model",
    "temperature",
    "top_p",
    "metadata",
    "data_sources",
    "file_ids",
    "thread_id",
    "artifacts_to",
    "max_rounds",
)


def chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as a chat's body. Raises `InvalidField` for what would be answered otherwise than
    it was meant."""
    _refuse_unknown(body)
    messages = list(_instructions(body))
    files: list[Any] = list(body.get("file_ids") or ())
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        raise InvalidField("input", "input must be a string or a list of items")
    for number, item in enumerate(items):
        messages += _message(item, f"input[{number}]", files)
    chat = {name: body[name] for name in _CARRIED if body.get(name) is not None}
    chat["messages"], chat["file_ids"] = messages, files
    for name, own in (("max_output_tokens", "max_completion_tokens"), ("max_tool_calls", None)):
        if body.get(name) is not None:
            chat[own or "max_rounds"] = body[name]
    if conversation := _conversation(body):
        chat["thread_id"] = conversation
    return chat


def run_id_of(response_id: Any, field: str = "response_id") -> str:
    """The run behind a response's id. Raises `InvalidField`."""
    if not isinstance(response_id, str) or not response_id.startswith(PREFIX):
        raise InvalidField(field, f"{field} must be the id of a response, {PREFIX}…")
    return response_id.removeprefix(PREFIX)


def _refuse_unknown(body: Mapping[str, Any]) -> None:
    for number, tool in enumerate(body.get("tools") or ()):
        kind = tool.get("type") if isinstance(tool, Mapping) else tool
        if kind != "code_interpreter":
            raise UnsupportedField(
                f"tools[{number}]",
                f"tools of type {kind} are not taken: the analyst brings its own code interpreter",
                remedy="Leave tools out; name data in data_sources.",
            )
    text = body.get("text") or {}
    shape = text.get("format") if isinstance(text, Mapping) else text
    if isinstance(shape, Mapping) and shape.get("type", "text") != "text":
        raise UnsupportedField("text.format", "text.format must be of type text")
    if body.get("top_logprobs"):
        raise UnsupportedField("top_logprobs", "top_logprobs are not given", remedy="Leave it out.")
    if body.get("tool_choice") not in (None, "auto", "none"):
        raise UnsupportedField(
            "tool_choice",
            "no tool can be demanded: the analyst runs programs as it sees fit",
            remedy="Leave tool_choice out.",
        )
    if body.get("prompt") is not None:
        raise UnsupportedField(
            "prompt", "stored prompts are not taken; send instructions and input"
        )


def _instructions(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    given = body.get("instructions")
    if given is None:
        return
    if not isinstance(given, str):
        raise InvalidField("instructions", "instructions must be a string")
    yield {"role": "system", "content": given}


def _conversation(body: Mapping[str, Any]) -> str:
    given = body.get("conversation")
    found = given.get("id") if isinstance(given, Mapping) else given
    if found is not None and not isinstance(found, str):
        raise InvalidField("conversation", "conversation must be the id of a thread")
    return found or ""


def _message(item: Any, where: str, files: list[Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(item, Mapping):
        raise InvalidField(where, f"{where} must be an object")
    kind = item.get("type", "message")
    if kind in _REMEMBERED:
        return
    if kind != "message":
        raise InvalidField(f"{where}.type", f"{where} of type {kind} is not taken")
    content = item.get("content")
    if isinstance(content, list):
        content = [part for part in content if not _is_file(part, f"{where}.content", files)]
    # data_sources may stand in the last message, as chat has it
    yield {**item, "content": content}


def _is_file(part: Any, where: str, files: list[Any]) -> bool:
    if not isinstance(part, Mapping) or part.get("type") != "input_file":
        return False
    if not isinstance(part.get("file_id"), str):
        raise InvalidField(
            where,
            f"{where}: input_file takes file_id only",
            remedy="Upload it with POST /v1/files first.",
        )
    files.append(part["file_id"])
    return True
