"""What every tier tells the kernel that it starts."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.sandbox.isolation.port import KERNEL_PACKAGE, Bounds, Interpreter, Slot

NICE = 5


@dataclass(frozen=True)
class Inside:
    """How the kernel's folders are called from where it stands."""

    workspace: str
    scratch: str
    # the copied kernel package and the font list
    library: str


def memfd(name: str, content: bytes) -> int:
    """Sealed content behind a descriptor, which nothing on a disk ever holds."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def argv(interpreter: Interpreter, control: int, broker: int, config: int) -> list[str]:
    numbers = [str(number) for number in (control, broker, config)]
    flags = ("-P", "-s", "-B")
    return [str(interpreter.executable), *flags, "-m", KERNEL_PACKAGE, *numbers]


def environment(inside: Inside, interpreter: Interpreter, bounds: Bounds) -> dict[str, str]:
    """All of it: nothing of the service's own goes in. Threads count as processes, so the
    libraries that make one per core are told how many."""
    threads = str(bounds.threads)
    counted = (
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS"),
        *("ARROW_IO_THREADS", "VECLIB_MAXIMUM_THREADS", "LOKY_MAX_CPU_COUNT"),
    )
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([inside.library, *map(str, interpreter.packages)]),
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
        "HOME": inside.scratch,
        "TMPDIR": inside.scratch,
        "USER": "analyst",
        "LOGNAME": "analyst",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{inside.scratch}/.matplotlib",
        "IPYTHONDIR": f"{inside.scratch}/.ipython",
        **dict.fromkeys(counted, threads),
    }


def config(
    inside: Inside,
    bounds: Bounds,
    *,
    parent: int,
    landlock: Mapping[str, Any] | None,
    seccomp: bytes | None,
) -> dict[str, Any]:
    """What the kernel does to itself first. `parent`: whom it dies with, 0 = not its own
    concern."""
    return {
        "workspace": inside.workspace,
        "scratch": inside.scratch,
        "library": inside.library,
        "parent": parent,
        "nice": NICE,
        "rlimits": bounds.rlimits(),
        "landlock": landlock,
        "seccomp": None if seccomp is None else seccomp.hex(),
        "threads": bounds.threads,
        "memory_bytes": bounds.memory_bytes,
    }


def written(config: Mapping[str, Any]) -> int:
    """A memfd that holds it."""
    return memfd("config", json.dumps(config).encode())


def forked(
    config: Mapping[str, Any], inside: Inside, interpreter: Interpreter, slot: Slot, bounds: Bounds
) -> dict[str, Any]:
    """What a kernel needs besides when it is forked: whom it runs as, and its environment."""
    account = slot.account
    return {
        **config,
        "account": [account.uid, account.gid] if account.switch else None,
        "environment": environment(inside, interpreter, bounds),
    }


def outside_usr(roots: tuple[Path, ...]) -> list[str]:
    """Folders that have to be shown beside /usr; never the whole machine."""
    shown = {root for root in roots if not root.is_relative_to("/usr") and root != Path("/")}
    return sorted(
        str(root) for root in shown if not any(root != o and root.is_relative_to(o) for o in shown)
    )
