"""The seven services as containers of their images: each in a network namespace of its own, with a
read-only root, no capability, and a certificate."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev import certs
from tests.images.containers import Engine, Failed, Ran
from tests.images.stages import SERVICES

USER = 10001
NETWORK = "isobath-check"
SUBNET = "10.89.77"
HOSTS = {target: f"{SUBNET}.{number}" for number, target in enumerate(SERVICES, start=10)}
PORTS = {
    "gateway": 50050,
    "credentials": 50051,
    "pg-connector": 50052,
    "blob-connector": 50053,
    "sandbox": 50054,
    "inference": 50055,
    "file-connector": 50056,
}
CONNECTORS = ("pg-connector", "blob-connector", "file-connector")
READY_S = 120.0
KEY = "isb-of-the-images-check"
# a container has nothing but its volumes to write to, and may do nothing that its service need not
CONFINED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp:rw,mode=1777",
    "--no-healthcheck",
)


@dataclass(frozen=True)
class Platform:
    engine: Engine
    folder: Path
    images: Mapping[str, str]
    # added to the containers' mounts
    mounts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def exec(self, target: str, *words: str, check: bool = True, timeout_s: float = 120) -> Ran:
        return self.engine.podman("exec", _name(target), *words, check=check, timeout_s=timeout_s)

    def healthy(self, target: str) -> Ran:
        """The image's own HEALTHCHECK, run in its container."""
        checked = self.engine.inspect(self.images[target])["HealthCheck"]["Test"]
        return self.exec(target, *checked[1:], check=False)

    def logs(self, target: str) -> str:
        return self.engine.podman("logs", _name(target), check=False).text

    def ready(self, target: str) -> None:
        """Until it is healthy. Raises Failed with its log."""
        ends = time.monotonic() + READY_S
        while (heard := self.healthy(target)).code:
            running = self.engine.podman(
                "container", "inspect", "--format={{.State.Running}}", _name(target)
            )
            if "true" not in running.out or time.monotonic() > ends:
                log = self.logs(target)[-4000:]
                raise Failed(f"{target} does not serve: {heard.text}\n{log}")
            time.sleep(0.5)

    def start(self, target: str) -> None:
        prefix = f"ISOBATH_{SERVICES[target].upper()}_"
        given = {f"{prefix}{key}": value for key, value in self._settings(target).items()}
        words = [f"--env={key}={value}" for key, value in given.items()]
        words += [f"--volume={each}" for each in self._volumes(target)]
        words += [f"--add-host={host}:{address}" for host, address in HOSTS.items()]
        words += [f"--network={NETWORK}", f"--ip={HOSTS[target]}", f"--hostname={target}"]
        self.engine.podman(
            "run", "--detach", f"--name={_name(target)}", *CONFINED, *words, self.images[target]
        )

    def stop(self, target: str) -> int:
        """By its STOPSIGNAL; the exit code."""
        self.engine.podman("stop", "--time=30", _name(target))
        told = self.engine.podman(
            "container", "inspect", "--format={{.State.ExitCode}}", _name(target)
        )
        return int(told.out)

    def _volumes(self, target: str) -> list[str]:
        state = self.folder / "state" / target
        state.mkdir(parents=True, exist_ok=True)
        os.chown(state, USER, USER)
        kept = [f"{state}:/var/lib/isobath", f"{self.folder / target}:/run/isobath:ro"]
        return [*kept, *self.mounts.get(target, ())]

    def _settings(self, target: str) -> dict[str, str]:
        at = {each: f"{each}:{port}" for each, port in PORTS.items()}
        connectors = ",".join(at[each] for each in CONNECTORS)
        common = {
            "SERVER_TLS_CERT_FILE": "/run/isobath/own.pem",
            "SERVER_TLS_KEY_FILE": "/run/isobath/own.key",
            "SERVER_TLS_CA_FILE": "/run/isobath/ca.pem",
            "SERVER_DRAIN_S": "5",
        }
        credentials = {"CREDENTIALS": at["credentials"]}
        own: dict[str, dict[str, str]] = {
            "gateway": {
                "API_KEY_FILE": "/run/isobath/api_key",
                "CONNECTORS": connectors,
                "SANDBOX": at["sandbox"],
                "INFERENCE": at["inference"],
                **credentials,
            },
            "credentials": {},
            "pg-connector": credentials,
            "blob-connector": credentials,
            "file-connector": {"ROOTS": "files=/srv/files", **credentials},
            "sandbox": {"CONNECTORS": connectors},
            "inference": {},
        }
        return common | own[target]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the gateway's HTTP API, from within its container: no port is open outside.
        Raises Failed with what it said."""
        sent = self.folder / "gateway" / "request.json"
        sent.write_text(json.dumps(body))
        words = [method, path, KEY]
        done = self.exec("gateway", "python", "-P", "-c", _REQUEST, *words, timeout_s=300)
        return json.loads(done.out)


_REQUEST = """
import http.client, sys
method, path, key = sys.argv[1:]
link = http.client.HTTPConnection("127.0.0.1", 8200, timeout=280)
body = open("/run/isobath/request.json").read()
headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
link.request(method, path, None if body == "null" else body, headers)
answer = link.getresponse()
text = answer.read().decode()
print(text)
sys.exit(answer.status >= 400 and f"HTTP {answer.status}")
"""


@contextmanager
def platform(
    engine: Engine,
    folder: Path,
    images: Mapping[str, str],
    mounts: Mapping[str, tuple[str, ...]],
) -> Iterator[Platform]:
    """All seven, serving; gone on leaving."""
    _write_secrets(folder)
    made = Platform(engine, folder, images, mounts)
    with ExitStack() as stack:
        _clear(engine)
        stack.callback(_clear, engine)
        engine.podman("network", "create", "--internal", f"--subnet={SUBNET}.0/24", NETWORK)
        for target in SERVICES:
            made.start(target)
        for target in SERVICES:
            made.ready(target)
        yield made


def _write_secrets(folder: Path) -> None:
    """For each service a folder that its account alone can read."""
    files = certs.issue(folder / "certs", tuple(SERVICES.values()))
    for target, service in SERVICES.items():
        own = folder / target
        own.mkdir(parents=True)
        for name, source in (
            ("own.pem", files.cert(service)),
            ("own.key", files.key(service)),
            ("ca.pem", files.ca),
        ):
            (own / name).write_bytes(source.read_bytes())
    (folder / "gateway" / "api_key").write_text(KEY)
    for target in SERVICES:
        for path in (folder / target, *(folder / target).iterdir()):
            os.chown(path, USER, USER)
            path.chmod(0o500 if path.is_dir() else 0o400)


def _clear(engine: Engine) -> None:
    names = [_name(target) for target in SERVICES]
    engine.podman("rm", "--force", "--time=1", "--ignore", *names)
    if not engine.podman("network", "exists", NETWORK, check=False).code:
        engine.podman("network", "rm", "--force", NETWORK)


def _name(target: str) -> str:
    return f"isobath-check-{target}"
