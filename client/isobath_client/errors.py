"""What went wrong, as exceptions with typed fields.

IsobathError
├── InvalidRequest      a field cannot be taken; correct it
├── NotFound            no such source, path, run, thread, file or model, or it is another's
├── Conflict            the name is taken, or another call holds the thing
├── Unauthenticated     no key, or one that is not known
├── NotAllowed          the key, the grant or the source's own rights do not reach that far
├── Refused             a source or a model refused: a query with an error, a wrong password
├── TooBusy             a limit of the platform; `retry_after_s` says when it may be tried again
│   └── QuotaExceeded   a limit of the caller's own
├── DeadlineExceeded    it took longer than it was allowed
├── Unavailable         the gateway, a service, a source or a model does not answer
├── Unsupported         this part of the platform cannot do it
├── Cancelled           the call was cancelled
├── Internal            a defect of the platform; its log has more, under `fields["request_id"]`
├── RunFailed           a run ended with an error, which is its `__cause__`
└── RunCancelled        somebody cancelled the run
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from servicekit.status import RemoteFault, code_of, decode

if TYPE_CHECKING:
    from isobath_client.events import Event, Failed


class IsobathError(Exception):
    """A call that failed.

    `reason` is a word of `isobath.errors.v1.ErrorReason`, `remedy` a sentence that says what to do,
    `fields` what the reason documents, such as `sqlstate` and `position`. `retry_after_s` is set
    where the platform says how long to wait.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        remedy: str = "",
        fields: Mapping[str, str] | None = None,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.reason = reason
        self.message = message
        self.remedy = remedy
        self.fields = dict(fields or {})
        self.retry_after_s = retry_after_s


class InvalidRequest(IsobathError):
    """A field of the request cannot be taken: `fields["field"]` names it."""


class NotFound(IsobathError):
    """There is no such thing for this caller."""


class Conflict(IsobathError):
    """The name is taken, it changed meanwhile, or another call holds it."""


class Unauthenticated(IsobathError):
    """No key, or one that is not known."""


class NotAllowed(IsobathError):
    """The key, the grant or the source's own credentials do not reach that far."""


class Refused(IsobathError):
    """A source or a model refused: for a query `fields` has `sqlstate`, `position` and `line`."""


class TooBusy(IsobathError):
    """A limit of the platform was reached."""


class QuotaExceeded(TooBusy):
    """The caller's own quota is used up."""


class DeadlineExceeded(IsobathError):
    """It took longer than it was allowed."""


class Unavailable(IsobathError):
    """The gateway, a service, a source or a model does not answer."""


class Unsupported(IsobathError):
    """This part of the platform cannot do it."""


class Cancelled(IsobathError):
    """The call was cancelled."""


class Internal(IsobathError):
    """A defect of the platform, or of the transport."""


class RunFailed(IsobathError):
    """A run ended with an error. `events` are all that it told; `__cause__` is the error by family,
    as a call would have raised it."""

    def __init__(self, failed: "Failed", events: Sequence["Event"]) -> None:
        super().__init__(failed.reason, failed.message, failed.remedy, failed.fields)
        self.run_id = failed.run_id
        self.events = tuple(events)
        self.__cause__ = family(code_of(failed.code), failed.reason)(
            failed.reason, failed.message, failed.remedy, failed.fields
        )


class RunCancelled(IsobathError):
    """A run was cancelled. `events` are all that it told."""

    def __init__(self, run_id: str, events: Sequence["Event"]) -> None:
        super().__init__("CANCELLED", f"The run {run_id} was cancelled.")
        self.run_id = run_id
        self.events = tuple(events)


_FAMILIES: Mapping[grpc.StatusCode, type[IsobathError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooBusy,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def family(code: grpc.StatusCode, reason: str) -> type[IsobathError]:
    """The class for a status; what is none of the table's is a defect."""
    if reason == "QUOTA_EXCEEDED":
        return QuotaExceeded
    return _FAMILIES.get(code, Internal)


def error_of(fault: RemoteFault) -> IsobathError:
    """A decoded status as its exception."""
    return family(fault.code, fault.reason)(
        fault.reason,
        fault.message,
        fault.remedy,
        fault.fields,
        retry_after_s=fault.retry_after_s,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn a `grpc.RpcError` of the block into an `IsobathError`."""
    try:
        yield
    except grpc.RpcError as error:
        raise error_of(decode(error)) from error
