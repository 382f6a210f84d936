"""The tiers without namespaces: `landlock`, for machines that do not allow them, and `none`.

Landlock and seccomp keep content, signals, tracing and the network from the kernel; it still sees
that other files and processes exist. Shared memory between processes (multiprocessing's locks) is
missing, because /dev/shm belongs to everybody."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.sandbox.errors import TierUnavailable
from services.sandbox.isolation import inside, seccomp
from services.sandbox.isolation.inside import Inside
from services.sandbox.isolation.port import Bounds, Interpreter, Launch, Seat, Slot
from services.sandbox.isolation.processes import Group, threads_of
from services.sandbox.kernel import confine

# scopes of signals and abstract sockets
OLDEST_ABI = 6
_READ = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/fonts", "/etc/mime.types"),
    *("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
    # duckdb ends the process when it cannot read these
    *("/proc/self", "/sys/fs/cgroup"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Landlock:
    name = "landlock"
    open_inside: frozenset[str] = frozenset()

    def __init__(self, interpreter: Interpreter, library: Path) -> None:
        self._interpreter = interpreter
        self._library = library

    def require(self) -> None:
        seccomp.library()
        abi = confine.landlock_abi()
        if abi < OLDEST_ABI:
            raise TierUnavailable(
                self.name,
                f"this Linux has Landlock {abi or 'not at all'}, version {OLDEST_ABI} is needed",
                "use Linux 6.12 or newer with landlock among its security modules "
                "(lsm=landlock,…), or install bubblewrap for the tier namespaces",
            )

    def launch(self, slot: Slot, bounds: Bounds, control: int, broker: int) -> Launch:
        return self._plain(slot, bounds).launch(slot, control, broker)

    def seat(self, slot: Slot, bounds: Bounds) -> Seat:
        return self._plain(slot, bounds).seat(slot)

    def _plain(self, slot: Slot, bounds: Bounds) -> "_Plain":
        return _plain(
            self._interpreter,
            self._library,
            slot,
            bounds,
            landlock=self.rules(slot),
            filtered=seccomp.program(namespaces=False, shared=not slot.account.switch),
        )

    def rules(self, slot: Slot) -> Mapping[str, list[str]] | None:
        """What Landlock lets through."""
        interpreter = self._interpreter
        roots = inside.outside_usr((*interpreter.roots, *interpreter.packages))
        return {
            "read": [*_READ, *roots, str(self._library)],
            "write": [str(slot.workspace), str(slot.scratch)],
            "devices": list(_DEVICES),
        }

    def enforcement(self) -> Mapping[str, str]:
        return {
            "memory": "rlimit+watchdog",
            "processes": "rlimit+watchdog",
            "workspace": "rlimit+watchdog",
            "time": "interrupt+kill",
            "network": "seccomp+landlock",
            "files": "landlock",
            "system calls": "seccomp",
        }

    def family(self, child: int) -> Group:
        return Group(child)


class Bare:
    """No isolation at all: development on machines that have none, by an explicit setting only."""

    name = "none"
    open_inside: frozenset[str] = frozenset()

    def __init__(self, interpreter: Interpreter, library: Path) -> None:
        self._interpreter = interpreter
        self._library = library

    def require(self) -> None:
        return None

    def launch(self, slot: Slot, bounds: Bounds, control: int, broker: int) -> Launch:
        return self._plain(slot, bounds).launch(slot, control, broker)

    def seat(self, slot: Slot, bounds: Bounds) -> Seat:
        return self._plain(slot, bounds).seat(slot)

    def _plain(self, slot: Slot, bounds: Bounds) -> "_Plain":
        return _plain(self._interpreter, self._library, slot, bounds, landlock=None, filtered=None)

    def enforcement(self) -> Mapping[str, str]:
        return {
            "memory": "rlimit+watchdog",
            "processes": "rlimit",
            "workspace": "rlimit+watchdog",
            "time": "interrupt+kill",
            "network": "nothing",
            "files": "nothing",
            "system calls": "nothing",
        }

    def family(self, child: int) -> Group:
        return Group(child)


@dataclass(frozen=True)
class _Plain:
    """A process without namespaces, which confines itself."""

    interpreter: Interpreter
    place: Inside
    bounds: Bounds
    config: Mapping[str, Any]

    def launch(self, slot: Slot, control: int, broker: int) -> Launch:
        config = inside.written(self.config)
        return Launch(
            argv=inside.argv(self.interpreter, control, broker, config),
            env=inside.environment(self.place, self.interpreter, self.bounds),
            account=slot.account,
            descriptors=(config,),
        )

    def seat(self, slot: Slot) -> Seat:
        told = inside.forked(self.config, self.place, self.interpreter, slot, self.bounds)
        return Seat(told, holder=None)


def _plain(
    interpreter: Interpreter,
    library: Path,
    slot: Slot,
    bounds: Bounds,
    *,
    landlock: Mapping[str, Any] | None,
    filtered: bytes | None,
) -> _Plain:
    if not slot.account.switch:
        # Linux counts all of an account's threads: those that are there come on top
        there = threads_of(slot.account.uid)
        bounds = replace(bounds, processes=bounds.processes + there)
    place = Inside(str(slot.workspace), str(slot.scratch), str(library))
    config = inside.config(place, bounds, parent=os.getpid(), landlock=landlock, seccomp=filtered)
    return _Plain(interpreter, place, bounds, config)
