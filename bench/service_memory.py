"""What each service holds in memory: idle, and at most while questions are answered.

    make up                                  # in another terminal
    python -m bench.service_memory --questions 20 --at-once 4

Reads ready.json of $ISOBATH_HOME. A service is its process and all beneath it, by proportional set
size: pages that several of them share count once. On Linux, as root or as who started them. The
figures are in docs/kubernetes.md, and what pods request there is made of them.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import psutil

QUESTION = "Which region has the highest revenue, and how did it develop over the months?"
_MIB = 1024 * 1024
_LOOK_S = 0.2


def held(pids: Mapping[str, int]) -> dict[str, float]:
    """MiB by service. A process that ends meanwhile counts nothing."""
    return {name: sum(map(_pss, _tree(pid))) / _MIB for name, pid in pids.items()}


def _tree(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


async def watched(pids: Mapping[str, int], most: dict[str, float]) -> None:
    """Until it is cancelled."""
    while True:
        for name, mib in (await asyncio.to_thread(held, pids)).items():
            most[name] = max(most.get(name, 0.0), mib)
        await asyncio.sleep(_LOOK_S)


async def asked(ready: Mapping[str, Any], questions: int, at_once: int) -> int:
    """How many answers came whole."""
    turns = asyncio.Semaphore(at_once)
    headers = {"Authorization": f"Bearer {ready['api_key']}"}
    async with aiohttp.ClientSession(ready["http"], headers=headers) as session:

        async def ask() -> bool:
            body = {
                "model": "DeepAnalyze-8B",
                "messages": [{"role": "user", "content": QUESTION}],
                "data_sources": [{"source": "sales", "table": "public.orders"}],
            }
            async with turns, session.post("/v1/chat/completions", json=body) as answer:
                await answer.read()
                return answer.status == 200

        return sum(await asyncio.gather(*(ask() for _ in range(questions))))


async def measured(ready: Mapping[str, Any], questions: int, at_once: int) -> str:
    pids: Mapping[str, int] = ready["pids"]
    idle, most = held(pids), dict[str, float]()
    watching = asyncio.create_task(watched(pids, most))
    try:
        whole = await asked(ready, questions, at_once)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    rows = [f"| `{name}` | {idle[name]:.0f} | {most[name]:.0f} |" for name in pids]
    head = ["| service | idle, MiB | at most, MiB |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows, f"\n{whole} of {questions} answered, {at_once} at once"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4)
    given = parser.parse_args()
    home = Path(os.environ.get("ISOBATH_HOME") or ".isobath")
    ready = json.loads((home / "ready.json").read_text())
    print(asyncio.run(measured(ready, given.questions, given.at_once)))


if __name__ == "__main__":
    main()
