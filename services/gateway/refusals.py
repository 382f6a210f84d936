"""What of OpenAI's chat body this gateway cannot honour: refused by name where leaving it out would
change what the answer means or how it looks; otherwise it is passed over. Pure.

docs/openai.md has the table for users.
"""

from collections.abc import Callable, Mapping
from typing import Any

from servicekit.status import InvalidField
from services.gateway.errors import UnsupportedField
from services.gateway.fields import number

_OWN_TOOLS = "Leave it out: the analyst writes and runs programs of its own."
_ALONE = "Leave it out."


def _nothing(value: Any) -> bool:
    return not value


def _text_only(value: Any) -> bool:
    return bool(value == {"type": "text"})


# by name: whether a value asks for nothing, what is not done, and what to do instead
_REFUSED: Mapping[str, tuple[Callable[[Any], bool], str, str]] = {
    "n": (lambda n: n == 1, "n must be 1: a run gives one answer", "Ask again for another one."),
    "logprobs": (_nothing, "logprobs are not given", _ALONE),
    "top_logprobs": (_nothing, "top_logprobs are not given", _ALONE),
    "logit_bias": (_nothing, "logit_bias is not taken", _ALONE),
    "tools": (_nothing, "tools of the caller are not called", _OWN_TOOLS),
    "functions": (_nothing, "functions of the caller are not called", _OWN_TOOLS),
    "tool_choice": (lambda c: c in ("auto", "none"), "no tool can be demanded", _OWN_TOOLS),
    "function_call": (lambda c: c in ("auto", "none"), "no function can be demanded", _OWN_TOOLS),
    "response_format": (
        _text_only,
        "the answer is Markdown: response_format must be of type text",
        "Ask in words for the form that you want; the program can save it as a file.",
    ),
    "modalities": (lambda m: m == ["text"], "the answer is text: modalities must be text", _ALONE),
    "audio": (_nothing, "no audio is made", _ALONE),
    "web_search_options": (_nothing, "the web is not searched", _ALONE),
}
# said not to be used: they may come along
_UNUSED = {"tools": "tool_choice", "functions": "function_call"}
# passed over, if they are what they should be
_KINDS: Mapping[str, tuple[type, str]] = {
    "user": (str, "a string"),
    "metadata": (dict, "an object"),
    "store": (bool, "true or false"),
    "parallel_tool_calls": (bool, "true or false"),
    "service_tier": (str, "a string"),
    "safety_identifier": (str, "a string"),
    "prompt_cache_key": (str, "a string"),
}


def require_honoured(body: Mapping[str, Any]) -> None:
    """Raises `UnsupportedField`, and `InvalidField` for a value that OpenAI refuses too."""
    for name, (is_nothing, message, remedy) in _REFUSED.items():
        value = body.get(name)
        if (
            value is None
            or is_nothing(value)
            or (_UNUSED.get(name) in body and body[_UNUSED[name]] == "none")
        ):
            continue
        raise UnsupportedField(name, message, remedy=remedy)
    for name, (kind, told) in _KINDS.items():
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise InvalidField(name, f"{name} must be {told}")
    for name in ("presence_penalty", "frequency_penalty"):
        number(body, name, -2, 2)
