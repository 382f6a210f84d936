"""Everything that keeps a source from being read has an error and a remedy of its own. Certificates
have theirs in test_tls.py."""

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dev.postgres import Postgres
from dev.postgres import postgres as postgres_in
from servicekit.secrets import Secret
from services.pg_connector import errors, pools
from services.pg_connector.connecting import connect
from services.pg_connector.faults import Doing, translated
from services.pg_connector.places import Place
from services.pg_connector.securing import Login
from services.pg_connector.settings import Settings
from tests.pg_connector.test_rotation import scene_of

pytestmark = pytest.mark.req("P1", "P7")
_ONCE = Settings(connect_attempts=1)
_ROLE, _PASSWORD = "faulty_reader", "of-a-reader-5"
_DATABASE = "faulty_base"


@pytest.fixture
async def place(postgres: Postgres) -> AsyncIterator[Place]:
    """Of a role that may do nothing but log in, thrice at a time."""
    await postgres.execute(f"CREATE ROLE {_ROLE} LOGIN PASSWORD '{_PASSWORD}' CONNECTION LIMIT 3")
    await postgres.execute(f"CREATE DATABASE {_DATABASE}")
    await postgres.execute(f"REVOKE CONNECT ON DATABASE {_DATABASE} FROM PUBLIC")
    yield Place(postgres.host, postgres.port, "postgres", _ROLE, sslmode="disable")
    await postgres.execute(f"DROP DATABASE {_DATABASE}")
    await postgres.execute(f"DROP ROLE {_ROLE}")


async def fault_of(place: Place, password: str = _PASSWORD) -> errors.SourceFault:
    with pytest.raises(errors.SourceFault) as caught:
        connection = await connect(place, Login(Secret(password)), _ONCE)
        connection.terminate()
    assert caught.value.message and password not in str(caught.value)
    return caught.value


@dataclass(frozen=True)
class Wrong:
    changes: dict[str, Any]
    kind: type[errors.SourceFault]
    says: str
    do: str
    alter: str = ""
    password: str = _PASSWORD


_AUTH, _FORBIDDEN = errors.AuthenticationFailed, errors.SourceForbidden


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong({"port": 1}, errors.ConnectionRefused, "nothing listens", "that the server runs"),
        Wrong({"host": "no-such-host.invalid"}, errors.HostUnknown, "is not known", "the host"),
        Wrong({"host": "/no/such/folder"}, errors.SourceUnreachable, "no such file", "host"),
        Wrong({}, _AUTH, "refused the credentials", "the password", password="another"),
        Wrong({"user": "nobody_of_that_name"}, _AUTH, "refused the credentials", "the user"),
        Wrong({}, _AUTH, "refused the credentials", "expired", alter="VALID UNTIL '2000-01-01'"),
        Wrong({}, _AUTH, "does not let", "LOGIN", alter="NOLOGIN"),
        Wrong({"database": "no_such"}, errors.DatabaseUnknown, "no such database", "the name"),
        Wrong({"database": _DATABASE}, _FORBIDDEN, "permission denied", "GRANT CONNECT"),
        Wrong({}, errors.TooManyConnections, "no connection left", "allow the role more",
              alter="CONNECTION LIMIT 0"),
        Wrong({"target_session_attrs": "standby"}, errors.NotOfKind, "is not standby", "kind"),
    ],
    ids=lambda wrong: f"{wrong.kind.__name__} {wrong.alter or wrong.changes}",
)  # fmt: skip
async def test_each_has_an_error_and_a_remedy_of_its_own(
    postgres: Postgres, place: Place, wrong: Wrong
) -> None:
    if wrong.alter:
        await postgres.execute(f"ALTER ROLE {_ROLE} {wrong.alter}")
    fault = await fault_of(replace(place, **wrong.changes), wrong.password)
    assert type(fault) is wrong.kind
    assert wrong.says in fault.message.lower() and wrong.do in fault.remedy


async def test_role_that_pg_hba_does_not_let_in(postgres: Postgres, place: Place) -> None:
    """That needs another pg_hba.conf, so only the server's words are real here."""
    said = 'no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", no encryption'
    error = asyncpg.InvalidAuthorizationSpecificationError(said)
    fault = translated(error, Doing(source="db:5432/d", identity="u"))
    assert isinstance(fault, errors.NotLetIn) and "let u in from here" in fault.message
    assert "sslmode require" in fault.remedy


async def test_host_that_does_not_answer_is_waited_for_once(place: Place) -> None:
    asked = list[int]()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        silently = replace(place, port=port, connect_timeout_s=0.2)
        with pytest.raises(errors.NoAnswer) as caught:
            await connect(silently, Login(), Settings(connect_attempts=3))
    assert len(asked) == 1 and "firewall" in caught.value.remedy


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("password authentication failed", _AUTH),
        ("SASL authentication failed", _AUTH),
        ("no such user: u", _AUTH),
        ("no such database: d", errors.DatabaseUnknown),
        ("no more connections allowed (max_client_conn)", errors.TooManyConnections),
        ("query_wait_timeout", errors.TooManyConnections),
        ("server login has been failing, try again later", errors.SourceUnreachable),
    ],
)
def test_words_of_pgbouncer(said: str, kind: type[errors.PgFault]) -> None:
    fault = translated(asyncpg.ProtocolViolationError(said), Doing(source="h:6432/d", identity="u"))
    assert type(fault) is kind and fault.remedy


