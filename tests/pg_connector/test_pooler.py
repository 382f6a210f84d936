"""Sources behind a pooler that gives each transaction another session."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import RemoteFault
from services.pg_connector.settings import Settings
from tests.pg_connector import pooler
from tests.pg_connector.conftest import PASSWORD, Platform, body

SESSIONS = 3
_HERE = "SELECT pg_backend_pid() AS a, current_setting('transaction_read_only') AS b"


@pytest.fixture(params=["front", "pgbouncer"])
async def port(request: pytest.FixtureRequest, platform: Platform) -> AsyncIterator[int]:
    if request.param == "front":
        async with pooler.front(platform.postgres) as port:
            yield port
        return
    if pooler.PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed; the front stands for it")
    user = platform.config["user"]
    async with pooler.pgbouncer(platform.postgres, user, PASSWORD, sessions=SESSIONS) as port:
        yield port


async def other_client(port: int, platform: Platform) -> Any:
    return await asyncpg.connect(
        host="127.0.0.1", port=port, user=platform.config["user"], password=PASSWORD,
        database=platform.database, statement_cache_size=0,
    )  # fmt: skip


async def in_every_session(client: Any, sql: str) -> list[Any]:
    """Transactions go through the sessions in turn."""
    return [await client.fetchval(sql) for _ in range(4 * SESSIONS)]


@pytest.mark.req("P1")
async def test_source_behind_a_transaction_pooler(platform: Platform, port: int) -> None:
    grant = await platform.grant(config={"port": port, "pgbouncer": True})
    told = await platform.call("Check", pb.CheckRequest(grant=grant))
    assert all(step.passed for step in told.steps) and not told.warnings
    others = [await other_client(port, platform) for _ in range(2)]
    named = pb.Parameter(integer=7)
    asked: list[Any] = [
        platform.fetch(what, grant=grant, **more)
        for what, more in (
            ("public.customers", {}),
            ("public.customers", {"format": pb.FORMAT_ARROW}),
            ("SELECT id, amount, at FROM orders WHERE id <= $1", {"parameters": [named]}),
            ("SELECT sum(amount) AS a, avg(amount) AS b, '::1'::inet AS c FROM orders", {}),
            ("SHOW transaction_read_only", {}),
            (_HERE, {}),
        )
        * 3
    ]
    answers = [body(events) for events in await asyncio.gather(*asked)]
    assert len({answers[0], answers[6], answers[12]}) == 1
    assert answers[2].count(b"\n") == 8 and answers[4].endswith(b'\n"on"\n')
    assert all(b"on" in answer for answer in answers[5::6])
    sessions = await in_every_session(others[0], "SELECT pg_backend_pid()")
    assert len(set(sessions)) > 1
    with pytest.raises(RemoteFault, match="amout"):
        await platform.fetch("SELECT amout FROM orders", grant=grant)
    with pytest.raises(RemoteFault, match="division"):
        await platform.fetch("SELECT 1 / (id - $1) AS a FROM orders", parameters=[named],
                             grant=grant)  # fmt: skip
    left = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
    assert set(await in_every_session(others[0], left)) == {0}
    assert "off" in set(await in_every_session(others[0], "SHOW transaction_read_only"))
    for client in others:
        await client.close()


@pytest.mark.req("P1")
async def test_sessions_of_others_are_left_alone(platform: Platform, port: int) -> None:
    """DISCARD ALL would take from them what they have there."""
    # an odd number of sessions, so that what goes by twos comes to each
    other, *more = [await other_client(port, platform) for _ in range(2)]
    await other.execute("PREPARE theirs AS SELECT 1")
    grant = await platform.grant(config={"port": port, "pgbouncer": True})
    for _ in range(3 * SESSIONS):
        await platform.fetch(_HERE, grant=grant)
    theirs = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'theirs'"
    assert 1 in await in_every_session(other, theirs)
    for client in (other, *more):
        await client.close()


@pytest.mark.req("P1")
async def test_cancelling_reaches_the_right_session(platform: Platform, port: int) -> None:
    grant = await platform.grant(config={"port": port, "pgbouncer": True})
    await asyncio.gather(*(platform.fetch(_HERE, grant=grant) for _ in range(SESSIONS)))
    asked = asyncio.create_task(platform.fetch("SELECT pg_sleep(120), 'stop me' AS x", grant=grant))
    while not await platform.activity("stop me"):
        await asyncio.sleep(0.02)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    while await platform.activity("stop me"):
        await asyncio.sleep(0.02)
    assert body(await platform.fetch(_HERE, grant=grant))


async def test_pooler_that_nobody_told_of_is_seen(platform: Platform, port: int) -> None:
    other = await other_client(port, platform)
    grant = await platform.grant(config={"port": port})
    told = await platform.call("Check", pb.CheckRequest(grant=grant))
    assert any("pgbouncer" in warning for warning in told.warnings)
    await other.close()


@pytest.mark.req("P1")
@pytest.mark.skipif(pooler.PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_pooler_of_whole_sessions_needs_no_setting(platform: Platform) -> None:
    user = platform.config["user"]
    # each of our connections holds one, used or not
    async with pooler.pgbouncer(
        platform.postgres, user, PASSWORD, sessions=Settings().pool_size, mode="session"
    ) as port:
        grant = await platform.grant(config={"port": port})
        one = pb.Parameter(integer=1)
        asked = [platform.fetch("SELECT id FROM orders WHERE id = $1", grant=grant,
                                parameters=[one]) for _ in range(6)]  # fmt: skip
        assert len({body(events) for events in await asyncio.gather(*asked)}) == 1


@pytest.mark.req("P1")
@pytest.mark.skipif(pooler.PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_what_pgbouncer_refuses_is_told(platform: Platform) -> None:
    user = platform.config["user"]
    async with pooler.pgbouncer(platform.postgres, user, "another-9", sessions=1) as port:
        for config, kind in (
            ({}, "SOURCE_AUTHENTICATION_FAILED"),
            ({"user": "nobody_here"}, "SOURCE_AUTHENTICATION_FAILED"),
        ):
            with pytest.raises(RemoteFault) as caught:
                await platform.fetch(
                    _HERE, grant=await platform.grant(config={"port": port, **config})
                )
            assert caught.value.reason == kind, caught.value
