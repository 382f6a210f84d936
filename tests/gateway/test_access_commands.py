"""`isobath keys`, `isobath whoami`, `isobath usage` and `isobath sources share`."""

import json

import pytest

from tests.gateway.conftest import ANSWER, Platform
from tests.gateway.test_command import isobath, lines


@pytest.mark.req("S2")
async def test_key_is_made_listed_used_and_revoked(platform: Platform) -> None:
    words = ("--owner", "ann", "--name", "nightly", "--scope", "read-only", "--team", "sales")
    bounds = ("--days", "1", "--quota", "rows_per_day=5")
    made = await isobath(platform, "keys", "create", *words, *bounds)
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    async with platform.caller(secret) as ann:
        who = (await ann.get("/v1/caller")).json()
    assert (who["owner"], who["scope"], who["teams"]) == ("ann", "read-only", ["sales"])
    assert who["quota"]["rows_per_day"] == 5
    listed = await lines(platform, "keys", "list")
    (id,) = (each["id"] for each in listed if each["owner"] == "ann")
    shown = (await isobath(platform, "keys", "list")).stdout
    renamed = ("keys", "update", id, "--name", "weekly", "--quota", "rows_per_day=7")
    (key,) = await lines(platform, *renamed)
    assert (key["name"], key["quota"]) == ("weekly", {"rows_per_day": "7"})
    assert key["teams"] == ["sales"]
    assert id in shown and "nightly" in shown and "until 20" in shown and secret not in shown
    assert "is revoked" in (await isobath(platform, "keys", "revoke", id)).stdout
    assert id not in (await isobath(platform, "keys", "list")).stdout
    assert "revoked" in (await isobath(platform, "keys", "list", "--ended")).stdout


@pytest.mark.req("S2")
async def test_key_as_json_has_its_secret(platform: Platform) -> None:
    (made,) = await lines(platform, "keys", "create")
    assert made["secret"].startswith("isb-") and made["key"]["scope"] == "SCOPE_ANALYST"
    for wrong in ("rows=5", "rows_per_day=x", "rows_per_day"):
        assert (await isobath(platform, "keys", "create", "--quota", wrong)).exit_code == 2


@pytest.mark.req("C9")
async def test_caller_and_usage_are_told(platform: Platform) -> None:
    platform.models.turns = [ANSWER.format("It is 42.")]
    assert (await isobath(platform, "ask", "How many?")).exit_code == 0
    who = (await isobath(platform, "whoami")).stdout
    assert "default" in who and "admin" in who and "tokens per day" in who
    shown = (await isobath(platform, "usage")).stdout
    assert "total" in shown and "default" in shown
    *_, total = await lines(platform, "usage", "--everybody")
    assert total["day"] == "total" and int(total["usage"]["runs"]) == 1
    refused = await isobath(platform, "usage", "--from", "yesterday")
    assert refused.exit_code == 1 and "from must be a day" in refused.output


@pytest.mark.req("S2")
async def test_source_is_shared_and_unshared(platform: Platform) -> None:
    await platform.source("shop")
    shared = await isobath(platform, "sources", "share", "shop", "--team", "sales", "--team", "*")
    assert "*, sales" in shared.stdout
    assert "sales" in (await isobath(platform, "sources", "list")).stdout
    unshared = await isobath(platform, "sources", "share", "shop")
    assert "nobody" in unshared.stdout
    (told,) = await lines(platform, "sources", "list")
    assert "teams" not in told and json.dumps(told)
