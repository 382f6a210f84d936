"""Canaries: a kernel started as all others tries to get at what it must not, before the first
session is opened. Run exactly the tier that was asked for, or none."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from services.sandbox.cells import Cell, CellDied
from services.sandbox.errors import KernelFailed, TierUnavailable
from services.sandbox.isolation.processes import started_at
from services.sandbox.kernel.protocol import Kind

# `refused(…)` gives True when the attempt fails as it should
_PROGRAM = """
import json as _json, os as _os, socket as _socket
def _refused(attempt):
    try:
        attempt()
    except Exception:
        return True
    return False
def _read(path):
    with open(path, "rb") as file:
        return file.read(1)
def _environ_of_service():
    _read("/proc/%d/environ" % SERVICE)
    _is_service()
def _signal_service():
    _os.kill(SERVICE, 0)
    _is_service()
def _is_service():
    # in a namespace of processes that number is another's, or nobody's
    stat = open("/proc/%d/stat" % SERVICE).read()
    if int(stat.rpartition(")")[2].split()[19]) != STARTED:
        raise ProcessLookupError("somebody else of that number")
_tried = {
    "ipv4": _refused(lambda: _socket.socket(_socket.AF_INET)),
    "ipv6": _refused(lambda: _socket.socket(_socket.AF_INET6)),
    "packets": _refused(lambda: _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW)),
    "outside file": _refused(lambda: _read(SECRET)),
    "outside folder": _refused(lambda: open(SECRET + ".new", "w").close()),
    "other slot": _refused(lambda: _os.listdir(SLOTS)),
    "environment of the service": _refused(_environ_of_service),
    "signal to the service": _refused(_signal_service),
    "own environment": set(_os.environ) <= set(EXPECTED),
    "root": _os.geteuid() != 0,
}
print("PROBES" + _json.dumps(_tried))
"""
# IPython and matplotlib set these for themselves
_OWN = (
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "GIT_PAGER",
    "PAGER",
    "PWD",
    "TERM",
    "LC_CTYPE",
)
_MARK = "PROBES"


async def canary(cell: Cell, environment: Mapping[str, str], home: Path, service: int) -> None:
    """Raises TierUnavailable, which names what got through."""
    secret = home / f"canary-{secrets.token_hex(8)}"
    secret.write_text("planted")
    secret.chmod(0o644)
    try:
        tried = await _tried(cell, _program(secret, home, environment, service))
    finally:
        secret.unlink()
    got_through = [name for name in tried if name not in cell.isolation.open_inside]
    if got_through:
        raise TierUnavailable(
            cell.isolation.name,
            f"its isolation does not hold on this machine: {', '.join(got_through)}",
            "choose another tier in ISOBATH_SANDBOX_TIER, or repair this one",
        )


def _program(secret: Path, home: Path, environment: Mapping[str, str], service: int) -> str:
    told = {
        "SECRET": str(secret),
        "SLOTS": str(home / "slots"),
        "SERVICE": service,
        "STARTED": started_at(service),
        "EXPECTED": [*environment, *_OWN],
    }
    return "".join(f"{name} = {value!r}\n" for name, value in told.items()) + _PROGRAM


async def _tried(cell: Cell, program: str) -> list[str]:
    said = ""
    try:
        async for frame in cell.run(program):
            if frame.kind is Kind.STREAM:
                said += str(frame.header.get("text"))
    except CellDied as exc:
        raise KernelFailed(f"the canary died: {exc.cause}") from exc
    before, found, told = said.partition(_MARK)
    if not found:
        raise KernelFailed(f"the canary did not finish: {before[:500]}")
    return [name for name, refused in json.loads(told.splitlines()[0]).items() if not refused]
