"""What asyncpg raises, as this service's own errors."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from services.pg_connector import errors
from services.pg_connector.errors import PgFault


@dataclass(frozen=True)
class Doing:
    """What is being tried, for the words of an error. `shift` = characters that stand before the
    caller's text in what the server was sent."""

    source: str
    identity: str
    sql: str = ""
    shift: int = 0
    path: str = ""
    timeout_s: float = 0.0


@contextmanager
def translating(doing: Doing) -> Iterator[None]:
    try:
        yield
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
    ) as exc:
        raise translated(exc, doing) from exc


def translated(error: BaseException, doing: Doing) -> PgFault:
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and error.__cause__:
        # what the server said before it closed
        return translated(error.__cause__, doing)
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():
            return _refused(error, doing)
        case asyncpg.InvalidCatalogNameError() | asyncpg.DatabaseDroppedError():
            return errors.DatabaseUnknown(f"{doing.source}: no such database", source=doing.source)
        case asyncpg.TooManyConnectionsError():
            return errors.TooManyConnections(
                f"{doing.source} has no connection left: {error.args[0]}", source=doing.source
            )
        case asyncpg.InsufficientPrivilegeError() if "for database" in str(error):
            fault = errors.SourceForbidden(
                str(error.args[0]), source=doing.source, identity=doing.identity
            )
            fault.remedy = "Have the role given GRANT CONNECT ON DATABASE."
            return fault
        case asyncpg.InsufficientPrivilegeError():
            return errors.SourceForbidden(
                str(error.args[0]), source=doing.source, identity=doing.identity, path=doing.path
            )
        case asyncpg.PostgresError():
            return _of_server(error, doing)
        case asyncpg.ClientConfigurationError() | ssl.SSLError():
            return errors.TlsFailed(f"no secure connection to {doing.source}", source=doing.source)
        case asyncpg.UnsupportedClientFeatureError() | asyncpg.InternalClientError():
            return errors.QueryFailed(
                "a column is of a type that the client library cannot read",
                sqlstate="0A000",
                detail=str(error),
                hint="Cast it to text.",
            )
        case asyncpg.DataError():
            return errors.QueryFailed(str(error), sqlstate="22P02", sql=doing.sql)
    return _of_connection(error, doing)


# What is no matter of the password, and what to do.
_SAID = {
    "client certificate": (
        "asks for a client certificate of {0}",
        "Give client_certificate and client_key among the secrets of the data source.",
    ),
    "certificate authentication failed": (
        "does not take the client certificate for {0}",
        "Use the role that the certificate names (its CN), or have it mapped in pg_ident.conf.",
    ),
    "is not permitted to log in": (
        "does not let {0} log in",
        "Have the role given LOGIN, or use another one.",
    ),
}


def _refused(error: BaseException, doing: Doing) -> PgFault:
    if "pg_hba.conf" in str(error):
        return errors.NotLetIn(
            f"{doing.source} does not let {doing.identity} in from here",
            source=doing.source,
            identity=doing.identity,
        )
    what, remedy = "refused the credentials of {0}", errors.AuthenticationFailed.remedy
    for said, told in _SAID.items():
        if said in str(error):
            what, remedy = told
    fault = errors.AuthenticationFailed(
        f"{doing.source} {what.format(doing.identity)}",
        source=doing.source,
        identity=doing.identity,
    )
    fault.remedy = remedy
    return fault


# What PgBouncer says itself, all as a violation of the protocol (SQLSTATE 08P01).
_POOLER_REFUSES = ("password authentication failed", "SASL authentication failed", "no such user")
_POOLER_FULL = ("no more connections allowed", "query_wait_timeout", "too many connections")


def _of_pooler(error: BaseException, doing: Doing) -> PgFault:
    said = str(error)
    if any(each in said for each in _POOLER_REFUSES):
        return _refused(error, doing)
    if "no such database" in said:
        return errors.DatabaseUnknown(f"{doing.source}: no such database", source=doing.source)
    if any(each in said for each in _POOLER_FULL):
        return errors.TooManyConnections(
            f"{doing.source} has no connection left: {said}", source=doing.source
        )
    return errors.SourceUnreachable(f"{doing.source} refuses: {said}", source=doing.source)


def _of_connection(error: BaseException, doing: Doing) -> PgFault:
    if "SSL" in str(error):
        return errors.TlsFailed(
            f"{doing.source} does not speak TLS as sslmode asks", source=doing.source
        )
    if isinstance(error, TimeoutError):
        return errors.NoAnswer(f"{doing.source} did not answer", source=doing.source)
    if isinstance(error, asyncpg.InterfaceError | ConnectionResetError | BrokenPipeError):
        return errors.ConnectionLost(
            f"the connection to {doing.source} was lost", str(error), source=doing.source
        )
    if isinstance(error, socket.gaierror):
        return errors.HostUnknown(f"the host of {doing.source} is not known", source=doing.source)
    if isinstance(error, ConnectionRefusedError):
        return errors.ConnectionRefused(
            f"nothing listens at {doing.source}: connection refused", source=doing.source
        )
    why = getattr(error, "strerror", None) or type(error).__name__
    return errors.SourceUnreachable(
        f"{doing.source} cannot be reached: {why.lower()}", source=doing.source
    )


def _of_server(error: asyncpg.PostgresError, doing: Doing) -> PgFault:
    state = error.sqlstate or ""
    match error:
        case asyncpg.QueryCanceledError() if "timeout" in str(error):
            return errors.QueryTimeout(doing.timeout_s)
        case asyncpg.LockNotAvailableError():
            return errors.QueryFailed(
                str(error.args[0]),
                sqlstate=state,
                hint="Another session holds a lock on what the query reads; try again shortly.",
            )
        case asyncpg.ReadOnlySQLTransactionError():
            return errors.QueryNotReadOnly(str(error.args[0]), construct=str(error.args[0]))
        case asyncpg.UndefinedTableError() | asyncpg.InvalidSchemaNameError() if doing.path:
            return errors.PathNotFound(doing.path)
        case asyncpg.CannotConnectNowError():
            # starting up, shutting down, a standby that takes nobody
            return errors.ServerNotReady(f"{doing.source}: {error.args[0]}", source=doing.source)
        case asyncpg.AdminShutdownError() | asyncpg.CrashShutdownError():
            return errors.ServerStopped(
                f"{doing.source} was shut down, or ended the session: {error.args[0]}",
                source=doing.source,
            )
        case asyncpg.SerializationError():
            return errors.QueryFailed(
                str(error.args[0]),
                sqlstate=state,
                hint="The standby needed what was read; try again, or ask the primary.",
            )
        case asyncpg.ProtocolViolationError() if not doing.sql:
            return _of_pooler(error, doing)
    if state.startswith(("08", "57P")):
        return errors.ConnectionLost(
            f"the connection to {doing.source} was lost", str(error), source=doing.source
        )
    return _of_query(error, doing)


def _of_query(error: asyncpg.PostgresError, doing: Doing) -> PgFault:
    place = int(getattr(error, "position", None) or 0) - doing.shift
    return errors.QueryFailed(
        str(getattr(error, "message", None) or error.args[0]),
        sqlstate=error.sqlstate or "",
        sql=doing.sql,
        position=place if 0 < place <= len(doing.sql) + 1 else 0,
        detail=getattr(error, "detail", None) or "",
        hint=getattr(error, "hint", None) or "",
    )
