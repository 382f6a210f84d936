"""Short-lived credentials of Vault's database engine, with roles of a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest

from dev.postgres import Postgres
from servicekit.secrets import Secret
from services.credentials import store
from services.credentials.clock import Clock
from services.credentials.errors import VaultRefused, VaultUnavailable
from services.credentials.home import Home
from services.credentials.vaults import hashicorp
from services.credentials.vaults.book import Book
from services.credentials.vaults.database import DatabaseRoles, Holder, Leased, NoRoles
from services.credentials.vaults.login import AppRole, GivenToken, Login
from tests.credentials import kv_double
from tests.credentials.database_double import Engine, managed
from tests.credentials.kv_double import Kept

HOLDER = Holder("ds-1", "owner-1", 1, "database/analyst")
pytestmark = pytest.mark.req("S1")


@dataclass
class Hand:
    """A clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Scene:
    url: str
    kept: Kept
    engine: Engine
    clock: Hand
    postgres: Postgres
    home: Path

    @asynccontextmanager
    async def roles(self, login: Login | None = None) -> AsyncIterator[DatabaseRoles]:
        """As services.credentials.vaults.database.roles opens them, without what runs by itself."""
        login = login or GivenToken(Secret(kv_double.TOKEN))
        place = hashicorp.Place(self.url, login, "secret", "isobath", "", 5.0)
        async with (
            store.opened(Home(self.home)) as kept,
            hashicorp.connected(place, clock=self.clock) as connection,
        ):
            roles = DatabaseRoles(connection, Book(kept, Clock()), self.clock)
            try:
                yield roles
            finally:
                await roles.aclose()

    async def may(self, leased: Leased) -> bool:
        """Whether PostgreSQL lets them in."""
        user, password = (leased.fields[name].reveal() for name in ("username", "password"))
        dsn = self.postgres.dsn_of("postgres", user=user, password=password)
        try:
            connection = await asyncpg.connect(dsn)
        except asyncpg.InvalidPasswordError:
            return False
        await connection.close()
        return True

    def move(self, seconds: float) -> None:
        self.clock.now += seconds
        self.kept.expire()


@pytest.fixture
async def scene(postgres: Postgres, home: Path) -> AsyncIterator[Scene]:
    clock = Hand()
    async with managed(postgres, "postgres") as made:
        engine = Engine(made, clock, ttl_s=60, max_ttl_s=180)
        with kv_double.running(database=engine, clock=clock) as (url, kept):
            yield Scene(url, kept, engine, clock, postgres, home)


async def test_roles_are_made_by_the_engine_and_work(scene: Scene) -> None:
    async with scene.roles() as roles:
        leased = await roles.credentials(HOLDER)
        assert await scene.may(leased)
        assert leased.fields["username"].reveal() == scene.engine.made[0]
        assert (leased.renew_at, leased.ends_at) == (1040.0, 1060.0)


async def test_however_many_ask_one_lease_is_made(scene: Scene) -> None:
    async with scene.roles() as roles:
        asked = await asyncio.gather(*(roles.credentials(HOLDER) for _ in range(20)))
    assert len({leased.lease_id for leased in asked}) == len(scene.engine.made) == 1


async def test_sources_and_their_versions_have_leases_of_their_own(scene: Scene) -> None:
    others = [HOLDER, replace(HOLDER, version=2), replace(HOLDER, source_id="ds-2")]
    async with scene.roles() as roles:
        asked = await asyncio.gather(*map(roles.credentials, others))
    assert len({leased.lease_id for leased in asked}) == 3


async def test_one_who_gives_up_leaves_the_lease_to_the_others(scene: Scene) -> None:
    async with scene.roles() as roles:
        first = asyncio.create_task(roles.credentials(HOLDER))
        await asyncio.sleep(0)
        second = asyncio.create_task(roles.credentials(HOLDER))
        await asyncio.sleep(0)
        first.cancel()
        assert await scene.may(await second)
    assert len(scene.engine.made) == 1


async def test_lease_is_renewed_at_two_thirds_and_replaced_when_that_gains_little(
    scene: Scene,
) -> None:
    async with scene.roles() as roles:
        first = await roles.credentials(HOLDER)
        for _ in range(3):
            scene.move(40)
            again = await roles.credentials(HOLDER)
            assert again.lease_id == first.lease_id
        assert scene.engine.renewed == 3
        scene.move(39)
        assert (await roles.credentials(HOLDER)).lease_id == first.lease_id
        scene.move(1)  # 160 of at most 180 seconds are over: 20 more are not worth it
        other = await roles.credentials(HOLDER)
        assert other.lease_id != first.lease_id
        # both work, so that connectors have the time to move
        assert await scene.may(first)
        assert await scene.may(other)
        scene.move(20)
        assert not await scene.may(first)
        assert await scene.may(other)


async def test_lease_in_use_is_renewed_without_being_asked_and_others_run_out(
    scene: Scene,
) -> None:
    async with scene.roles() as roles:
        leased = await roles.credentials(HOLDER)
        await roles.credentials(HOLDER)
        scene.move(40)
        await roles.keep()
        assert scene.engine.renewed == 1
        scene.move(40)
        await roles.keep()
        assert scene.engine.renewed == 1
        scene.move(20)
        await roles.keep()
        assert not await scene.may(leased)


