"""Whether a source can be reached, entered and read, and whether it could be written."""

import asyncio
from collections.abc import Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.secrets import Secret
from services.pg_connector.catalog import quoted
from services.pg_connector.connecting import Place, connect
from services.pg_connector.errors import (
    AuthenticationFailed,
    DatabaseUnknown,
    PgFault,
    SourceForbidden,
)
from services.pg_connector.faults import translating
from services.pg_connector.settings import Settings

ReasonOf = Callable[[PgFault], str]

_OURS = """
n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
"""
_RIGHTS = f"""
SELECT pg_catalog.current_setting('server_version') AS version,
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT count(*) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}) AS relations,
       (SELECT count(*) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}
          AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
          AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')) AS readable,
       (SELECT count(*) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}
          AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
          AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
         AS writable,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
         OR EXISTS (SELECT FROM pg_catalog.pg_namespace n
                    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                      AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')) AS creates
"""  # noqa: S608


async def check(
    place: Place, password: Secret | None, settings: Settings, reason_of: ReasonOf
) -> pb.CheckResponse:
    """On a connection of its own, so that nothing that was kept answers instead of the source."""
    try:
        connection = await connect(place, password, settings)
    except PgFault as fault:
        return pb.CheckResponse(steps=_not_entered(fault, reason_of))
    try:
        return await _checked(place, connection, settings, reason_of)
    finally:
        connection.terminate()


def _not_entered(fault: PgFault, reason_of: ReasonOf) -> list[pb.CheckStep]:
    """A server that says no to the credentials or the database was reached."""
    if isinstance(fault, AuthenticationFailed | SourceForbidden | DatabaseUnknown):
        return [_passed("reach"), _failed("authenticate", fault, reason_of)]
    return [_failed("reach", fault, reason_of)]


def _passed(name: str) -> pb.CheckStep:
    return pb.CheckStep(name=name, passed=True)


def _failed(name: str, fault: PgFault, reason_of: ReasonOf) -> pb.CheckStep:
    return pb.CheckStep(
        name=name, message=fault.message, remedy=fault.remedy, reason=reason_of(fault)
    )


async def _checked(
    place: Place, connection: Any, settings: Settings, reason_of: ReasonOf
) -> pb.CheckResponse:
    answer = pb.CheckResponse(steps=[_passed("reach"), _passed("authenticate")])
    loop = asyncio.get_running_loop()
    try:
        with translating(place.doing(timeout_s=settings.connect_timeout_s)):
            async with asyncio.timeout(settings.connect_timeout_s):
                began = loop.time()
                await connection.fetchval("SELECT 1")
                took = loop.time() - began
                rights = await connection.fetchrow(_RIGHTS)
    except PgFault as fault:
        answer.steps.append(_failed("read", fault, reason_of))
        return answer
    answer.latency.CopyFrom(_duration(took))
    answer.server_version = f"PostgreSQL {str(rights['version']).split()[0]}"
    answer.steps.append(_read_step(place, rights, reason_of))
    _warn(answer, place, rights)
    return answer


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


def _read_step(place: Place, rights: Any, reason_of: ReasonOf) -> pb.CheckStep:
    if rights["readable"] or not rights["relations"]:
        return _passed("read")
    fault = SourceForbidden(
        f"{place.user} may read none of the {rights['relations']} relations",
        source=place.source,
        identity=place.user,
    )
    return _failed("read", fault, reason_of)


def _warn(answer: pb.CheckResponse, place: Place, rights: Any) -> None:
    answer.writable = bool(rights["superuser"] or rights["writable"] or rights["creates"])
    if not rights["relations"]:
        answer.warnings.append(f"the database {place.database} holds no relations")
    if rights["superuser"]:
        answer.warnings.append(f"{place.user} is a superuser")
    elif rights["writable"]:
        answer.warnings.append(f"{place.user} may write to {rights['writable']} relations")
    if rights["creates"] and not rights["superuser"]:
        answer.warnings.append(f"{place.user} may create objects")
    if answer.writable:
        answer.advice = _reader(place)
    elif not answer.steps[-1].passed:
        answer.advice = _grants(place, place.user)


def _reader(place: Place) -> str:
    name = f"{place.user}_reader"
    return f"-- a role that can only read\nCREATE ROLE {quoted(name)} LOGIN;\n" + _grants(
        place, name
    )


def _grants(place: Place, role: str) -> str:
    who = quoted(role)
    lines = [f"GRANT CONNECT ON DATABASE {quoted(place.database)} TO {who};"]
    for schema in map(quoted, place.schemas or ("public",)):
        lines += [
            f"GRANT USAGE ON SCHEMA {schema} TO {who};",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {who};",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {who};",
        ]
    return "\n".join(lines) + "\n"
