"""Images and containers on this machine, by podman and runc, in a store of their own.

Where images come from a registry elsewhere, here the base is made of Debian's own packages
(debootstrap), which have the same Python: so the Dockerfile is built where no registry is reached. What
pip is configured with here counts in the builds too.

Needs root, and of Debian: podman runc containernetworking-plugins iptables debootstrap."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("podman", "runc", "debootstrap", "iptables")
RELEASE = "bookworm"
BASE = "localhost/isobath-check/python:3.11"
BUILD_BASE = "localhost/isobath-check/python-pip:3.11"
BUILD_S = 900


class Failed(RuntimeError):
    """A command ended otherwise than it should; the message ends with what it said last."""


@dataclass(frozen=True)
class Ran:
    code: int
    text: str
    # standard output alone
    out: str


@dataclass(frozen=True)
class Engine:
    """Keeps images and containers below `folder`; those of others are not seen."""

    folder: Path

    def podman(self, *words: str, timeout_s: float = 120, check: bool = True) -> Ran:
        return _run(["podman", *words], self.environment, timeout_s, check)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
        }

    def prepare(self) -> None:
        """Write how podman is to work here, and make the two bases where they are not yet there."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing or os.geteuid() != 0:
            raise Failed(
                f"images are checked as root, with {', '.join(TOOLS)}; missing: {missing or 'root'}. "
                f"apt-get install --no-install-recommends {' '.join(TOOLS)}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        store = self.folder / "store"
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver="overlay"\ngraphroot="{store}"\nrunroot="{self.folder}/run"\n'
        )
        (self.folder / "containers.conf").write_text(_CONTAINERS.format(**_limits()))
        if self.podman("image", "exists", BASE, check=False).code:
            self._make_base()
        if self.podman("image", "exists", BUILD_BASE, check=False).code:
            self._make_build_base()

    def _make_base(self) -> None:
        tree = self.folder / "debian"
        shutil.rmtree(tree, ignore_errors=True)
        words = ["--variant=minbase", "--include=python3,ca-certificates", RELEASE, str(tree)]
        _run(["debootstrap", *words], dict(os.environ), BUILD_S, check=True)
        for name in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(tree / name)
            (tree / name).mkdir()
        archive = self.folder / "debian.tar"
        _run(["tar", "-C", str(tree), "-cf", str(archive), "."], dict(os.environ), 120, check=True)
        self.podman("import", "--quiet", str(archive), BASE)
        shutil.rmtree(tree)
        archive.unlink()

    def _make_build_base(self) -> None:
        recipe = self.folder / "python-pip"
        recipe.write_text(
            f"FROM {BASE}\nRUN apt-get update -qq && apt-get install -y -qq"
            " --no-install-recommends python3-pip\n"
        )
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        words = ["--quiet", "--isolation", "chroot", "--file", str(recipe), "--tag", BUILD_BASE]
        self.podman("build", *words, str(empty), timeout_s=BUILD_S)

    def build(self, target: str, **args: str) -> str:
        """The image of a target of the Dockerfile; its name."""
        name = f"localhost/isobath/{target}:check"
        given = {"PYTHON_IMAGE": BASE, "BUILD_IMAGE": BUILD_BASE, **args}
        words = [f"--build-arg={key}={value}" for key, value in given.items()]
        words += [f"--volume={path}:{path}:ro" for path in self._pip_reads()]
        words += [f"--volume={self._pip_configuration()}:/etc/pip.conf:ro"]
        words += ["--isolation=chroot", "--format=docker", "--layers", f"--target={target}"]
        self.podman("build", *words, f"--tag={name}", str(ROOT), timeout_s=BUILD_S)
        return name

    def _pip_configuration(self) -> Path:
        """What `pip` is told here by files and environment, as one file."""
        path = self.folder / "pip.conf"
        lines = [f"{name} = {value}\n" for name, value in _pip_settings().items()]
        path.write_text("".join(["[global]\n", *lines]))
        return path

    def _pip_reads(self) -> set[Path]:
        """Files and folders of this machine that pip's configuration names."""
        words = " ".join(_pip_settings().values()).split()
        named = {Path(word.removeprefix("file://")) for word in words}
        found = {path for path in named if path.is_absolute() and path.exists()}
        # an index's pages link to files beside it
        beside = {path.parent for path in found if path.name == "simple"}
        return (found - {each for each in found if each.parent in beside}) | beside

    def inspect(self, image: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.podman("image", "inspect", image).out)[0]
        return found

    @contextmanager
    def files(self, image: str) -> Any:
        """The image's root, to look at."""
        try:
            yield Path(self.podman("image", "mount", image).out.strip())
        finally:
            self.podman("image", "unmount", image)


def _run(words: Sequence[str], environ: Mapping[str, str], timeout_s: float, check: bool) -> Ran:
    done = subprocess.run(
        words, env=dict(environ), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if check and done.returncode:
        said = (done.stdout + done.stderr)[-4000:]
        raise Failed(f"{' '.join(words)[:300]} ended with {done.returncode}:\n{said}")
    return Ran(done.returncode, done.stdout + done.stderr, done.stdout)


def _limits() -> dict[str, int]:
    """podman's own are higher than what may be raised here."""
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
    processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], 32768)
    return {"files": files, "processes": processes}


_CONTAINERS = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


def _pip_settings() -> dict[str, str]:
    listed = _run([sys.executable, "-m", "pip", "config", "list"], os.environ, 60, check=True).out
    settings = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = value.strip("'\"").replace("\\n", " ")
    return settings
