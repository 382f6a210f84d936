"""The whole platform, started from its own environment, and clients in this one.

Nothing of ours is imported here: what a client has is an address, a key, and docs/openai.md.
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
START_S = 180
# the platform's own; this one has neither gRPC nor the services
PYTHON = os.environ.get("ISOBATH_PYTHON", str(ROOT / ".venv/bin/python"))
# as the documents and these tests name it
PROXY_KEY = "sk-proxy"
CONFIG = ROOT / "docs" / "litellm.yaml"

if not (importlib.util.find_spec("litellm") and importlib.util.find_spec("langchain_openai")):
    # the default run: `make test-clients` is the one that has them
    collect_ignore_glob = ["test_*.py"]


@dataclass(frozen=True)
class Server:
    """Where to ask, and with which key. `base` ends in /v1."""

    base: str
    key: str

    def http(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.base, headers=headers, timeout=120, trust_env=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environment(**variables: str) -> dict[str, str]:
    """Of a process: no proxies, and LiteLLM's own list of models rather than one it would fetch."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/tmp"),
        "LANG": "C.UTF-8",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        **variables,
    }


class Process:
    """One of the servers, ended on leaving."""

    def __init__(self, command: list[str], console: Path, **variables: str) -> None:
        self._console = console
        with console.open("wb") as sink:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment(**variables), stdout=sink, stderr=sink
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait(self, is_ready: Callable[[], bool]) -> None:
        """Raises `RuntimeError` with its last words."""
        deadline = time.monotonic() + START_S
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start:\n{self._console.read_text()[-4000:]}")
            time.sleep(0.2)


@dataclass(frozen=True)
class Running:
    """`home`: of a platform that runs, as `make up` starts it. LiteLLM's proxy stands in front of
    it, with the configuration of the documents."""

    home: Path
    gateway: Server
    proxy: Server


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Both start at once: the proxy takes as long to import itself."""
    folder = tmp_path_factory.mktemp("clients")
    home, http, port = folder / ".isobath", free_port(), free_port()
    gateway = Server(f"http://127.0.0.1:{http}/v1", "isb-of-the-clients-tests")
    proxy = Server(f"http://127.0.0.1:{port}/v1", PROXY_KEY)
    home.mkdir(mode=0o700)
    (home / "api_key").write_text(gateway.key)
    platform = Process(
        [PYTHON, "-m", "dev.up"],
        folder / "platform.console",
        ISOBATH_HOME=str(home),
        ISOBATH_HTTP_PORT=str(http),
        ISOBATH_GRPC_PORT=str(free_port()),
    )
    litellm = [str(Path(sys.executable).parent / "litellm"), "--config", str(CONFIG)]
    litellm += ["--host", "127.0.0.1", "--port", str(port)]
    in_front = Process(
        litellm,
        folder / "proxy.console",
        ISOBATH_BASE_URL=gateway.base,
        ISOBATH_API_KEY=gateway.key,
        LITELLM_MASTER_KEY=proxy.key,
    )
    with platform, in_front:
        platform.wait((home / "ready.json").is_file)
        in_front.wait(lambda: answers(f"http://127.0.0.1:{port}/health/liveliness"))
        yield Running(home, gateway, proxy)


@pytest.fixture(scope="session")
def gateway(running: Running) -> Server:
    return running.gateway


@pytest.fixture(scope="session")
def proxy(running: Running) -> Server:
    return running.proxy


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False
