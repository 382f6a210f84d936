"""The seven services as containers of their images, with what compose.yaml gives each: read-only
root, no capability, limits, settings, secrets and certificates. Each has a network namespace of its
own; the network between them is one, where compose.yaml has many."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.compose.composition import project
from tests.images.containers import Engine, Failed, Ran
from tests.images.stages import SERVICES

USER = 10001
NETWORK = "isobath-check"
SUBNET = "10.89.77"
HOSTS = {target: f"{SUBNET}.{number}" for number, target in enumerate(SERVICES, start=10)}
READY_S = 120.0
# what one writes into a file of secrets for the request that is made from within
REQUEST = "request.json"


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
        checked = self.engine.inspect(self.images[target])["Healthcheck"]["Test"]
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
        given = project()["services"][target]
        words = [f"--env={key}={value}" for key, value in given["environment"].items()]
        words += [f"--volume={each}" for each in self._volumes(target, given)]
        words += [f"--add-host={host}:{address}" for host, address in HOSTS.items()]
        words += [f"--network={NETWORK}", f"--ip={HOSTS[target]}", f"--hostname={target}"]
        self.engine.podman(
            "run",
            "--detach",
            f"--name={_name(target)}",
            *_confined(given),
            *words,
            self.images[target],
        )

    def stop(self, target: str) -> int:
        """By its STOPSIGNAL; the exit code."""
        self.engine.podman("stop", "--time=30", _name(target))
        told = self.engine.podman(
            "container", "inspect", "--format={{.State.ExitCode}}", _name(target)
        )
        return int(told.out)

    def _volumes(self, target: str, given: Mapping[str, Any]) -> list[str]:
        """Compose's volumes are folders here, those of this machine the test's own."""
        found = []
        for each in given["volumes"]:
            folder = self.folder / Path(each["source"])
            if each["type"] == "volume":
                folder = self.folder / "volumes" / each["source"]
                folder.mkdir(parents=True)
                os.chown(folder, USER, USER)
            mode = ":ro" if each.get("read_only") else ""
            found.append(f"{folder}:{each['target']}{mode}")
        return [*found, *self.mounts.get(target, ())]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the gateway's HTTP API, from within its container: no port is open outside.
        Raises Failed with what it said."""
        own = self.folder / "secrets" / "gateway"
        (own / REQUEST).write_text(json.dumps(body))
        words = [method, path, (own / "api-key").read_text()]
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
    """All seven, serving; gone on leaving. `folder` has secrets/, and files/ to be read."""
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


def _confined(given: Mapping[str, Any]) -> list[str]:
    limits = given["deploy"]["resources"]["limits"]
    words = [f"--memory={limits['memory']}", f"--pids-limit={limits['pids']}"]
    words += [f"--cap-drop={name}" for name in given["cap_drop"]]
    words += [f"--security-opt={each}" for each in given["security_opt"]]
    words += [f"--tmpfs={each.replace(':', ':rw,', 1)}" for each in given["tmpfs"]]
    # nothing but what is named can be written to; the health check is run by hand
    return [*words, "--read-only", "--read-only-tmpfs=false", "--no-healthcheck"]


def _clear(engine: Engine) -> None:
    names = [_name(target) for target in SERVICES]
    engine.podman("kill", *names, check=False)
    engine.podman("rm", "--force", "--ignore", *names)
    if not engine.podman("network", "exists", NETWORK, check=False).code:
        engine.podman("network", "rm", "--force", NETWORK)


def _name(target: str) -> str:
    return f"isobath-check-{target}"
