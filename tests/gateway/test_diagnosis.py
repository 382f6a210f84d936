"""What admins see of the gateway's process, and who else does not."""

import asyncio
import json
import tracemalloc
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from servicekit import logs
from services.gateway.diagnosis import _awaited
from services.gateway.store import database
from services.gateway.store.tables import AuditRow
from tests.gateway.conftest import Platform, platform_of

PROFILE = "/v1/admin/profile"
PLACES = (PROFILE, "/v1/admin/tasks", "/v1/admin/memory")


async def audited(platform: Platform) -> list[tuple[str, str]]:
    url = f"sqlite+aiosqlite:///{platform.settings.home / 'gateway.db'}"
    async with database.opened(url) as store, store.begin() as session:
        rows = (await session.scalars(select(AuditRow).order_by(AuditRow.number))).all()
    return [(row.operation, row.detail) for row in rows]


@pytest.mark.req("S7", "S4")
@pytest.mark.parametrize(
    ("format", "media_type", "holds"),
    [
        ("speedscope", "application/json", '"$schema"'),
        ("html", "text/html", "<html"),
        ("text", "text/plain", "uvicorn"),
    ],
)
async def test_profile_is_of_the_loop_and_in_the_audit(
    platform: Platform, format: str, media_type: str, holds: str
) -> None:
    asked = {"seconds": "0.4", "format": format}
    profiling = asyncio.create_task(platform.http.get(PROFILE, params=asked))
    for _ in range(20):
        await platform.http.get("/v1/data-sources")
    told = await profiling
    assert told.status_code == 200, told.text
    assert told.headers["content-type"].startswith(media_type) and holds in told.text
    assert "attachment" in told.headers["content-disposition"]
    assert ("profile", f"0.4 s as {format}") in await audited(platform)
    if format == "speedscope":
        assert json.loads(told.text)["profiles"]


@pytest.mark.req("S7")
async def test_one_profile_at_a_time_and_a_caller_that_leaves_ends_it(platform: Platform) -> None:
    async def profile(seconds: float, timeout: float = 30) -> httpx.Response:
        return await platform.http.get(PROFILE, params={"seconds": seconds}, timeout=timeout)

    first = asyncio.create_task(profile(1.0))
    await asyncio.sleep(0.3)
    refused = await profile(0.1)
    assert refused.status_code == 409 and refused.json()["error"]["remedy"]
    assert (await first).status_code == 200
    # whoever hangs up is heard of at the end of the block that it waited for
    with pytest.raises(httpx.ReadTimeout):
        await profile(1.0, timeout=0.2)
    for _ in range(100):
        if (again := await profile(0.05)).status_code == 200:
            break
        await asyncio.sleep(0.1)
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("place", "asked", "param"),
    [
        (PROFILE, {"seconds": "0"}, "seconds"),
        (PROFILE, {"seconds": "61"}, "seconds"),
        (PROFILE, {"seconds": "nan"}, "seconds"),
        (PROFILE, {"seconds": "soon"}, "seconds"),
        (PROFILE, {"format": "pdf"}, "format"),
        ("/v1/admin/memory", {"lines": "0"}, "lines"),
        ("/v1/admin/memory", {"lines": "101"}, "lines"),
    ],
)
async def test_what_is_asked_for_is_bounded(
    platform: Platform, place: str, asked: dict[str, str], param: str
) -> None:
    refused = await platform.http.get(place, params=asked)
    assert refused.status_code == 400 and refused.json()["error"]["param"] == param


@pytest.mark.req("S2")
async def test_only_admins_look_in(platform: Platform) -> None:
    for scope in ("analyst", "read-only"):
        async with platform.other(scope=scope) as other:
            for place in PLACES:
                assert (await other.get(place)).status_code == 403
            level = await other.post("/v1/admin/log-level", json={"level": "DEBUG"})
            assert level.status_code == 403


@pytest.mark.req("S7")
async def test_nobody_looks_in_unless_a_setting_allows_it(tmp_path: Path) -> None:
    async with platform_of(tmp_path, profiling=False) as platform:
        for place in PLACES:
            refused = (await platform.http.get(place)).json()["error"]
            assert refused["reason"] == "UNSUPPORTED"
            assert "ISOBATH_GATEWAY_PROFILING" in refused["remedy"]


async def test_tasks_tell_where_each_waits(platform: Platform) -> None:
    told = (await platform.http.get("/v1/admin/tasks")).json()["data"]
    named = {each["name"]: each["at"] for each in told}
    assert named["readiness"][0].startswith("services/gateway/readiness.py:")
    assert named["readiness"][-1].startswith("asyncio/") and named["readiness"][-1].endswith(
        "sleep"
    )
    assert all(len(each["at"]) <= 16 for each in told)


async def test_calls_of_a_coroutine_are_followed_down_to_what_it_waits_for() -> None:
    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    calls = [each.rpartition(".")[2] for each in _awaited(task.get_coro())]
    assert calls == ["outer", "inner", "wait"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_memory_tells_where_it_was_allocated_where_that_is_traced(
    platform: Platform,
) -> None:
    told = (await platform.http.get("/v1/admin/memory")).json()
    assert told["peak_rss_bytes"] > 1_000_000 and not told["tracing"] and told["allocated"] == []
    tracemalloc.start()
    try:
        await platform.http.get("/v1/data-sources")
        told = (await platform.http.get("/v1/admin/memory", params={"lines": 3})).json()
    finally:
        tracemalloc.stop()
    assert told["tracing"] and len(told["allocated"]) == 3
    assert told["allocated"][0]["bytes"] >= told["allocated"][2]["bytes"] > 0


@pytest.mark.req("S4")
async def test_log_level_changes_while_the_gateway_runs(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logs.get("tests.level")
    try:
        for level, seen in (("DEBUG", True), ("WARNING", False)):
            told = await platform.http.post("/v1/admin/log-level", json={"level": level})
            assert told.json() == {"level": level}
            capsys.readouterr()
            log.debug("whispered")
            assert ("whispered" in capsys.readouterr().err) == seen
    finally:
        logs.set_level("INFO")
    assert ("log_level", "DEBUG") in await audited(platform)
    refused = await platform.http.post("/v1/admin/log-level", json={"level": "LOUD"})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "level"
