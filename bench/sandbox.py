"""Sessions of the sandbox: opening, first program, `1+1`, memory of each; and a soak.

`python -m bench.sandbox [--sessions N] [--soak N]`: over gRPC on this machine, kernels forked and
executed in turn, beside ipykernel where that is installed. A soak opens, uses and closes sessions,
eight at a time, and tells what is left of them."""

import argparse
import asyncio
import importlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.pg_fetch import service as process
from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.channels import calling, channel, faults, streaming
from servicekit.ports import free_port

_MIB = 1024 * 1024
_AT_ONCE = 8


@dataclass(frozen=True)
class Sandbox:
    """A service in a process of its own, as everywhere."""

    stub: rpc.SandboxServiceStub
    home: Path
    process: psutil.Process


@asynccontextmanager
async def service(
    *, forked: bool, warm: int = 1, connectors: tuple[str, ...] = ()
) -> AsyncIterator[Sandbox]:
    home = Path(tempfile.mkdtemp(prefix="isobath-bench-"))
    home.chmod(0o711)  # noqa: ASYNC240
    address = f"127.0.0.1:{free_port()}"
    given = {"HOME": str(home / "home"), "CONNECTORS": ",".join(connectors)}
    given |= {"FORKED": str(forked), "WARM": str(warm)}
    try:
        async with process("sandbox", address, **given) as pid, channel(address) as link:
            yield Sandbox(rpc.SandboxServiceStub(link), home / "home", psutil.Process(pid))
    finally:
        shutil.rmtree(home)


async def opened(stub: rpc.SandboxServiceStub, thread: str) -> str:
    request = pb.OpenSessionRequest(thread_id=thread, owner="bench")
    return str((await calling(stub.OpenSession(request))).session_id)


async def closed(stub: rpc.SandboxServiceStub, session: str) -> None:
    await calling(
        stub.CloseSession(pb.CloseSessionRequest(session_id=session, remove_workspace=True))
    )


async def ran(stub: rpc.SandboxServiceStub, session: str, code: str) -> None:
    async with streaming(stub.Execute(pb.ExecuteRequest(session_id=session, code=code))) as call:
        async for event in faults(call):
            if event.HasField("finished") and event.finished.outcome != pb.OUTCOME_OK:
                raise RuntimeError(f"{code!r}: {event.finished}")


def told(name: str, values: list[float], unit: str = "ms") -> None:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    print(f"{name:<44}{statistics.median(values):>9.1f}{p95:>9.1f} {unit}", flush=True)


async def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    done = work()
    if asyncio.iscoroutine(done):
        await done
    return (time.perf_counter() - start) * 1000


async def sessions(name: str, count: int, *, forked: bool, warm: int) -> None:
    """Opens, runs and closes one after the other, with time for the pool to fill up between."""
    first, sums, used = [], [], []
    async with service(forked=forked, warm=warm) as sandbox:
        stub = sandbox.stub
        await asyncio.sleep(3.0)
        for number in range(count):
            before = _cpu_s()
            start = time.perf_counter()
            session = await opened(stub, f"t{number}")
            await ran(stub, session, "x = 1")
            first.append((time.perf_counter() - start) * 1000)
            used.append((_cpu_s() - before) * 1000)
            if number == 0:
                sums = [await timed(partial(ran, stub, session, "1+1")) for _ in range(200)]
            await closed(stub, session)
            await asyncio.sleep(0.3 if forked else 3.0)
    told(f"{name}: open and first program", first)
    told(f"{name}: 1+1", sums)
    if not warm:
        told(f"{name}: CPU until then", used)


async def memory(count: int, *, forked: bool) -> None:
    """Proportional set size of what `count` open sessions add."""
    async with service(forked=forked, warm=0) as sandbox:
        stub = sandbox.stub
        before = _pss_mib()
        names = [await opened(stub, f"t{number}") for number in range(count)]
        for session in names:
            await ran(stub, session, "import pandas as pd; pd.DataFrame({'a': [1]}).sum()")
        told(
            f"{'forked' if forked else 'executed'}: memory of one session",
            [(_pss_mib() - before) / count],
            "MiB",
        )


def _family() -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return found


def _cpu_s() -> float:
    """Of this process and all below it that live, or were waited for here."""
    own = sum(os.times()[:4])
    return own + sum(sum(_times(each)) for each in _family())


def _times(process: psutil.Process) -> list[float]:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return []
    all_of_it = (used.user, used.system, used.children_user, used.children_system)
    return [float(each) for each in all_of_it]


def _pss_mib() -> float:
    total = 0
    for each in _family():
        try:
            text = Path(f"/proc/{each.pid}/smaps_rollup").read_text()
        except OSError:
            continue  # gone meanwhile
        total += next(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
    return total / 1024


def held(sandbox: Sandbox) -> dict[str, int]:
    """What a session could leave behind."""
    about = Path(f"/proc/{sandbox.process.pid}")
    return {
        "processes": len(sandbox.process.children(recursive=True)),
        "descriptors": len(list((about / "fd").iterdir())),
        "mounts": len((about / "mountinfo").read_text().splitlines()),
        "folders": sum(1 for _ in sandbox.home.rglob("*")),
        "memory MiB": round(sandbox.process.memory_info().rss / _MIB),
    }


async def soak(count: int) -> None:
    async with service(forked=True) as sandbox:
        stub = sandbox.stub
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                session = await opened(stub, f"t{number}")
                await ran(stub, session, "import os; open('f', 'w').write('x'); os.fork() or 1/1")
                await closed(stub, session)

        async def settled() -> dict[str, int]:
            await asyncio.sleep(3.0)
            return held(sandbox)

        warmed = min(count // 10, 50)
        numbers = iter(range(warmed))
        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        before = await settled()
        numbers = iter(range(warmed, count))
        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        passed = time.perf_counter() - start
        after = await settled()
    print(f"{count - warmed} sessions in {passed:.0f} s; before and after:", flush=True)
    for name, value in before.items():
        print(f"    {name:<14}{value:>6}{after[name]:>6}", flush=True)


def ipykernel(count: int) -> None:
    """The peer: a kernel over ZeroMQ, without any isolation."""
    try:
        start_new_kernel = importlib.import_module("jupyter_client.manager").start_new_kernel
    except ImportError:
        print("ipykernel and jupyter_client are not installed: no peer")
        return
    starts, sums = [], []
    for _ in range(count):
        start = time.perf_counter()
        manager, client = start_new_kernel()
        client.execute_interactive("x = 1")
        starts.append((time.perf_counter() - start) * 1000)
        for _ in range(50):
            start = time.perf_counter()
            client.execute_interactive("1+1", output_hook=lambda _: None)
            sums.append((time.perf_counter() - start) * 1000)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    told("ipykernel: start and first program", starts)
    told("ipykernel: 1+1", sums)


async def measure(count: int, soaked: int) -> None:
    print(f"{'':<44}{'median':>9}{'p95':>9}")
    await sessions("warm", count, forked=True, warm=1)
    await sessions("forked, none warm", count, forked=True, warm=0)
    await sessions("executed, none warm", max(3, count // 10), forked=False, warm=0)
    await memory(8, forked=True)
    await memory(4, forked=False)
    if soaked:
        await soak(soaked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=30, help="for each way; 30")
    parser.add_argument("--soak", type=int, default=2000, help="sessions; 0 = no soak; 2000")
    asked = parser.parse_args()
    asyncio.run(measure(asked.sessions, asked.soak))
    ipykernel(3)


if __name__ == "__main__":
    main()
