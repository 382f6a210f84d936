"""The settings of a type of source as a form: its JSON Schema and a template, read field by field.

Of JSON Schema it knows what a single field may say (type, enum, bounds, lengths, pattern, items);
what fields say of each other is left to the platform, whose refusal names the field.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from isobath.connector.v1 import connector_pb2 as connector

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LAST = 10_000
_YES = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}


@dataclass(frozen=True)
class Field:
    """One setting. `default` is taken where nothing is given, `example` shows what is meant."""

    name: str
    schema: Mapping[str, Any]
    required: bool = False
    secret: bool = False
    example: str = ""

    @property
    def title(self) -> str:
        return str(self.schema.get("title") or self.name.replace("_", " ").capitalize())

    @property
    def description(self) -> str:
        return str(self.schema.get("description", ""))

    @property
    def choices(self) -> Sequence[str]:
        return [str(each) for each in self.schema.get("enum", ())]

    @property
    def default(self) -> str:
        found = self.schema.get("default")
        return "" if found is None else shown(_whole(found, self.schema))

    def read(self, text: str) -> Any:
        """The value that a text stands for. Raises ValueError, which says what is expected."""
        value = _typed(text.strip() if not self.secret else text, self.schema)
        check(value, self.schema)
        return value


@dataclass(frozen=True)
class Form:
    """What a template of a type asks: the settings that it needs, its secrets, and the rest."""

    type: str
    title: str
    fields: Sequence[Field]
    secrets: Sequence[Field]
    further: Sequence[Field]
    further_secrets: Sequence[Field]

    def field(self, name: str) -> Field | None:
        """By its name, or by "config.NAME" and "secrets.NAME" as errors have it."""
        kind, _, bare = name.rpartition(".")
        every = (*self.secrets, *self.further_secrets)
        pool = every if kind == "secrets" else (*self.fields, *self.further)
        return next((each for each in pool if each.name == bare), None)


def forms(kind: connector.DescribeResponse) -> list[Form]:
    """A form for each template of a type, in their order; one for the bare schema without any."""
    return [_form(kind, each) for each in kind.templates] or [
        _form(kind, connector.Template(title=kind.title))
    ]


def _form(kind: connector.DescribeResponse, template: connector.Template) -> Form:
    example = MessageToDict(template.example)
    wanted, secrets = example.get("config", {}), example.get("secrets", {})
    settings = _fields(MessageToDict(kind.config_schema), wanted)
    hidden = _fields(MessageToDict(kind.secrets_schema), secrets, secret=True)
    return Form(
        type=kind.type,
        title=template.description or template.title,
        fields=[each for each in settings if each.required or each.name in wanted],
        secrets=[each for each in hidden if each.required or each.name in secrets],
        further=[each for each in settings if not each.required and each.name not in wanted],
        further_secrets=[each for each in hidden if not each.required and each.name not in secrets],
    )


def _fields(
    schema: Mapping[str, Any], example: Mapping[str, Any], *, secret: bool = False
) -> list[Field]:
    required = set(schema.get("required", ()))
    # the fields of a template are all that it needs, but those with a default
    needed = {name for name in example if "default" not in schema["properties"].get(name, {})}
    found = [
        Field(
            name=name,
            schema=each,
            required=name in required or name in needed,
            secret=secret,
            example="" if secret or name not in example else shown(_whole(example[name], each)),
        )
        for name, each in schema.get("properties", {}).items()
    ]
    return sorted(found, key=lambda field: field.schema.get("x-order", _LAST))


def shown(value: Any) -> str:
    """A value as it is typed in."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def setting(text: str) -> Any:
    """The value of NAME=VALUE where no schema says what it is: JSON where it is some, else text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def check(value: Any, schema: Mapping[str, Any]) -> None:
    """Raises ValueError with what the schema expects instead."""
    if "enum" in schema and value not in schema["enum"]:
        raise ValueError(f"one of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, str):
        _check_text(value, schema)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            raise ValueError(f"at least {int(schema['minItems'])}, with commas between")
        for each in value:
            check(each, schema.get("items", {}))


def _check_text(value: str, schema: Mapping[str, Any]) -> None:
    if len(value) < schema.get("minLength", 0):
        raise ValueError("it must not be empty")
    if len(value) > schema.get("maxLength", len(value)):
        raise ValueError(f"at most {int(schema['maxLength'])} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise ValueError(schema.get("description") or f"what matches {schema['pattern']}")


def _check_number(value: float, schema: Mapping[str, Any]) -> None:
    if value < schema.get("minimum", value):
        raise ValueError(f"{schema['minimum']:g} or more")
    if value > schema.get("maximum", value):
        raise ValueError(f"{schema['maximum']:g} or less")
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        raise ValueError(f"more than {schema['exclusiveMinimum']:g}")


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    kinds = schema.get("type", "string")
    # of several the one that a person types
    kind = kinds if isinstance(kinds, str) else kinds[0]
    match kind:
        case "integer" | "number":
            return _number(text, kind)
        case "boolean":
            if text.lower() not in _YES:
                raise ValueError("yes or no")
            return _YES[text.lower()]
        case "array":
            return [each.strip() for each in text.split(",") if each.strip()]
    return text


def _number(text: str, kind: str) -> int | float:
    try:
        return int(text) if kind == "integer" else float(text)
    except ValueError:
        raise ValueError("a whole number" if kind == "integer" else "a number") from None


def _whole(value: Any, schema: Mapping[str, Any]) -> Any:
    """A Struct knows no integers."""
    return int(value) if schema.get("type") == "integer" else value
