"""One connection to a source, as its settings say."""

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

import asyncpg

from services.pg_connector.addresses import require_allowed
from services.pg_connector.errors import (
    AuthenticationFailed,
    DatabaseUnknown,
    NoAnswer,
    NotLetIn,
    NotOfKind,
    PgFault,
    SourceFault,
    SourceForbidden,
    SourceUnreachable,
    TlsFailed,
)
from services.pg_connector.faults import translating
from services.pg_connector.places import Place
from services.pg_connector.pooled import PooledConnection
from services.pg_connector.securing import Client, Login, told, ways
from services.pg_connector.settings import Settings

# ANYARRAYOID in catalog/pg_type.h
_ANY_ARRAY = 2277
_DAY_0 = date(2000, 1, 1)
_MICROSECOND_0 = datetime(2000, 1, 1)


async def connect(
    place: Place, login: Login, settings: Settings, **pool: Any
) -> "asyncpg.Connection[Any]":
    """Tries the hosts in turn, and again what may pass by itself. Raises PgFault, and InvalidField
    for certificates that cannot be read."""
    place = place.entered_by(login.user)
    for each in place.each():
        await _require_allowed(each, settings.allowed_hosts)
    for attempt in range(settings.connect_attempts - 1):
        try:
            return await _connect_any(place, login, settings, pool)
        except SourceFault as exc:
            # who did not answer was waited for long enough
            if not _may_pass(exc) or isinstance(exc, NoAnswer):
                raise
        # not for cryptography: so that those who wait do not all come back at once
        await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
    return await _connect_any(place, login, settings, pool)


# All else may pass by itself: a server that is away, starting, taking over or full.
_LASTING = (AuthenticationFailed, SourceForbidden, DatabaseUnknown, TlsFailed)


def _may_pass(fault: SourceFault) -> bool:
    return not isinstance(fault, _LASTING)


async def _connect_any(
    place: Place, login: Login, settings: Settings, pool: dict[str, Any]
) -> "asyncpg.Connection[Any]":
    """A host that is away, or not of the wanted kind, makes way for the next; one that says no, or
    whose certificate is wrong, does not: that would hide it."""
    faults: list[SourceFault] = []
    for each in _in_turn(place):
        contexts = await _contexts(each, login.client)
        try:
            return await _connect_either(each, login, settings, contexts, pool)
        except SourceFault as exc:
            if not _may_pass(exc):
                raise
            faults.append(exc)
    if len(faults) == 1:
        raise faults[0]
    told = "; ".join(dict.fromkeys(fault.message for fault in faults))
    kinds = {type(fault) for fault in faults}
    kind = kinds.pop() if len(kinds) == 1 else SourceUnreachable
    raise kind(told, source=place.source) from faults[-1]


def _in_turn(place: Place) -> tuple[Place, ...]:
    each = place.each()
    if place.target_session_attrs != "prefer-standby":
        return each
    return tuple(
        replace(one, target_session_attrs=kind) for kind in ("standby", "any") for one in each
    )


async def _contexts(place: Place, client: Client | None) -> tuple[ssl.SSLContext | None, ...]:
    if place.host.startswith("/"):
        return (None,)
    if not place.sslmode.startswith("verify-"):
        return ways(place.sslmode, place.ca_certificate, client)
    return await asyncio.to_thread(ways, place.sslmode, place.ca_certificate, client)


async def _connect_either(
    place: Place,
    login: Login,
    settings: Settings,
    contexts: Sequence[ssl.SSLContext | None],
    pool: dict[str, Any],
) -> "asyncpg.Connection[Any]":
    *others, last = contexts
    fault: PgFault | None = None
    for context in others:
        try:
            return await _connect_once(place, login, settings, context, pool)
        except PgFault as exc:
            if not _may_differ(exc):
                raise
            fault = exc
    try:
        return await _connect_once(place, login, settings, last, pool)
    except NotLetIn:
        # a server that wants TLS says no more than this without
        if fault is None or isinstance(fault.__cause__, ConnectionError):
            raise
        raise fault from fault.__cause__


