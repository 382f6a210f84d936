"""Metrics tell the tier, what enforces it, how full it is, and how programs end."""

import re

import pytest
from prometheus_client import generate_latest

from servicekit.metrics import REGISTRY
from tests.sandbox.boxes import TIERS, place


def scraped() -> dict[str, float]:
    lines = generate_latest(REGISTRY).decode().splitlines()
    told = (re.fullmatch(r"isobath_sandbox_(\S+) (\S+)", line) for line in lines)
    return {match[1]: float(match[2]) for match in told if match}


@pytest.mark.req("S7", "X1")
@pytest.mark.parametrize("tier", TIERS)
async def test_metrics_tell_the_tier_its_room_and_its_ends(tier: str) -> None:
    async with place(tier) as sandbox, sandbox.box() as box:
        before = scraped()
        assert before[f'tier{{tier="{tier}"}}'] == 1
        assert [name for name in before if name.startswith("tier{")] == [f'tier{{tier="{tier}"}}']
        enforced = [name for name in before if name.startswith("enforced{")]
        assert any('limit="memory"' in name for name in enforced), enforced
        assert before["sessions"] == 1 <= before["slots"] and before["waiting"] == 0
        await box.run("1 + 1")
        await box.run("raise ValueError")
        await box.run("import ctypes; ctypes.string_at(0)")
        after = scraped()

    def more(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    assert more('programs_total{outcome="ok"}') == more('programs_total{outcome="error"}') == 1
    assert more('programs_total{outcome="died"}') == 1
    assert more('kernel_deaths_total{cause="crash"}') == 1
