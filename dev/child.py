"""A child process: dies with its parent, writes to a log file, is stopped by pid and waited for
without a thread."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SHIM = Path(__file__).with_name("attend.py")
ROOT = Path(__file__).resolve().parent.parent
# PYTHONPATH of an interpreter whose environment has not our packages
OUR_PACKAGES = ":".join(str(ROOT / part) for part in ("", "gen", "client"))


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run. `environment` is the whole of it: nothing is inherited, so nothing leaks into a
    child."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path
    account: tuple[int, int] | None = None  # uid and gid to drop to; needs root
    stop_signal: signal.Signals = signal.SIGTERM


class Child:
    """A started process. It belongs to no event loop, so that several may wait for it in turn."""

    def __init__(self, process: subprocess.Popen[bytes], command: Command) -> None:
        self._process = process
        self._command = command

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where a signal ended it."""
        return self._process.poll()

    async def wait(self) -> int:
        """Wait for the end and reap it; the exit code as in `exit_code`. Cancelling leaves the
        process alone."""
        if self.exit_code is None:
            await _ended(self.pid)
        return self._process.wait()

    async def stop(self, grace_s: float = 10.0) -> int:
        """Ask it to end, kill it after `grace_s`, reap it. A second call only gives the exit code
        again."""
        self.signal(self._command.stop_signal)
        try:
            return await asyncio.wait_for(self.wait(), grace_s)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()
        except asyncio.CancelledError:
            self.signal(signal.SIGKILL)
            self._process.wait()  # a killed process is reaped within milliseconds
            raise

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)  # Popen sends nothing once it has reaped the process


async def _ended(pid: int) -> None:
    """Return once our child `pid` has ended; it is still to be reaped, so its pid cannot have been
    reused."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, lambda: None if ended.done() else ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def start(command: Command) -> Child:
    """Spawn, from the main thread only (see `attend`). A session of its own keeps the console's
    Ctrl-C away from it."""
    uid, gid = command.account or (os.geteuid(), os.getegid())
    death = signal.SIGKILL if command.stop_signal is signal.SIGTERM else command.stop_signal
    shim = [sys.executable, "-I", "-S", str(SHIM)]
    numbers = [str(int(each)) for each in (death, os.getpid(), uid, gid)]
    with _appending(command.log) as log:
        process = subprocess.Popen(
            [*shim, *numbers, *command.arguments],
            env=dict(command.environment),
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(process, command)


def _appending(log: Path) -> BinaryIO:
    """Open a log that only we may read: what a program prints on dying may hold anything."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch(mode=0o600)
    return log.open("ab")


def minimal_environment(**extra: str) -> dict[str, str]:
    """What any program may need of ours, and not one variable more."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    return kept | extra


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, for the message of an error."""
    with suppress(FileNotFoundError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
