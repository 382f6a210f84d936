"""The gateway's token path: CPU for each token event, the time that the gateway adds, the first
event, and what 1,000 open streams hold, beside bare servers of the same chunks, in turn in one run.

    python -m bench.gateway --streams 256 --window 2 --rounds 2

Engine, gateway, peers and clients are processes of their own. The engine is scripted and costs next
to nothing; service, contract and multiplexed call are the real ones (`bench.gateway_engine`).
`bench.gateway_chat` measures whole chats.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from bench.gateway_engine import MODEL, Script
from bench.gateway_load import Load, request, spec
from bench.measuring import Peak
from bench.pg_fetch import service
from servicekit.health import wait_ready
from servicekit.ports import free_port

KEY = "isb-of-the-bench"
BASE = "bare ASGI, orjson"
PLAIN, ANALYST = "gateway, plain model", "gateway, analyst"
DIRECT = "engine, without a gateway"
_BOTH = (PLAIN, ANALYST, BASE, DIRECT)
_MIB = 1024 * 1024
_PACKAGES = ("uvicorn", "httptools", "fastapi", "sse-starlette", "grpcio", "orjson")
# outlives every window
_LONG = 100_000
_EVERY_S = 0.05


@dataclass(frozen=True)
class Way:
    """A server, and how it is asked."""

    pid: int
    kind: str
    address: str
    model: str = ""
    tagged: bool = False

    def load(self, streams: int, every_s: float, *, together: bool) -> Load:
        script = Script(_LONG, every_s, together=together, tagged=self.tagged)
        return Load(self.kind, self.address, streams, script, KEY, self.model)


@dataclass(frozen=True)
class Window:
    """What came in one window, and what the server spent on it."""

    open_s: float
    seconds: float
    cpu_s: float
    peak_mib: float
    tokens: int
    size: int
    ages: dict[str, float]

    @property
    def cpu_us(self) -> float:
        """For each token event."""
        return self.cpu_s / max(1, self.tokens) * 1e6


@asynccontextmanager
async def module(name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program of this folder; ended on leaving."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", name, *arguments, stdin=PIPE, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def listening(port: int) -> None:
    """Waits until somebody does."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.1)


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(120):
        return json.loads(await process.stdout.readline())


