"""Kill -9 of a service while a chat runs: a clear error, a restart, and the next chat works."""

import json
import os
import signal
import time
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Platform
from tests.e2e.question import body

pytestmark = pytest.mark.slow
BACK_S = 60


def run_killing(platform: Platform, service: str, at: str) -> tuple[list[dict[str, Any]], float]:
    """Stream a chat and kill `service` at the first event `at`: what came, seconds to the end."""
    came: list[dict[str, Any]] = []
    killed = 0.0
    try:
        with (
            platform.http() as api,
            api.stream("POST", "/v1/chat/completions", json=body(stream=True)) as stream,
        ):
            for line in stream.iter_lines():
                if not line.startswith("data: {"):
                    continue
                came.append(json.loads(line[6:]))
                if not killed and at in came[-1].get("isobath", {}):
                    os.kill(platform.pid(service), signal.SIGKILL)
                    killed = time.monotonic()
    except httpx.TransportError as cut:
        came.append({"error": {"message": str(cut), "reason": "CONNECTION_LOST"}})
    return came, time.monotonic() - killed


def text_of(chunk: dict[str, Any]) -> str:
    return "".join(each["delta"].get("content") or "" for each in chunk.get("choices", ()))


def works_again(platform: Platform) -> bool:
    deadline = time.monotonic() + BACK_S
    while time.monotonic() < deadline:
        try:
            with platform.http() as api:
                reply = api.post("/v1/chat/completions", json=body())
            if reply.status_code == 200 and "<Answer>" in reply.text:
                return True
        except httpx.TransportError:
            pass  # the gateway itself is coming back: asked again until the deadline
        time.sleep(0.2)
    return False


@pytest.mark.req("S5", "S7", "S8")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("service", "at"),
    [("sandbox", "program_started"), ("inference", "block_opened"), ("gateway", "block_opened")],
)
def test_run_ends_with_a_clear_error_or_goes_on_and_the_next_works(
    platform: Platform, service: str, at: str
) -> None:
    before = platform.pid(service)
    came, seconds = run_killing(platform, service, at)
    failed = [each["error"] for each in came if "error" in each]
    print(f"{service}: the run ended {seconds:.2f} s after the kill: {failed}")
    if service == "inference" and not failed:
        # the kill fell between two turns: the next one waited for the restart
        assert "<Answer>" in "".join(text_of(each) for each in came)
    else:
        assert len(failed) == 1 and failed[0]["reason"]
    assert works_again(platform)
    assert platform.pid(service) != before
    assert platform.process.poll() is None


@pytest.mark.req("S5", "S7")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", ["credentials", "pg_connector", "blob_connector"])
def test_data_service_killed_before_the_fetch_is_told_or_survived(
    platform: Platform, service: str
) -> None:
    """A service that the fetch needs: the run fails with its name, or waited for the restart."""
    before = platform.pid(service)
    os.kill(before, signal.SIGKILL)
    with platform.http() as api:
        reply = api.post("/v1/chat/completions", json=body())
    if reply.status_code != 200:
        assert reply.status_code in {502, 503}, reply.text
        assert reply.json()["error"]["reason"] == "SERVICE_UNAVAILABLE"
    assert works_again(platform)
    assert platform.pid(service) != before


@pytest.mark.req("S8")
def test_interrupted_run_is_told_after_the_gateway_came_back(platform: Platform) -> None:
    with platform.http() as api:
        states = {each["status"] for each in api.get("/v1/runs").raise_for_status().json()["data"]}
    assert "working" not in states and "fetching" not in states