@pytest.mark.parametrize("trouble", ["sealed", "throttled", "database away"])
async def test_lease_goes_on_while_vault_is_away_and_then_the_error_says_why(
    scene: Scene, trouble: str
) -> None:
    async with scene.roles() as roles:
        leased = await roles.credentials(HOLDER)
        scene.kept.sealed = trouble == "sealed"
        scene.kept.throttled = trouble == "throttled"
        scene.engine.broken = trouble == "database away"
        scene.engine.max_ttl_s = 0
        if trouble == "database away":
            scene.engine.leases[leased.lease_id].last_at = scene.clock() + 60
        scene.move(59)
        assert await roles.credentials(HOLDER) == leased
        scene.move(2)
        with pytest.raises(VaultUnavailable) as failed:
            await roles.credentials(HOLDER)
        words = {"sealed": "sealed", "throttled": "quota", "database away": "could not make"}
        assert words[trouble] in str(failed.value)
        scene.kept.sealed = scene.kept.throttled = scene.engine.broken = False
        scene.engine.max_ttl_s = 180
        assert await scene.may(await roles.credentials(HOLDER))


async def test_lease_goes_on_while_vault_cannot_be_reached(scene: Scene) -> None:
    async with scene.roles() as roles:
        leased = await roles.credentials(HOLDER)
        scene.kept.cut = True
        scene.move(59)
        assert await roles.credentials(HOLDER) == leased
        scene.move(1)
        with pytest.raises(VaultUnavailable, match="cannot be reached"):
            await roles.credentials(HOLDER)


async def test_forgotten_leases_are_revoked_and_connections_end(scene: Scene) -> None:
    async with scene.roles() as roles:
        mine = await roles.credentials(HOLDER)
        other = await roles.credentials(replace(HOLDER, source_id="ds-2"))
        await roles.forget("source_id", "ds-1")
        await roles.keep()
        assert not await scene.may(mine)
        assert await scene.may(other)
        assert (await roles.credentials(HOLDER)).lease_id != mine.lease_id


async def test_lease_that_comes_after_its_source_was_forgotten_is_revoked(scene: Scene) -> None:
    async with scene.roles() as roles:
        with scene.kept.lock:
            coming = asyncio.create_task(roles.credentials(HOLDER))
            await asyncio.sleep(0.01)
            await roles.forget("owner", "owner-1")
        late = await coming
        await roles.keep()
        assert not await scene.may(late)


async def test_lease_forgotten_while_vault_is_sealed_is_revoked_later(scene: Scene) -> None:
    async with scene.roles() as roles:
        leased = await roles.credentials(HOLDER)
        scene.kept.sealed = True
        await roles.forget("owner", "owner-1")
        await roles.keep()
        assert await scene.may(leased)
        scene.kept.sealed = False
        await roles.keep()
        assert not await scene.may(leased)


async def test_leases_of_an_earlier_start_are_revoked_too(scene: Scene) -> None:
    async with scene.roles() as roles:
        mine = await roles.credentials(HOLDER)
        other = await roles.credentials(replace(HOLDER, owner="owner-2", source_id="ds-2"))
    async with scene.roles() as roles:
        await roles.forget("source_id", "ds-1")
        scene.kept.sealed = True
        await roles.keep()
    scene.kept.sealed = False
    async with scene.roles() as roles:
        await roles.keep()
        assert not await scene.may(mine)
        assert await scene.may(other)


async def test_vault_that_fails_is_not_asked_again_at_once(scene: Scene) -> None:
    async with scene.roles() as roles:
        leased = await roles.credentials(HOLDER)
        scene.kept.sealed = True
        scene.move(40)
        assert await roles.credentials(HOLDER) == leased
        asked = scene.kept.requests
        assert await roles.credentials(HOLDER) == leased
        assert scene.kept.requests == asked
        scene.kept.sealed = False
        scene.move(1)
        assert (await roles.credentials(HOLDER)).ends_at > leased.ends_at


async def test_end_of_the_service_leaves_leases_to_the_connectors(scene: Scene) -> None:
    async with scene.roles() as roles:
        leased = await roles.credentials(HOLDER)
    assert await scene.may(leased)


async def test_lease_ends_with_the_token_that_it_hangs_on(scene: Scene) -> None:
    scene.kept.secret_ids, scene.kept.ttl_s, scene.kept.renewals = {"s"}, 30, 0
    login = AppRole("isobath", Secret("s"), None, "approle")
    async with scene.roles(login) as roles:
        first = await roles.credentials(HOLDER)
        assert first.ends_at == 1030.0
        scene.move(25)
        scene.kept.revoke_tokens()
        other = await roles.credentials(HOLDER)
        assert not await scene.may(first)
        assert await scene.may(other)


async def test_role_that_vault_does_not_know_is_told(scene: Scene) -> None:
    async with scene.roles() as roles:
        with pytest.raises(VaultRefused, match="does not know the database role database/other"):
            await roles.credentials(replace(HOLDER, role="database/other"))


async def test_role_without_a_vault_is_told() -> None:
    with pytest.raises(VaultRefused, match="no Vault is set"):
        await NoRoles().credentials(HOLDER)


async def test_lease_that_vault_lost_is_replaced(scene: Scene) -> None:
    async with scene.roles() as roles:
        first = await roles.credentials(HOLDER)
        scene.engine.drop_all()
        scene.move(40)
        assert await scene.may(await roles.credentials(HOLDER))
        assert not await scene.may(first)


def test_a_lease_does_not_print_its_password() -> None:
    leased = Leased("l", {"password": Secret("hidden-value")}, 1, 1, 1, True, None)
    assert "hidden-value" not in repr(leased)
