"""Processes as /proc shows them: families, and the memory that they hold."""

import contextlib
import os
import signal
from pathlib import Path

_PROC = Path("/proc")


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in (_PROC / f"{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """The process itself first. One that double-forks stays below the init of its namespace."""
    found, at = [pid], 0
    while at < len(found):
        for task in _threads(found[at]):
            with contextlib.suppress(OSError):
                found += [int(each) for each in (task / "children").read_text().split()]
        at += 1
    return found


def _threads(pid: int) -> list[Path]:
    try:
        return list((_PROC / f"{pid}/task").iterdir())
    except OSError:
        return []


def of_session(session: int) -> list[int]:
    """Those whose session (setsid) is this one."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and _session(entry) == session:
            found.append(int(entry.name))
    return found


def _session(entry: Path) -> int:
    """proc(5): pid (comm) state ppid pgrp session …; comm may hold anything."""
    try:
        text = (entry / "stat").read_text(errors="replace")
    except OSError:
        return -1
    fields = text.rpartition(")")[2].split()
    return int(fields[3]) if fields[0] != "Z" else -1


def started_at(pid: int) -> int:
    """Clock ticks after boot; 0 = gone."""
    try:
        text = (_PROC / f"{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def memory_bytes(pids: list[int]) -> int:
    """Proportional set size; what is not readable counts with its resident size."""
    return sum(_proportional(pid) for pid in pids)


def _proportional(pid: int) -> int:
    try:
        for line in (_PROC / f"{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # another account's, or gone
    return _resident(pid)


def _resident(pid: int) -> int:
    try:
        pages = int((_PROC / f"{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def threads_of(uid: int) -> int:
    """Of all processes of an account."""
    count = 0
    for entry in _PROC.iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += len(list((entry / "task").iterdir()))
    return count


def machine_kills() -> int:
    """How often this machine ended a process for want of memory."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


class Tree:
    """bwrap, its init, the kernel, and what that made: all die with the init."""

    def __init__(self, child: int) -> None:
        self._child = child

    def kernel(self) -> int | None:
        for init in children(self._child):
            for kernel in children(init):
                return kernel
        return None

    def members(self) -> list[int]:
        return descendants(self._child)

    def kill(self) -> None:
        # bwrap itself goes when its init went: then none is left
        for pid in children(self._child) or [self._child]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Joined:
    """bwrap's namespaces, and a kernel that was forked elsewhere and joined them, below a keeper:
    both die with their init as well."""

    def __init__(self, holder: int, keeper: int) -> None:
        self._place, self._keeper = Tree(holder), keeper

    def kernel(self) -> int | None:
        return next(iter(children(self._keeper)), None)

    def members(self) -> list[int]:
        return [*self._place.members(), *descendants(self._keeper)[1:]]

    def kill(self) -> None:
        self._place.kill()


class Group:
    """A process group that seccomp lets nobody leave: a signal to it reaches all at once."""

    def __init__(self, child: int) -> None:
        self._child = child

    def kernel(self) -> int | None:
        return self._child

    def members(self) -> list[int]:
        return of_session(self._child)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child, signal.SIGKILL)
