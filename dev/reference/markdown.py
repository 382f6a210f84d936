"""Markdown of tables, schemas and answers. Pure."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from dev.examples import Answer
from dev.shown import MORE

WIDTH = 110
# longer ones are folded
_LINES = 24
Schema = dict[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, nothing where it has no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *([_cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def anchor(name: str) -> str:
    """What a link leads to, on a line before a heading."""
    return f'<a id="{name}"></a>\n'


def fenced(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def folded(summary: str, block: str) -> str:
    """The block, folded away where it is long."""
    if block.count("\n") <= _LINES:
        return f"{summary}:\n\n{block}"
    # in HTML a backtick is one
    shown = re.sub("`(.*?)`", r"<code>\1</code>", summary)
    return f"<details><summary>{shown}</summary>\n\n{block}\n</details>\n"


def answer(shown: Answer) -> str:
    """As the page shows it."""
    if shown.stream and shown.media_type == "text/event-stream":
        return fenced("text", "\n\n".join(_event(each) for each in shown.body))
    if isinstance(shown.body, str):
        return fenced("text", shown.body)
    return fenced("json", compact(shown.body))


def _event(fields: Any) -> str:
    lines = []
    for name, value in fields.items():
        told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{name}: {told}")
    return "\n".join(lines)


def compact(value: Any, indent: int = 0) -> str:
    """JSON in which what fits into a line stands in one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= WIDTH or not isinstance(value, dict | list):
        return line.replace(json.dumps({MORE: MORE}, ensure_ascii=False), f"{{{MORE}}}")
    inner = indent + 2
    if isinstance(value, dict):
        parts = [f"{json.dumps(k)}: {compact(v, inner)}" for k, v in value.items()]
    else:
        parts = [compact(each, inner) for each in value]
    brackets = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(" " * inner + part for part in parts)
    return f"{brackets[0]}\n{body}\n{' ' * indent}{brackets[1]}"


def kind(schema: Schema) -> str:
    """What a value is, in words, with links to what has a table of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        # told in the contract's own words
        return "an [event](#events)" if name == "Event" else f"[{name}](#schema-{name})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " · ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema and "properties" not in schema:
            return " or ".join(dict.fromkeys(kind(each) for each in schema[several]))
    found = schema.get("type", "any JSON value")
    return " or ".join(
        _typed(each, schema) for each in ([found] if isinstance(found, str) else found)
    )


def _typed(word: str, schema: Schema) -> str:
    if word == "array":
        items = schema["items"]
        return f"list of {kind(items)}" if items else "list"
    if word == "object" and isinstance(schema.get("additionalProperties"), dict):
        values = schema["additionalProperties"]
        return f"object of {kind(values)}" if values else "object"
    if word == "string" and schema.get("format") in ("date", "date-time", "binary"):
        return {"date": "day", "date-time": "time", "binary": "bytes"}[schema["format"]]
    return word


def fields(schema: Schema, before: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, kind and meaning of each field; those of objects within it stand behind a point."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        shown = f"`{before}{name}`" + (" *" if name in required else "")
        yield shown, kind(field), field.get("description", "")
        inner, steps = field, ""
        while inner.get("type") == "array" or inner.get("type") == ["array", "null"]:
            inner, steps = inner["items"], steps + "[]"
        if "properties" in inner:
            yield from fields(inner, f"{before}{name}{steps}.")
