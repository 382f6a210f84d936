"""Why a grant is refused, as faults that a caller may read, and the status of each.

Refusal
├── InvalidGrant     torn, forged, with other settings than the secret's, or of a key not known yet
├── ExpiredGrant
├── RevokedGrant
└── OutsideGrant     sound, but it does not reach that far
GateClosed           the credential service is away, so nothing can be decided
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import grpc

from grants import errors
from servicekit.status import Fault, Status, StatusTable


class Refusal(Fault):
    """A grant that cannot be used."""


class InvalidGrant(Refusal):
    remedy = "Ask the gateway for a new grant."


class ExpiredGrant(Refusal):
    remedy = "Ask the gateway for a new grant."

    def __init__(self, message: str, expired_at: datetime) -> None:
        super().__init__(message)
        self.expired_at = expired_at

    def metadata(self) -> dict[str, str]:
        return {"expired_at": self.expired_at.isoformat(timespec="seconds")}


class RevokedGrant(Refusal):
    remedy = "Do not retry: the source, the run or the grant itself was withdrawn."


class OutsideGrant(Refusal):
    remedy = "Ask only for what this run was given."

    def __init__(self, message: str, operation: str, path: str) -> None:
        super().__init__(message)
        self.operation, self.path = operation, path

    def metadata(self) -> dict[str, str]:
        return {"operation": self.operation, "path": self.path}


class GateClosed(Fault):
    remedy = "Try again shortly; if it lasts, see whether the credential service runs."
    retry_after_s = 1.0

    def metadata(self) -> dict[str, str]:
        return {"service": "credentials"}


# Every connector merges these into its own.
STATUSES: StatusTable = {
    InvalidGrant: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_INVALID"),
    ExpiredGrant: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_EXPIRED"),
    RevokedGrant: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_REVOKED"),
    OutsideGrant: Status(grpc.StatusCode.PERMISSION_DENIED, "BEYOND_GRANT"),
    GateClosed: Status(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.GrantMalformed: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_INVALID"),
    errors.GrantForged: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_INVALID"),
    errors.GrantExpired: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_EXPIRED"),
    errors.GrantRevoked: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_REVOKED"),
    errors.GrantUnbound: Status(grpc.StatusCode.UNAUTHENTICATED, "GRANT_INVALID"),
    errors.BeyondGrant: Status(grpc.StatusCode.PERMISSION_DENIED, "BEYOND_GRANT"),
}


@contextmanager
def refusing() -> Iterator[None]:
    """Turns what the core of grants raises into the fault that the caller is shown."""
    try:
        yield
    except errors.GrantError as exc:
        raise refusal(exc) from exc


def refusal(error: errors.GrantError) -> Refusal:
    match error:
        case errors.GrantExpired():
            return ExpiredGrant(str(error), error.expired_at)
        case errors.GrantRevoked():
            return RevokedGrant(str(error))
        case errors.BeyondGrant():
            return OutsideGrant(str(error), error.operation, error.path or "")
        case errors.GrantUnbound():
            return InvalidGrant(
                str(error),
                remedy="Ask the gateway for a new grant; if it lasts, store the source's settings"
                " together with its secret again.",
            )
        case errors.KeyUnknown():
            # The key may be on its way here.
            return InvalidGrant(str(error), retry_after_s=1.0)
        case _:
            return InvalidGrant(str(error))
