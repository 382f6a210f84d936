"""What the tests' loops tell of themselves (conftest.py)."""

import asyncio
import logging
import time

import pytest


async def test_step_that_blocks_the_loop_is_logged_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def block() -> None:
        time.sleep(0.15)

    # whatever another test has left
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        await asyncio.create_task(block(), name="blocking")
        await asyncio.sleep(0)
    assert "blocking" in caplog.text


async def test_call_from_a_foreign_thread_raises() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(RuntimeError, match="Non-thread-safe"):
        await asyncio.to_thread(loop.call_soon, print)
