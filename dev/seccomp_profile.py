"""The seccomp profile under which bubblewrap works in a pod: k8s/components/sandbox-namespaces.

    python -m dev.seccomp_profile > k8s/components/sandbox-namespaces/isobath-bubblewrap.json

The container runtime's own profile lets nobody make namespaces who is not CAP_SYS_ADMIN. This one
does, and refuses what neither the service nor bubblewrap needs, more than the runtime's does. It
names what is allowed, so that a call which a newer kernel brings is refused. Each kernel has a
filter of its own within, which takes away what is left here for bubblewrap (docs/sandbox.md).
"""

import errno
import json
from collections.abc import Mapping

import pyseccomp

# by what they would touch
REFUSED: Mapping[str, tuple[str, ...]] = {
    "the kernel itself": (
        *("init_module", "finit_module", "delete_module", "create_module", "query_module"),
        *("get_kernel_syms", "kexec_load", "kexec_file_load", "reboot", "syslog", "acct"),
        *(
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "iopl",
            "ioperm",
            "lookup_dcookie",
            "nfsservctl",
        ),
        *("uselib", "ustat", "sysfs", "_sysctl", "vhangup", "modify_ldt", "vm86", "vm86old"),
        *("io_uring_setup", "io_uring_enter", "io_uring_register", "map_shadow_stack"),
    ),
    "the machine's clock and disks": (
        *("clock_settime", "clock_adjtime", "adjtimex", "settimeofday", "stime"),
        *("swapon", "swapoff", "quotactl", "quotactl_fd", "fanotify_init"),
    ),
    "keys": ("keyctl", "add_key", "request_key"),
    "other processes": (
        *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd"),
        *("kcmp", "move_pages", "migrate_pages", "mbind", "set_mempolicy", "get_mempolicy"),
        "set_mempolicy_home_node",
    ),
    # bubblewrap uses mount(2) and pivot_root(2) alone
    "files, past their names": (
        *("open_by_handle_at", "name_to_handle_at", "open_tree", "open_tree_attr", "move_mount"),
        *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "chroot", "umount"),
    ),
}
# the numbers of x86-64 that are looked up; names of aarch64 are a part of these
_NUMBERS = range(512)


def allowed() -> list[str]:
    """All that libseccomp knows, but those."""
    refused = {name for names in REFUSED.values() for name in names}
    return sorted(_known() - refused)


def _known() -> set[str]:
    found = set()
    for number in _NUMBERS:
        try:
            name = pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, number)
        except ValueError:
            continue
        found.add(name.decode() if isinstance(name, bytes) else str(name))
    return found


def profile() -> dict[str, object]:
    """As the OCI runtime specification has it."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        # as where a kernel does not have the call: libraries then take an older one
        "defaultErrnoRet": errno.ENOSYS,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": [{"names": allowed(), "action": "SCMP_ACT_ALLOW"}],
    }


if __name__ == "__main__":
    print(json.dumps(profile(), indent=1))
