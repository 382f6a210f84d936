"""Ways to do the same thing, measured in turn in one run: medians, spread, ratio, peak memory."""

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import psutil

Way = Callable[[], Awaitable[int]]
_SAMPLE_S = 0.01
_MIB = 1024 * 1024


@dataclass
class Measured:
    """Seconds of each round, bytes that arrived, and the most memory that a process held."""

    seconds: list[float] = field(default_factory=list)
    size: int = 0
    peak_mib: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Peak:
    """The largest resident set of a process while the block runs, in MiB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.mib = 0.0

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.mib = max(self.mib, self._process.memory_info().rss / _MIB)


async def interleaved(
    ways: Mapping[str, Way], *, rounds: int, pids: Mapping[str, int]
) -> dict[str, Measured]:
    """A, B, A, B …, after one round that does not count. `pids` = whose memory a way is about."""
    found = {name: Measured() for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            await asyncio.sleep(0)
            with Peak(pids.get(name, 0) or psutil.Process().pid) as peak:
                started = time.perf_counter()
                size = await way()
                passed = time.perf_counter() - started
            if number:
                found[name].seconds.append(passed)
                found[name].size = size
                found[name].peak_mib = max(found[name].peak_mib, peak.mib)
    return found


def told(found: Mapping[str, Measured], *, base: str, pids: Mapping[str, int]) -> str:
    """A table. The ratio is the base's median by the way's: above 1 = faster than the base."""
    lines = [f"{'way':<34}{'median s':>9}{'min':>8}{'max':>8}{'MB':>8}{'ratio':>7}{'peak MiB':>10}"]
    for name, each in found.items():
        peak = f"{each.peak_mib:10.0f}" if name in pids else f"{'–':>10}"
        lines.append(
            f"{name:<34}{each.median:>9.3f}{min(each.seconds):>8.3f}{max(each.seconds):>8.3f}"
            f"{each.size / 1e6:>8.1f}{found[base].median / each.median:>7.2f}{peak}"
        )
    return "\n".join(lines)
