"""What of an answer a page shows, and whether what comes still looks like it. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MORE = "…"
STREAM = "text/event-stream"
_ITEMS, _CHARS, _LINES = 2, 240, 6
# where the gateway and the services happened to listen
_GATEWAY = re.compile(r"http://127\.0\.0\.1:\d+")
_LOCAL = re.compile(r"(?<!//)127\.0\.0\.1:\d+")
# of an event, what does not say of which kind it is
_COMMON = frozenset({"run_id", "sequence", "at", "id", "object", "created", "model"})
# whether they come depends on how long a fetch takes
_SOMETIMES = frozenset({"fetch_progress", "notice"})


def trimmed(value: Any, depth: int) -> Any:
    """As much as a reader wants to see: the first of many, the beginning of what is long, and
    nothing that lies deeper than `depth`."""
    if isinstance(value, str):
        return _lines(value)
    return _within(value, depth)


def events(text: str) -> list[dict[str, Any]]:
    """Server-sent events: their fields, `data` as JSON's value where it is JSON. Comments between
    them are left out."""
    return [found for block in text.split("\n\n") if (found := _event(block))]


def _event(block: str) -> dict[str, Any]:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
    if fields.get("data", "").startswith("{"):
        fields["data"] = json.loads(fields["data"])
    return fields


def firsts(stream: Sequence[Any], depth: int) -> list[Any]:
    """Of each kind of event the first one, and the last of all."""
    found = {kind(each): each for each in reversed(stream)}
    kept = [each for each in stream if found[kind(each)] is each or each is stream[-1]]
    return [_within(each, depth) for each in kept]


def kind(event: Any) -> str:
    """What an event is: its type, or the name of what it holds."""
    if not isinstance(event, dict):
        return str(event)
    if "data" in event:
        return kind(event["data"])
    if isinstance(event.get("isobath"), dict):
        return kind(event["isobath"])
    if isinstance(event.get("type"), str):
        return str(event["type"])
    return next((name for name in event if name not in _COMMON), "")


def _within(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        if not depth:
            return {MORE: MORE} if value else {}
        names = _places(value)
        return {names[n]: _harmless(n, _within(each, depth - 1)) for n, each in value.items()}
    if isinstance(value, list):
        shown = [_within(each, depth - 1) for each in value[:_ITEMS]] if depth else [MORE]
        return [*shown, MORE] if len(value) > _ITEMS and depth else shown
    return _cut(_moved(value)) if isinstance(value, str) else value


def _moved(text: str) -> str:
    """With addresses as a deployment has them."""
    return _LOCAL.sub("10.0.0.7:50052", _GATEWAY.sub("http://127.0.0.1:8200", text))


def _places(value: Mapping[str, Any]) -> Mapping[str, str]:
    """The names, where services happened to listen at places of no meaning."""
    local = [name for name in value if _LOCAL.search(name)]
    moved = {name: _LOCAL.sub(f"10.0.0.{7 + n}:50052", name) for n, name in enumerate(local)}
    return {name: moved.get(name, name) for name in value}


def _harmless(name: str, value: Any) -> Any:
    """A key is not to lie in a page, even one that opens nothing any more."""
    if name in ("key", "secret") and isinstance(value, str):
        return value[:4] + MORE
    return value


def _lines(text: str) -> str:
    lines = text.rstrip("\n").split("\n")
    shown = [_cut(line) for line in lines[:_LINES]]
    return "\n".join([*shown, MORE] if len(lines) > _LINES else shown)


def _cut(text: str) -> str:
    return text[:_CHARS] + MORE if len(text) > _CHARS else text


def stream_difference(shown: Sequence[Any], came: Sequence[Any]) -> Iterator[str]:
    """Where the kinds of events, or the shapes of those of one kind, differ."""
    found = {kind(each): each for each in reversed(came)}
    for event in {kind(each): each for each in reversed(shown)}.values():
        name = kind(event)
        if name in found:
            yield from difference(event, found[name], name)
        elif name not in _SOMETIMES:
            yield f"{name} is shown, and did not come"


def difference(shown: Any, came: Any, place: str = "$") -> Iterator[str]:
    """Where the shapes of two answers differ: names of fields and kinds of values."""
    if MORE in (shown, came):
        return
    if isinstance(shown, dict) and isinstance(came, dict):
        for name in sorted({*shown} ^ {*came}):
            yield f"{place}.{name} is only in what {'came' if name in came else 'is shown'}"
        for name in sorted({*shown} & {*came}):
            yield from difference(shown[name], came[name], f"{place}.{name}")
    elif isinstance(shown, list) and isinstance(came, list):
        if bool(shown) != bool(came):
            yield f"{place} is empty in only one"
        for number, (one, other) in enumerate(zip(shown, came, strict=False)):
            yield from difference(one, other, f"{place}[{number}]")
    elif _type(shown) != _type(came):
        yield f"{place} is {_type(came)}, where {_type(shown)} is shown"


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text"}
    return names.get(type(value), "null")
