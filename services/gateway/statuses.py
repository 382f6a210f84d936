"""The gateway's errors as gRPC codes, and gRPC codes as HTTP statuses."""

import grpc

from servicekit.status import Status, StatusTable
from services.gateway import errors

_Code = grpc.StatusCode
STATUSES: StatusTable = {
    errors.UnsupportedField: Status(_Code.UNIMPLEMENTED, "UNSUPPORTED"),
    errors.SourceNotFound: Status(_Code.NOT_FOUND, "SOURCE_NOT_FOUND"),
    errors.NotFound: Status(_Code.NOT_FOUND, "NOT_FOUND"),
    errors.NotKept: Status(_Code.NOT_FOUND, "NOT_FOUND"),
    errors.NotAllowed: Status(_Code.PERMISSION_DENIED, "NOT_ALLOWED"),
    errors.QuotaExceeded: Status(_Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
    errors.AlreadyExists: Status(_Code.ALREADY_EXISTS, "ALREADY_EXISTS"),
    errors.Conflict: Status(_Code.ABORTED, "CONFLICT"),
    errors.TooLarge: Status(_Code.OUT_OF_RANGE, "TOO_LARGE"),
    errors.WrittenDiffers: Status(_Code.DATA_LOSS, "CHECKSUM_MISMATCH"),
    errors.NotApproved: Status(_Code.PERMISSION_DENIED, "NOT_APPROVED"),
    errors.ServiceLost: Status(_Code.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.FilesLost: Status(_Code.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.HolderLost: Status(_Code.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.WorkspaceLost: Status(_Code.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.TooBusy: Status(_Code.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.RunInterrupted: Status(_Code.ABORTED, "RUN_INTERRUPTED"),
}

# a source refused the request: the caller's query, path or credentials
_REFUSED = 422
_BY_REASON = {
    "QUERY_FAILED": _REFUSED,
    "QUERY_NOT_READ_ONLY": _REFUSED,
    "PATH_NOT_FOUND": _REFUSED,
    "UNREADABLE_FORMAT": _REFUSED,
    "UNSAFE_PATH": _REFUSED,
    "SOURCE_AUTHENTICATION_FAILED": _REFUSED,
    "SOURCE_FORBIDDEN": _REFUSED,
    "CHANGED_MEANWHILE": _REFUSED,
    "ADDRESS_NOT_ALLOWED": _REFUSED,
    "CONTEXT_TOO_LONG": 400,
    "TOO_LARGE": 413,
    "WORKSPACE_FULL": 413,
    "SOURCE_UNREACHABLE": 502,
    "CHECKSUM_MISMATCH": 502,
    "MODEL_REFUSED": 502,
    "KERNEL_DIED": 502,
    "MODEL_UNAVAILABLE": 503,
    "TIER_UNAVAILABLE": 503,
    "RUN_INTERRUPTED": 503,
    "QUERY_TIMEOUT": 504,
    "GRANT_INVALID": 502,
    "GRANT_EXPIRED": 502,
    "GRANT_REVOKED": 409,
}
_BY_CODE = {
    _Code.INVALID_ARGUMENT: 400,
    _Code.UNAUTHENTICATED: 401,
    _Code.PERMISSION_DENIED: 403,
    _Code.NOT_FOUND: 404,
    _Code.ALREADY_EXISTS: 409,
    _Code.ABORTED: 409,
    _Code.OUT_OF_RANGE: 413,
    _Code.FAILED_PRECONDITION: _REFUSED,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.CANCELLED: 499,
    _Code.UNIMPLEMENTED: 400,
    _Code.UNAVAILABLE: 503,
    _Code.DEADLINE_EXCEEDED: 504,
    _Code.INTERNAL: 500,
}
_CODES = {code.value[0]: code for code in _Code}


def http_status(reason: str, code: grpc.StatusCode | int) -> int:
    """The HTTP status for an error's reason and gRPC code."""
    known = _CODES.get(code, _Code.INTERNAL) if isinstance(code, int) else code
    return _BY_REASON.get(reason) or _BY_CODE.get(known, 500)
