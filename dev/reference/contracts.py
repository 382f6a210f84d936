"""The part of docs/api.md that tells of the contracts: events, errors, and gRPC, in the words of
their comments."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

from dev.examples import PREAMBLE, Example, examples
from dev.reference.http import Missing, by_operation, shown
from dev.reference.markdown import anchor, fenced, table
from isobath.analyst.v1 import access_pb2, analyst_pb2
from isobath.errors.v1 import errors_pb2
from services.gateway.http.reference.contract import comments
from services.gateway.statuses import http_status

SERVICES = ("AnalystService", "DataSourceService", "FileService", "AccessService")
_REASON = "ERROR_REASON_"
_CODE = re.compile(r"([A-Z_]+)( with RetryInfo)?\. (?:metadata: ([\w, ]+)\. )?(.*)")


def services() -> Iterator[ServiceDescriptor]:
    """The public ones, in order."""
    for name in SERVICES:
        for file in (analyst_pb2.DESCRIPTOR, access_pb2.DESCRIPTOR):
            if name in file.services_by_name:
                yield file.services_by_name[name]


def events() -> str:
    """The kinds of events, and the fields of each."""
    kinds: list[list[str]] = []
    fields: list[list[str]] = []
    for field in analyst_pb2.Event.DESCRIPTOR.oneofs_by_name["event"].fields:
        message: Any = field.message_type
        said = [comments().get(each.full_name, "") for each in (field, message)]
        names = ", ".join(f"`{each.name}`" for each in message.fields)
        kinds.append([f"`{field.name}`", " ".join(filter(None, said)), names])
        # those whose comments say more than their names
        fields += [
            [f"`{field.name}.{each.name}`", _kind(each), comments()[each.full_name]]
            for each in message.fields
            if each.full_name in comments()
        ]
    told = table(["kind", "", "fields"], kinds)
    return f"{told}\n{table(['field', 'type', 'meaning'], fields)}"


def errors() -> str:
    """Each reason: its HTTP status and gRPC code, its fields, and what to do."""
    rows = []
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values[1:]:
        said = comments()[f"{errors_pb2.ErrorReason.DESCRIPTOR.full_name}.{value.name}"]
        found = _CODE.fullmatch(said)
        if found is None:
            raise Missing(f"{value.name}: its comment in errors.proto begins with no gRPC code")
        code, _, fields, rest = found.groups()
        reason = value.name.removeprefix(_REASON)
        status = http_status(reason, grpc.StatusCode[code])
        names = ", ".join(f"`{each}`" for each in (fields or "").split(", ") if each)
        rows.append([f"`{reason}`", str(status), f"`{code}`", names, rest])
    return table(["reason", "HTTP", "gRPC", "details", "what it means, and what to do"], rows)


def rpcs() -> str:
    """All services, with an example of every method. Raises `Missing`."""
    worked = by_operation(examples("grpc"))
    parts = [fenced("python", PREAMBLE.read_text())]
    for service in services():
        parts.append(f"### {service.name}\n\n{comments()[service.full_name]}\n")
        parts += [method(each, worked) for each in service.methods]
    return "\n".join(parts)


def method(called: MethodDescriptor, worked: Mapping[str, Sequence[Example]]) -> str:
    """A method, its request's fields, and its examples. Raises `Missing`."""
    full_name = f"{called.containing_service.full_name}/{called.name}"
    if full_name not in worked:
        where = f"`- of: {full_name}` in docs/examples/grpc.yaml"
        raise Missing(f"{full_name} has no example: add one as {where}")
    asked, answered = (
        f"{'stream ' if streams else ''}{message.name}"
        for streams, message in (
            (called.client_streaming, called.input_type),
            (called.server_streaming, called.output_type),
        )
    )
    rows = [
        [f"`{field.name}`", _kind(field), comments().get(field.full_name, "")]
        for field in called.input_type.fields
    ]
    parts = [
        anchor(full_name),
        f"#### {called.name}\n",
        f"`rpc {called.name}({asked}) returns ({answered})`\n",
        comments()[called.full_name] + "\n",
        table(["field", "type", "meaning"], rows),
        *(shown(each, "python", each.run) for each in worked[full_name]),
    ]
    return "\n".join(part for part in parts if part)


def _kind(field: FieldDescriptor) -> str:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        values = kind.fields_by_name["value"]
        return f"map of {_kind(values)}"
    one = _named(field)
    return f"repeated {one}" if field.is_repeated else one


def _named(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return f"`{field.message_type.name}`"
    if field.enum_type is not None:
        return f"`{field.enum_type.name}`"
    return _SCALARS[field.type]


_SCALARS = {
    getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name
    for name in ("string", "bytes", "bool", "double", "float", "int32", "int64", "uint32", "uint64")
}
