"""The tier `namespaces`: bubblewrap, with seccomp and Landlock behind it.

Own namespaces of users, processes, network, hosts and IPC; a file system of its own that holds
/usr, the interpreter and the workspace. See bwrap(1)."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.sandbox.errors import TierUnavailable
from services.sandbox.isolation import inside, seccomp
from services.sandbox.isolation.inside import Inside
from services.sandbox.isolation.port import Account, Bounds, Interpreter, Launch, Seat, Slot
from services.sandbox.isolation.processes import Tree
from services.sandbox.kernel import confine

_INSIDE = Inside(workspace="/workspace", scratch="/tmp", library="/opt/isobath")  # noqa: S108
_UID = 1000
_PASSWD = f"analyst:x:{_UID}:{_UID}::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
_GROUP = f"analyst:x:{_UID}:\nnogroup:x:65534:\n"
_HOSTS = "127.0.0.1 localhost\n"
_ETC = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/fonts", "/etc/mime.types")
# keeps namespaces for a kernel that joins them
_HOLDER = ("/bin/sh", "-c", "echo held; exec sleep infinity")
# --size and --disable-userns
_OLDEST = (0, 8)
_REMEDY = "install bubblewrap 0.8 or newer (apt install bubblewrap; dnf install bubblewrap)"


class Namespaces:
    name = "namespaces"
    open_inside: frozenset[str] = frozenset()

    def __init__(self, interpreter: Interpreter, library: Path, account: Account) -> None:
        self._interpreter = interpreter
        self._library = library
        # a try of bwrap runs as this
        self._account = account

    def require(self) -> None:
        seccomp.library()
        found = shutil.which("bwrap")
        if found is None:
            raise TierUnavailable(self.name, "bwrap is not installed", _REMEDY)
        version = _version(found)
        if version < _OLDEST:
            raise TierUnavailable(self.name, f"bwrap {version} is too old", _REMEDY)
        self._try(found)

    def _try(self, bwrap: str) -> None:
        """Whether this machine lets this account make namespaces at all."""
        words = [bwrap, *_unshared(), "--ro-bind", "/", "/", "--proc", "/proc", "/bin/true"]
        tried = subprocess.run(  # noqa: S603
            self._account.command(words), capture_output=True, text=True, env={}, cwd="/"
        )
        if tried.returncode != 0:
            raise TierUnavailable(
                self.name,
                f"bwrap cannot make namespaces here: {tried.stderr.strip()[:300]}",
                "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
                "kernel.apparmor_restrict_unprivileged_userns=0), or set the tier to landlock",
            )

    def launch(self, slot: Slot, bounds: Bounds, control: int, broker: int) -> Launch:
        config = inside.written(self._config(bounds, filtered=None))
        command = inside.argv(self._interpreter, control, broker, config)
        return self._wrapped(command, slot, bounds, config)

    def seat(self, slot: Slot, bounds: Bounds) -> Seat:
        """The kernel joins what bubblewrap made, and takes the filter upon itself."""
        config = self._config(bounds, filtered=seccomp.program(namespaces=True))
        told = inside.forked(config, _INSIDE, self._interpreter, slot, bounds)
        return Seat(told, holder=self._wrapped(_HOLDER, slot, bounds))

    def _config(self, bounds: Bounds, *, filtered: bytes | None) -> dict[str, Any]:
        wall = _second_wall(self._roots())
        return inside.config(_INSIDE, bounds, parent=0, landlock=wall, seccomp=filtered)

    def _wrapped(self, command: Sequence[str], slot: Slot, bounds: Bounds, *more: int) -> Launch:
        data = [inside.memfd("data", text.encode()) for text in (_PASSWD, _GROUP, _HOSTS)]
        filter_fd = inside.memfd("filter", seccomp.program(namespaces=True))
        options = [
            *_unshared(),
            *self._file_system(slot, bounds),
            *(w for fd, at in zip(data, _DATA_AT, strict=True) for w in _data(fd, at)),
            *("--remount-ro", "/dev", "--remount-ro", "/", "--seccomp", str(filter_fd)),
            *self._environment(bounds),
        ]
        args = inside.memfd("args", b"".join(word.encode() + b"\0" for word in options))
        return Launch(
            argv=[shutil.which("bwrap") or "bwrap", "--args", str(args), "--", *command],
            env={"PATH": "/usr/bin:/bin"},
            account=slot.account,
            descriptors=(*data, filter_fd, *more, args),
        )

    def _roots(self) -> list[str]:
        interpreter = self._interpreter
        return inside.outside_usr((*interpreter.roots, *interpreter.packages))

    def _file_system(self, slot: Slot, bounds: Bounds) -> list[str]:
        size = str(bounds.scratch_bytes)
        words = ["--ro-bind", "/usr", "/usr", *_links()]
        for path in _ETC:
            words += ["--ro-bind-try", path, path]
        words += ["--ro-bind", str(self._library), _INSIDE.library]
        words += ["--proc", "/proc", "--dev", "/dev"]
        words += ["--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", "/tmp"]  # noqa: S108
        # behind the scratch space, for packages may lie in a folder beneath /tmp
        for root in self._roots():
            words += ["--ro-bind", root, root]
        words += ["--bind", str(slot.workspace), _INSIDE.workspace]
        return [*words, "--chdir", _INSIDE.workspace]

    def _environment(self, bounds: Bounds) -> list[str]:
        words = ["--clearenv"]
        for name, value in inside.environment(_INSIDE, self._interpreter, bounds).items():
            words += ["--setenv", name, value]
        return words

    def enforcement(self) -> Mapping[str, str]:
        landlock = "+landlock" if confine.landlock_abi() else ""
        return {
            "memory": "rlimit+watchdog",
            "processes": "rlimit in an own user namespace",
            "workspace": "rlimit+watchdog",
            "time": "interrupt+kill",
            "network": "network namespace+seccomp",
            "files": f"mount namespace{landlock}",
            "system calls": "seccomp",
        }

    def family(self, child: int) -> Tree:
        return Tree(child)


_DATA_AT = ("/etc/passwd", "/etc/group", "/etc/hosts")


def _data(descriptor: int, at: str) -> tuple[str, ...]:
    return ("--perms", "0444", "--ro-bind-data", str(descriptor), at)


def _version(bwrap: str) -> tuple[int, int]:
    told = subprocess.run([bwrap, "--version"], capture_output=True, text=True, env={})  # noqa: S603
    found = re.search(r"(\d+)\.(\d+)", told.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _unshared() -> list[str]:
    kinds = ("user", "ipc", "pid", "uts", "net", "cgroup-try")
    return [
        *(f"--unshare-{kind}" for kind in kinds),
        *("--die-with-parent", "--new-session", "--disable-userns"),
        *("--uid", str(_UID), "--gid", str(_UID), "--hostname", "sandbox", "--cap-drop", "ALL"),
    ]


def _links() -> list[str]:
    """/bin, /lib … as this machine has them: links into /usr, or folders of their own."""
    words: list[str] = []
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return words


def _second_wall(roots: list[str]) -> dict[str, list[str]] | None:
    """Landlock inside of the namespaces, where Linux has it: nothing more than is shown anyway."""
    if not confine.landlock_abi():
        return None
    read = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/proc", "/dev"]
    return {
        "read": [*read, *roots, _INSIDE.library],
        "write": [_INSIDE.workspace, _INSIDE.scratch, "/dev/shm"],  # noqa: S108
        "devices": list(DEVICES),
    }


DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
