"""How schemas are written: a function for each JSON type, and records.

In a `record` every field is always there but those wrapped in `maybe`.
"""

from collections.abc import Mapping
from typing import Any

from services.gateway.http.reference.contract import REF, Schema


def typed(kind: str, said: str = "", **more: Any) -> Schema:
    """A schema of a JSON type."""
    return {"type": kind, **({"description": said} if said else {}), **more}


def text(said: str = "", **more: Any) -> Schema:
    """A string."""
    return typed("string", said, **more)


def whole(said: str = "", **more: Any) -> Schema:
    """A whole number."""
    return typed("integer", said, **more)


def seconds(said: str) -> Schema:
    """A time as OpenAI tells it."""
    return whole(f"{said}: seconds since 1970.")


def number(said: str = "", **more: Any) -> Schema:
    """A number."""
    return typed("number", said, **more)


def truth(said: str = "", **more: Any) -> Schema:
    """True or false."""
    return typed("boolean", said, **more)


def many(items: Schema, said: str = "", **more: Any) -> Schema:
    """A list."""
    return typed("array", said, items=items, **more)


def by_name(values: Schema, said: str = "") -> Schema:
    """An object whose names are free."""
    return typed("object", said, additionalProperties=values)


def always(value: str) -> Schema:
    """One word."""
    return {"type": "string", "const": value}


def or_null(schema: Schema) -> Schema:
    """It may be null."""
    if "$ref" in schema:
        said = {"description": schema["description"]} if "description" in schema else {}
        return {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}], **said}
    return {**schema, "type": [schema["type"], "null"]}


def ref(name: str) -> Schema:
    """A component."""
    return {"$ref": REF + name}


def maybe(schema: Schema) -> Schema:
    """Of a record: a field that may be left out."""
    return {**schema, "x-maybe": True}


def record(fields: Mapping[str, Schema], said: str = "") -> Schema:
    """An object; who reads it takes fields that it does not know for granted."""
    bare = {
        name: {key: value for key, value in field.items() if key != "x-maybe"}
        for name, field in fields.items()
    }
    made = typed("object", said, properties=bare)
    if required := [name for name, field in fields.items() if "x-maybe" not in field]:
        made["required"] = required
    return made


def listing(item: Schema) -> Schema:
    """OpenAI's list object, with a page token."""
    return record(
        {
            "object": always("list"),
            "data": many(item),
            "has_more": truth("There is a next page."),
            "next_page_token": text("Give it as `page_token`; empty on the last page."),
        }
    )


def deleted(kind: str) -> Schema:
    """What a DELETE answers."""
    return record({"id": text(), "object": always(kind), "deleted": {"const": True}})


def members(schema: Schema, without: str = "") -> dict[str, Schema]:
    """The fields of a message's schema, as a record takes them."""
    required = schema.get("required", ())
    return {
        name: field if name in required else maybe(field)
        for name, field in schema["properties"].items()
        if name != without
    }
