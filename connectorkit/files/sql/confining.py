"""A process that gives up what it does not need: files, network, other processes, memory.

In a query's process only, once everything is loaded. Three means that do not rest on each other:
limits (setrlimit(2)), Landlock (landlock(7), Linux 5.13) and a filter of system calls (seccomp(2)).
The filter lets through what computing takes; no call that opens a file, makes a socket, starts a
program or touches another process is among it.
"""

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_EPERM, _ENOSYS = 1, 38
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 1, 38, 4
_SIGKILL = 9
_CLONE_THREAD = 0x00010000
# linux/landlock.h
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_VERSION = 1
# by ABI: rights of files, of TCP ports (4), and scopes (6)
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_RIGHTS, _SCOPES = 0b11, 0b11
# linux/filter.h, linux/audit.h, linux/seccomp.h
_LOAD, _EQUALS, _ANY_BIT, _GIVE = 0x20, 0x15, 0x45, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_SET_FILTER, _ALL_THREADS = 1, 1
_NR, _ARCH, _ARG0 = 0, 4, 16
# audit's name of the machine; numbers of seccomp, clone, clone3, tgkill; of the calls allowed
_MACHINES: dict[str, tuple[int, int, int, int, int, frozenset[int]]] = {
    "x86_64": (
        *(0xC000003E, 317, 56, 435, 234),
        frozenset(
            {
                # read write close fstat poll lseek mmap mprotect munmap brk rt_sig* ioctl pread …
                *(0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20),
                # sched_yield mremap madvise nanosleep getpid sendto recvfrom sendmsg recvmsg …
                *(24, 25, 28, 35, 39, 44, 45, 46, 47, 48),
                # exit uname fcntl gettimeofday getrlimit getrusage sysinfo times getuid …
                *(60, 63, 72, 96, 97, 98, 99, 100, 102, 104, 107, 108, 131),
                # gettid time futex sched_getaffinity restart clock_* exit_group
                *(186, 201, 202, 204, 219, 228, 229, 230, 231),
                # ppoll set_robust_list getcpu getrandom membarrier rseq
                *(271, 273, 309, 318, 324, 334),
            }
        ),
    ),
    "aarch64": (
        *(0xC00000B7, 277, 220, 435, 131),
        frozenset(
            {
                # fcntl ioctl close lseek read write readv writev pread ppoll fstat
                *(25, 29, 57, 62, 63, 64, 65, 66, 67, 73, 80),
                # exit exit_group futex set_robust_list nanosleep clock_* restart sched_* …
                *(93, 94, 98, 99, 101, 113, 114, 115, 123, 124, 128, 132),
                # rt_sig* times uname getrlimit getrusage getcpu gettimeofday getpid … sysinfo
                *(134, 135, 139, 153, 160, 163, 165, 168, 169, 172, 174, 175, 176, 177, 178, 179),
                # sendto recvfrom shutdown sendmsg recvmsg brk munmap mremap mmap mprotect madvise
                *(206, 207, 210, 211, 212, 214, 215, 216, 222, 226, 233),
                # getrandom membarrier rseq
                *(278, 283, 293),
            }
        ),
    ),
}


def limit(memory_bytes: int, cpu_s: int) -> None:
    """At most so much memory for data, no byte to any file, no core, so many seconds of CPU. Where
    the machine runs out of memory, this process goes before the connector (proc(5))."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    _LIBC.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu_s),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def no_new_privileges() -> None:
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def landlock_abi() -> int:
    """The version that the kernel has; 0 = none."""
    return max(0, int(_LIBC.syscall(_LANDLOCK_CREATE, None, 0, _VERSION)))


def landlock() -> int:
    """No file, no TCP port, no signal to another process; for this thread and those it starts. The
    ABI that the kernel has, 0 where it has none."""
    abi = landlock_abi()
    if not abi:
        return 0
    rights = (1 << _FILE_RIGHTS[min(abi, 5)]) - 1
    values = [rights, *([_NET_RIGHTS] if abi >= 4 else []), *([_SCOPES] if abi >= 6 else [])]
    rules = struct.pack(f"<{len(values)}Q", *values)
    made = int(_LIBC.syscall(_LANDLOCK_CREATE, rules, len(rules), 0))
    if made < 0 or _LIBC.syscall(_LANDLOCK_RESTRICT, made, 0):
        raise OSError(ctypes.get_errno(), "landlock")
    os.close(made)
    return abi


def filter_calls() -> None:
    """For all threads. Raises OSError where the machine has no filter, or is not known here."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(_ENOSYS, f"no filter for {platform.machine()}")
    program = b"".join(_program(*machine))
    code = ctypes.create_string_buffer(program)
    about = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if _LIBC.syscall(machine[1], _SET_FILTER, _ALL_THREADS, about):
        raise OSError(ctypes.get_errno(), "seccomp")


def _program(
    audit: int, seccomp: int, clone: int, clone3: int, tgkill: int, allowed: frozenset[int]
) -> Iterator[bytes]:
    """A filter in BPF. A jump counts the instructions that it passes over."""

    def instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    yield instruction(_LOAD, _ARCH)
    yield instruction(_EQUALS, audit, yes=1)
    yield instruction(_GIVE, _KILL)
    yield instruction(_LOAD, _NR)
    for number in sorted(allowed):
        yield instruction(_EQUALS, number, no=1)
        yield instruction(_GIVE, _ALLOW)
    # glibc falls back to clone, whose flags can be looked at
    yield instruction(_EQUALS, clone3, no=1)
    yield instruction(_GIVE, _ERRNO | _ENOSYS)
    yield instruction(_EQUALS, clone, no=3)
    yield instruction(_LOAD, _ARG0)
    yield instruction(_ANY_BIT, _CLONE_THREAD, no=5)
    yield instruction(_GIVE, _ALLOW)
    # to end itself; another process it cannot reach
    yield instruction(_EQUALS, tgkill, no=3)
    yield instruction(_LOAD, _ARG0)
    yield instruction(_EQUALS, os.getpid(), no=1)
    yield instruction(_GIVE, _ALLOW)
    yield instruction(_GIVE, _ERRNO | _EPERM)
