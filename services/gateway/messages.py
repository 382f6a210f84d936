"""Messages of the contracts as clients of HTTP read them: enums as words, counts as numbers."""

from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

_WHOLE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def plain(message: Message, *, defaults: bool = False) -> dict[str, Any]:
    """Names as in the contract; with `defaults`, also what is unset and has a plain default.

    ProtoJSON writes 64-bit integers as strings and enums by their full names; here they are numbers
    (exact up to 2^53 in JavaScript) and `ENTRY_KIND_TABLE` is "table"."""
    told: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=defaults
    )
    _mend(message.DESCRIPTOR, told)
    return told


def word(enum: EnumDescriptor, name: str) -> str:
    """A value's name without the enum's own: ENTRY_KIND_TABLE -> table."""
    unspecified = enum.values_by_number[0].name
    return name.removeprefix(unspecified.removesuffix("UNSPECIFIED")).lower()


def _mend(descriptor: Any, told: dict[str, Any]) -> None:
    for name in told:
        field = descriptor.fields_by_name[name]
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            values = kind.fields_by_name["value"]
            told[name] = {key: _value(values, value) for key, value in told[name].items()}
        elif isinstance(told[name], list):
            told[name] = [_value(field, value) for value in told[name]]
        else:
            told[name] = _value(field, told[name])


def _value(field: Any, told: Any) -> Any:
    if field.cpp_type in _WHOLE:
        return int(told)
    # a number is a value that this version does not know
    if field.enum_type is not None and isinstance(told, str):
        return word(field.enum_type, told)
    kind = field.message_type
    # timestamps, durations and structs are JSON of their own
    if kind is not None and not kind.full_name.startswith("google.protobuf."):
        _mend(kind, told)
    return told
