"""What goes wrong with files, wherever they lie, and the status of each.

Fault
└── FileFault
    ├── Unreadable
    ├── TooLarge
    ├── TooSlow
    ├── StatementFault          the caller's SQL
    │   ├── QueryFailed
    │   ├── QueryNotReadOnly
    │   └── QueryTimeout
    └── QueriesBusy             our bound
"""

import grpc

from connectorkit.marking import line_of, marked
from servicekit.status import Fault, Status, StatusTable


class FileFault(Fault):
    """Base of this tree, and of a connector's own. `fields` are what the reason documents."""

    def __init__(self, message: str, *, remedy: str = "", **fields: str) -> None:
        super().__init__(message, remedy=remedy)
        self._fields = fields

    def metadata(self) -> dict[str, str]:
        return dict(self._fields)


class Unreadable(FileFault):
    """The bytes are not what the name says."""


class TooLarge(FileFault):
    """Over a size limit; told before bytes moved, where that can be."""


class TooSlow(FileFault):
    """The time that the request or the grant allows is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"it took longer than the {seconds:g} s that it may",
            remedy="Narrow the path, or allow it longer.",
        )


class StatementFault(FileFault):
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


class QueriesBusy(FileFault):
    """As many queries run as may."""

    remedy = "Wait for running queries to end, then try again."
    retry_after_s = 2.0


# Every connector of files merges these into its own.
STATUSES: StatusTable = {
    Unreadable: Status(grpc.StatusCode.FAILED_PRECONDITION, "UNREADABLE_FORMAT"),
    TooLarge: Status(grpc.StatusCode.OUT_OF_RANGE, "TOO_LARGE"),
    TooSlow: Status(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    QueryFailed: Status(grpc.StatusCode.FAILED_PRECONDITION, "QUERY_FAILED"),
    QueryNotReadOnly: Status(grpc.StatusCode.FAILED_PRECONDITION, "QUERY_NOT_READ_ONLY"),
    QueryTimeout: Status(grpc.StatusCode.DEADLINE_EXCEEDED, "QUERY_TIMEOUT"),
    QueriesBusy: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_BUSY"),
}
