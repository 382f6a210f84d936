"""The folder of one platform: what it keeps, and what goes when it stops.

gateway/ credentials/  sources, threads, files, secrets: kept
api_key                the first API key: kept
certs/                 the services' certificates, where they show them: kept
files/                 the folder of the source `files`: kept
logs/                  one file a service: kept
run/                   tokens, callers, temporary data of the services and parts: goes
run/environment/       each service's settings, for its commands in a shell
ready.json             URLs, key, pids: there while the platform is up
lock                   held while the platform runs
"""

import fcntl
import json
import os
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.passage import passable

# sun_path holds 108 bytes (unix(7)); the rest is for what parts and sessions put below.
LONGEST_SCRATCH = 48


class AlreadyRunning(RuntimeError):
    """Another process holds this home."""


@dataclass(frozen=True)
class Home:
    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def certs(self) -> Path:
        return self.path / "certs"

    @property
    def files(self) -> Path:
        return self.path / "files"

    @property
    def ready(self) -> Path:
        return self.path / "ready.json"

    @property
    def api_key(self) -> Path:
        return self.path / "api_key"

    @property
    def scratch(self) -> Path:
        """Reachable for the accounts that PostgreSQL and kernels run as, and short enough for the
        unix sockets in it; there while the home is held."""
        return (self.run / "scratch").resolve()

    def state_of(self, service: str) -> Path:
        """A service's own folder, which outlives the platform."""
        return self.path / service

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the home to ourselves, tidy; raises AlreadyRunning. Leaves nothing that lives."""
        self.path.mkdir(parents=True, exist_ok=True)
        # Others may pass through, to the folders that they are let into, but not look around.
        self.path.chmod(0o711)
        with _exclusively(self.path / "lock", self._who()):
            self._tidy()  # what a killed platform left
            self.run.mkdir()
            self.run.chmod(0o711)  # whatever the umask
            self._make_scratch(self.run / "scratch")
            self.logs.mkdir(mode=0o700, exist_ok=True)
            try:
                yield
            finally:
                self._tidy()

    def _who(self) -> str:
        place = json.loads(self.ready.read_text())["http"] if self.ready.is_file() else "starting"
        return f"{self.path} is in use: a platform is up there already ({place})"

    def _tidy(self) -> None:
        self.ready.unlink(missing_ok=True)
        if self.run.exists():
            shutil.rmtree(self.scratch, ignore_errors=True)
            shutil.rmtree(self.run)

    def _make_scratch(self, path: Path) -> None:
        if passable(self.run) and len(os.fsencode(path)) <= LONGEST_SCRATCH:
            path.mkdir()
            path.chmod(0o711)
            return
        elsewhere = Path(tempfile.mkdtemp(prefix="isobath-"))
        elsewhere.chmod(0o711)
        path.symlink_to(elsewhere)

    def first_key(self) -> str:
        """The API key of this home, made when there is none yet."""
        if not self.api_key.exists():
            write_private(self.api_key, f"isb-{secrets.token_urlsafe(32)}")
        return self.api_key.read_text().strip()

    def write_environment(self, service: str, variables: Mapping[str, str]) -> None:
        """For `set -a; . FILE`, and then a command of the service."""
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
        write_private(self.run / "environment" / service, "".join(lines))

    def write_ready(self, ready: dict[str, Any]) -> None:
        write_private(self.ready, json.dumps(ready, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


@contextmanager
def _exclusively(path: Path, otherwise: str) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(otherwise) from None
        yield  # the file stays: one that is unlinked while held can be held twice
