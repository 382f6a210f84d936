"""What the platform refused, as one exception with typed fields."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc

from servicekit.status import decode


class IsobathError(Exception):
    """A call that failed.

    `reason` is a word of `isobath.errors.v1.ErrorReason`, `remedy` a sentence that says what to do,
    `fields` what the reason documents, such as `sqlstate` and `position`.
    """

    def __init__(self, reason: str, message: str, remedy: str, fields: Mapping[str, str]) -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.reason = reason
        self.message = message
        self.remedy = remedy
        self.fields = dict(fields)


@contextmanager
def translated() -> Iterator[None]:
    """Turn a `grpc.RpcError` of the block into an `IsobathError`."""
    try:
        yield
    except grpc.RpcError as error:
        fault = decode(error)
        raise IsobathError(fault.reason, fault.message, fault.remedy, fault.fields) from error
