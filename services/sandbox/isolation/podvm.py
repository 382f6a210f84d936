"""The tier of a pod that is a machine of its own: gVisor or Kata around one session.

What keeps other sessions and the node away is that machine; inside of it seccomp still takes
network and privileges from programs, and Landlock the files, where the guest's kernel has it."""

import platform
from collections.abc import Mapping
from pathlib import Path

from services.sandbox.errors import TierUnavailable
from services.sandbox.isolation import seccomp
from services.sandbox.isolation.landlock import OLDEST_ABI, Landlock
from services.sandbox.isolation.port import Interpreter, Slot
from services.sandbox.kernel import confine

# what gVisor calls its kernel: pkg/sentry/kernel/version.go; before 2025 it had this date only
_GVISOR = ("gvisor", "#1 SMP Sun Jan 10 15:06:54 PST 2016")
# how Kata's agent mounts the container's files into its guest
_KATA = "kataShared"
_BY_LANDLOCK = frozenset({"outside file", "outside folder", "other slot", "signal to the service"})


def machine() -> str:
    """gVisor, Kata, or "" for neither."""
    told = f"{platform.release()} {platform.version()}"
    if any(mark in told for mark in _GVISOR):
        return "gVisor"
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    return "Kata" if _KATA in mounts else ""


class PodVm(Landlock):
    name = "pod-vm"

    def __init__(self, interpreter: Interpreter, library: Path, around: str | None = None) -> None:
        """`around`: the machine, else looked for."""
        super().__init__(interpreter, library)
        self._around = machine() if around is None else around
        self._locked = confine.landlock_abi() >= OLDEST_ABI
        # gVisor has no Landlock: the machine around answers for these
        self.open_inside = frozenset() if self._locked else _BY_LANDLOCK

    def require(self) -> None:
        seccomp.library()
        if not self._around:
            raise TierUnavailable(
                self.name,
                "this is neither gVisor's kernel nor a guest of Kata",
                "give the pod a runtimeClassName of gVisor or Kata Containers, "
                "or choose the tier namespaces or landlock",
            )

    def rules(self, slot: Slot) -> Mapping[str, list[str]] | None:
        return super().rules(slot) if self._locked else None

    def enforcement(self) -> Mapping[str, str]:
        return {
            **super().enforcement(),
            "network": "seccomp",
            "files": f"{self._around}+landlock" if self._locked else self._around,
            "machine": self._around,
        }
