"""Whole chats on the whole platform: what it adds to query, programs and engine; then many at once.

    python -m bench.gateway_chat --rounds 3 --at-once 100

The platform is what `make up` starts, with the rules engine. A chat fetches 200,000 rows from
PostgreSQL and some blobs, and executes three programs. What it adds = the time that the client
waits, less the query alone (COPY, by asyncpg), less the programs' own time (as the run tells it),
less the engine's (as its metrics tell it).
"""

import argparse
import asyncio
import os
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx
import psutil
from rich.console import Console

from dev.asking import ask
from dev.assembly import Platform, platform
from dev.console import Board
from dev.home import Home
from dev.question import MODEL, QUESTION
from dev.registration import api
from dev.samples.load import DATABASE
from dev.settings import Settings
from isobath.analyst.v1 import analyst_pb2 as messages
from servicekit.ports import free_ports

ROWS = 200_000
# as many orders as it takes, of the sample company's
QUERY = f"SELECT o.* FROM public.orders o, generate_series(1, 40) n LIMIT {ROWS}"
_MIB = 1024 * 1024
_SUMS = re.compile(r"^isobath_inference_(?:first|between)_tokens?_seconds_sum (\S+)$", re.M)


@dataclass(frozen=True)
class Chat:
    """Seconds of one chat, and of its parts."""

    first: float
    whole: float
    query: float
    programs: float
    engine: float
    rounds: int
    rows: int

    @property
    def added(self) -> float:
        return self.whole - self.query - self.programs - self.engine


@dataclass(frozen=True)
class Parts:
    """Where the parts are measured."""

    running: Platform
    metrics_port: int

    async def engine_s(self) -> float:
        """What its answers took so far."""
        async with httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        return sum(float(each) for each in _SUMS.findall(page.text))

    async def query_s(self) -> float:
        """The query alone, its bytes dropped."""
        connection = await asyncpg.connect(self.running.parts.postgres.dsn_of(DATABASE))

        async def drop(_: bytes) -> None:
            return

        try:
            started = time.perf_counter()
            await connection.copy_from_query(QUERY, output=drop, format="csv")
            return time.perf_counter() - started
        finally:
            await connection.close()


def body(rows: int) -> dict[str, object]:
    """The question; fewer rows than all by a limit."""
    data = [
        {"source": "sales", "query": QUERY, "limit": rows, "as": "orders"},
        {"source": "sales", "table": "public.refunds", "limit": rows},
        {"source": "lake", "path": "shipments/*.parquet"},
    ]
    said = [{"role": "user", "content": QUESTION}]
    return {"model": MODEL, "stream": True, "messages": said, "data_sources": data}


class Told:
    """What one run told, with the time of its first event."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.first = 0.0
        self.programs = 0.0
        self.usage = messages.RunUsage()

    def show(self, event: messages.Event) -> None:
        self.first = self.first or time.perf_counter() - self.started
        if event.HasField("program_finished"):
            self.programs += event.program_finished.elapsed.ToTimedelta().total_seconds()
        if event.HasField("completed"):
            self.usage = event.completed.usage


async def chat(parts: Parts, client: httpx.AsyncClient) -> Chat:
    query, engine = await parts.query_s(), await parts.engine_s()
    told = Told()
    # the stream begins with the first event, not with the end of the fetch
    await ask(client, {**body(ROWS), "hold": False}, told.show)
    whole = time.perf_counter() - told.started
    engine = await parts.engine_s() - engine
    usage = told.usage
    return Chat(told.first, whole, query, told.programs, engine, usage.rounds, usage.fetched_rows)


def spread(name: str, values: list[float]) -> str:
    low, high = min(values) * 1000, max(values) * 1000
    return f"{name:<26}{statistics.median(values) * 1000:>9.0f} ms ({low:.0f} to {high:.0f})"


def told(chats: list[Chat]) -> str:
    lines = [f"{len(chats)} chats of {chats[0].rounds} programs and {chats[0].rows:,} rows"]
    for name in ("first", "whole", "query", "programs", "engine", "added"):
        lines.append(spread(name, [getattr(each, name) for each in chats]))
    return "\n".join(lines)


def held(running: Platform) -> Mapping[str, int]:
    """Memory of each process of ours, in MiB."""
    return {
        name: round(psutil.Process(pid).memory_info().rss / _MIB)
        for name, pid in running.supervisor.pids.items()
    }


async def at_once(running: Platform, client: httpx.AsyncClient, count: int) -> str:
    """So many runs begun together: how many ended well, and the memory before and after."""

    async def one() -> str:
        try:
            await ask(client, body(1_000), lambda _: None)
        except Exception as fault:  # each is counted, whatever it is
            return f"{type(fault).__name__}: {fault}"[:80]
        return ""

    before, started = held(running), time.perf_counter()
    faults = [each for each in await asyncio.gather(*(one() for _ in range(count))) if each]
    passed = time.perf_counter() - started
    await asyncio.sleep(2.0)
    grew = {name: f"{before[name]} → {now}" for name, now in held(running).items()}
    told = ", ".join(f"{name} {each}" for name, each in grew.items())
    return f"{count} at once: {passed:.1f} s, {len(faults)} failed {faults[:2] or ''}\nMiB: {told}"


async def bench(rounds: int, count: int, times: int) -> None:
    http, metrics = free_ports(2)
    given = {
        "ISOBATH_INFERENCE_SERVER_METRICS_BIND": f"127.0.0.1:{metrics}",
        "ISOBATH_GATEWAY_MAX_RUNS": "1000",
        # whoever finds all kernels in use waits for one
        "ISOBATH_SANDBOX_LINE": "1000",
        "ISOBATH_SANDBOX_WAIT_S": "600",
    }
    print(f"load {', '.join(f'{value:.1f}' for value in os.getloadavg())}", flush=True)
    with TemporaryDirectory(prefix="isobath-bench-") as folder:
        home = Home(Path(folder))
        settings = Settings(home=home.path, http_port=http, log_level="ERROR")
        board = Board(Console(file=StringIO()))
        async with (
            platform(settings, home, board, given) as running,
            api(running.ports.url, running.key) as client,
        ):
            client.timeout = httpx.Timeout(300.0)
            parts = Parts(running, metrics)
            await chat(parts, client)
            print(told([await chat(parts, client) for _ in range(rounds)]), flush=True)
            for _ in range(times if count else 0):
                print(await at_once(running, client, count), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway_chat")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=100, help="runs together; 0 = none")
    parser.add_argument("--times", type=int, default=1, help="how often so many are asked")
    given = parser.parse_args()
    asyncio.run(bench(given.rounds, given.at_once, given.times))


if __name__ == "__main__":
    main()
