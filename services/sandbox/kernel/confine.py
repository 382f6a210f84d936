"""A process gives up, for good, what its programs must not have: before any of them runs.

Landlock: landlock(7), include/uapi/linux/landlock.h. Seccomp: seccomp(2); the filter comes compiled
from outside. Constants stand here because the standard library has none of them."""

import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1

# the same on every architecture
_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_ALL_V1 = (1 << 13) - 1
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract unix sockets, signals

_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _EXECUTE | _READ_FILE | _READ_DIR

libc = ctypes.CDLL(None, use_errno=True)


class CannotConfine(OSError):
    """The machine refuses a confinement that was asked for."""


def landlock_abi() -> int:
    """0 = none."""
    version = libc.syscall(_SYS_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    return max(0, int(version))


def handled(abi: int) -> tuple[int, int, int]:
    """Rights over files, network and scopes that this version of Landlock knows."""
    files = _ALL_V1
    files |= _REFER if abi >= 2 else 0
    files |= _TRUNCATE if abi >= 3 else 0
    files |= _IOCTL_DEV if abi >= 5 else 0
    return files, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0


def landlock(*, read: Iterable[str], write: Iterable[str], devices: Iterable[str]) -> None:
    """Everything is denied but reading (and running) below `read`, all but making devices below
    `write`, and reading and writing the files `devices`. Paths that are not there are left out.
    Also denied, where the kernel can: TCP, signals and abstract sockets to processes outside."""
    abi = landlock_abi()
    if abi == 0:
        raise CannotConfine("this Linux has no Landlock")
    files, network, scopes = handled(abi)
    attribute = struct.pack("=QQQ", files, network, scopes)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = checked(libc.syscall(_SYS_CREATE_RULESET, attribute, size, 0), "landlock ruleset")
    try:
        for path in read:
            _allow(ruleset, path, _READ & files)
        for path in write:
            _allow(ruleset, path, files & ~(_MAKE_CHAR | _MAKE_BLOCK))
        for path in devices:
            _allow(ruleset, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & files)
        no_new_privileges()
        checked(libc.syscall(_SYS_RESTRICT_SELF, ruleset, 0), "landlock")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, place)
        checked(
            libc.syscall(_SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0), f"landlock {path}"
        )
    finally:
        os.close(place)


def seccomp(program: bytes) -> None:
    """Installs a compiled filter for all threads."""
    no_new_privileges()
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog { unsigned short len; struct sock_filter *filter; }; a filter has 8 bytes
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    number = _SYS_SECCOMP.get(os.uname().machine)
    if number is None:
        raise CannotConfine(f"no seccomp for {os.uname().machine}")
    checked(
        libc.syscall(number, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, header),
        "seccomp",
    )


def no_new_privileges() -> None:
    checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def die_with(parent: int) -> None:
    """SIGKILL when the thread that started this process ends; at once when it did already."""
    checked(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")
    if os.getppid() != parent:
        sys.exit(1)


def rlimits(limits: Mapping[str, int]) -> None:
    """By name, such as "DATA". Soft and hard; a limit that holds already is never raised."""
    for name, wanted in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(number)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # the soft limit of CPU time sends SIGXCPU, which tells the death apart from a kill
        above = 5 if name == "CPU" and hard == resource.RLIM_INFINITY else 0
        resource.setrlimit(number, (value, value + above))


def first_victim() -> None:
    """Has Linux end this process before others when the machine's memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
            score.write("800")
    except OSError:
        return  # no /proc here: then the machine decides as it likes


def checked(result: int, what: str) -> int:
    """Raises CannotConfine where a call of libc gave an error."""
    if result < 0:
        number = ctypes.get_errno()
        raise CannotConfine(number, f"{what}: {os.strerror(number)}")
    return int(result)


def confine(config: Mapping[str, Any]) -> None:
    """All that the configuration of this process names."""
    if config["parent"]:
        die_with(config["parent"])
    first_victim()
    os.nice(config["nice"])
    rlimits(config["rlimits"])
    if config["landlock"] is not None:
        landlock(**config["landlock"])
    if config["seccomp"] is not None:
        seccomp(bytes.fromhex(config["seccomp"]))
