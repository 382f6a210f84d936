"""Errors to google.rpc.Status and back.

Services draw trees of `Fault` that know nothing of gRPC; a table per service maps each class to
a code and a reason; the server's interceptor encodes, `decode` on the calling side gives a
`RemoteFault`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from servicekit.secrets import scrub

DOMAIN = "isobath"
DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"

# Clients take 8 KiB of metadata by default. The message travels twice, once percent-encoded (up to
# three bytes for one): 3 x 1 KiB + 1 KiB + 3 KiB of fields stays below.
_MESSAGE_BYTES = 1024
_FIELDS_BYTES = 3 * 1024


class Fault(Exception):
    """Base of every service's errors. `message` and `remedy` are safe for the caller to read; what
    is for the log only goes into `args` (the words after the message) or `__cause__`."""

    message: str = ""

    remedy: str = ""
    retry_after_s: float | None = None

    def __init__(
        self,
        message: str = "",
        *detail: object,
        remedy: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, *detail)
        self.message = message
        if remedy is not None:
            self.remedy = remedy
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    def metadata(self) -> dict[str, str]:
        """The fields that `isobath.errors.v1.ErrorReason` documents for this error's reason."""
        return {}

    def __str__(self) -> str:
        return " · ".join(str(part) for part in (self.message, *self.args[1:]) if part)


@dataclass(frozen=True, slots=True)
class Status:
    code: grpc.StatusCode
    reason: str


StatusTable = Mapping[type[BaseException], Status]
NO_STATUSES: StatusTable = MappingProxyType({})


