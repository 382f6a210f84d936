"""Contract messages as plain JSON: numbers as numbers, enums as short lower-case words, what is
unset as null. (The events of runs keep protobuf's own JSON, so that clients may parse it.)"""

import base64
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.registry import Source

Shape = dict[str, Any]


def plain(message: Message) -> Shape:
    """All fields of a message."""
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Message, field: FieldDescriptor) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {key: _value(kind.fields_by_name["value"], each) for key, each in value.items()}
    if field.is_repeated:
        return [_value(field, each) for each in value]
    return _value(field, value)


def _value(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Duration):
        return value.ToNanoseconds() / 1e9
    if isinstance(value, Struct):
        return MessageToDict(value)
    if isinstance(value, Message):
        return plain(value)
    if field.enum_type is not None:
        return _word(field, value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _word(field: FieldDescriptor, number: int) -> str | None:
    """ENTRY_KIND_TABLE of EntryKind is "table"; unspecified is null."""
    names = field.enum_type.values_by_number
    if not number or number not in names:
        return None
    prefix = names[0].name.removesuffix("UNSPECIFIED")
    return str(names[number].name.removeprefix(prefix)).lower()


def listed(items: Sequence[Shape], next_page_token: str = "") -> Shape:
    """A list as OpenAI lays it out, with a token for the next page."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0].get("id") if items else None,
        "last_id": items[-1].get("id") if items else None,
        "has_more": bool(next_page_token),
        "next_page_token": next_page_token or None,
    }


def source(found: Source) -> Shape:
    return {
        "id": found.id,
        "object": "data_source",
        "name": found.name,
        "type": found.type,
        "description": found.description,
        "config": dict(found.config),
        "secrets_set": list(found.secrets_set),
        "version": found.version,
        "created_at": found.created_ms // 1000,
        "updated_at": found.updated_ms // 1000,
    }


def file(info: analyst.FileInfo) -> Shape:
    """OpenAI's FileObject, and more."""
    return {
        "id": info.id,
        "object": "file",
        "bytes": info.size_bytes,
        "created_at": info.created_at.seconds,
        "expires_at": None,
        "filename": info.name,
        "purpose": info.purpose,
        "status": "processed",
        "status_details": None,
        "media_type": info.media_type,
        "url": info.url,
        "run_id": info.run_id or None,
    }


def run(found: analyst.Run) -> Shape:
    error = {"reason": found.error_reason, "message": found.error_message}
    return {
        "id": found.run_id,
        "object": "run",
        "thread_id": found.thread_id,
        "model": found.model,
        "status": analyst.RunState.Name(found.state).removeprefix("RUN_STATE_").lower(),
        "created_at": found.created_at.seconds,
        "ended_at": found.ended_at.seconds if found.HasField("ended_at") else None,
        "last_sequence": found.last_sequence,
        "usage": plain(found.usage) if found.HasField("usage") else None,
        "error": error if found.error_reason else None,
    }


def thread(found: analyst.Thread) -> Shape:
    return {
        "id": found.thread_id,
        "object": "thread",
        "title": found.title,
        "created_at": found.created_at.seconds,
        "expires_at": found.expires_at.seconds,
    }
