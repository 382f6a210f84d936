"""Become a command that does not outlive its parent: `python -I -S attend.py SIGNAL PARENT UID GID
COMMAND…`.

A shim instead of `Popen(preexec_fn=…)`, which may deadlock in a process that has threads (gRPC
makes some). The kernel sends SIGNAL to this process when the *thread* that made it ends
(prctl(2), PR_SET_PDEATHSIG), so parents spawn from their main thread. The setting outlives
execve(2) but not a change of credentials: that one goes first. Only the standard library, since
it runs with neither site-packages nor the checkout on its path.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def drop_to(uid: int, gid: int) -> None:
    """Give up root for another account, supplementary groups included; nothing to do where it is
    ours."""
    if (os.geteuid(), os.getegid()) == (uid, gid):
        return
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with(parent: int, number: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call above
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    number, parent, uid, gid = (int(each) for each in arguments[:4])
    command = arguments[4:]
    drop_to(uid, gid)
    die_with(parent, number)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
