"""What asyncpg raises, as this service's own errors."""

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
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():
            return errors.AuthenticationFailed(
                f"{doing.source} refused the credentials of {doing.identity}",
                source=doing.source,
                identity=doing.identity,
            )
        case asyncpg.InvalidCatalogNameError():
            return errors.DatabaseUnknown(f"{doing.source}: no such database", source=doing.source)
        case asyncpg.TooManyConnectionsError():
            return errors.TooManyConnections(
                f"{doing.source} has no connection left", source=doing.source
            )
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


def _of_connection(error: BaseException, doing: Doing) -> PgFault:
    if "SSL" in str(error):
        return errors.TlsFailed(
            f"{doing.source} does not speak TLS as sslmode asks", source=doing.source
        )
    if isinstance(error, TimeoutError):
        return errors.SourceUnreachable(f"{doing.source} did not answer", source=doing.source)
    if isinstance(error, asyncpg.InterfaceError | ConnectionResetError):
        return errors.ConnectionLost(
            f"the connection to {doing.source} was lost", str(error), source=doing.source
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
            return errors.SourceUnreachable(
                f"{doing.source} is starting or stopping", source=doing.source
            )
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
