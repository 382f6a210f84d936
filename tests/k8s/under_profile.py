"""`python -m tests.k8s.under_profile PROFILE UID COMMAND…`: the command as it would run in a pod of
the component sandbox-namespaces: this account, no new privileges, no capabilities, this seccomp
profile."""

import ctypes
import json
import os
import sys
from pathlib import Path

import pyseccomp

_PR_SET_NO_NEW_PRIVS = 38


def load(profile: Path) -> None:
    """As a container runtime does. Names that libseccomp here does not know are passed over."""
    told = json.loads(profile.read_text())
    refused = pyseccomp.ERRNO(told["defaultErrnoRet"])
    assert told["defaultAction"] == "SCMP_ACT_ERRNO"
    taken = pyseccomp.SyscallFilter(defaction=refused)
    for rule in told["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW" and set(rule) == {"names", "action"}
        for name in rule["names"]:
            try:
                taken.add_rule(pyseccomp.ALLOW, name)
            except (ValueError, RuntimeError, OSError):
                continue
    taken.load()


def main() -> None:
    profile, account, command = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(account, account, account)
        os.setresuid(account, account, account)
    if ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError("prctl(PR_SET_NO_NEW_PRIVS) was refused")
    load(profile)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
