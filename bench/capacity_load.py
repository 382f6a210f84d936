"""Measures what a chat costs each service, and whether costs that were measured in a small load
foretell a large one.

The whole platform runs as processes, one of each, with the rules engine. CPU time is the kernel's
own count of each process and its children, so it holds beside other work too. Four loads differ in
one thing each, and their differences are the costs:

    small     a question of one small table: a session, a grant, programs
    large     the same question of many rows from PostgreSQL
    blob      the same of a small blob beside
    blobs     the same of all blobs beside
"""

import asyncio
import os
import platform
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx
import psutil
from rich.console import Console

from bench.capacity import GB, Costs, throughput
from dev.asking import ask
from dev.console import Board
from dev.home import Home
from dev.names import NAMES
from dev.registration import api
from dev.scale_out.cluster import Cluster, cluster
from dev.settings import Settings
from isobath.analyst.v1 import analyst_pb2 as analyst

SAMPLE_S = 0.5
QUESTION = "Which region has the most orders?"
AT_ONCE = 3
CHATS = 24
# the check: so many at once, in a load that the costs are to foretell
CROWD, CROWD_CHATS = 12, 60
ROWS = 400_000
GATEWAY_EVENT_S = 68e-6
STREAM_BYTES = 226 * 1024**2 / 1000

_MANY = f"SELECT o.* FROM public.orders o, generate_series(1, 40) n LIMIT {ROWS}"
_ORDERS = {"source": "sales", "table": "public.orders", "limit": 100}
LOADS: Mapping[str, Mapping[str, Any]] = {
    "small": {"data_sources": [_ORDERS]},
    "large": {"data_sources": [{"source": "sales", "query": _MANY, "limit": ROWS, "as": "orders"}]},
    "blob": {"data_sources": [_ORDERS, {"source": "lake", "path": "catalogue/*.json"}]},
    "blobs": {"data_sources": [_ORDERS, {"source": "lake", "path": "web/*.csv"}]},
}


@dataclass
class Load:
    """What one load used. `cpu`: seconds of each service, a chat."""

    cpu: Mapping[str, float]
    seconds: float
    chats: int
    programs: float
    events: float
    fetched: float
    program_s: float
    failed: int
    state_bytes: float
    each_s: Sequence[float] = field(default_factory=list)


@dataclass
class Told:
    events: int = 0
    programs: int = 0
    program_s: float = 0.0
    fetched: int = 0

    def show(self, event: analyst.Event) -> None:
        self.events += 1
        if event.HasField("program_finished"):
            self.programs += 1
            self.program_s += event.program_finished.elapsed.ToTimedelta().total_seconds()
        if event.HasField("completed"):
            self.fetched = event.completed.usage.fetched_bytes


class Meter:
    """CPU seconds of processes and of all that they start, by name: looked at twice a second, since
    what a kernel used is nobody's once it has ended."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._seen: dict[tuple[str, int, float], float] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch(), name="meter")
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            self.used()
            await asyncio.sleep(SAMPLE_S)

    def used(self) -> dict[str, float]:
        """So far, by name."""
        for name, pid in self._roots.items():
            root = psutil.Process(pid)
            for each in (root, *(root.children(recursive=True) if pid != os.getpid() else ())):
                with suppress(psutil.NoSuchProcess):
                    times = each.cpu_times()
                    self._seen[name, each.pid, each.create_time()] = times.user + times.system
        total = dict.fromkeys(self._roots, 0.0)
        for (name, _, _), seconds in self._seen.items():
            total[name] += seconds
        return total


def metered(running: Cluster) -> Meter:
    """Every service, the platform's database, and the load itself."""
    roots = {name.rpartition("-")[0]: pid for name, pid in running.supervisor.pids.items()}
    return Meter({**roots, "database": running.parts.postgres.pid, "load": os.getpid()})


async def state_bytes(running: Cluster) -> float:
    connection = await asyncpg.connect(running.parts.postgres.dsn_of("isobath_gateway"))
    try:
        return float(await connection.fetchval("SELECT pg_database_size('isobath_gateway')"))
    finally:
        await connection.close()


