"""Sources of the operator's file, as callers see them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.credentials import declarations
from services.gateway import declared
from tests.gateway.conftest import Platform, draft, platform_of

pytestmark = pytest.mark.req("D7")
TEXT = """\
sources:
  - {name: shop, owner: default, type: double, config: {host: db, port: 5432},
     secrets: {password: "file:SECRET"}}
"""


@pytest_asyncio.fixture
async def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    monkeypatch.setattr(declared, "_LOOK_S", 0.05)
    monkeypatch.setattr(declarations, "_LOOK_S", 0.05)
    (tmp_path / "secret").write_text("planted-password\n")
    _write(tmp_path, TEXT)
    async with platform_of(tmp_path, declared=tmp_path / "sources.yaml") as running_platform:
        yield running_platform


def _write(folder: Path, text: str) -> None:
    (folder / "sources.yaml").write_text(text.replace("SECRET", str(folder / "secret")))


async def seen(platform: Platform, until: Callable[[list[dict[str, Any]]], bool]) -> Any:
    async with asyncio.timeout(20):
        while not until(found := (await platform.http.get("/v1/data-sources")).json()["data"]):
            await asyncio.sleep(0.02)
    return found


async def test_declared_source_is_listed_and_read_like_others(platform: Platform) -> None:
    (shop,) = await seen(platform, bool)
    assert (shop["name"], shop["config"]) == ("shop", {"host": "db", "port": 5432})
    assert shop["secrets_set"] == ["password"]
    checked = await platform.http.post(f"/v1/data-sources/{shop['id']}/test")
    assert checked.status_code == 200
    assert "planted-password" not in checked.text


async def test_declared_source_is_changed_in_the_file_only(
    platform: Platform, tmp_path: Path
) -> None:
    (shop,) = await seen(platform, bool)
    place = f"/v1/data-sources/{shop['id']}"
    for answer in (
        await platform.http.patch(place, json={"description": "x"}),
        await platform.http.delete(place),
    ):
        assert answer.status_code == 409
        assert "declared" in answer.json()["error"]["message"]
    # what the file does not speak of is its owner's to say, and stays
    guide = {"notes": {"public.orders": "one row per order"}, "queries": []}
    beside = {"guide": guide, "approval": ["query"], "teams": []}
    assert (await platform.http.patch(place, json=beside)).status_code == 200
    _write(tmp_path, TEXT.replace("5432", "5433"))
    (later,) = await seen(platform, lambda found: found[0]["config"]["port"] == 5433)
    assert (later["id"], later["version"]) == (shop["id"], 2)
    assert (later["guide"], later["approval"]) == (guide, ["query"])
    _write(tmp_path, "sources: []\n")
    assert await seen(platform, lambda found: not found) == []


async def test_name_of_a_callers_source_is_not_taken_away(
    platform: Platform, tmp_path: Path
) -> None:
    await seen(platform, bool)
    made = await platform.http.post("/v1/data-sources", json=draft("mine"))
    assert made.status_code == 201
    others = [TEXT.removeprefix("sources:\n").replace("shop", name) for name in ("mine", "last")]
    _write(tmp_path, TEXT + "".join(others))
    found = await seen(platform, lambda found: len(found) == 3)
    assert {each["name"]: each["id"] for each in found}["mine"] == made.json()["id"]
