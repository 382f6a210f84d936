"""The whole platform, as `make up` starts it: every service a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from servicekit.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 240
STOP_S = 60


@dataclass
class Platform:
    """A running `make up`. `pids` is read anew each time: the supervisor restarts what dies."""

    home: Path
    process: subprocess.Popen[bytes]
    console: Path

    @property
    def ready(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.home / "ready.json").read_text())
        return loaded

    @property
    def key(self) -> str:
        return str(self.ready["api_key"])

    def pid(self, service: str) -> int:
        return int(self.ready["pids"][service])

    def http(self, key: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.ready["http"], headers=headers, timeout=120)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def start(home: Path, **variables: str) -> Platform:
    console = home.parent / f"{home.name}.console"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(home)),
        "LANG": "C.UTF-8",
        "ISOBATH_HOME": str(home),
        "ISOBATH_HTTP_PORT": str(free_port()),
        "ISOBATH_GRPC_PORT": str(free_port()),
        "ISOBATH_LOG_LEVEL": "DEBUG",
        **variables,
    }
    with console.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "dev.up"], cwd=ROOT, env=environ, stdout=sink, stderr=sink
        )
    platform = Platform(home, process, console)
    deadline = time.monotonic() + START_S
    while not (home / "ready.json").is_file():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the platform did not start:\n{console.read_text()[-4000:]}")
        time.sleep(0.1)
    return platform


def stop(platform: Platform) -> None:
    if platform.process.poll() is None:
        platform.process.send_signal(signal.SIGTERM)
        platform.process.wait(STOP_S)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = start(tmp_path_factory.mktemp("platform") / "home")
    try:
        yield running
    finally:
        stop(running)


@pytest.fixture
def api(platform: Platform) -> Iterator[httpx.Client]:
    with platform.http() as client:
        yield client
