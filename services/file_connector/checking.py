"""Whether a source works: its folder is there, may be read, may be written."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from google.protobuf.duration_pb2 import Duration

from connectorkit.files.errors import FileFault
from isobath.connector.v1 import connector_pb2 as pb
from services.file_connector import errors
from services.file_connector.folders import File, Folder, Looking
from services.file_connector.looking import looked

STEPS = ("reach", "authenticate", "read")
# of the entries that are tried
MAX_LOOKED = 1000
# there is no signing in: what the system refuses is a right to read
_READ = STEPS.index("read")
_WRITABLE = (
    "Results can be written to this source. Where it is only to be read, leave its root out of "
    "ISOBATH_FILE_CONNECTOR_WRITABLE_ROOTS, or mount it read-only."
)


async def check(
    held: AbstractAsyncContextManager[Folder], reason_of: Callable[[Exception], str]
) -> pb.CheckResponse:
    """Tries the steps in order; a source that refuses is an answer."""
    began = time.monotonic()
    try:
        async with held as folder:
            tried = _tried(folder)
            writable, unreadable = await looked(folder.threads, tried, most=MAX_LOOKED)
    except FileFault as fault:
        return failed(fault, reason_of(fault))
    latency = Duration()
    latency.FromMicroseconds(int((time.monotonic() - began) * 1e6))
    warning = f"{unreadable} of the first entries may not be read by the account of the connector"
    return pb.CheckResponse(
        steps=[pb.CheckStep(name=name, passed=True) for name in STEPS],
        latency=latency,
        server_version="local folder",
        writable=writable,
        warnings=[warning] if unreadable else [],
        advice=_WRITABLE if writable else "",
    )


def _tried(folder: Folder) -> Callable[[Looking], tuple[bool, int]]:
    """Whether it may be written, and how many of the first entries may not be read. Raises
    FileFault."""

    def tried(looking: Looking) -> tuple[bool, int]:
        entries = list(folder.level("", "", looking))
        closed = [each for each in entries if isinstance(each, File) and not each.readable]
        return folder.writable and folder.may_write(), len(closed)

    return tried


def failed(fault: FileFault, reason: str) -> pb.CheckResponse:
    """The steps that passed, and the one that did not with its reason."""
    passed = _READ if isinstance(fault, errors.Forbidden) else 0
    steps = [pb.CheckStep(name=name, passed=True) for name in STEPS[:passed]]
    told = pb.CheckStep(
        name=STEPS[passed], message=fault.message, remedy=fault.remedy, reason=reason
    )
    return pb.CheckResponse(steps=[*steps, told])
