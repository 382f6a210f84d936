"""One connection to a source, as its settings say."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import asyncpg

from grants.claims import Json
from servicekit.secrets import Secret
from servicekit.status import InvalidField
from services.pg_connector.addresses import require_allowed
from services.pg_connector.errors import (
    ConnectionLost,
    PgFault,
    SourceUnreachable,
    TlsFailed,
)
from services.pg_connector.faults import Doing, translating
from services.pg_connector.securing import MODES, Client, told, ways
from services.pg_connector.settings import Settings

# ANYARRAYOID in catalog/pg_type.h
_ANY_ARRAY = 2277
_DAY_0 = date(2000, 1, 1)
_MICROSECOND_0 = datetime(2000, 1, 1)


@dataclass(frozen=True)
class Place:
    """A database and who asks it. Grants write whole numbers as floats."""

    host: str
    port: int
    database: str
    user: str
    sslmode: str = "prefer"
    schemas: tuple[str, ...] = ()
    connect_timeout_s: float = 0.0
    statement_timeout_s: float = 0.0
    ca_certificate: str = ""

    @property
    def source(self) -> str:
        """host:port/database, for people."""
        return f"{self.host}:{self.port}/{self.database}"

    def doing(self, **more: Any) -> Doing:
        return Doing(source=self.source, identity=self.user, **more)


def place_of(config: Mapping[str, Json]) -> Place:
    """Raises InvalidField."""
    schemas = config.get("schemas") or []
    sslmode = str(config.get("sslmode") or "prefer")
    if sslmode not in MODES:
        raise InvalidField("config.sslmode", f"sslmode is one of {', '.join(MODES)}")
    return Place(
        host=_text(config, "host"),
        port=int(_number(config, "port", 5432)),
        database=_text(config, "database"),
        user=_text(config, "user"),
        sslmode=sslmode,
        schemas=tuple(str(name) for name in schemas) if isinstance(schemas, list) else (),
        connect_timeout_s=_number(config, "connect_timeout_s", 0),
        statement_timeout_s=_number(config, "statement_timeout_s", 0),
        ca_certificate=str(config.get("ca_certificate") or ""),
    )


def _text(config: Mapping[str, Json], name: str) -> str:
    value = config.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidField(f"config.{name}", f"the data source has no {name}")
    return value


def _number(config: Mapping[str, Json], name: str, unset: float) -> float:
    value = config.get(name, unset)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InvalidField(f"config.{name}", f"{name} is a number, not below 0")
    return float(value)


async def connect(
    place: Place,
    password: Secret | None,
    settings: Settings,
    *,
    client: Client | None = None,
    **pool: Any,
) -> "asyncpg.Connection[Any]":
    """Retries what may pass by itself. Raises PgFault, and InvalidField for certificates that
    cannot be read."""
    await _require_allowed(place, settings.allowed_hosts)
    contexts = await _contexts(place, client)
    for attempt in range(settings.connect_attempts - 1):
        try:
            return await _connect_either(place, password, settings, contexts, pool)
        except SourceUnreachable as exc:
            if type(exc) not in (SourceUnreachable, ConnectionLost):
                raise
        await asyncio.sleep(0.1 * 2**attempt)
    return await _connect_either(place, password, settings, contexts, pool)


async def _contexts(place: Place, client: Client | None) -> tuple[ssl.SSLContext | None, ...]:
    if place.host.startswith("/"):
        return (None,)
    return await asyncio.to_thread(ways, place.sslmode, place.ca_certificate, client)


async def _connect_either(
    place: Place,
    password: Secret | None,
    settings: Settings,
    contexts: Sequence[ssl.SSLContext | None],
    pool: Mapping[str, Any],
) -> "asyncpg.Connection[Any]":
    *others, last = contexts
    for context in others:
        try:
            return await _connect_once(place, password, settings, context, pool)
        except PgFault as exc:
            if not _may_differ(exc):
                raise
    return await _connect_once(place, password, settings, last, pool)


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
    password: Secret | None,
    settings: Settings,
    context: ssl.SSLContext | None,
    pool: Mapping[str, Any],
) -> "asyncpg.Connection[Any]":
    wanted = place.connect_timeout_s or settings.connect_timeout_s
    # a callable, so that neither PGPASSWORD nor a password file of this machine is used instead
    secret = password.reveal() if password else ""
    try:
        with translating(place.doing()), _tls_told(place):
            connection: asyncpg.Connection[Any] = await asyncpg.connect(
                host=place.host,
                port=place.port,
                database=place.database,
                user=place.user,
                password=lambda: secret,
                ssl=context or False,
                timeout=min(wanted, settings.connect_timeout_s),
                statement_cache_size=0,
                server_settings={"application_name": "isobath"},
                **pool,
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
def _tls_told(place: Place) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as exc:
        what, remedy = told(exc)
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
