import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from dev import supervisor as module
from dev.backoff import LONGEST_S, STEADY_S, Backoff
from dev.supervisor import Listener, Service, ServiceFailed, Supervisor, levels, supervised
from servicekit.health import wait_ready
from servicekit.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]


def probe(name: str, *needs: str, **environment: str) -> Service:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    own = {"PROBE_SERVER_BIND": address, "PROBE_SERVER_DRAIN_S": "0.5"} | environment
    return Service(
        name=name,
        module="tests.dev.probe",
        address=address,
        environment=own,
        needs=frozenset(needs),
    )


@dataclass
class Heard:
    ready: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    pids: list[dict[str, int]] = field(default_factory=list)
    back: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, sentence: str) -> None:
        self.told.append(sentence)
        if "is back" in sentence:
            self.back.set()


@asynccontextmanager
async def running(heard: Heard, logs: Path, *services: Service) -> AsyncIterator[Supervisor]:
    found: list[Supervisor] = []
    listener = Listener(
        ready=heard.ready.append,
        told=heard.hear,
        changed=lambda: heard.pids.append(found[0].pids),
    )
    async with supervised(services, ROOT, logs, listener) as supervisor:
        found.append(supervisor)
        yield supervisor


def test_levels_put_each_after_what_it_needs() -> None:
    order = levels([probe("c", "b", "a"), probe("a"), probe("b", "a"), probe("d")])
    assert [[each.name for each in level] for level in order] == [["a", "d"], ["b"], ["c"]]


def test_levels_of_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing meets"):
        levels([probe("a", "b"), probe("b", "a")])


def test_backoff_doubles_up_to_its_longest_and_starts_anew_after_a_steady_life() -> None:
    backoff = Backoff()
    assert [backoff.after(0.0) for _ in range(4)] == [0.2, 0.4, 0.8, 1.6]
    assert [backoff.after(1.0) for _ in range(5)][-1] == LONGEST_S
    assert backoff.after(STEADY_S) == 0.2


async def test_supervised_starts_in_order_and_stops_in_reverse(tmp_path: Path) -> None:
    heard = Heard()
    async with running(heard, tmp_path, probe("second", "first"), probe("first")) as supervisor:
        assert heard.ready == ["first", "second"]
        processes = {name: psutil.Process(pid) for name, pid in supervisor.pids.items()}
        assert all(each.is_running() for each in processes.values())
    assert not any(each.is_running() for each in processes.values())
    ends = {name: (tmp_path / f"{name}.log").stat().st_mtime_ns for name in processes}
    assert ends["second"] < ends["first"]
    assert all('"stopped"' in (tmp_path / f"{name}.log").read_text() for name in processes)


async def test_service_gets_its_own_environment_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOBATH_OF_ANOTHER", "secret")
    async with running(Heard(), tmp_path, probe("one")) as supervisor:
        environment = psutil.Process(supervisor.pids["one"]).environ()
    allowed = {"PATH", "HOME", "LANG", "TZ", "LC_CTYPE"}
    assert {name for name in environment if not name.startswith("PROBE_")} <= allowed


@pytest.mark.req("S8")
async def test_killed_service_comes_back_on_its_port_with_another_pid(tmp_path: Path) -> None:
    heard = Heard()
    service = probe("one")
    async with running(heard, tmp_path, service) as supervisor:
        before = supervisor.pids["one"]
        os.kill(before, signal.SIGKILL)
        await heard.back.wait()
        assert supervisor.pids["one"] != before
        assert heard.pids == [supervisor.pids]
        assert heard.told[0] == "one ended with signal 9; starting it again in 0.2 s"
        await wait_ready(service.address, 5)


async def test_service_that_ends_at_once_fails_the_start_with_its_log(tmp_path: Path) -> None:
    good = probe("good")
    with pytest.raises(ExceptionGroup) as failures:
        async with running(Heard(), tmp_path, good, probe("bad", PROBE_FAIL="1")):
            pass
    (failure,) = failures.value.exceptions
    assert isinstance(failure, ServiceFailed)
    assert "code 7" in str(failure) and "no reason to live" in str(failure)
    assert not _children()


async def test_wrong_settings_are_told(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as failures:
        async with running(Heard(), tmp_path, probe("bad", PROBE_FAIL="maybe")):
            pass
    assert "PROBE_FAIL expects" in str(failures.value.exceptions[0])


async def test_stubborn_service_is_killed_after_its_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_S", 1.0)
    async with running(Heard(), tmp_path, probe("one", PROBE_STUBBORN="1")) as supervisor:
        process = psutil.Process(supervisor.pids["one"])
    assert not process.is_running()


async def test_cancelled_while_stopping_kills_what_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        services = [probe(name, PROBE_STUBBORN="1") for name in ("one", "two")]
        async with running(Heard(), tmp_path, *services):
            up.set()
            await asyncio.Event().wait()

    up = asyncio.Event()
    task = asyncio.create_task(main())
    await up.wait()
    task.cancel()
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _children()


async def test_cancelled_while_starting_leaves_nothing(tmp_path: Path) -> None:
    for delay_s in (0.0, 0.2, 0.6):
        task = asyncio.create_task(_held(tmp_path))
        await asyncio.sleep(delay_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not _children()


async def _held(logs: Path) -> None:
    async with running(Heard(), logs, probe("one"), probe("two", "one")):
        await asyncio.Event().wait()


ORPHANS = """
import asyncio, sys
from pathlib import Path
from tests.dev.test_supervisor import Heard, probe, running

async def main():
    async with running(Heard(), Path(sys.argv[1]), probe("one"), probe("two")) as supervisor:
        print(*supervisor.pids.values(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.req("S8")
def test_killed_supervisor_takes_its_services_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHANS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def _children() -> list[str]:
    """Probes of this process that still run."""
    family = psutil.Process().children(recursive=True)
    return [each.name() for each in family if "tests.dev.probe" in each.cmdline()]
