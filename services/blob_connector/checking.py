"""Whether a source works: reached, authenticated, may be read, may be written."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from isobath.connector.v1 import connector_pb2 as pb
from services.blob_connector import errors
from services.blob_connector.azure import Container

STEPS = ("reach", "authenticate", "read")
SOON = timedelta(days=7)
_WHAT_ENDS = {"client_certificate": "the client certificate"}
_NO_WRITES = (
    "These credentials may write. Where the source is only to be read, use a SAS with sp=rl, or "
    "the data-plane role Storage Blob Data Reader."
)
# how far a check came before each kind of fault
_PASSED: dict[type[errors.BlobFault], int] = {
    errors.Unreachable: 0,
    errors.BadConfig: 0,
    errors.AddressNotAllowed: 0,
    errors.AuthenticationFailed: 1,
}


async def check(
    held: AbstractAsyncContextManager[Container], reason_of: Callable[[errors.BlobFault], str]
) -> pb.CheckResponse:
    """Tries the steps in order; a source that refuses is an answer."""
    try:
        async with held as container:
            began = time.monotonic()
            version = await container.version()
            latency = Duration()
            latency.FromMicroseconds(int((time.monotonic() - began) * 1e6))
            await _read_something(container)
            return _passed(container, version, latency, writable=await container.may_write())
    except errors.BlobFault as fault:
        return failed(fault, reason_of(fault))


async def _read_something(container: Container) -> None:
    """A listing may be allowed where reading is not: the first blob's properties tell."""
    page = await container.page("", size=1, folders=False)
    for entry in page.entries:
        try:
            await container.properties(entry.name)
        except errors.BlobNotFound:
            # gone meanwhile, or of a name that is not asked for
            return


def _passed(
    container: Container, version: str, latency: Duration, *, writable: bool
) -> pb.CheckResponse:
    place, what = container.place, _WHAT_ENDS.get(container.place.way, "the SAS token")
    warning = expiry_warning(place.expires_at, datetime.now(UTC), what=what)
    return pb.CheckResponse(
        steps=[pb.CheckStep(name=name, passed=True) for name in STEPS],
        latency=latency,
        server_version=version,
        writable=writable,
        warnings=[warning] if warning else [],
        advice=_NO_WRITES if writable else "",
        identity=place.identity,
    )


def expiry_warning(
    expires_at: datetime | None, now: datetime, *, what: str = "the SAS token"
) -> str:
    """For a credential that ends soon, or has ended; "" otherwise."""
    if expires_at is None or expires_at - now > SOON:
        return ""
    when = expires_at.strftime("%Y-%m-%d %H:%M UTC")
    if expires_at <= now:
        return f"{what} ended at {when}"
    return f"{what} ends at {when}: make a new one before"


def failed(fault: errors.BlobFault, reason: str) -> pb.CheckResponse:
    """The steps that passed, and the one that did not with its reason."""
    passed = _PASSED.get(type(fault), 2)
    steps = [pb.CheckStep(name=name, passed=True) for name in STEPS[:passed]]
    told = pb.CheckStep(
        name=STEPS[passed], message=fault.message, remedy=fault.remedy, reason=reason
    )
    return pb.CheckResponse(
        steps=[*steps, told],
        advice=fault.remedy if isinstance(fault, errors.Forbidden) else "",
    )
