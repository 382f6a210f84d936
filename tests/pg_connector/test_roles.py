"""What Check tells of a role that may do more than read, and the role that it advises instead."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from tests.pg_connector.conftest import PASSWORD, Platform

pytestmark = pytest.mark.req("P8", "D4")
MORE = """
CREATE SCHEMA far; CREATE TABLE far.things (id int); INSERT INTO far.things VALUES (1);
CREATE SEQUENCE numbers;
CREATE FUNCTION writes() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM customers';
REVOKE EXECUTE ON FUNCTION writes FROM PUBLIC;
"""


@dataclass
class Roles:
    platform: Platform
    name: str

    async def alter(self, sql: str) -> None:
        await self.platform.postgres.execute(
            sql.format(role=self.name), database=self.platform.database
        )

    async def check(self, user: str = "", source_id: str = "ds-1") -> pb.CheckResponse:
        config = {"user": user} if user else {}
        grant = await self.platform.grant(source_id=source_id, config=config)
        told: pb.CheckResponse = await self.platform.call("Check", pb.CheckRequest(grant=grant))
        return told


@pytest.fixture
async def roles(platform: Platform) -> AsyncIterator[Roles]:
    await platform.postgres.execute(MORE, database=platform.database)
    yield Roles(platform, platform.config["user"])


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ("GRANT INSERT ON orders TO {role}", "may write to 1 relations"),
        ("GRANT UPDATE (note) ON orders TO {role}", "may write to 1 relations"),
        ("GRANT TRUNCATE ON orders TO {role}", "may write to 1 relations"),
        ("GRANT DELETE ON orders TO PUBLIC", "may write to 1 relations"),
        ("ALTER TABLE secrets OWNER TO {role}", "owns 1 relations"),
        ("GRANT USAGE ON SEQUENCE numbers TO {role}", "may advance 1 sequences"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "may create objects"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "may create objects"),
        ("ALTER ROLE {role} CREATEDB", "may create databases"),
        ("ALTER ROLE {role} CREATEROLE", "may create and change roles"),
        ("ALTER ROLE {role} REPLICATION", "may replicate the whole server"),
        ("GRANT pg_write_all_data TO {role}", "write to all tables (pg_write_all_data)"),
        ("GRANT pg_execute_server_program TO {role}", "run programs on the server"),
        ("GRANT pg_write_server_files TO {role}", "write files of the server"),
        ("GRANT pg_maintain TO {role}", "rebuild and refresh all tables"),
        ("ALTER ROLE {role} SUPERUSER", "is a superuser"),
    ],
)
async def test_role_that_may_write_is_told_with_another_advised(
    roles: Roles, given: str, warning: str
) -> None:
    await roles.alter(given)
    told = await roles.check()
    assert told.writable and any(warning in each for each in told.warnings), told.warnings
    assert f'CREATE ROLE "{roles.name}_reader" LOGIN' in told.advice
    await _runs_and_reads_only(roles, told.advice)


async def _runs_and_reads_only(roles: Roles, advice: str) -> None:
    """The advice as it stands, then what the role can and cannot do without any layer of ours."""
    platform, reader = roles.platform, f"{roles.name}_reader"
    await roles.alter(advice)
    try:
        await roles.alter(f"ALTER ROLE {reader} PASSWORD '{PASSWORD}'")
        await platform.put(PASSWORD, "ds-reader")
        told = await roles.check(reader, "ds-reader")
        assert all(step.passed for step in told.steps) and len(told.steps) == 3
        assert not told.writable and not told.warnings and not told.advice
        await _reads_and_cannot_write(platform.postgres, platform.database, reader)
    finally:
        await roles.alter(f"DROP OWNED BY {reader}; DROP ROLE {reader}")
        await roles.alter("ALTER TABLE secrets OWNER TO postgres")


READS = [
    "SELECT count(*) FROM orders",
    "TABLE customers",
    "TABLE secrets",
    "TABLE far.things",
    "TABLE later",
    "SELECT * FROM big_orders",
    'TABLE "Odd Name"."Table.1"',
]
WRITES = [
    "INSERT INTO secrets VALUES (1)",
    "UPDATE orders SET note = ''",
    "DELETE FROM customers",
    "TRUNCATE orders",
    "CREATE TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "SELECT nextval('numbers')",
    "SELECT writes()",
    "DROP TABLE orders",
    "COPY orders TO PROGRAM 'cat'",
    "SELECT pg_read_file('PG_VERSION')",
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
]


async def _reads_and_cannot_write(server: Postgres, database: str, reader: str) -> None:
    """What the owner makes later can be read, too."""
    await server.execute("CREATE TABLE later (id int)", database=database)
    dsn = server.dsn_of(database, user=reader, password=PASSWORD)
    connection = await asyncpg.connect(dsn)
    try:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("CREATE TEMP TABLE kept (id int); INSERT INTO kept VALUES (1)")
        await connection.execute("SET default_transaction_read_only = off")
        for sql in READS:
            await connection.fetch(sql)
        for sql in WRITES:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql)
    finally:
        await connection.close()
        await server.execute("DROP TABLE later", database=database)


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ("GRANT EXECUTE ON FUNCTION writes TO {role}", "may call 1 functions that run with"),
        ("GRANT pg_read_server_files TO {role}", "read files of the server"),
        ("GRANT pg_signal_backend TO {role}", "end other sessions"),
        ("ALTER ROLE {role} BYPASSRLS", "is not held by row security"),
    ],
)
async def test_what_is_more_than_reading_is_warned_of(
    roles: Roles, given: str, warning: str
) -> None:
    await roles.alter(given)
    told = await roles.check()
    assert not told.writable and [warning in each for each in told.warnings] == [True]


async def test_role_that_may_read_nothing_is_told_what_to_grant(roles: Roles) -> None:
    await roles.alter('REVOKE ALL ON ALL TABLES IN SCHEMA public, "Odd Name" FROM {role}')
    told = await roles.check()
    assert [step.passed for step in told.steps] == [True, True, False]
    assert told.steps[-1].reason == "SOURCE_FORBIDDEN" and not told.writable
    await roles.alter(told.advice)
    told = await roles.check()
    assert told.steps[-1].passed and not told.advice
