"""A deleted source is closed in the other services' processes within two seconds."""

import time
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from dev.postgres import Postgres
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.slow
ROLE = "revoked_soon"
LATEST_S = 2.0


async def sessions(watching: "asyncpg.Connection[asyncpg.Record]", state: str = "%") -> int:
    text = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state LIKE $2"
    return int(await watching.fetchval(text, ROLE, state))


@pytest.mark.req("D3", "P7")
async def test_deleting_a_source_ends_its_query_and_connections_within_two_seconds(
    platform: Platform, postgres: Postgres
) -> None:
    watching = await asyncpg.connect(postgres.dsn)
    await watching.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'until-it-is-revoked'")
    config = {"host": postgres.host, "port": postgres.port, "database": "postgres", "user": ROLE}
    body = {"name": "revoked-soon", "type": "postgresql", "config": config | {"sslmode": "disable"}}
    with platform.http() as api, platform.http() as other, ThreadPoolExecutor(1) as pool:
        made = api.post(
            "/v1/data-sources", json=body | {"secrets": {"password": "until-it-is-revoked"}}
        )
        assert made.status_code == 201, made.text
        address = f"/v1/data-sources/{made.json()['id']}"
        ask = {"sql": "SELECT pg_sleep(100)"}
        asked = pool.submit(other.post, f"{address}/query", json=ask)
        while not await sessions(watching, "active"):
            assert not asked.done(), asked.result().text
        gone = api.delete(address)
        deleted = time.monotonic()
        assert gone.status_code < 300, gone.text
        while await sessions(watching):
            assert time.monotonic() < deleted + LATEST_S
        answer = asked.result(LATEST_S)
        assert answer.status_code == 409 and answer.json()["error"]["reason"] == "GRANT_REVOKED"
        assert api.post(f"{address}/query", json=ask).status_code == 404
    await watching.execute(f"DROP ROLE {ROLE}")
    await watching.close()
