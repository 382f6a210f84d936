"""`isobath doctor` against a gateway whose services are well, and are not."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from isobath_client.cli import app
from tests.gateway.conftest import KEY, Platform


async def doctor(platform: Platform, *options: str, key: str = KEY) -> Any:
    environ = {"ISOBATH_ADDRESS": platform.grpc_address, "ISOBATH_API_KEY": key, "COLUMNS": "200"}
    return await asyncio.to_thread(CliRunner().invoke, app, ["doctor", *options], env=environ)


def read(output: str) -> dict[str, dict[str, str]]:
    found = [json.loads(line) for line in output.splitlines()]
    return {each["what"]: each for each in found}


@pytest.mark.req("S6", "S7")
async def test_doctor_tells_what_is_well_and_what_to_mend(platform: Platform) -> None:
    await platform.source()
    told = read((await doctor(platform, "--json")).stdout)
    assert told["gateway"]["verdict"] == told["credentials"]["verdict"] == "ok"
    assert told["inference"]["verdict"] == told["source shop"]["verdict"] == "ok"
    assert told["readiness"]["verdict"] == "ok"
    # the double of the sandbox tells no tier
    assert told["isolation"]["verdict"] == "problem"

    platform.connector.refuses_password = True
    await platform.stop["inference"]()
    ran = await doctor(platform, "--json")
    assert ran.exit_code == 1
    told = read(ran.stdout)
    assert told["inference"]["told"] == "UNREACHABLE"
    assert "ISOBATH_GATEWAY_INFERENCE" in told["inference"]["remedy"]
    assert told["models"]["verdict"] == "problem" and told["models"]["remedy"]
    assert told["source shop"]["told"] == "authenticate: wrong password"


async def test_doctor_is_for_people_too(platform: Platform) -> None:
    ran = await doctor(platform)
    assert "✓ gateway" in ran.stdout and "! sources" in ran.stdout
    assert "isobath sources add" in ran.stdout


async def test_doctor_with_a_wrong_key_stops_there(platform: Platform) -> None:
    ran = await doctor(platform, "--json", key="isb-wrong")
    assert ran.exit_code == 1
    told = read(ran.stdout)
    assert list(told) == ["gateway"] and told["gateway"]["remedy"]