class RemoteFault(Fault):
    """What another service answered. Escaping from a servicer, it is passed on as it came."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str,
        remedy: str = "",
        fields: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, retry_after_s=retry_after_s)
        self.code = code
        self.reason = reason
        self.fields: Mapping[str, str] = MappingProxyType(dict(fields or {}))

    def metadata(self) -> dict[str, str]:
        return dict(self.fields)

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"


class Unauthenticated(Fault):
    """No token, or one that is not known."""

    remedy = "Send authorization: Bearer <token> with a token this server knows."


class CallerNotAllowed(Fault):
    remedy = "Call with an identity that this method allows."

    def __init__(self, identity: str, method: str) -> None:
        super().__init__(f"{identity} may not call {method}")
        self.identity, self.method = identity, method

    def metadata(self) -> dict[str, str]:
        return {"identity": self.identity, "method": self.method}


class Draining(Fault):
    remedy = "Connect again."
    retry_after_s = 1.0


class Unsupported(Fault):
    """A real limit of this deployment: an engine without adapters, a source not to be written."""

    def __init__(self, message: str, *, ability: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.ability = ability

    def metadata(self) -> dict[str, str]:
        return {"ability": self.ability}


class InvalidField(Fault):
    """A field of the request cannot be taken."""

    def __init__(self, field: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field

    def metadata(self) -> dict[str, str]:
        return {"field": self.field}


OWN_STATUSES: StatusTable = {
    Unauthenticated: Status(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    CallerNotAllowed: Status(grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED"),
    Draining: Status(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    Unsupported: Status(grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED"),
    InvalidField: Status(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
}

_INTERNAL = Status(grpc.StatusCode.INTERNAL, "INTERNAL")


@dataclass(frozen=True, slots=True)
class Outcome:
    """An error as the caller will see it. `known` tells whether somebody foresaw it."""

    code: grpc.StatusCode
    reason: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    known: bool = True


def outcome(error: BaseException, statuses: StatusTable, request_id: str) -> Outcome:
    """The most specific class in the error's ancestry that a table names wins; all else is INTERNAL
    and shows nothing but the request id."""
    if isinstance(error, RemoteFault):
        return _foreseen(error, Status(error.code, error.reason))
    if isinstance(error, grpc.RpcError):
        return _foreseen(fault := decode(error), Status(fault.code, fault.reason))
    status = _mapped(type(error), statuses)
    if status is not None:
        return _foreseen(error, status)
    message = f"internal error; request id {request_id}"
    return Outcome(_INTERNAL.code, _INTERNAL.reason, message, known=False)


def _mapped(kind: type[BaseException], statuses: StatusTable) -> Status | None:
    for ancestor in kind.__mro__:
        found = statuses.get(ancestor) or OWN_STATUSES.get(ancestor)
        if found is not None:
            return found
    return None


def _foreseen(error: BaseException, status: Status) -> Outcome:
    if not isinstance(error, Fault):
        # a mapped class of somebody else's: its text was not written for callers
        return Outcome(status.code, status.reason, status.reason.replace("_", " ").lower())
    fields = {key: scrub(value) for key, value in error.metadata().items()}
    if error.remedy:
        fields["remedy"] = error.remedy
    return Outcome(status.code, status.reason, scrub(error.message), fields, error.retry_after_s)


def encode(shown: Outcome, request_id: str) -> status_pb2.Status:
    fields = _within(_FIELDS_BYTES, {**shown.fields, "request_id": request_id})
    details = [error_details_pb2.ErrorInfo(domain=DOMAIN, reason=shown.reason, metadata=fields)]
    if shown.retry_after_s is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(shown.retry_after_s)))
    return status_pb2.Status(
        code=shown.code.value[0],
        message=cut(shown.message, _MESSAGE_BYTES),
        details=[_packed(detail) for detail in details],
    )


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _duration(seconds: float) -> duration_pb2.Duration:
    whole = math.floor(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def _within(limit: int, fields: Mapping[str, str]) -> dict[str, str]:
    """Short fields first and whole; the long ones share what is left."""
    kept: dict[str, str] = {}
    left = limit
    by_length = sorted(fields.items(), key=lambda item: len(item[1]))
    for rank, (key, value) in enumerate(by_length):
        share = max(0, left - len(key)) // (len(by_length) - rank)
        kept[key] = cut(value, share)
        left -= len(key) + len(kept[key].encode())
    return {key: kept[key] for key in fields}


def cut(text: str, limit_bytes: int) -> str:
    """At most so many bytes of UTF-8, whole characters; what was cut shows as an ellipsis."""
    raw = text.encode(errors="replace")
    if len(raw) <= limit_bytes:
        return raw.decode()
    return raw[: max(0, limit_bytes - 3)].decode(errors="ignore") + "…"


_CODES = {code.value[0]: code for code in grpc.StatusCode}
# what a status without our details is taken for
_BARE: Mapping[grpc.StatusCode, tuple[str, str, str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        "SERVICE_UNAVAILABLE",
        "a service of the platform does not answer",
        "Try again shortly.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "DEADLINE_EXCEEDED",
        "the deadline passed before the work was done",
        "Narrow the work or allow it longer.",
    ),
    grpc.StatusCode.CANCELLED: ("CANCELLED", "the call was cancelled", ""),
    grpc.StatusCode.UNIMPLEMENTED: ("UNSUPPORTED", "the service does not offer this call", ""),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("TOO_BUSY", "a limit of the transport was reached", ""),
}


def decode(error: grpc.RpcError) -> RemoteFault:
    """What the other side meant. Never raises: where nothing can be read, the bare code speaks."""
    return _meant(_code(error), _details(error))


def packed(error: grpc.RpcError) -> tuple[int, bytes]:
    """The same, to be handed on by other means: its code, and its google.rpc.Status."""
    status = _details(error)
    return _code(error).value[0], status.SerializeToString() if status is not None else b""


def has_details(error: grpc.RpcError) -> bool:
    """Whether a service of ours has answered this, and not the transport on its way there."""
    return _details(error) is not None


def unpacked(code: int, status: bytes) -> RemoteFault:
    """What `packed` or `encode` made. Never raises."""
    known = code_of(code)
    try:
        return _meant(known, status_pb2.Status.FromString(status) if status else None)
    except DecodeError:
        return _meant(known, None)


def code_of(number: int) -> grpc.StatusCode:
    """google.rpc.Code as gRPC for Python has it; UNKNOWN for what is none."""
    return _CODES.get(number, grpc.StatusCode.UNKNOWN)


def _meant(code: grpc.StatusCode, status: status_pb2.Status | None) -> RemoteFault:
    info = error_details_pb2.ErrorInfo()
    if status is None or not _unpack(status, info) or info.domain != DOMAIN:
        reason, message, remedy = _BARE.get(
            code, ("INTERNAL", "a service of the platform failed", "")
        )
        return RemoteFault(message, code=code, reason=reason, remedy=remedy)
    fields = dict(info.metadata)
    return RemoteFault(
        status.message,
        code=code,
        reason=info.reason,
        remedy=fields.pop("remedy", ""),
        fields=fields,
        retry_after_s=_retry_after(status),
    )


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    found = getattr(error, "code", None)
    code = found() if callable(found) else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _details(error: grpc.RpcError) -> status_pb2.Status | None:
    trailing = getattr(error, "trailing_metadata", None)
    for key, value in (trailing() if callable(trailing) else None) or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _unpack(status: status_pb2.Status, into: Message) -> bool:
    try:
        return any(detail.Unpack(into) for detail in status.details)
    except DecodeError:
        return False


def _retry_after(status: status_pb2.Status) -> float | None:
    info = error_details_pb2.RetryInfo()
    if not _unpack(status, info):
        return None
    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
