"""What the gateway itself refuses.

    Fault
    ├── Unauthenticated, InvalidField, Unsupported      (servicekit)
    └── GatewayFault
        ├── UnsupportedField
        ├── SourceNotFound
        ├── NotFound
        │   └── NotKept
        ├── NotAllowed
        ├── QuotaExceeded
        ├── AlreadyExists
        ├── Conflict
        ├── TooLarge
        ├── WrittenDiffers
        ├── NotApproved
        ├── ServiceLost
        │   └── HolderLost
        ├── WorkspaceLost
        ├── FilesLost
        ├── TooBusy
        └── RunInterrupted

What other services answer is a `RemoteFault`, and is passed on as it came.
"""

from servicekit.status import Fault, RemoteFault


class GatewayFault(Fault):
    """Base of this tree."""


class UnsupportedField(GatewayFault):
    """A field that other servers of this API honour, and this one cannot."""

    def __init__(self, field: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field

    def metadata(self) -> dict[str, str]:
        return {"ability": self.field, "field": self.field}


class SourceNotFound(GatewayFault):
    """No such source for this owner."""

    remedy = "List your data sources with GET /v1/data-sources."

    def __init__(self, source: str) -> None:
        super().__init__(f"there is no data source {source!r}")
        self.source = source

    def metadata(self) -> dict[str, str]:
        return {"source": self.source}


class NotFound(GatewayFault):
    """No such thread, run, file or model for this owner."""

    def __init__(self, kind: str, id: str, *, field: str = "", remedy: str = "") -> None:
        super().__init__(f"there is no {kind} {id!r}", remedy=remedy)
        self.kind, self.id, self.field = kind, id, field

    def metadata(self) -> dict[str, str]:
        named = {"field": self.field} if self.field else {}
        return {"kind": self.kind, "id": self.id, **named}


class NotKept(NotFound):
    """A run's conversation, which was more than is kept, or which nobody was there to keep."""

    def __init__(self, run_id: str, why: str) -> None:
        remedy = f"Read what happened from its events: GET /v1/runs/{run_id}/events."
        super().__init__("conversation", run_id, remedy=remedy)
        self.message = f"the conversation of this run was not kept: {why}"


class NotAllowed(GatewayFault):
    """The scope is too narrow, or the thing is another's. `needs` is a scope, or "owner"."""

    remedy = "Use a key that may, or ask an administrator for one."

    def __init__(self, message: str, needs: str) -> None:
        super().__init__(message)
        self.needs = needs

    def metadata(self) -> dict[str, str]:
        return {"needs": self.needs}


class QuotaExceeded(GatewayFault):
    """The caller's own quota is used up."""

    remedy = "Wait until it begins anew, or have it raised."

    def __init__(self, quota: str, limit: int, used: int, *, retry_after_s: float) -> None:
        super().__init__(f"{quota.replace('_', ' ')}: {used:,} of {limit:,} are used")
        self.quota, self.limit, self.used = quota, limit, used
        self.retry_after_s = retry_after_s

    def metadata(self) -> dict[str, str]:
        return {"quota": self.quota, "limit": str(self.limit), "used": str(self.used)}


class AlreadyExists(GatewayFault):
    """The name is taken."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(f"{field} {value!r} is taken", remedy="Choose another one.")
        self.field = field

    def metadata(self) -> dict[str, str]:
        return {"field": self.field}


class Conflict(GatewayFault):
    """Another call holds it."""

    def __init__(self, kind: str, id: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind, self.id = kind, id

    def metadata(self) -> dict[str, str]:
        return {"kind": self.kind, "id": self.id}


class TooLarge(GatewayFault):
    """More bytes than this gateway takes."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        super().__init__(
            f"{name} is larger than {limit_bytes:,} bytes",
            remedy="Put it into a data source, or have the limit raised.",
        )
        self.name, self.limit_bytes = name, limit_bytes

    def metadata(self) -> dict[str, str]:
        return {"path": self.name, "limit_bytes": str(self.limit_bytes)}


class WrittenDiffers(GatewayFault):
    """A source keeps other bytes than were sent to it."""

    remedy = "Write it again, with overwrite."

    def __init__(self, path: str) -> None:
        super().__init__(f"what the source keeps as {path} is not what was sent")
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {"path": self.path}


class NotApproved(GatewayFault):
    """A person refused what a run would write, or nobody decided in time."""

    remedy = "Ask again, and approve it."

    def __init__(self, source: str, comment: str) -> None:
        why = f": {comment.rstrip('.')}" if comment else ""
        super().__init__(f"this write to {source} was not approved{why}")
        self.source = source

    def metadata(self) -> dict[str, str]:
        return {"source": self.source, "operation": "write"}


class ServiceLost(GatewayFault):
    """A service of the platform went away, or does not answer."""

    remedy = "Ask again in some seconds; the service restarts by itself."
    retry_after_s = 2.0

    def __init__(self, service: str) -> None:
        super().__init__(f"the {service} service does not answer")
        self.service = service

    def metadata(self) -> dict[str, str]:
        return {"service": self.service}


class FilesLost(GatewayFault):
    """The store of files cannot be used. Where it is and what its operator may do are for the log,
    and for who starts the gateway."""

    remedy = "Ask again in some seconds; if it lasts, the gateway's log says why."
    retry_after_s = 5.0

    def __init__(self, why: str, cure: str) -> None:
        super().__init__("the store of files does not answer as it should", why, cure)
        self.why, self.cure = why, cure

    def metadata(self) -> dict[str, str]:
        return {"service": "files"}


class HolderLost(ServiceLost):
    """The gateway that a run goes with does not answer another one."""

    remedy = (
        "Ask again in some seconds: a run whose gateway is lost goes on with another one, or is "
        "told as interrupted."
    )

    def __init__(self) -> None:
        super().__init__("gateway")
        self.message = "the gateway that this run goes with does not answer"


class WorkspaceLost(GatewayFault):
    """A run's files went with the sandbox that had them."""

    remedy = "Ask again: the data is fetched anew."
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("the sandbox of this run was lost, and its files with it")

    def metadata(self) -> dict[str, str]:
        return {"service": "sandbox"}


class TooBusy(GatewayFault):
    """As many runs as this gateway takes are going."""

    remedy = "Ask again when one of them has ended."
    retry_after_s = 5.0

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} runs are going, which is the limit")
        self.limit = limit

    def metadata(self) -> dict[str, str]:
        return {"limit": str(self.limit)}


class RunInterrupted(GatewayFault):
    """The gateway stopped under a run."""

    remedy = "Ask again; what had happened is kept under the run."

    def __init__(self, run_id: str) -> None:
        super().__init__("the gateway was restarted while this run was going")
        self.run_id = run_id

    def metadata(self) -> dict[str, str]:
        return {"run_id": self.run_id}


def named(service: str, fault: RemoteFault) -> Exception:
    """The fault, or `ServiceLost` with the service's name where it is the transport's own."""
    lost = fault.reason == "SERVICE_UNAVAILABLE" and not fault.fields.get("service")
    return ServiceLost(service) if lost else fault
