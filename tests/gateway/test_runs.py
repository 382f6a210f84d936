"""What a run does at its end, whatever happens to it meanwhile."""

import asyncio

import pytest

from services.gateway.working import to_its_end


@pytest.mark.req("S8")
async def test_end_of_a_run_is_written_however_often_it_is_cancelled() -> None:
    open_gate, written = asyncio.Event(), list[str]()

    async def end() -> None:
        await open_gate.wait()
        written.append("ended")

    run = asyncio.create_task(to_its_end(end()))
    for _ in range(3):
        await asyncio.sleep(0)
        run.cancel()
    await asyncio.sleep(0)
    assert not run.done()
    open_gate.set()
    await run
    assert written == ["ended"]


async def test_failure_at_the_end_of_a_run_is_raised() -> None:
    async def end() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        await to_its_end(end())
