"""Why the sandbox refuses or fails.

SandboxFault
├── TierUnavailable    cannot isolate as configured
├── UnknownSession     expired, closed, or never there
├── SessionBusy        a program runs already
├── NoSlot             all slots are taken
├── Draining           it is to stop, and takes nothing new
├── NoWorkspace        the thread has none here
├── WorkspaceElsewhere another replica took it over
├── WorkspaceBusy      another call works on it
├── UnsafePath         a name that cannot stand in a workspace
├── NoSuchFile
├── WorkspaceFull
├── KernelFailed       no kernel could be started
├── UnknownSourceType  no connector serves it
├── BrokenTransfer     a connector's stream is not what it says
├── NoPod              none became ready for a claim in time
├── ClaimRefused       Kubernetes will not give one
├── OutOfReach         a pod, or the Kubernetes API, does not answer
├── NoSuchSource       code asked for a source that the run does not have
├── NothingToWrite     code would write to a source that the run may only read
├── NotApproved        somebody refused it, or nobody decided
└── UnknownApproval    nobody waits for it
"""

from servicekit.status import Fault


class SandboxFault(Fault):
    """Base."""


class TierUnavailable(SandboxFault):
    def __init__(self, tier: str, missing: str, remedy: str) -> None:
        super().__init__(f"the tier {tier!r} is not available: {missing}", remedy=remedy)
        self.tier, self.missing = tier, missing

    def metadata(self) -> dict[str, str]:
        return {"tier": self.tier, "missing": self.missing}


class UnknownSession(SandboxFault):
    remedy = "Open the session again."

    def __init__(self, session_id: str) -> None:
        super().__init__("no such session: it expired, was closed, or the sandbox was restarted")
        self.session_id = session_id

    def metadata(self) -> dict[str, str]:
        return {"kind": "session", "id": self.session_id}


class SessionBusy(SandboxFault):
    remedy = "Wait for the running program, or interrupt it."

    def __init__(self, session_id: str, doing: str) -> None:
        super().__init__(f"the session is busy: {doing}")
        self.session_id = session_id

    def metadata(self) -> dict[str, str]:
        return {"kind": "session", "id": self.session_id}


class NoSlot(SandboxFault):
    remedy = "Try again shortly, or allow more sessions."

    def __init__(self, limit: int) -> None:
        super().__init__(f"all {limit} slots for sessions are taken", retry_after_s=5.0)

    def metadata(self) -> dict[str, str]:
        return {"limit": "sessions"}


class Draining(SandboxFault):
    remedy = "Open the session at another replica of the sandbox."

    def __init__(self) -> None:
        super().__init__("this sandbox is to stop, and takes no new sessions", retry_after_s=1.0)

    def metadata(self) -> dict[str, str]:
        return {"limit": "draining"}


class NoWorkspace(SandboxFault):
    def __init__(self) -> None:
        super().__init__("the thread has no workspace here")

    def metadata(self) -> dict[str, str]:
        return {"kind": "workspace", "id": ""}


class WorkspaceElsewhere(SandboxFault):
    remedy = "Open the session where the workspace is now."

    def __init__(self) -> None:
        super().__init__("another replica has taken the workspace over")

    def metadata(self) -> dict[str, str]:
        return {"kind": "workspace", "id": ""}


class WorkspaceBusy(SandboxFault):
    remedy = "Try again shortly."

    def __init__(self, doing: str) -> None:
        super().__init__(f"the workspace is in use: {doing}")

    def metadata(self) -> dict[str, str]:
        return {"kind": "workspace", "id": ""}


class UnsafePath(SandboxFault):
    remedy = "Use a relative path of plain folders and files."

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the path cannot be used: {why}")
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {"path": self.path}


class NoSuchFile(SandboxFault):
    def __init__(self, path: str) -> None:
        super().__init__("no such file in the workspace")
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {"path": self.path}


class WorkspaceFull(SandboxFault):
    remedy = "Fetch less, remove files, or allow a larger workspace."

    def __init__(self, limit: str, limit_bytes: int) -> None:
        super().__init__(f"the workspace is full: {limit}")
        self.limit, self.limit_bytes = limit, limit_bytes

    def metadata(self) -> dict[str, str]:
        return {"limit": self.limit, "limit_bytes": str(self.limit_bytes)}


class KernelFailed(SandboxFault):
    """A kernel did not come up; its last words are for the log."""

    remedy = "Try again; if it lasts, look into the sandbox's log."
    retry_after_s = 1.0

    def __init__(self, *detail: object) -> None:
        super().__init__("no kernel could be started", *detail)

    def metadata(self) -> dict[str, str]:
        return {"service": "sandbox"}


class UnknownSourceType(SandboxFault):
    remedy = "Start its connector and name its address in ISOBATH_SANDBOX_CONNECTORS."

    def __init__(self, kind: str) -> None:
        super().__init__(f"no connector serves sources of type {kind!r}")
        self.kind = kind

    def metadata(self) -> dict[str, str]:
        return {"ability": f"source type {self.kind}"}


class BrokenTransfer(SandboxFault):
    remedy = "Try again."

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"what arrived is not what was sent: {why}")
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {"path": self.path}


class NoPod(SandboxFault):
    remedy = "Try again shortly, or let the SandboxWarmPool hold more pods."

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"no pod became ready in {where}", why, retry_after_s=5.0)

    def metadata(self) -> dict[str, str]:
        return {"limit": "sessions"}


class ClaimRefused(SandboxFault):
    remedy = (
        "Install agent-sandbox, make the SandboxWarmPool, and let this service's account get, "
        "list, create, patch and delete sandboxclaims in its namespace."
    )

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"Kubernetes answered {status} to a claim on a pod", why)

    def metadata(self) -> dict[str, str]:
        return {"tier": "pod-vm", "missing": "claims on pods"}


class OutOfReach(SandboxFault):
    remedy = "Try again shortly; if it lasts, look into the sandbox's log."
    retry_after_s = 1.0

    def metadata(self) -> dict[str, str]:
        return {"service": "sandbox"}


class NoSuchSource(SandboxFault):
    def __init__(self, name: str) -> None:
        super().__init__(f"this run has no source named {name!r}")
        self.name = name

    def metadata(self) -> dict[str, str]:
        return {"source": self.name}


class NothingToWrite(SandboxFault):
    remedy = (
        "Name the source in artifacts_to of the request: its prefix is what code may write too."
    )

    def __init__(self, source: str) -> None:
        super().__init__(f"this run may not write to {source}")


class NotApproved(SandboxFault):
    remedy = "Go on without it, or ask for less."

    def __init__(self, source: str, operation: str, comment: str) -> None:
        what = "statement on" if operation == "query" else "write to"
        why = f": {comment.rstrip('.')}" if comment else ""
        super().__init__(f"this {what} {source} was not approved{why}.")
        self.source, self.operation = source, operation

    def metadata(self) -> dict[str, str]:
        return {"source": self.source, "operation": self.operation}


class UnknownApproval(SandboxFault):
    remedy = "See which approvals the run waits for."

    def __init__(self, approval_id: str) -> None:
        super().__init__("nobody waits for this approval: it was decided, or its program has ended")
        self.approval_id = approval_id

    def metadata(self) -> dict[str, str]:
        return {"kind": "approval", "id": self.approval_id}
