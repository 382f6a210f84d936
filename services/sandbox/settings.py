"""Settings of the sandbox: ISOBATH_SANDBOX_…"""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from servicekit.secrets import Secret
from servicekit.server import ServerSettings

_MIB = 1024 * 1024


@dataclass(frozen=True)
class PodSettings:
    """With DRIVER=pods."""

    # the SandboxWarmPool that sessions are claimed of
    warm_pool: str = "isobath-sandbox"
    # where it is
    namespace: str = "isobath-sandboxes"
    # of this service in a pod
    port: int = 50054
    # the name that stands in the pods' certificates, with TLS
    tls_name: str = "sandbox-pod"
    # the longest that one waits for a pod, in seconds
    ready_s: float = 60.0
    # how Kubernetes is reached; unset = by the pod's own service account
    kubeconfig: Path | None = None


@dataclass(frozen=True)
class Settings:
    server: ServerSettings = field(default_factory=lambda: ServerSettings(bind="127.0.0.1:50054"))
    # what this service shows to the connectors
    token: Secret | None = None
    # addresses, each also dns:///name:port; what type of source each serves, it says itself, and
    # those of one type share its calls
    connectors: tuple[str, ...] = ("127.0.0.1:50052", "127.0.0.1:50053")
    # "local": sessions on this machine; "pods": each in a pod of Kubernetes' agent-sandbox, which
    # this service claims and drives
    driver: Literal["local", "pods"] = "local"
    pods: PodSettings = field(default_factory=PodSettings)
    # in such a pod: whoever drives it makes the calls to connectors, which cannot be reached
    relayed: bool = False
    # Sessions and their files; gone when the service stops. Every account on the way to it has to
    # be let through (mode 0711), for kernels run as others when the service runs as root.
    home: Path = Path(tempfile.gettempdir()) / f"isobath-sandbox-{os.getuid()}"
    # "auto": the best that this machine has, and no worse than minimum_tier; "none" isolates
    # nothing and has to be asked for by name; "pod-vm": this is a pod of gVisor or Kata, for one
    # session
    tier: Literal["auto", "pod-vm", "namespaces", "landlock", "none"] = "auto"
    # with "auto": a machine that has no better one than this is refused
    minimum_tier: Literal["namespaces", "landlock"] = "landlock"
    # the interpreter of kernels; unset = the first that they can reach
    python: Path | None = None
    # first of the accounts that kernels run as, one for each, when the service runs as root;
    # unset = 231072, or 60600 where a container has fewer accounts than that
    uid_base: int | None = None
    # kernels are forked from one process that has loaded the libraries, in milliseconds; off = each
    # loads them for itself, in seconds, and has a memory layout (ASLR) of its own
    forked: bool = True
    # sessions with a kernel at once; for one more, the one that is idle longest is put away
    sessions: int = 16
    # who may wait for a slot when all are in use; one more is refused at once
    line: int = 64
    # the other replicas of this service, as the gateway knows them: addresses, or dns:///name:port
    # where each address of that name is one. Workspaces move to them when this one is to stop, for
    # which it has SERVER_DRAIN_S; none = they are gone then
    peers: tuple[str, ...] = ()
    # the longest that one waits for a slot, in seconds; owners with fewer sessions go first
    wait_s: float = 10.0
    # kernels that are kept started for sessions to come
    warm: int = 1
    # a kernel without a call for this long ends, in seconds; its session and files stay
    kernel_idle_s: float = 3600.0
    # a session without a call for this long ends, in seconds
    idle_s: float = 12 * 3600.0
    # limits of a session; a request can only narrow them
    memory_bytes: int = 2048 * _MIB
    # files of a session
    workspace_bytes: int = 2048 * _MIB
    # temporary files and shared memory of a session
    scratch_bytes: int = 256 * _MIB
    # processes and threads of a session
    processes: int = 128
    # of one process over its whole life
    cpu_s: int = 3600
    # threads that numerical libraries of a kernel start
    threads: int = 2
    # of one program
    timeout_s: float = 120.0
    # the longest that a request may ask for
    longest_timeout_s: float = 3600.0
    # after an interrupt, before the kernel is killed
    grace_s: float = 3.0
    # what is kept of the output of one program: its beginning
    output_head_bytes: int = 192 * 1024
    # and its end
    output_tail_bytes: int = 64 * 1024
    # figures and tables that one program may show
    displays: int = 64
    # files that one program may make and have told
    artifacts: int = 200
    # selections that one import fetches at once
    imports: int = 4
    # connections to the broker that one session may have open
    broker_connections: int = 8

    def __post_init__(self) -> None:
        if self.sessions < 1 or self.warm < 0:
            raise ValueError("SESSIONS has to be 1 or more, WARM 0 or more")
        if self.tier == "pod-vm" and self.sessions != 1:
            raise ValueError("TIER=pod-vm needs SESSIONS=1: the pod is what keeps sessions apart")
        if self.driver == "pods" and self.relayed:
            raise ValueError("DRIVER=pods and RELAYED are the two ends of one thing: choose one")
        if min(self.idle_s, self.kernel_idle_s, self.wait_s) <= 0 or self.line < 0:
            raise ValueError("IDLE_S, KERNEL_IDLE_S and WAIT_S are above 0, LINE 0 or more")
