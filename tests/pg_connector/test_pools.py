import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectorkit.access import Gate
from dev.postgres import Postgres
from grants.claims import Grant
from isobath.credentials.v1 import credentials_pb2 as credentials_pb
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from servicekit.secrets import Secret
from servicekit.testing import no_leaks, open_channel, running
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from services.pg_connector import errors
from services.pg_connector.connecting import connect
from services.pg_connector.places import Place, place_of
from services.pg_connector.pools import Pools
from services.pg_connector.securing import Login
from services.pg_connector.servicer import STATUSES, reason_of
from services.pg_connector.settings import Settings

__all__ = ["no_leaks"]


def test_every_error_has_a_reason_of_its_own() -> None:
    abstract = {errors.PgFault, errors.SourceFault, errors.StatementFault}
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.PgFault) and kind not in abstract:
            mapped = next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)
            assert mapped.reason != "INTERNAL", kind
    assert reason_of(errors.DatabaseUnknown("x", source="h:1/d")) == "SOURCE_UNREACHABLE"


def test_place_takes_numbers_as_grants_write_them() -> None:
    config = {"host": "h", "port": 5433.0, "database": "d", "user": "u", "schemas": ["a"]}
    place = place_of(config)  # type: ignore[arg-type]
    assert (place.port, place.source, place.schemas) == (5433, "h:5433/d", ("a",))


async def test_host_beyond_the_allowed_is_refused_before_a_packet_leaves() -> None:
    settings = replace(Settings(), allowed_hosts=("*.db.example.com",))
    with pytest.raises(errors.AddressNotAllowed, match=r"169\.254"):
        await connect(Place("169.254.169.254", 80, "d", "u"), Login(Secret("x")), settings)


@asynccontextmanager
async def pools_on(
    postgres: Postgres, home: Path, settings: Settings
) -> AsyncIterator[tuple[Pools, Gate, list[str]]]:
    """With a grant for each of three sources."""
    kept = CredentialSettings(home=home, heartbeat_s=0.05, key_lead_s=0.0)
    async with running((mount_credentials, kept)) as server, open_channel(server) as channel:
        stub, tokens = credentials_rpc.CredentialServiceStub(channel), list[str]()
        for number in range(3):
            source, owner = f"ds-{number}", "owner-1"
            request = credentials_pb.MintGrantRequest(
                owner=owner, source_id=source, source_type="postgresql", source_version=1,
                operations=["read"],
            )  # fmt: skip
            request.config.update(
                {"host": postgres.host, "port": postgres.port, "database": "postgres",
                 "user": postgres.user}
            )  # fmt: skip
            secret = credentials_pb.PutSecretRequest(
                source_id=source, owner=owner, fields={"password": postgres.password},
                source_type="postgresql", config=request.config,
            )  # fmt: skip
            await stub.PutSecret(secret)
            tokens.append(str((await stub.MintGrant(request)).grant))
        async with (
            Gate(server.address, None, "postgresql") as gate,
            Pools(gate, settings) as pools,
        ):
            yield pools, gate, tokens


