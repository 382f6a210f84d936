import asyncio
import os
import signal

import pytest
from rich.console import Console

from dev.ending import run


@pytest.fixture
def console() -> Console:
    return Console(record=True, quiet=False, width=80)


def signalled(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_run_gives_the_exit_code(console: Console) -> None:
    async def main() -> int:
        return 3

    assert run(main(), console) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_signalled_leaves_its_contexts(console: Console, number: signal.Signals) -> None:
    left: list[bool] = []

    async def main() -> int:
        asyncio.get_running_loop().call_soon(signalled, number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            left.append(True)
        return 0

    assert run(main(), console) == 128 + number
    assert left


def test_run_signalled_may_still_end_well(console: Console) -> None:
    async def main() -> int:
        asyncio.get_running_loop().call_soon(signalled, signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 0
        return 1

    assert run(main(), console) == 0


def test_run_tells_every_failure_of_a_group(console: Console) -> None:
    async def main() -> int:
        nested = ExceptionGroup("two", [RuntimeError("second"), ValueError("third")])
        raise ExceptionGroup("all", [RuntimeError("first"), nested])

    assert run(main(), console) == 1
    told = console.export_text()
    assert "first\n" in told and "second\n" in told and "ValueError: third\n" in told
