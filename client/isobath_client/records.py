"""A run as training reads it, as a line of a file of records."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict

from isobath.analyst.v1 import analyst_pb2 as messages


def as_json(record: messages.RunRecord) -> dict[str, Any]:
    """Every field, also those that are empty, in the contract's order."""
    told: dict[str, Any] = MessageToDict(
        record, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {field.name: told[field.name] for field in record.DESCRIPTOR.fields}


def line(record: messages.RunRecord) -> str:
    """With its end."""
    return json.dumps(as_json(record), ensure_ascii=False) + "\n"
