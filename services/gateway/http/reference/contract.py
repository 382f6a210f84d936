"""JSON Schemas of the contracts' messages, so that no shape is written twice. Pure.

The contracts' own comments are the descriptions.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from services.gateway.messages import word

Schema = dict[str, Any]
REF = "#/components/schemas/"
_UNFIT = {"enum": ["NaN", "Infinity", "-Infinity"]}
_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
}
_WHOLE = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32}
_LONG = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_REAL = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


@cache
def comments() -> Mapping[str, str]:
    """What the contracts say of each of their names (`dev/protos.py`)."""
    found: dict[str, str] = json.loads((files("isobath") / "comments.json").read_text())
    return found


class Messages:
    """Schemas of messages and of those within them, each a component of its own.

    `plain`: as `messages.plain` writes them with defaults, so that what has no presence is always
    there. Else ProtoJSON: enums by their full names, 64-bit integers as strings, nothing that is
    unset. `prefix` keeps the components of the two apart.
    """

    def __init__(self, *, plain: bool, prefix: str = "") -> None:
        self._plain = plain
        self._prefix = prefix
        self.components: dict[str, Schema] = {}

    def ref(self, message: type[Message]) -> Schema:
        """A reference to a message's schema, which becomes a component."""
        return self._ref(message.DESCRIPTOR)

    def schema(self, message: type[Message]) -> Schema:
        """The message's own schema."""
        return self._schema(message.DESCRIPTOR)

    def _ref(self, message: Any) -> Schema:
        name = (
            message.name if message.name.startswith(self._prefix) else self._prefix + message.name
        )
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self._schema(message)
        return {"$ref": REF + name}

    def _schema(self, message: Any) -> Schema:
        made: Schema = {
            "type": "object",
            "properties": {field.name: self._field(field) for field in message.fields},
        }
        if said := comments().get(message.full_name):
            made["description"] = said
        if required := [field.name for field in message.fields if self._always(field)]:
            made["required"] = required
        return made

    def _always(self, field: FieldDescriptor) -> bool:
        return self._plain and not field.has_presence

    def _field(self, field: FieldDescriptor) -> Schema:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            values = self._value(kind.fields_by_name["value"])
            made: Schema = {"type": "object", "additionalProperties": values}
        elif field.is_repeated:
            made = {"type": "array", "items": self._value(field)}
        else:
            made = self._value(field)
        said = " ".join(self._said(field))
        return {**made, "description": said} if said else made

    def _said(self, field: FieldDescriptor) -> Iterator[str]:
        if said := comments().get(field.full_name):
            yield said
        if self._plain and field.enum_type is not None:
            for name in field.enum_type.values_by_name:
                if told := comments().get(f"{field.enum_type.full_name}.{name}"):
                    yield f"`{word(field.enum_type, name)}`: {told}"

    def _value(self, field: FieldDescriptor) -> Schema:
        if field.enum_type is not None:
            return {"type": "string", "enum": list(self._names(field.enum_type))}
        if field.message_type is not None:
            known = _KNOWN.get(field.message_type.full_name)
            return dict(known) if known else self._ref(field.message_type)
        return self._scalar(field)

    def _names(self, enum: EnumDescriptor) -> Iterator[str]:
        for name in enum.values_by_name:
            yield word(enum, name) if self._plain else name

    def _scalar(self, field: FieldDescriptor) -> Schema:
        kind = field.cpp_type
        if kind in _WHOLE or (kind in _LONG and self._plain):
            return {"type": "integer"}
        if kind in _LONG:
            return {"type": "string", "pattern": r"^-?\d+$"}
        if kind in _REAL:
            # what JSON has no number for is a word
            return {"anyOf": [{"type": "number"}, dict(_UNFIT)]}
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return {"type": "string"}
