"""Starts children from one thread that lives as long as the service.

PR_SET_PDEATHSIG follows the thread that started a child (prctl(2)): one started from a pool's
thread would die with that thread, at any time."""

import asyncio
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from services.sandbox.isolation.port import Launch

_Job = tuple[Callable[[], None], asyncio.AbstractEventLoop]


@dataclass(frozen=True)
class Death:
    """How a child ended: by itself with `exit_code`, or by `signal`."""

    exit_code: int | None
    signal: int | None

    @classmethod
    def of(cls, status: int) -> "Death":
        """subprocess's return code; bwrap passes a child's signal on as 128 + its number."""
        if status < 0:
            return cls(None, -status)
        return cls(None, status - 128) if status > 128 else cls(status, None)


class Child:
    """A started process, the first of a group of its own. `ended` is set, on the loop, once it is
    gone and reaped; what it left in its group goes with it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._on_end)
        self.ended = asyncio.Event()
        self.death: Death | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        # nobody else has the number of a group whose first process is not reaped yet
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.death = Death.of(self._process.wait())
        self.ended.set()


class Spawner:
    """`with Spawner() as spawner`: on leaving, the thread ends, and what it started dies."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spawner", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    async def start(
        self, launch: Launch, *, inherited: tuple[int, ...], words: int, out: int | None = None
    ) -> Child:
        """Closes the launch's descriptors here, whatever happens; `inherited` stay the caller's.
        `words`: a descriptor that the child's standard output, unless `out` is given, and standard
        error go to."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[subprocess.Popen[bytes]] = loop.create_future()

        def job() -> None:
            try:
                process = _popen(launch, inherited, words, out)
            except Exception as exc:
                _post(loop, done, None, exc)
            else:
                _post(loop, done, process, None)
            finally:
                for descriptor in launch.descriptors:
                    os.close(descriptor)

        self._jobs.put(job)
        try:
            return Child(await asyncio.shield(done))
        except asyncio.CancelledError:
            done.add_done_callback(_reap)
            raise


def _popen(
    launch: Launch, inherited: tuple[int, ...], words: int, out: int | None
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603
        launch.account.command(launch.argv),
        env=launch.env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=words if out is None else out,
        stderr=words,
        pass_fds=(*launch.descriptors, *inherited),
        start_new_session=True,
        umask=0o077,
    )


def _post(
    loop: asyncio.AbstractEventLoop,
    done: "asyncio.Future[subprocess.Popen[bytes]]",
    process: "subprocess.Popen[bytes] | None",
    error: Exception | None,
) -> None:
    def settle() -> None:
        if error is not None:
            done.set_exception(error)
        elif process is not None:
            done.set_result(process)

    with suppress(RuntimeError):  # the loop is closed: the child dies with this thread
        loop.call_soon_threadsafe(settle)


def _reap(done: "asyncio.Future[subprocess.Popen[bytes]]") -> None:
    """Nobody waits for this child any more."""
    if not done.cancelled() and done.exception() is None:
        process = done.result()
        process.kill()
        process.wait()


def signal_process(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def file_of_words() -> int:
    """Where a child's last words go: nameless, and bounded by nobody reading more than its end."""
    return os.memfd_create("words", os.MFD_CLOEXEC)


def words_in(descriptor: int, limit: int = 4096) -> str:
    size = Path(f"/proc/self/fd/{descriptor}").stat().st_size
    return os.pread(descriptor, limit, max(0, size - limit)).decode(errors="replace").strip()


Environment = Mapping[str, str]