async def test_full_pool_says_it_is_busy(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    settings = Settings(pool_size=1, acquire_timeout_s=0.05)
    async with pools_on(postgres, tmp_path / "home", settings) as (pools, gate, tokens):
        grant = gate.admit(tokens[0], "read")
        async with pools.held(grant):
            with pytest.raises(errors.PoolBusy, match="all 1 connections to"):
                async with pools.held(grant):
                    pass
        async with pools.held(grant) as held:
            assert await held.run(held.connection.fetchval("SELECT 1"), held.place.doing()) == 1


async def asked(pools: Pools, grant: Grant, sql: str = "SELECT 1") -> Any:
    async with pools.held(grant) as held:
        return await held.run(held.connection.fetchval(sql), held.place.doing())


@pytest.mark.req("P7")
async def test_those_who_wait_come_in_the_order_in_which_they_came(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    came = list[int]()

    async def one(pools: Pools, grant: Grant, number: int) -> None:
        await asked(pools, grant)
        came.append(number)

    async with pools_on(postgres, tmp_path / "home", Settings(pool_size=1)) as (
        pools,
        gate,
        tokens,
    ):
        grant = gate.admit(tokens[0], "read")
        async with pools.held(grant):
            waiting = [asyncio.create_task(one(pools, grant, number)) for number in range(8)]
            await asyncio.sleep(0)
            waiting[3].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert came == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.req("P7")
async def test_all_sources_together_have_a_bound(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    settings = Settings(connections=2, pool_size=2, acquire_timeout_s=0.05)
    async with pools_on(postgres, tmp_path / "home", settings) as (pools, gate, tokens):
        first, second, third = (gate.admit(token, "read") for token in tokens)
        async with pools.held(first):
            async with pools.held(second):
                with pytest.raises(errors.PoolBusy, match="all 2 connections of the platform"):
                    await asked(pools, third)
                with pytest.raises(errors.PoolBusy, match="to spare"):
                    async with pools.held(first, spare=True):
                        pass
            assert await asked(pools, third) == 1


@pytest.mark.req("P7")
async def test_unused_pool_makes_room_for_another_source(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    settings = Settings(pools=1)
    async with pools_on(postgres, tmp_path / "home", settings) as (pools, gate, tokens):
        first, second = (gate.admit(token, "read") for token in tokens[:2])
        async with pools.held(first):
            await asked(pools, second)
            assert pools.opened == 1
        assert await pools.close("ds-1") == 0 and await pools.close("ds-0") == 1


@pytest.mark.req("P7")
async def test_changed_source_leaves_no_connection_of_its_older_version(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    async with pools_on(postgres, tmp_path / "home", Settings()) as (pools, gate, tokens):
        older = gate.admit(tokens[0], "read")
        newer = replace(older, source_version=older.source_version + 1)
        async with pools.held(older) as held:
            await asked(pools, newer)
            assert await held.connection.fetchval("SELECT 1") == 1
        assert pools.opened == 1


async def test_unused_connections_are_closed(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    settings = Settings(idle_s=0.05)
    async with pools_on(postgres, tmp_path / "home", settings) as (pools, gate, tokens):
        async with pools.held(gate.admit(tokens[0], "read")):
            pass
        while pools.opened:
            await asyncio.sleep(0.01)


async def test_nothing_of_a_session_is_left(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    settings = Settings(pool_size=1)
    async with pools_on(postgres, tmp_path / "home", settings) as (pools, gate, tokens):
        grant = gate.admit(tokens[0], "read")
        async with pools.held(grant) as held:
            pid = held.connection.get_server_pid()
            await held.connection.execute("SET work_mem = '77kB'; CREATE TEMP TABLE t (a int)")
        async with pools.held(grant) as held:
            assert held.connection.get_server_pid() == pid
            assert await held.connection.fetchval("SHOW work_mem") != "77kB"
            assert await held.connection.fetchval("SELECT to_regclass('t')::text") is None


@pytest.mark.req("P7", "K3")
async def test_replicas_share_the_limits_and_those_that_come_are_made_room_for(
    no_leaks: object, postgres: Postgres, tmp_path: Path
) -> None:
    settings = Settings(pool_size=4, acquire_timeout_s=0.05)
    async with pools_on(postgres, tmp_path / "home", settings) as (pools, gate, tokens):
        grant = gate.admit(tokens[0], "read")
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(pools.held(grant))
            (pool,) = pools._pools.values()
            assert pool.opened().get_size() == 4
        pools.share(2)
        async with asyncio.timeout(10):
            while pool.opened().get_size() > 2:
                await asyncio.sleep(0.01)
        async with pools.held(grant), pools.held(grant):
            with pytest.raises(errors.PoolBusy, match="all 2 connections to"):
                await asked(pools, grant)
            # lent ones are closed when they come back
            pools.share(4)
        assert pool.opened().get_size() == 1
        assert await asked(pools, grant) == 1
        pools.share(1)
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(pools.held(grant))
        assert await asked(pools, grant) == 1
