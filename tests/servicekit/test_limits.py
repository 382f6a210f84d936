import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from servicekit import context
from servicekit.limits import Limiter
from servicekit.testing import Leaks


async def test_run_gives_result_and_error_of_the_function(no_leaks):
    async with Limiter("work", 2) as threads:
        assert await threads.run(max, 3, 5) == 5
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)


async def test_run_at_most_so_many_at_once(no_leaks):
    gate, entered = threading.Event(), threading.Semaphore(0)
    running, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        entered.release()
        gate.wait(10)
        with lock:
            running -= 1

    async with Limiter("work", 3) as threads:
        tasks = [asyncio.create_task(threads.run(work)) for _ in range(9)]
        for _ in range(3):
            await asyncio.to_thread(entered.acquire)
        gate.set()
        await asyncio.gather(*tasks)
    assert most == 3


async def test_run_cancelled_while_it_waits_never_runs(no_leaks):
    gate = threading.Event()
    ran: list[int] = []
    async with Limiter("work", 1) as threads:
        first = asyncio.create_task(threads.run(gate.wait, 10))
        second = asyncio.create_task(threads.run(ran.append, 1))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        gate.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
    assert ran == []


async def test_run_cancelled_while_it_runs_ends_after_the_thread(no_leaks):
    entered, gate = threading.Event(), threading.Event()
    steps: list[str] = []

    def work() -> None:
        entered.set()
        gate.wait(10)
        steps.append("thread")

    async def caller(threads: Limiter) -> None:
        try:
            await threads.run(work)
        finally:
            steps.append("caller")

    async with Limiter("work", 1) as threads:
        task = asyncio.create_task(caller(threads))
        await asyncio.to_thread(entered.wait, 10)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert steps == []
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert steps == ["thread", "caller"]


async def test_run_sees_the_context_of_its_caller(no_leaks):
    async with Limiter("work", 1) as threads:
        with context.entered_request("req-5"):
            assert await threads.run(context.request_id) == "req-5"


# the check itself


async def test_leaks_task_is_found():
    leaks = Leaks()
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    assert any("forgotten" in found for found in await leaks.settled(0.1))
    task.cancel()
    assert await leaks.settled() == []


async def test_leaks_thread_is_found():
    leaks, gate = Leaks(), threading.Event()
    thread = threading.Thread(target=gate.wait, name="forgotten")
    thread.start()
    assert "thread forgotten" in await leaks.settled(0.1)
    gate.set()
    thread.join()
    assert await leaks.settled() == []


async def test_leaks_file_is_found(tmp_path):
    leaks = Leaks()
    opened = (tmp_path / "forgotten").open("w")
    assert any("forgotten" in found for found in await leaks.settled(0.1))
    opened.close()
    assert await leaks.settled() == []


async def test_leaks_process_is_found():
    leaks = Leaks()
    process = await asyncio.create_subprocess_exec("sleep", "60")
    assert f"process {process.pid}" in await leaks.settled(0.1)
    process.kill()
    await process.wait()
    assert await leaks.settled() == []


PLANTED = """
import asyncio
from servicekit.testing import no_leaks

kept = []

async def test_planted(no_leaks):
    kept.append(asyncio.create_task(asyncio.sleep(3600), name="planted"))
"""


async def test_no_leaks_fails_the_test_that_leaks(tmp_path: Path):
    (tmp_path / "test_planted.py").write_text(PLANTED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    path = os.pathsep.join(part for part in sys.path if part)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", str(tmp_path), cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 1
    assert b"left behind: task" in out and b"planted" in out and b"1 passed, 1 error" in out
