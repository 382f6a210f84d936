"""The part of docs/api.md that tells of HTTP, from the OpenAPI document and the examples."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dev.examples import Example, examples, kept
from dev.reference.markdown import anchor, answer, fenced, fields, folded, kind, table

Document = Mapping[str, Any]
_ALWAYS = ("400", "401", "403", "429", "500", "503")


class Missing(LookupError):
    """Something that the page needs is not there. The message says where it is to be added."""


def operations(document: Document, tag: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and what is told of each operation, of one tag or of all."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            if not tag or tag in told["tags"]:
                yield method.upper(), path, told


def index(document: Document) -> str:
    """All operations, with links to what is told of each."""
    rows = []
    for tag in document["tags"]:
        for method, path, told in operations(document, tag["name"]):
            link = f"[`{method} {path}`](#{told['operationId']})"
            rows.append([tag["name"], link, told["summary"]])
    return table(["", "operation", ""], _once(rows))


def _once(rows: Sequence[list[str]]) -> list[list[str]]:
    """Where the first cell says what the one above it does, it is left empty."""
    before = ""
    found = []
    for row in rows:
        found.append([row[0] if row[0] != before else "", *row[1:]])
        before = row[0]
    return found


def family(document: Document, tag: Mapping[str, str]) -> str:
    """A tag's own words, and its operations."""
    name = tag["name"]
    parts = [f"### {name[0].upper()}{name[1:]}\n", tag["description"] + "\n"]
    worked = by_operation(examples("http"))
    for method, path, told in operations(document, name):
        parts.append(_operation(document, method, path, told, worked.get(told["operationId"], ())))
    return "\n".join(parts)


def by_operation(found: Sequence[Example]) -> dict[str, list[Example]]:
    """Examples by what they are of."""
    sorted_out: dict[str, list[Example]] = {}
    for example in found:
        sorted_out.setdefault(example.of, []).append(example)
    return sorted_out


def _operation(
    document: Document,
    method: str,
    path: str,
    told: dict[str, Any],
    worked: Sequence[Example],
) -> str:
    if not worked:
        where = f"`- of: {told['operationId']}` in docs/examples/http.yaml"
        raise Missing(f"{method} {path} has no example: add one as {where}")
    parts = [anchor(told["operationId"]), f"#### `{method} {path}`\n", f"{told['description']}\n"]
    rows = [
        [
            f"`{each['name']}`{' *' if each['required'] else ''}",
            each["in"],
            kind(each["schema"]),
            each["description"],
        ]
        for each in told.get("parameters", ())
    ]
    parts.append(table(["parameter", "in", "type", "meaning"], rows))
    if "requestBody" in told:
        parts.append(_body(document, told["requestBody"]))
    parts.append(_answers(told))
    parts += [shown(each, "sh", each.run) for each in worked]
    return "\n".join(part for part in parts if part)


def _body(document: Document, body: Mapping[str, Any]) -> str:
    ((media_type, content),) = body["content"].items()
    name = content["schema"]["$ref"].rsplit("/", 1)[-1]
    schema = document["components"]["schemas"][name]
    said = schema.get("description", "")
    head = f"Body, `{media_type}`{': ' + said if said else ':'}\n\n"
    return head + table(["field", "type", "meaning"], [list(each) for each in fields(schema)])


def _answers(told: Mapping[str, Any]) -> str:
    """What comes, what may go wrong beyond what always may, and the scope that it takes."""
    lines = []
    for status, found in told["responses"].items():
        if "$ref" in found:
            continue
        forms = " · ".join(_form(name, each) for name, each in found["content"].items())
        lines.append(f"- {status}: {found['description']} {forms}")
    if "x-scope" in told:
        own = [each for each in told["responses"] if each >= "4" and each not in _ALWAYS]
        errors = "".join(f"{each}, " for each in own)
        always = f"{'and ' if own else ''}of every operation {', '.join(_ALWAYS)}"
        lines.append(f"- [Errors](#errors): {errors}{always}.")
        lines.append(f"- Scope: `{told['x-scope']}`.")
    else:
        lines.append("- No key is needed.")
    return "\n".join(lines) + "\n"


def _form(media_type: str, content: Mapping[str, Any]) -> str:
    if "x-event" in content:
        return f"`{media_type}`: each `data:` is {kind(content['x-event'])}"
    shown = f"`{media_type}`" if media_type != "*/*" else "the blob's or file's own type"
    listed = content["schema"].get("properties", {}).get("data")
    if listed is not None:
        return f"{shown}: a list, `data` of {kind(listed['items'])}"
    told = kind(content["schema"])
    return f"{shown}: {told}" if "](#" in told else shown


def shown(example: Example, language: str, code: str) -> str:
    """An example: what is run, and what came. Raises `Missing`."""
    came = kept(example)
    if came is None:
        raise Missing(
            f"{example.name} has no answer: run `python -m dev.examples` beside `make up`"
        )
    title = f"**{example.title}**\n\n" if example.title else ""
    status = f"Answer, {came.status}" if language == "sh" else "`reply`"
    return f"{title}{fenced(language, code)}\n{folded(status, answer(came))}"


def statuses(document: Document) -> str:
    """When each status comes."""
    found = document["components"]["responses"].items()
    return table(["status", "when"], [[status, each["description"]] for status, each in found])


def objects(document: Document) -> str:
    """Tables of what is answered and taken, but those of events and those told as bodies."""
    parts = [
        "### Objects\n",
        "In these tables and those above, * marks a field that is always there.\n",
    ]
    inline = {
        content["schema"]["$ref"].rsplit("/", 1)[-1]
        for _, _, told in operations(document)
        for content in told.get("requestBody", {}).get("content", {}).values()
    }
    for name, schema in document["components"]["schemas"].items():
        if name not in inline and not re.match(r"Event[A-Z]|Event$", name):
            parts.append(_object(name, schema))
    return "\n".join(parts)


def _object(name: str, schema: dict[str, Any]) -> str:
    said = f"{schema['description']}\n" if "description" in schema else ""
    rows = [list(each) for each in fields(schema)]
    for each in schema.get("oneOf", ()):
        rows += [list(row) for row in fields(each)]
    told = table(["field", "type", "meaning"], rows)
    return f"{anchor('schema-' + name)}\n#### {name}\n\n{said}\n{told}"
