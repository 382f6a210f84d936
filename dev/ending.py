"""How a program of `dev` ends: by a signal, by itself, or with what failed."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from rich.console import Console

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(main: Coroutine[Any, Any, int], console: Console) -> int:
    """Run `main` to its exit code. A signal cancels it, so that all contexts are left in order; a
    second one cuts their patience short. What failed is printed, and gives 1."""
    try:
        return asyncio.run(_heeding(main, console))
    except BaseExceptionGroup as group:
        for each in _leaves(group):
            _tell(console, each)
    except Exception as failure:  # the last stop of the program: told, not lost
        _tell(console, failure)
    return 1


async def _heeding(main: Coroutine[Any, Any, int], console: Console) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main)
    caught: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        console.print(f"{number.name}: stopping", highlight=False)
        caught.append(number)
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


def _tell(console: Console, failure: BaseException) -> None:
    name = "" if isinstance(failure, RuntimeError) else f"{type(failure).__name__}: "
    console.print(f"{name}{failure}", style="red", markup=False, highlight=False, soft_wrap=True)
