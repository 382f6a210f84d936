"""`python -m isobath_kernel.template DOOR FONTS`: has loaded what programs use, and forks kernels.

No program ever runs here, and no grant, file or name of a session comes here: what a kernel finds
in its memory from before its own start is the same for all. Each request is a byte with these
descriptors: STATUS, WORDS, CONTROL, BROKER, CONFIG and, where the kernel joins namespaces that
bubblewrap made, PLACE, a pidfd of their first process. For each, a keeper is forked that enters
those namespaces, forks the kernel, waits for it, and tells on STATUS `pid N` and at last
`end CODE`. N is the kernel's, or the keeper's own where it joined namespaces: there, a kernel's
number is not what it is outside."""

import gc
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from . import confine, libraries, serving

_NAMESPACES = {
    "user": 0x10000000,
    "mnt": 0x00020000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
}
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 4, 24, 36
_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_DESCRIPTORS = 6


def serve(door: socket.socket, fonts: str) -> None:
    """Until the service goes."""
    Path(fonts).mkdir(exist_ok=True)
    libraries.load()
    _show(Path(fonts))
    # keepers are not waited for, nor those that they leave behind
    confine.checked(confine.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # what is here stays here: no collection in a kernel copies its pages
    gc.collect()
    gc.freeze()
    door.send(b"ready")
    while True:
        asked, descriptors, _, _ = socket.recv_fds(door, 16, _DESCRIPTORS)
        if not asked:
            return
        if os.fork() == 0:
            _keep(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _show(fonts: Path) -> None:
    """Kernels read the list of fonts that was made here, under accounts of their own."""
    fonts.chmod(0o755)
    for file in fonts.iterdir():
        if file.is_file():
            file.chmod(0o644)


def _keep(descriptors: list[int]) -> NoReturn:
    """The keeper's life, which ends with its kernel's."""
    code = 1
    try:
        status, words, control, broker, config, *place = descriptors
        for number in (1, 2):
            os.dup2(words, number)
        _close_others({*descriptors})
        with os.fdopen(config, "rb") as file:
            settings = json.load(file)
        _enter(settings, place)
        if not place or not _moved(status):
            kernel = os.fork()
            if kernel == 0:
                os.close(status)
                _become(control, broker, settings)
            for descriptor in (control, broker, *place):
                os.close(descriptor)
            _report(status, kernel, group=not place)
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _close_others(kept: set[int]) -> None:
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        if number > 2 and number not in kept:
            try:
                os.close(number)
            except OSError:
                continue  # the one that the list was read through


def _enter(settings: Mapping[str, Any], place: list[int]) -> None:
    """Takes on the account, then joins: the account that made the namespaces may do so."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    template = os.getppid()
    if settings["account"] is not None:
        uid, gid = settings["account"]
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    for descriptor in place:
        _join(descriptor, settings["place"])
        _drop_capabilities()
    # nobody looks into a keeper, not even its kernel, whose account is the same
    _dumpable(0)
    if not place:
        confine.die_with(template)


def _moved(status: int) -> bool:
    """Only children are in the namespace of processes that was joined, so the keeper goes on as
    one; True = here is what is left outside, and ends. The template becomes its parent."""
    moved = os.fork()
    if moved:
        os.write(status, b"pid %d\n" % moved)
    return bool(moved)


def _join(place: int, pid: int) -> None:
    """See setns(2); a namespace that is shared with this process already cannot be joined."""
    kinds = 0
    for name, flag in _NAMESPACES.items():
        if Path(f"/proc/self/ns/{name}").readlink() != Path(f"/proc/{pid}/ns/{name}").readlink():
            kinds |= flag
    confine.checked(confine.libc.setns(place, kinds), "setns")


def _drop_capabilities() -> None:
    """Joining a namespace of users gives all capabilities in it."""
    libc = confine.libc
    for number in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            break  # beyond the last one that this Linux has
    libc.prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    confine.checked(libc.capset(header, bytes(24)), "capset")


def _dumpable(value: int) -> None:
    """1 = what executing gives: its account may see into /proc/self."""
    confine.checked(confine.libc.prctl(_PR_SET_DUMPABLE, value, 0, 0, 0), "dumpable")


def _report(status: int, kernel: int, *, group: bool) -> None:
    if group:
        os.write(status, b"pid %d\n" % kernel)
    os.waitid(os.P_PID, kernel, os.WEXITED | os.WNOWAIT)
    if group:
        # while the number is still the kernel's
        os.killpg(kernel, signal.SIGKILL)
    _, ended = os.waitpid(kernel, 0)
    os.write(status, b"end %d\n" % os.waitstatus_to_exitcode(ended))


def _become(control: int, broker: int, settings: dict[str, Any]) -> NoReturn:
    try:
        os.setsid()
        _dumpable(1)
        if settings["parent"]:
            settings["parent"] = os.getppid()
        os.environ.clear()
        os.environ.update(settings["environment"])
        os.chdir(settings["workspace"])
        confine.confine(settings)
        _forget(settings)
        sockets = [socket.socket(fileno=number) for number in (control, broker)]
        for each in sockets:
            each.set_inheritable(False)
        serving.serve(sockets[0], sockets[1], settings)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    os._exit(1)


def _forget(settings: Mapping[str, Any]) -> None:
    """What forked processes must not have in common, and where they were when they loaded it."""
    import matplotlib as mpl
    import numpy as np

    np.random.seed()
    tempfile.tempdir = None
    own = settings["environment"]["MPLCONFIGDIR"]
    mpl.get_configdir = mpl.get_cachedir = lambda: own
    here = str(Path(__file__).parent.parent)
    sys.path[:] = [settings["library"] if path == here else path for path in sys.path]
    sys.path_importer_cache.clear()


if __name__ == "__main__":
    _door = socket.socket(fileno=int(sys.argv[1]))
    _door.set_inheritable(False)
    _fonts = sys.argv[2]
    sys.argv = ["program"]
    serve(_door, _fonts)
