"""Whether a source can be reached, entered and read, and whether it could be written."""

import asyncio
from collections.abc import Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration

from isobath.connector.v1 import connector_pb2 as pb
from services.pg_connector.connecting import connect
from services.pg_connector.errors import (
    AuthenticationFailed,
    DatabaseUnknown,
    PgFault,
    SourceForbidden,
)
from services.pg_connector.faults import translating
from services.pg_connector.places import Place
from services.pg_connector.rights import RIGHTS, Rights, grants, new_reader, warnings
from services.pg_connector.securing import Login
from services.pg_connector.settings import Settings

_POOLED = "a pooler stands in between: set pgbouncer if it gives each transaction another session"

ReasonOf = Callable[[PgFault], str]


async def check(
    place: Place, login: Login, settings: Settings, reason_of: ReasonOf
) -> pb.CheckResponse:
    """On a connection of its own, so that nothing that was kept answers instead of the source."""
    place = place.entered_by(login.user)
    try:
        connection = await connect(place, login, settings)
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
                session = await connection.fetchval("SELECT pg_catalog.pg_backend_pid()")
                took = loop.time() - began
                rights = Rights.of(await connection.fetchrow(RIGHTS))
    except PgFault as fault:
        answer.steps.append(_failed("read", fault, reason_of))
        return answer
    answer.latency.CopyFrom(_duration(took))
    answer.server_version = f"PostgreSQL {rights.version.split()[0]}"
    answer.steps.append(_read_step(place, rights, reason_of))
    if session != connection.get_server_pid() and not place.pgbouncer:
        answer.warnings.append(_POOLED)
    _warn(answer, place, rights)
    return answer


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


def _read_step(place: Place, rights: Rights, reason_of: ReasonOf) -> pb.CheckStep:
    if rights.readable or not rights.relations:
        return _passed("read")
    fault = SourceForbidden(
        f"{place.user} may read none of the {rights.relations} relations",
        source=place.source,
        identity=place.user,
    )
    return _failed("read", fault, reason_of)


def _warn(answer: pb.CheckResponse, place: Place, rights: Rights) -> None:
    answer.writable = rights.may_write
    if not rights.relations:
        answer.warnings.append(f"the database {place.database} holds no relations")
    answer.warnings.extend(warnings(place.user, rights))
    if answer.writable:
        answer.advice = new_reader(place.user, place.database, place.schemas, rights)
    elif not answer.steps[-1].passed:
        answer.advice = grants(place.user, place.database, place.schemas, rights)
