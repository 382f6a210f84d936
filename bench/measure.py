"""Times several ways of one thing, interleaved, and prints ratios to the first with the spread."""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

Way = Callable[[], Awaitable[int]]


async def compare(title: str, ways: Mapping[str, Way], *, rounds: int = 5) -> None:
    """Run each way once to warm it, then all of them `rounds` times in turn (A, B, A, B, …).

    A way returns the bytes that it moved; a line tells the median seconds, the spread, MB/s, and
    how many times faster it is than the first.
    """
    for way in ways.values():
        await way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    moved: dict[str, int] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            moved[name] = await way()
            seconds[name].append(time.perf_counter() - began)
    print(f"\n{title} ({rounds} rounds, interleaved)")
    base = statistics.median(next(iter(seconds.values())))
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(
            f"  {name:40} {median:8.3f} s  [{min(taken):.3f} … {max(taken):.3f}]"
            f"  {moved[name] / median / 1e6:8.1f} MB/s  {base / median:5.2f} ×"
        )
