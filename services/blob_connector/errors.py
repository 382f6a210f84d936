"""What goes wrong between this connector and Azure Blob Storage.

    Fault
    └── BlobFault
        ├── BadConfig
        ├── AddressNotAllowed
        ├── AuthenticationFailed
        ├── Forbidden
        ├── Unreachable
        ├── BlobNotFound
        ├── Archived
        ├── TooLarge
        ├── Changed
        ├── Torn
        ├── Unreadable
        ├── Exists
        ├── TooSlow
        ├── StatementFault          the caller's SQL
        │   ├── QueryFailed
        │   ├── QueryNotReadOnly
        │   └── QueryTimeout
        └── QueriesBusy             our bound

None holds a secret: messages name account, container, blob and the kind of credential.
"""

from connectorkit.marking import line_of, marked
from servicekit.status import Fault


class BlobFault(Fault):
    """Base of this tree. `fields` are what the reason documents."""

    def __init__(self, message: str, *, remedy: str = "", **fields: str) -> None:
        super().__init__(message, remedy=remedy)
        self._fields = fields

    def metadata(self) -> dict[str, str]:
        return dict(self._fields)


class BadConfig(BlobFault):
    """The settings or secrets of the source do not make a connection."""


class AddressNotAllowed(BlobFault):
    """The deployment does not let this connector connect there."""

    remedy = "Use an account that the deployment allows, or have it added to ALLOWED_HOSTS."

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            f"the platform does not connect to {host}: {why}",
            remedy=self.remedy,
            setting="ISOBATH_BLOB_CONNECTOR_ALLOWED_HOSTS",
        )


class AuthenticationFailed(BlobFault):
    """The account refused the credentials."""


class Forbidden(BlobFault):
    """The credentials are good, a right is missing."""


class Unreachable(BlobFault):
    """No answer from the account, after retries."""


class BlobNotFound(BlobFault):
    """No such blob, or nothing that a pattern matches."""


class Archived(BlobFault):
    """The blob lies in the archive tier and has to be rehydrated first."""


class TooLarge(BlobFault):
    """Over a size limit; told before bytes moved."""


class Changed(BlobFault):
    """The blob changed while it was read."""


class Torn(BlobFault):
    """What arrived is not what was sent, after retries."""


class Unreadable(BlobFault):
    """The bytes are not what the name says."""


class Exists(BlobFault):
    """A blob of this name is there, and overwriting was not asked for."""


class TooSlow(BlobFault):
    """The time that the request or the grant allows is over."""


class StatementFault(BlobFault):
    """Of the caller's own SQL. `position` counts characters from 1; 0 = not known. Where it is
    known the message shows the line with a mark under the place."""

    def __init__(
        self, message: str, *, sql: str = "", position: int = 0, remedy: str = "", **fields: str
    ) -> None:
        shown, where = message, dict[str, str]()
        if sql and position:
            shown = f"{message}\n{marked(sql, position)}"
            where = {"position": str(position), "line": str(line_of(sql, position))}
        super().__init__(shown, remedy=remedy or self.remedy, **fields, **where)


class QueryFailed(StatementFault):
    """DuckDB could not make sense of it, or stopped on a value."""

    remedy = "Correct the query."

    def __init__(self, message: str, *, sql: str = "", position: int = 0, hint: str = "") -> None:
        told = {"hint": hint} if hint else {}
        super().__init__(message, sql=sql, position=position, remedy=hint, **told)


class QueryNotReadOnly(StatementFault):
    """It is more than one SELECT over files of the source."""

    remedy = "Send one SELECT over paths of the source."

    def __init__(
        self, message: str, *, construct: str, sql: str = "", position: int = 0, remedy: str = ""
    ) -> None:
        super().__init__(message, sql=sql, position=position, remedy=remedy, construct=construct)


class QueryTimeout(StatementFault):
    """It ran past its time, and was stopped."""

    remedy = "Narrow the query, or allow it longer."

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the query ran past its {timeout_s:g} s and was stopped", timeout_s=f"{timeout_s:g}"
        )


class QueriesBusy(BlobFault):
    """As many queries run as may."""

    remedy = "Wait for running queries to end, then try again."
    retry_after_s = 2.0
