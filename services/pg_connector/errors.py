"""What can go wrong here.

PgFault
├── SourceFault                 the source, not the request
│   ├── SourceUnreachable       no answer, after retries
│   │   ├── HostUnknown
│   │   ├── ConnectionRefused
│   │   ├── NoAnswer
│   │   ├── NotOfKind           not as target_session_attrs asks
│   │   ├── ServerNotReady      starting up or shutting down
│   │   ├── ServerStopped       in the middle of a statement
│   │   ├── ConnectionLost      likewise
│   │   ├── DatabaseUnknown
│   │   └── TlsFailed
│   ├── TooManyConnections      the server's own bound
│   ├── AuthenticationFailed
│   │   └── NotLetIn            pg_hba.conf has no line for us
│   └── SourceForbidden
├── AddressNotAllowed           the deployment refuses to go there
├── PoolBusy                    our bound
├── PathNotFound
├── StatementFault              the caller's SQL
│   ├── QueryFailed
│   ├── QueryNotReadOnly
│   └── QueryTimeout
└── ValueUnfit                  a value that the asked-for type cannot hold
"""

from connectorkit.marking import line_of, marked
from servicekit.status import Fault


class PgFault(Fault):
    pass


class SourceFault(PgFault):
    """Names the source by what the caller may know: address and identity, never a secret."""

    def __init__(self, message: str, *detail: object, source: str, identity: str = "") -> None:
        super().__init__(message, *detail)
        self.source, self.identity = source, identity

    def metadata(self) -> dict[str, str]:
        identity = {"identity": self.identity} if self.identity else {}
        return {"source": self.source, **identity}


class SourceUnreachable(SourceFault):
    remedy = "See that host and port are right and that the server lets this platform in."

    def metadata(self) -> dict[str, str]:
        return {"source": self.source, "host": self.source.partition("/")[0]}


class HostUnknown(SourceUnreachable):
    remedy = "Correct the host of the data source, or have its name made known here."


class ConnectionRefused(SourceUnreachable):
    remedy = "See that host and port are right, and that the server runs and listens there."


class NoAnswer(SourceUnreachable):
    remedy = "See that no firewall stands in between, or allow longer by connect_timeout_s."


class NotOfKind(SourceUnreachable):
    remedy = "See that a server of that kind is up, or ask for another by target_session_attrs."


class ServerNotReady(SourceUnreachable):
    remedy = "Try again shortly: it is starting or stopping."
    retry_after_s = 5.0


class ServerStopped(SourceUnreachable):
    remedy = "Try again once the server is back; nothing was changed there."
    retry_after_s = 5.0


class DatabaseUnknown(SourceUnreachable):
    remedy = "Correct the name of the database in the data source."


class TlsFailed(SourceUnreachable):
    remedy = (
        "Choose the sslmode that the server supports, or give the CA that signed its certificate."
    )


class ConnectionLost(SourceUnreachable):
    remedy = "Try again; if it lasts, look into the server's log."


class TooManyConnections(SourceFault):
    remedy = "Try again shortly, or allow the role more connections."
    retry_after_s = 5.0

    def metadata(self) -> dict[str, str]:
        return {"limit": "connections of the server"}


class AuthenticationFailed(SourceFault):
    remedy = (
        "Correct the user or the password of the data source; see that the role has not expired."
    )


class NotLetIn(AuthenticationFailed):
    remedy = (
        "Have this platform's address and the role added to pg_hba.conf; where its line says"
        " hostssl, choose sslmode require."
    )


class SourceForbidden(SourceFault):
    remedy = "Have the role granted the right to read, or choose another relation."

    def __init__(self, message: str, *, source: str, identity: str, path: str = "") -> None:
        super().__init__(message, source=source, identity=identity)
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {**super().metadata(), **({"path": self.path} if self.path else {})}


class AddressNotAllowed(PgFault):
    remedy = "Use an address that the deployment allows, or have it added to ALLOWED_HOSTS."

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"the platform does not connect to {host}: {why}")

    def metadata(self) -> dict[str, str]:
        return {"setting": "ISOBATH_PG_CONNECTOR_ALLOWED_HOSTS"}


class PoolBusy(PgFault):
    remedy = "Wait for running queries to end, then try again."
    retry_after_s = 2.0

    def metadata(self) -> dict[str, str]:
        return {"limit": "connections"}


class PathNotFound(PgFault):
    remedy = "Browse the source for what is there; names are case-sensitive."

    def __init__(self, path: str, message: str = "") -> None:
        super().__init__(message or f"there is no relation {path}")
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {"path": self.path}


class StatementFault(PgFault):
    """Of the caller's own text. `position` counts characters from 1, as PostgreSQL does; 0 = not
    known. Where it is known the message shows the line with a mark under the place."""

    def __init__(self, message: str, *, sql: str = "", position: int = 0, remedy: str = "") -> None:
        shown = f"{message}\n{marked(sql, position)}" if sql and position else message
        super().__init__(shown, remedy=remedy or self.remedy)
        self.position = position
        self.line = line_of(sql, position) if sql and position else 0

    def metadata(self) -> dict[str, str]:
        if not self.position:
            return {}
        return {"position": str(self.position), "line": str(self.line)}


class QueryFailed(StatementFault):
    remedy = "Correct the query."

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str,
        sql: str = "",
        position: int = 0,
        detail: str = "",
        hint: str = "",
    ) -> None:
        told = "\n".join(part for part in (message, detail) if part)
        super().__init__(told, sql=sql, position=position, remedy=hint)
        self.sqlstate, self.detail, self.hint = sqlstate, detail, hint

    def metadata(self) -> dict[str, str]:
        told = {"sqlstate": self.sqlstate, "detail": self.detail, "hint": self.hint}
        return {**{key: value for key, value in told.items() if value}, **super().metadata()}


class QueryNotReadOnly(StatementFault):
    remedy = "Send one statement that only reads: SELECT, VALUES, TABLE, WITH, SHOW or EXPLAIN."

    def __init__(
        self,
        message: str,
        *,
        construct: str,
        sql: str = "",
        position: int = 0,
        remedy: str = "",
    ) -> None:
        super().__init__(message, sql=sql, position=position, remedy=remedy)
        self.construct = construct

    def metadata(self) -> dict[str, str]:
        return {"construct": self.construct, **super().metadata()}


class QueryTimeout(StatementFault):
    remedy = "Narrow the query, or allow it longer."

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the query ran past its {timeout_s:g} s and was stopped")
        self.timeout_s = timeout_s

    def metadata(self) -> dict[str, str]:
        return {"timeout_s": f"{self.timeout_s:g}"}


class ValueUnfit(PgFault):
    remedy = "Send a query that casts the column to text."

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"a value of column {column} does not fit its type: {why}")
        self.column = column

    def metadata(self) -> dict[str, str]:
        return {"path": self.column, "format": "arrow"}
