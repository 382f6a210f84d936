"""Readiness: what is seen of the dependencies, what follows, and who is told."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from servicekit import sql
from servicekit.health import state
from servicekit.sql import standing
from services.gateway import readiness
from services.gateway.readiness import Dependency, verdict
from services.gateway.store import database
from tests.gateway.conftest import Platform, platform_of


def seen(name: str, state: str = "SERVING", *, essential: bool = True) -> Dependency:
    return Dependency(name, essential, state, 0.0)


@pytest.mark.parametrize(
    ("dependencies", "draining", "status", "reason"),
    [
        ((), False, "unready", "nothing has been looked at yet"),
        ((seen("database"),), False, "ready", ""),
        ((seen("database"),), True, "unready", "the gateway is going away"),
        ((seen("sandbox", "UNREACHABLE"),), False, "unready", "sandbox: UNREACHABLE"),
        (
            (seen("database"), seen("connector a", "NOT_SERVING", essential=False)),
            False,
            "degraded",
            "connector a: NOT_SERVING",
        ),
        (
            (
                seen("connector a", "UNREACHABLE", essential=False),
                seen("database", "MIGRATIONS_PENDING"),
            ),
            False,
            "unready",
            "database: MIGRATIONS_PENDING",
        ),
    ],
)
def test_verdict(
    dependencies: tuple[Dependency, ...], draining: bool, status: str, reason: str
) -> None:
    told = verdict(dependencies, draining=draining)
    assert (told.status, told.reason, told.ready) == (status, reason, status != "unready")


async def ready(platform: Platform) -> httpx.Response:
    return await platform.http.get("/readyz", headers={"authorization": ""})


async def become(platform: Platform, status: str) -> dict[str, Any]:
    """Looks until it is so."""
    for _ in range(200):
        answer = (await ready(platform)).json()
        if answer["status"] == status:
            return dict(answer)
        await asyncio.sleep(0.05)
    raise AssertionError(answer)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "EVERY_S", 0.05)
    monkeypatch.setattr(readiness, "SOON_S", 0.05)


@pytest.mark.req("S7")
async def test_readyz_tells_each_dependency_and_needs_no_key(platform: Platform) -> None:
    answer = await ready(platform)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["status"], told["reason"]) == ("ready", "")
    named = {each["name"].split()[0]: each for each in told["dependencies"]}
    assert set(named) == {"database", "credentials", "sandbox", "inference", "connector"}
    assert {each["state"] for each in named.values()} == {"SERVING"}
    assert not named.pop("connector")["essential"]
    assert all(each["essential"] for each in named.values())
    for place in ("/livez", "/healthz"):
        assert (await platform.http.get(place)).json() == {"status": "alive"}


@pytest.mark.req("S7")
async def test_lost_connector_degrades_and_lost_sandbox_makes_unready(
    platform: Platform, quick: None
) -> None:
    assert await state(platform.grpc) == "SERVING"
    await platform.stop["connector"]()
    degraded = await become(platform, "degraded")
    assert degraded["reason"].startswith("connector") and "does not answer" in degraded["reason"]
    assert (await ready(platform)).status_code == 200
    assert await state(platform.grpc) == "SERVING"

    await platform.stop["sandbox"]()
    unready = await become(platform, "unready")
    assert unready["reason"] == "sandbox: does not answer"
    assert (await ready(platform)).status_code == 503
    assert (await platform.http.get("/livez")).status_code == 200
    metrics = (await platform.http.get("/metrics")).text
    assert "isobath_ready 0.0" in metrics
    assert 'isobath_dependencies{dependency="sandbox"} 1.0' in metrics
    assert 'isobath_dependencies_serving{dependency="sandbox"} 0.0' in metrics
    for _ in range(100):
        if await state(platform.grpc) == "NOT_SERVING":
            break
        await asyncio.sleep(0.05)
    # its own health says the same; that of each of its services does not depend on others
    assert await state(platform.grpc) == "NOT_SERVING"
    assert await state(platform.grpc, "isobath.analyst.v1.AnalystService") == "SERVING"


@pytest.mark.req("S7")
async def test_probes_look_at_nothing(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> str:
        raise AssertionError("a probe went further than the gateway")

    monkeypatch.setattr("servicekit.health.state", never)
    answers = await asyncio.gather(*(ready(platform) for _ in range(50)))
    assert {each.status_code for each in answers} == {200}


async def test_gateway_that_starts_alone_waits_until_others_are_there(tmp_path: Path) -> None:
    async with platform_of(tmp_path, sandbox=("127.0.0.1:1",)) as platform:
        assert (await ready(platform)).status_code == 503
        assert await state(platform.grpc) == "NOT_SERVING"


@pytest.mark.parametrize(
    ("found", "state"),
    [("0001", "MIGRATIONS_PENDING"), (None, "MIGRATIONS_PENDING"), ("9999-later", "SERVING")],
)
async def test_schema_that_is_behind_is_told(tmp_path: Path, found: str | None, state: str) -> None:
    async with database.opened(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}") as store:
        assert await standing(store, database.MIGRATIONS) == "SERVING"
        async with store.begin() as session:
            await session.execute(text("DELETE FROM alembic_version"))
            if found:
                insert = text("INSERT INTO alembic_version VALUES (:v)")
                await session.execute(insert, {"v": found})
        assert await standing(store, database.MIGRATIONS) == state


@pytest.mark.req("S7")
async def test_database_that_is_away_is_told() -> None:
    async with sql.opened("postgresql+asyncpg://a:b@127.0.0.1:1/x") as store:
        assert await standing(store, database.MIGRATIONS) == "UNREACHABLE"