async def load(running: Cluster, body: Mapping[str, Any], chats: int, at_once: int) -> Load:
    """So many chats, so many of them at a time."""
    told: list[Told] = []
    each_s: list[float] = []
    failed = 0
    left = iter(range(chats))
    whole = {"stream": True, "messages": [{"role": "user", "content": QUESTION}], **body}

    async def user(client: httpx.AsyncClient) -> None:
        nonlocal failed
        for _ in left:
            one, began = Told(), time.perf_counter()
            try:
                await ask(client, whole, one.show)
            except Exception:  # counted
                failed += 1
            told.append(one)
            each_s.append(time.perf_counter() - began)

    meter = metered(running)
    size, before, began = await state_bytes(running), meter.used(), time.perf_counter()
    async with meter.running(), api(running.urls[0], running.key) as client:
        client.timeout = httpx.Timeout(600.0)
        await asyncio.gather(*(user(client) for _ in range(at_once)))
    passed = time.perf_counter() - began
    after = meter.used()
    return Load(
        cpu={name: (after[name] - before[name]) / chats for name in after},
        seconds=passed,
        chats=chats,
        programs=statistics.mean(each.programs for each in told),
        events=statistics.mean(each.events for each in told),
        fetched=statistics.mean(each.fetched for each in told),
        program_s=statistics.mean(each.program_s for each in told),
        failed=failed,
        state_bytes=(await state_bytes(running) - size) / chats,
        each_s=each_s,
    )


def costs_of(loads: Mapping[str, Load], session: float) -> Costs:
    """From the differences between loads. Never below nothing: noise is no gain."""
    small = loads["small"]

    def by_gb(name: str, few: str, many: str) -> float:
        more = loads[many].cpu[name] - loads[few].cpu[name]
        return max(0.0, more) / ((loads[many].fetched - loads[few].fetched) / GB)

    return Costs(
        gateway_chat=max(0.0, small.cpu["gateway"] - small.events * GATEWAY_EVENT_S),
        gateway_event=GATEWAY_EVENT_S,
        gateway_stream_bytes=STREAM_BYTES,
        credentials_chat=small.cpu["credentials"],
        pg_chat=small.cpu["pg_connector"],
        pg_gb=by_gb("pg_connector", "small", "large"),
        blob_chat=max(0.0, loads["blob"].cpu["blob_connector"] - small.cpu["blob_connector"]),
        blob_gb=by_gb("blob_connector", "blob", "blobs"),
        sandbox_gb=by_gb("sandbox", "small", "large"),
        # with the session that they ran in
        program=small.cpu["sandbox"] / small.programs,
        session_bytes=session,
        inference_event=small.cpu["inference"] / small.events,
        database_chat=small.cpu["database"],
        database_bytes=max(0.0, small.state_bytes),
        program_s=small.program_s / small.programs,
        machine=f"{os.cpu_count()} cores, {platform.machine()}",
    )


def session_bytes(running: Cluster) -> float:
    """Of one kernel: what the sandbox's children hold for themselves, each."""
    (pid,) = (p for name, p in running.supervisor.pids.items() if name.startswith("sandbox"))
    held = []
    for each in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            pss = each.memory_full_info().pss
            if pss > 20e6:
                held.append(pss)
    return statistics.mean(held) if held else 168e6


def show(name: str, this: Load) -> None:
    parts = ", ".join(f"{part} {1000 * each:.0f}" for part, each in this.cpu.items())
    print(
        f"{name:<7} {this.chats} chats in {this.seconds:.1f} s ({this.failed} failed), "
        f"{this.programs:.1f} programs, {this.events:.0f} events, {this.fetched / 1e6:.1f} MB; "
        f"p50 {statistics.median(this.each_s):.2f} s\n        CPU ms a chat: {parts}",
        flush=True,
    )


async def measured() -> Costs:
    """Runs the loads and the check; prints all of it."""
    given = {"ISOBATH_GATEWAY_MAX_RUNS": "1000", "ISOBATH_SANDBOX_LINE": "1000"}
    given["ISOBATH_SANDBOX_WAIT_S"] = "600"
    with TemporaryDirectory(prefix="isobath-capacity-") as folder:
        home = Home(Path(folder))
        settings = Settings(home=home.path, log_level="ERROR")
        board = Board(Console(file=StringIO()))
        counts = dict.fromkeys(NAMES, 1)
        async with cluster(settings, home, counts, board, given) as running:
            await load(running, LOADS["small"], 4, 2)
            loads = {}
            for name, body in LOADS.items():
                loads[name] = await load(running, body, CHATS, AT_ONCE)
                show(name, loads[name])
            costs = costs_of(loads, session_bytes(running))
            _check(loads["small"], await load(running, LOADS["small"], CROWD_CHATS, CROWD))
    return costs


def _check(small: Load, crowd: Load) -> None:
    """Costs of a few at once against what many at once came to."""
    show("check", crowd)
    cores = float(os.cpu_count() or 1)
    expected, found = throughput(cores, small.cpu), crowd.chats / crowd.seconds
    print(
        f"check: {found:.2f} chats a second on {cores:.0f} cores, where the model says at most "
        f"{expected:.2f}: {found / expected:.2f}; CPU a chat {sum(crowd.cpu.values()):.2f} s "
        f"against {sum(small.cpu.values()):.2f}",
        flush=True,
    )
