"""Logins that are replaced while queries run."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from connectorkit.access import Closer, Gate
from connectorkit.refusals import RevokedGrant
from dev.postgres import Postgres
from grants.claims import Grant, Json
from servicekit.secrets import Secret
from services.pg_connector import errors
from services.pg_connector.pools import Pools
from services.pg_connector.settings import Settings
from tests.pg_connector.conftest import body
from tests.pg_connector.test_vault_roles import Leased, leased

__all__ = ["leased"]
pytestmark = pytest.mark.req("P1", "S1")
_ROLES = ("rotated_a", "rotated_b")


@dataclass
class Fields:
    """The part of the gate that pools see, whose fields a test replaces at will. It does not
    imitate leases: what is set is given at once, or only when the former was refused."""

    now: Mapping[str, Secret]
    next: Mapping[str, Secret] | None = None
    closers: list[Closer] = field(default_factory=list)

    def on_close(self, close: Closer) -> None:
        self.closers.append(close)

    async def secrets(self, grant: Grant) -> Mapping[str, Secret]:
        return self.now

    async def other_secrets(
        self, grant: Grant, refused: Mapping[str, Secret]
    ) -> Mapping[str, Secret]:
        if self.next is not None:
            self.now, self.next = self.next, None
        return self.now


def login(user: str, password: str) -> Mapping[str, Secret]:
    return {"username": Secret(user), "password": Secret(password)}


@dataclass
class Scene:
    postgres: Postgres
    gate: Fields
    pools: Pools
    grant: Grant

    async def ask(self, sql: str) -> Any:
        async with self.pools.held(self.grant) as held:
            return await held.run(held.connection.fetchval(sql), held.place.doing())

    async def sessions(self, user: str) -> int:
        return int(
            await self.ask(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'")
        )


@asynccontextmanager
async def scene_of(postgres: Postgres, **settings: Any) -> AsyncIterator[Scene]:
    for role in _ROLES:
        await postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'first'")
    try:
        gate = Fields(login(_ROLES[0], "first"))
        place: dict[str, Json] = {
            "host": postgres.host,
            "port": postgres.port,
            "database": "postgres",
            "vault_role": "database/x",
        }
        now = datetime.now(UTC)
        grant = Grant(
            grant_id="g", owner="o", caller="", source_id="ds-1", source_type="postgresql",
            source_version=1, config=place, operations=frozenset({"read"}),
            issued_at=now, expires_at=now + timedelta(hours=1),
        )  # fmt: skip
        chosen = Settings(connect_attempts=1, **settings)
        async with Pools(cast("Gate", gate), chosen) as pools:
            yield Scene(postgres, gate, pools, grant)
    finally:
        for role in _ROLES:
            await postgres.execute(f"DROP ROLE {role}")


async def test_queries_go_on_while_logins_are_replaced(
    no_leaks: object, postgres: Postgres
) -> None:
    """Each login ends for good once the next was given, while four ask without a pause."""
    async with scene_of(postgres, pool_size=3) as scene:
        answers, over = list[str](), asyncio.Event()

        async def load() -> None:
            while not over.is_set():
                answers.append(await scene.ask("SELECT current_user::text FROM pg_sleep(0.01)"))

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(load())
            for turn in range(6):
                now, before = _ROLES[(turn + 1) % 2], _ROLES[turn % 2]
                await postgres.execute(
                    f"ALTER ROLE {now} PASSWORD 'of {turn}' VALID UNTIL 'infinity'"
                )
                scene.gate.now = login(now, f"of {turn}")
                await postgres.execute(f"ALTER ROLE {before} VALID UNTIL '2000-01-01'")
                seen = len(answers)
                while answers[seen:].count(now) < 10:
                    await asyncio.sleep(0.01)
            over.set()
        assert set(answers) == set(_ROLES)


async def test_old_login_goes_when_its_last_query_has_ended(
    no_leaks: object, postgres: Postgres
) -> None:
    async with scene_of(postgres) as scene:
        async with AsyncExitStack() as stack:
            held = await stack.enter_async_context(scene.pools.held(scene.grant))
            await scene.ask("SELECT 1")
            scene.gate.now = login(_ROLES[1], "first")
            assert await scene.ask("SELECT current_user::text") == _ROLES[1]
            assert scene.pools.opened == 1
            user = await held.connection.fetchval("SELECT current_user::text")
            assert user == _ROLES[0]
        while await scene.sessions(_ROLES[0]):
            await asyncio.sleep(0.01)


async def test_login_that_was_replaced_meanwhile_is_asked_for_again(
    no_leaks: object, postgres: Postgres
) -> None:
    async with scene_of(postgres) as scene:
        await postgres.execute(f"ALTER ROLE {_ROLES[0]} PASSWORD 'second'")
        with pytest.raises(errors.AuthenticationFailed):
            await scene.ask("SELECT 1")
        scene.gate.next = login(_ROLES[0], "second")
        assert await scene.ask("SELECT 1") == 1


async def test_revocation_also_stops_queries_of_an_older_login(
    no_leaks: object, postgres: Postgres
) -> None:
    async with scene_of(postgres) as scene:
        asked = asyncio.create_task(scene.ask("SELECT pg_sleep(120)"))
        while not await scene.sessions(_ROLES[0]) > 1:
            await asyncio.sleep(0.01)
        scene.gate.now = login(_ROLES[1], "first")
        await scene.ask("SELECT 1")
        for close in scene.gate.closers:
            closing = close("ds-1")
            assert closing is not None
            await closing
        with pytest.raises(RevokedGrant):
            await asked
        assert scene.pools.opened == 0


async def test_load_goes_on_through_the_roles_that_vault_makes(leased: Leased) -> None:
    """Whole: Vault's engine ends a role, and its sessions, three seconds after it made it."""
    leased.engine.ttl_s = leased.engine.max_ttl_s = 3.0
    answers = set[bytes]()

    async def load() -> None:
        while len(leased.engine.revoked) < 2:
            answers.add(body(await leased.platform.fetch("SELECT current_user::text AS who")))

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(load())
    assert len(answers) > 2
