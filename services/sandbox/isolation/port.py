"""What a tier of isolation has to offer: a way to start a kernel that cannot get out."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

KERNEL_PACKAGE = "isobath_kernel"


_DROP = """
import os, sys
uid, gid = map(int, sys.argv[1:3])
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
try:
    os.execvpe(sys.argv[3], sys.argv[3:], os.environ)
except OSError as exc:
    print(exc.strerror, file=sys.stderr)
    sys.exit(126)
"""


@dataclass(frozen=True)
class Account:
    """Whom a kernel runs as. `switch`: not who this service runs as."""

    uid: int
    gid: int
    switch: bool

    @classmethod
    def own(cls) -> "Account":
        return cls(os.geteuid(), os.getegid(), switch=False)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command as this account. A stage of its own drops the privileges, because what
        subprocess offers for it forks, and gRPC has handlers for forks that stop its threads."""
        if not self.switch:
            return list(argv)
        stage = [sys.executable, "-I", "-S", "-c", _DROP]
        return [*stage, str(self.uid), str(self.gid), *argv]


@dataclass(frozen=True)
class Bounds:
    memory_bytes: int
    workspace_bytes: int
    # /tmp and /dev/shm, each
    scratch_bytes: int
    processes: int
    # per process, over the whole life of a kernel
    cpu_s: int
    threads: int
    open_files: int = 1024

    def rlimits(self) -> dict[str, int]:
        """DATA counts private memory only; the watchdog sees what is shared."""
        return {
            "DATA": self.memory_bytes,
            "FSIZE": self.workspace_bytes,
            "NPROC": self.processes,
            "NOFILE": self.open_files,
            "CPU": self.cpu_s,
            "CORE": 0,
            "MEMLOCK": 64 * 1024,
            "MSGQUEUE": 64 * 1024,
        }


@dataclass(frozen=True)
class Interpreter:
    """A Python that the sandbox's account can run, what it reads, where its packages are."""

    executable: Path
    roots: tuple[Path, ...]
    packages: tuple[Path, ...]


@dataclass(frozen=True)
class Slot:
    """A place for one kernel: its folders lie on the host, made and owned already."""

    name: str
    workspace: Path
    scratch: Path
    account: Account


@dataclass(frozen=True)
class Launch:
    """What to start. `descriptors` go to the child under the same numbers and are closed here."""

    argv: Sequence[str]
    env: Mapping[str, str]
    account: Account
    descriptors: Sequence[int] = field(default=())


@dataclass(frozen=True)
class Seat:
    """Where a kernel that is forked takes its place. `config`: what it does to itself first;
    `holder`: makes the namespaces that it joins, and says a line once they stand."""

    config: Mapping[str, Any]
    holder: Launch | None


class Isolation(Protocol):
    @property
    def name(self) -> str: ...

    def require(self) -> None:
        """Raises TierUnavailable with what is missing and how to get it."""

    @property
    def open_inside(self) -> frozenset[str]:
        """The canaries that may get through, because something around the whole service holds."""

    def launch(self, slot: Slot, bounds: Bounds, control: int, broker: int) -> Launch:
        """`control` and `broker`: the child's ends of its two sockets."""

    def seat(self, slot: Slot, bounds: Bounds) -> Seat:
        """For a kernel that is forked from a template: the same confinement as `launch` gives."""

    def enforcement(self) -> Mapping[str, str]:
        """What holds each limit."""

    def family(self, child: int) -> "Family":
        """The processes of a kernel that was started as `child`."""


class Family(Protocol):
    def kernel(self) -> int | None:
        """The pid, as seen here, that runs the programs."""

    def members(self) -> list[int]: ...

    def kill(self) -> None:
        """All of them; none can get away."""