@asynccontextmanager
async def full_at_first(
    postgres: Postgres, refusals: list[tuple[str, str]]
) -> AsyncIterator[tuple[int, list[int]]]:
    """A port that refuses with each of these errors once, then passes on to the server; and how
    often it was asked."""
    asked = list[int]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(len(asked))
        if refusals:
            await reader.readexactly(8)
            state, message = refusals.pop(0)
            writer.write(_fatal(state, message))
        else:
            with suppress(OSError):
                await _passed_on(postgres, reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1], asked


def _fatal(state: str, message: str) -> bytes:
    """ErrorResponse in the manual, "Message Formats"."""
    fields = f"SFATAL\0VFATAL\0C{state}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", 4 + len(fields)) + fields


async def _passed_on(
    postgres: Postgres, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    from_server, to_server = await asyncio.open_connection("127.0.0.1", postgres.port)

    async def copied(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(65536):
                to.write(piece)
        to.close()

    try:
        await asyncio.gather(copied(reader, to_server), copied(from_server, writer))
    finally:
        to_server.close()


async def test_what_may_pass_is_tried_again(postgres: Postgres, place: Place) -> None:
    refusals = [
        ("57P03", "the database system is starting up"),
        ("53300", "sorry, too many clients already"),
        ("57P03", "the database system is not accepting connections"),
    ]
    async with full_at_first(postgres, refusals) as (port, asked):
        connection = await connect(replace(place, port=port), Login(Secret(_PASSWORD)), Settings())
        await connection.close()
        assert len(asked) == 4


@pytest.mark.parametrize("state", ["28P01", "28000", "3D000", "42501"])
async def test_what_lasts_is_not_tried_again(postgres: Postgres, place: Place, state: str) -> None:
    async with full_at_first(postgres, [(state, "no")] * 2) as (port, asked):
        with pytest.raises(errors.SourceFault):
            await connect(replace(place, port=port), Login(Secret(_PASSWORD)), Settings())
        assert len(asked) == 1


async def test_starting_server_and_full_server_are_told_apart(
    postgres: Postgres, place: Place
) -> None:
    for state, said, kind in (
        ("57P03", "the database system is starting up", errors.ServerNotReady),
        ("53300", "sorry, too many clients already", errors.TooManyConnections),
    ):
        async with full_at_first(postgres, [(state, said)]) as (port, _):
            fault = await fault_of(replace(place, port=port))
            assert type(fault) is kind and said in fault.message and fault.retry_after_s


async def _stopping(server: Postgres, run: Callable[[str], Coroutine[None, None, Any]]) -> None:
    query = asyncio.create_task(run("SELECT pg_sleep(120)"))
    watching: asyncpg.Connection[Any] = await asyncpg.connect(server.dsn)
    while not await watching.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%'"
        " AND state = 'active' AND pid <> pg_backend_pid()"
    ):
        await asyncio.sleep(0.02)
    # "smart": who is there may stay, nobody else is let in
    os.kill(server.pid, signal.SIGTERM)
    place = Place(server.host, server.port, "postgres", server.user, sslmode="disable")
    async with asyncio.timeout(30):
        while True:
            try:
                connection = await connect(place, Login(Secret(server.password)), _ONCE)
            except errors.ServerNotReady as exc:
                assert "shutting down" in exc.message
                break
            connection.terminate()
    # "fast": all are ended
    os.kill(server.pid, signal.SIGINT)
    with pytest.raises(errors.ServerStopped, match="was shut down") as caught:
        await query
    assert "Try again" in caught.value.remedy
    watching.terminate()


async def test_queries_go_on_at_another_host_when_a_server_was_shut_down(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    async with postgres_in(tmp_path / "first") as first, scene_of(postgres) as scene:
        for role in ("rotated_a", "rotated_b"):
            await first.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'first'")
        hosts = [f"{first.host}:{first.port}", f"{postgres.host}:{postgres.port}"]
        scene.grant = replace(scene.grant, config={**scene.grant.config, "host": list(hosts)})
        port = "SELECT inet_server_port()"
        assert await scene.ask(port) == first.port
        await _stopping(first, scene.ask)
        async with asyncio.timeout(30):
            while True:
                with suppress(errors.SourceUnreachable):
                    assert await scene.ask(port) == postgres.port
                    break
                await asyncio.sleep(0.05)


async def test_connection_that_died_at_rest_is_replaced(
    no_leaks: object, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server is there, but what stands between lost it without a word."""
    monkeypatch.setattr(pools, "_ANSWER_S", 0.1)
    cut, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing = asyncio.create_task(_passed_on(postgres, reader, writer))
        if not cut.is_set():
            await cut.wait()
            passing.cancel()
            await over.wait()
        await asyncio.wait([passing])
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        async with scene_of(postgres) as scene:
            port = listening.sockets[0].getsockname()[1]
            scene.grant = replace(scene.grant, config={**scene.grant.config, "port": port})
            now = 0.0
            scene.pools._clock = lambda: now
            before = await scene.ask("SELECT pg_backend_pid()")
            cut.set()
            now = 10.0
            assert await scene.ask("SELECT pg_backend_pid()") != before
        over.set()