def _cpu_s(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


async def quiet(pid: int) -> None:
    """Waits until a process has nothing left to do."""
    while True:
        before = _cpu_s(pid)
        await asyncio.sleep(0.5)
        if _cpu_s(pid) - before < 0.03:
            return


async def window(way: Way, load: Load, seconds: float) -> Window:
    """Opens the streams, waits a second, and looks for so long."""
    async with module("bench.gateway_load") as client:
        assert client.stdin is not None
        client.stdin.write(spec(load))
        open_s = (await _line(client))["open"]
        await asyncio.sleep(1.0)
        client.stdin.write(b"begin\n")
        with Peak(way.pid) as peak:
            before, started = _cpu_s(way.pid), time.perf_counter()
            await asyncio.sleep(seconds)
            client.stdin.write(b"end\n")
            passed, used = time.perf_counter() - started, _cpu_s(way.pid) - before
        seen = await _line(client)
    await quiet(way.pid)
    return Window(open_s, passed, used, peak.mib, seen.pop("tokens"), seen.pop("size"), seen)


@dataclass
class Server:
    """The gateway and the peers, and the engine behind them."""

    engine: str
    engine_pid: int
    gateway_pid: int
    ways: dict[str, Way] = field(default_factory=dict)


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        engine = f"127.0.0.1:{free_port()}"
        port = engine.rpartition(":")[2]
        scripted = await stack.enter_async_context(module("bench.gateway_engine", port))
        await wait_ready(engine, 30)
        http, grpc = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        given = {
            "HTTP_BIND": http, "HOME": str(folder), "API_KEY": KEY, "MAX_RUNS": "2000",
            "INFERENCE": engine, "SANDBOX": engine, "CONNECTORS": engine, "CREDENTIALS": engine,
        }  # fmt: skip
        pid = await stack.enter_async_context(service("gateway", grpc, **given))
        found = Server(engine, scripted.pid, pid)
        plain = MODEL + ":plain"
        found.ways[PLAIN] = Way(pid, "http", http, plain)
        found.ways[ANALYST] = Way(pid, "http", http, tagged=True)
        found.ways["gateway, gRPC Chat"] = Way(pid, "chat", grpc, plain)
        for name, kind in await _peers():
            port = str(free_port())
            peer = await stack.enter_async_context(
                module("bench.gateway_peers", kind, port, engine)
            )
            await listening(int(port))
            found.ways[name] = Way(peer.pid, "http", f"127.0.0.1:{port}")
        yield found


async def _peers() -> list[tuple[str, str]]:
    peers = [(BASE, "bare"), ("FastAPI StreamingResponse", "fastapi")]
    if _version("sse-starlette"):
        peers.append(("sse-starlette", "sse_starlette"))
    return peers


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


async def streaming(server: Server, streams: int, seconds: float, rounds: int) -> str:
    """All ways in turn with the tokens of one tick together, some with each at its own time."""
    direct = Way(server.engine_pid, "engine", server.engine)
    ways = {**server.ways, DIRECT: direct}
    lines = []
    for together in (True, False):
        if not together:
            # what the other ways cost beyond these is in the first table
            ways = {name: each for name, each in ways.items() if name in _BOTH}
        found: dict[str, list[Window]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                load = way.load(streams, _EVERY_S, together=together)
                found[name].append(await window(way, load, seconds))
        how = "all in one tick" if together else "each at its own time"
        lines += [f"\n{streams} streams, {1 / _EVERY_S:.0f} tokens/s each, {how}", told(found)]
    return "\n".join(lines)


def told(found: dict[str, list[Window]]) -> str:
    """A table; the ratio is of CPU per token to the base's: below 1 = cheaper than it."""
    head = ("CPU µs", "min", "max", "ratio", "tokens/s", "p50 ms", "p99 ms", "open s", "peak MiB")
    lines = [f"{'way':<28}" + "".join(f"{each:>10}" for each in head)]
    base = statistics.median(each.cpu_us for each in found[BASE])
    for name, seen in found.items():
        cpu = [each.cpu_us for each in seen]
        rate = statistics.median(each.tokens / each.seconds for each in seen)
        numbers = (
            f"{statistics.median(cpu):.1f}", f"{min(cpu):.1f}", f"{max(cpu):.1f}",
            f"{statistics.median(cpu) / base:.2f}", f"{rate:.0f}", _age(seen, "p50"),
            _age(seen, "p99"), f"{statistics.median(each.open_s for each in seen):.2f}",
            f"{max(each.peak_mib for each in seen):.0f}",
        )  # fmt: skip
        lines.append(f"{name:<28}" + "".join(f"{each:>10}" for each in numbers))
    return "\n".join(lines)


def _age(seen: Sequence[Window], percentile: str) -> str:
    return f"{statistics.median(each.ages[percentile] for each in seen):.2f}"


async def first_event(way: Way, count: int) -> str:
    """From the question to its first typed event and to its first token, one after the other."""
    asked = request(way.load(1, 10.0, together=False))
    host, _, port = way.address.rpartition(":")
    events, tokens = [], []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(host, int(port))
        started = time.perf_counter()
        writer.write(asked)
        await reader.readuntil(b"data: ")
        events.append((time.perf_counter() - started) * 1000)
        await reader.readuntil(b'"content":"')  # of the role
        await reader.readuntil(b'"content":"')
        tokens.append((time.perf_counter() - started) * 1000)
        writer.close()
        await asyncio.sleep(0.05)
    await quiet(way.pid)
    return f"first event {_spread(events)}; first token {_spread(tokens)}"


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.1f} ms (p95 {ordered[len(ordered) * 95 // 100]:.1f})"


async def held(way: Way, count: int, seconds: float) -> str:
    """Memory of the gateway's process with so many streams open, at once and later."""
    before = _memory_mib(way.pid)
    async with module("bench.gateway_load") as client:
        assert client.stdin is not None
        client.stdin.write(spec(way.load(count, 1.0, together=False)))
        opened = (await _line(client))["open"]
        points = []
        for _ in range(3):
            points.append(_memory_mib(way.pid))
            await asyncio.sleep(seconds / 2)
        client.stdin.write(b"begin\nend\n")
        await _line(client)
    await quiet(way.pid)
    after = _memory_mib(way.pid)
    grew = ", ".join(f"{each:.0f}" for each in points)
    return (
        f"{count} streams of a token a second, open in {opened:.1f} s: {before:.0f} MiB before, "
        f"then {grew} over {seconds:.0f} s, {after:.0f} after; "
        f"{(points[-1] - before) * 1024 / count:.0f} KiB each"
    )


def _memory_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss / _MIB)


def versions() -> str:
    return ", ".join(f"{each} {found}" for each in _PACKAGES if (found := _version(each)))


async def bench(streams: int, seconds: float, rounds: int, many: int) -> None:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{versions()}; load {load}", flush=True)
    with TemporaryDirectory(prefix="isobath-bench-") as folder:
        async with servers(Path(folder)) as server:
            plain = server.ways[PLAIN]
            print(f"idle: {_memory_mib(plain.pid):.0f} MiB")
            for name in (PLAIN, ANALYST):
                print(f"{name}: {await first_event(server.ways[name], 30)}", flush=True)
            print(await streaming(server, streams, seconds, rounds), flush=True)
            if many:
                print(await held(plain, many, 20.0), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway")
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--window", type=float, default=2.0, help="seconds that are looked at")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--many", type=int, default=1000, help="streams that are held open; 0 = no")
    given = parser.parse_args()
    asyncio.run(bench(given.streams, given.window, given.rounds, given.many))


if __name__ == "__main__":
    main()
