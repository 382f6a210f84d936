"""The filter of system calls: what a data analysis never needs and an escape does.

A list of refusals, because Python's libraries need too much for a list of permissions; what it
cannot express is held by the namespaces and by Landlock. Compiled outside, with libseccomp."""

import errno
import os
import socket
from functools import lru_cache
from types import ModuleType

from services.sandbox.errors import TierUnavailable

MOUNTS = (
    *("mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_by_handle_at"),
    *("name_to_handle_at", "fanotify_init", "quotactl", "quotactl_fd", "swapon", "swapoff"),
)
OTHERS = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd"),
    *("kcmp", "perf_event_open", "userfaultfd", "move_pages", "migrate_pages"),
)
PRIVILEGES = (
    *("setns", "unshare", "keyctl", "add_key", "request_key", "bpf", "capset"),
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid"),
    *("setgroups", "setfsuid", "setfsgid", "mknod", "mknodat", "personality"),
)
MACHINE = (
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "init_module", "finit_module"),
    *("delete_module", "kexec_load", "kexec_file_load", "reboot", "acct", "syslog", "iopl"),
    *("ioperm", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname"),
    *("setdomainname", "vhangup", "lookup_dcookie", "nfsservctl", "uselib", "ustat", "sysfs"),
    "modify_ldt",
)
# memory that outlives its process, belongs to the whole machine, or is counted to nobody
UNCOUNTED = (
    *("memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "semget", "semop", "semctl"),
    *("semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
)
# what Landlock lets through to all files, whatever its rules: names that change in folders outside
WATCHES = ("inotify_init", "inotify_init1", "inotify_add_watch")
ATTRIBUTES = (
    *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
    *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
)
# and what an owner may do to any file by its path: done to nothing, because copying a file ends
# with them; what would be told as an error there already is one
MODES = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2"),
    *("utime", "utimes", "futimesat", "utimensat"),
)
OWNERS = ("chown", "fchown", "lchown", "fchownat")
# calls on another process of one account that no security module is asked about: which argument
# names it, 0 being the caller
ON_OTHERS = {
    **dict.fromkeys(("prlimit64", "sched_setaffinity", "sched_setscheduler"), 0),
    **dict.fromkeys(("sched_setparam", "sched_setattr"), 0),
    **dict.fromkeys(("setpriority", "ioprio_set"), 1),
}
# all processes of an account: PRIO_USER, IOPRIO_WHO_USER
OF_ACCOUNT = {"setpriority": 2, "ioprio_set": 3}
# leaving the group of processes that is killed as one, where there is no namespace of processes
GROUPS = ("setsid", "setpgid")

_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PR_SET_PDEATHSIG = 1
# CLONE_NEWTIME NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
_CLONE_NEW = (
    *(0x00000080, 0x00020000, 0x02000000, 0x04000000),
    *(0x08000000, 0x10000000, 0x20000000, 0x40000000),
)
_SOCKET_TYPES = 0xF


def library() -> ModuleType:
    """pyseccomp, which loads libseccomp. Raises TierUnavailable with what to install."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as exc:
        raise TierUnavailable(
            "seccomp",
            "libseccomp cannot be loaded",
            "install libseccomp2 (Debian, Ubuntu) or libseccomp (Fedora)",
        ) from exc
    return pyseccomp  # type: ignore[no-any-return]


@lru_cache(maxsize=3)
def program(*, namespaces: bool, shared: bool = False) -> bytes:
    """The compiled filter. Without namespaces of its own, a process keeps to its group, and no
    socket can be opened at all: Landlock does not govern connecting to a socket by its path.
    `shared`: others, such as the service, run as the same account, and own files outside."""
    lib = library()
    rules = lib.SyscallFilter(lib.ALLOW)
    _refuse(lib, rules, (*MOUNTS, *OTHERS, *PRIVILEGES, *MACHINE), errno.EPERM)
    _refuse(lib, rules, UNCOUNTED, errno.ENOSYS)
    # glibc falls back to clone, whose flags can be looked at
    _refuse(lib, rules, ("clone3",), errno.ENOSYS)
    for flag in _CLONE_NEW:
        rules.add_rule(lib.ERRNO(errno.EPERM), "clone", lib.Arg(0, lib.MASKED_EQ, flag, flag))
    for request in (_TIOCSTI, _TIOCLINUX):
        rules.add_rule(
            lib.ERRNO(errno.EPERM), "ioctl", lib.Arg(1, lib.MASKED_EQ, 0xFFFFFFFF, request)
        )
    # calls of another architecture (int 0x80): their end is the process's, not one thread's
    rules.set_attr(lib.Attr.ACT_BADARCH, lib.KILL_PROCESS)
    _sockets(lib, rules, by_path=namespaces)
    if not namespaces:
        _keep_to_itself(lib, rules)
    if shared:
        _refuse(lib, rules, MODES, 0)
        _refuse(lib, rules, OWNERS, errno.EPERM)
    return _compiled(rules)


def _keep_to_itself(lib: ModuleType, rules: object) -> None:
    refused, add = lib.ERRNO(errno.EPERM), rules.add_rule  # type: ignore[attr-defined]
    _refuse(lib, rules, GROUPS, errno.EPERM)
    _refuse(lib, rules, WATCHES, errno.ENOSYS)
    _refuse(lib, rules, ATTRIBUTES, errno.ENOTSUP)
    add(refused, "prctl", lib.Arg(0, lib.EQ, _PR_SET_PDEATHSIG))
    for name, at in ON_OTHERS.items():
        add(refused, name, lib.Arg(at, lib.NE, 0))
    for name, kind in OF_ACCOUNT.items():
        add(refused, name, lib.Arg(0, lib.EQ, kind))


def _refuse(lib: ModuleType, rules: object, names: tuple[str, ...], number: int) -> None:
    for name in names:
        try:
            rules.add_rule(lib.ERRNO(number), name)  # type: ignore[attr-defined]
        except (OSError, ValueError):
            # this architecture never had that call
            if _known(lib, name):
                raise


def _known(lib: ModuleType, name: str) -> bool:
    try:
        return int(lib.resolve_syscall(lib.Arch.NATIVE, name)) >= 0
    except (OSError, ValueError):
        return False


def _sockets(lib: ModuleType, rules: object, *, by_path: bool) -> None:
    refused = lib.ERRNO(errno.EAFNOSUPPORT)
    add = rules.add_rule  # type: ignore[attr-defined]
    if by_path:
        add(refused, "socket", lib.Arg(0, lib.NE, socket.AF_UNIX))
    else:
        add(refused, "socket")
    add(refused, "socketpair", lib.Arg(0, lib.NE, socket.AF_UNIX))


def _compiled(rules: object) -> bytes:
    with os.fdopen(os.memfd_create("seccomp", os.MFD_CLOEXEC), "r+b") as file:
        rules.export_bpf(file)  # type: ignore[attr-defined]
        file.seek(0)
        return file.read()