def _may_differ(fault: PgFault) -> bool:
    """Whether the server may take the same with, or without, TLS: pg_hba.conf tells them apart."""
    refused = type(fault.__cause__) is asyncpg.InvalidAuthorizationSpecificationError
    return isinstance(fault, TlsFailed) or refused


async def _require_allowed(place: Place, allowed: tuple[str, ...]) -> None:
    require_allowed(place.host, await _addresses(place), allowed)


async def _addresses(place: Place) -> list[str]:
    """None for a socket of this machine, and none for a name that is not known: connecting tells
    that better."""
    if place.host.startswith("/"):
        return []
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


async def _connect_once(
    place: Place,
    login: Login,
    settings: Settings,
    context: ssl.SSLContext | None,
    pool: dict[str, Any],
) -> "asyncpg.Connection[Any]":
    wanted = place.connect_timeout_s or settings.connect_timeout_s
    # a callable, so that neither PGPASSWORD nor a password file of this machine is used instead
    secret = login.password.reveal() if login.password else ""
    try:
        with translating(place.doing()), _told(place):
            connection: asyncpg.Connection[Any] = await asyncpg.connect(
                host=place.host,
                port=place.port,
                database=place.database,
                user=place.user,
                password=lambda: secret,
                ssl=context or False,
                timeout=min(wanted, settings.connect_timeout_s),
                statement_cache_size=0,
                target_session_attrs=asyncpg.connect_utils.SessionAttribute(
                    place.target_session_attrs
                ),
                server_settings={"application_name": "isobath"},
                **pool | ({"connection_class": PooledConnection} if place.pgbouncer else {}),
            )
    except (ValueError, TypeError) as exc:
        raise TlsFailed(f"no secure connection to {place.source}", source=place.source) from exc
    try:
        with translating(place.doing()):
            await teach(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """What the client library tells of connecting only."""
    try:
        yield
    except asyncpg.TargetServerAttributeNotMatched as exc:
        wanted = place.target_session_attrs
        raise NotOfKind(f"{place.source} is not {wanted}", source=place.source) from exc
    except (OSError, ValueError, asyncpg.ConnectionDoesNotExistError) as exc:
        # in TLS 1.3 a server refuses our certificate only after it was connected to
        refused = isinstance(exc.__cause__, ssl.SSLError)
        what, remedy = told(exc.__cause__ if refused and exc.__cause__ else exc)
        if not what:
            raise
        fault = TlsFailed(f"no secure connection to {place.source}: {what}", source=place.source)
        fault.remedy = remedy or fault.remedy
        raise fault from exc


async def teach(connection: "asyncpg.Connection[Any]") -> None:
    """Dates and times as the numbers that the server sends: Python's own types hold neither
    infinity nor years before 1 or after 9999."""
    for name, encode in _NUMBERED.items():
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=encode, decoder=_first, format="tuple"
        )
    _teach_any_array(connection)


def _teach_any_array(connection: Any) -> None:
    """The client library knows no values of anyarray, which pg_stats has, and set_type_codec takes
    no pseudo-type: without this it gives up on the whole query. Its values are always asked
    for as text."""
    connection._protocol.get_settings().add_python_codec(
        _ANY_ARRAY, "anyarray", "pg_catalog", [], "scalar", bytes, bytes, "binary"
    )


def _first(value: tuple[int, ...]) -> int:
    return value[0]


def _of_date(value: date) -> tuple[int]:
    return ((value - _DAY_0).days,)


def _of_timestamp(value: datetime) -> tuple[int]:
    plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    passed = plain - _MICROSECOND_0
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds,)


def _of_time(value: time) -> tuple[int]:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return (seconds * 1_000_000 + value.microsecond,)


_NUMBERED: dict[str, Callable[[Any], Any]] = {
    "date": _of_date,
    "timestamp": _of_timestamp,
    "timestamptz": _of_timestamp,
    "time": _of_time,
}
