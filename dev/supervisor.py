"""Runs the services as processes: in order of need, restarted when they die, stopped in reverse.

All spawning happens on the loop's thread, which has to be the main one: a child dies with the
thread that made it (see `attend`).
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dev.backoff import Backoff
from dev.child import Child, Command, minimal_environment, start
from dev.logtail import last_words
from servicekit import health, logs
from servicekit.tls import Tls

# Starting is slow on a busy machine with two cores: interpreters, imports, proofs of the sandbox.
READY_S = 120.0
# A service drains for DRAIN_S and cleans up for 5 s more before it is killed.
DRAIN_S = 5.0
GRACE_S = DRAIN_S + 5.0 + 2.0

_log = logs.get(__name__)


class ServiceFailed(RuntimeError):
    """A service did not start; the message ends with the last lines of its log."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process: `python -m module` under `environment`, ready when `address` serves health."""

    name: str
    module: str
    address: str
    environment: Mapping[str, str] = field(repr=False)
    needs: frozenset[str] = frozenset()
    python: str = sys.executable
    # how long it may take until it serves
    ready_s: float = READY_S
    # what its health is asked with, where it wants a certificate
    tls: Tls | None = None
    # how long it may take to end before it is killed
    grace_s: float = GRACE_S


@dataclass
class _Kept:
    """A service and its present process."""

    service: Service
    child: Child
    since: float
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who wants to know what happens: a service is ready for the first time, one died or came back
    (a sentence for people), a pid is another one now."""

    ready: Callable[[str], None]
    told: Callable[[str], None]
    changed: Callable[[], None]


class Supervisor:
    """Made by `supervised`. `pids` follows restarts."""

    def __init__(self, folder: Path, logs: Path, listener: Listener) -> None:
        self._folder = folder
        self._logs = logs
        self._listener = listener
        self._kept: dict[str, _Kept] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    @property
    def pids(self) -> dict[str, int]:
        return {name: kept.child.pid for name, kept in self._kept.items()}

    async def start(self, services: Sequence[Service]) -> None:
        """Start all, each once what it needs is ready. Raises ServiceFailed, or an ExceptionGroup
        of it where several failed at once."""
        for level in levels(services):
            for service in level:
                self._spawn(service)
            async with asyncio.TaskGroup() as group:
                for service in level:
                    group.create_task(self._first_ready(self._kept[service.name]))
        for name, kept in self._kept.items():
            self._keepers[name] = asyncio.create_task(self._keep(kept), name=f"keep {name}")

    async def run(self) -> None:
        """Keep the services alive until cancelled; raises what ended a keeper."""
        await asyncio.gather(*self._keepers.values())

    async def restart(self, name: str) -> None:
        """Stop one in good order, and start it again. Returns once it serves; raises
        ServiceFailed when it does not, or had to be killed."""
        kept = self._kept[name]
        self._keepers[name].cancel()
        await asyncio.gather(self._keepers[name], return_exceptions=True)
        code = await kept.child.stop(kept.service.grace_s)
        _log.info("service_stopped", name=name, exit_code=code)
        if code != 0:
            raise self._failed(kept.service, f"ended with {_outcome(code)}")
        self._spawn(kept.service)
        self._listener.changed()
        await self._ready(kept)
        self._keepers[name] = asyncio.create_task(self._keep(kept), name=f"keep {name}")

    async def stop(self) -> None:
        """Stop all, the last one started first. Cancelling kills what is left, and waits for it."""
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        try:
            await self._stop_in_turn()
        except asyncio.CancelledError:
            for kept in self._kept.values():
                kept.child.signal(signal.SIGKILL)
            await self._stop_in_turn()
            raise

    async def _stop_in_turn(self) -> None:
        while self._kept:
            name = next(reversed(self._kept))
            kept = self._kept[name]
            code = await kept.child.stop(kept.service.grace_s)
            del self._kept[name]
            _log.info("service_stopped", name=name, exit_code=code)

    def _spawn(self, service: Service) -> None:
        command = Command(
            arguments=[service.python, "-P", "-m", service.module],
            environment=minimal_environment(**service.environment),
            log=self._logs / f"{service.name}.log",
            folder=self._folder,
        )
        child = start(command)
        kept = self._kept.get(service.name)
        if kept is None:
            self._kept[service.name] = _Kept(service, child, time.monotonic())
        else:
            kept.child, kept.since = child, time.monotonic()
        _log.info("service_started", name=service.name, pid=child.pid)

    async def _first_ready(self, kept: _Kept) -> None:
        await self._ready(kept)
        self._listener.ready(kept.service.name)

    async def _ready(self, kept: _Kept) -> None:
        """Until it serves. Raises ServiceFailed when it ends, or takes too long."""
        ending = asyncio.create_task(kept.child.wait())
        service = kept.service
        serving = asyncio.create_task(
            health.wait_ready(service.address, service.ready_s, tls=service.tls)
        )
        try:
            await asyncio.wait({ending, serving}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                raise self._failed(kept.service, f"ended with {_outcome(ending.result())}")
            await serving
        except health.NotReady as late:
            raise self._failed(kept.service, str(late)) from late
        finally:
            ending.cancel()
            serving.cancel()
            await asyncio.gather(ending, serving, return_exceptions=True)

    def _failed(self, service: Service, why: str) -> ServiceFailed:
        log = self._logs / f"{service.name}.log"
        return ServiceFailed(f"{service.name} {why}\n{log}:\n{last_words(log)}")

    async def _keep(self, kept: _Kept) -> None:
        while True:
            code = await kept.child.wait()
            name, lived_s = kept.service.name, time.monotonic() - kept.since
            pause_s = kept.backoff.after(lived_s)
            _log.warning("service_died", name=name, exit_code=code, pause_s=pause_s)
            self._listener.told(
                f"{name} ended with {_outcome(code)}; starting it again in {pause_s:g} s"
            )
            await asyncio.sleep(pause_s)
            await self._revive(kept)

    async def _revive(self, kept: _Kept) -> None:
        """Start it once more; when that fails the process has ended, or is ended here."""
        self._spawn(kept.service)
        self._listener.changed()
        try:
            await self._ready(kept)
        except ServiceFailed as failure:
            _log.error("service_not_back", name=kept.service.name, why=str(failure))
            await kept.child.stop(kept.service.grace_s)
        else:
            _log.info("service_back", name=kept.service.name, pid=kept.child.pid)
            self._listener.told(f"{kept.service.name} is back (pid {kept.child.pid})")


@asynccontextmanager
async def supervised(
    services: Sequence[Service], folder: Path, logs: Path, listener: Listener
) -> AsyncIterator[Supervisor]:
    """Run `services` in the working folder `folder`; leaving stops them all, whatever happens."""
    supervisor = Supervisor(folder, logs, listener)
    try:
        await supervisor.start(services)
        yield supervisor
    finally:
        await supervisor.stop()


def levels(services: Sequence[Service]) -> list[list[Service]]:
    """Who can start together: each level needs only what stands in those before it."""
    waiting, ready, ordered = list(services), set[str](), list[list[Service]]()
    while waiting:
        level = [each for each in waiting if each.needs <= ready]
        if not level:
            raise ValueError(f"needs that nothing meets: {[each.name for each in waiting]}")
        ordered.append(level)
        ready |= {each.name for each in level}
        waiting = [each for each in waiting if each not in level]
    return ordered


def _outcome(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"
