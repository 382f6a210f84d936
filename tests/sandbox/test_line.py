"""Waiting for a slot: in order, fair between owners, bounded; and kernels that end for want of use."""

import asyncio

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling
from servicekit.status import RemoteFault
from services.sandbox.line import Line, LineFull
from tests.sandbox.boxes import TIERS, Box, place


async def test_owner_who_holds_less_goes_first() -> None:
    held = {"ann": 2, "bob": 0, "cid": 2}
    line, went = Line(8, lambda owner: held[owner]), []

    async def go(owner: str) -> None:
        async with line.turn(owner):
            went.append(owner)

    async with asyncio.TaskGroup() as group, line.turn("ann"):
        for owner in ("ann", "cid", "bob"):
            group.create_task(go(owner))
            await asyncio.sleep(0)
    assert went == ["bob", "ann", "cid"]
    async with line.turn("ann"):
        pass


async def test_line_is_bounded_and_a_waiter_that_leaves_holds_nobody_up() -> None:
    line = Line(2, lambda _: 0)

    async def go() -> str:
        async with line.turn("ann"):
            return "went"

    async with line.turn("ann"):
        tasks = [asyncio.create_task(go()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(LineFull):
            await go()
        tasks[0].cancel()
    # its turn came, and it was cancelled before it went on
    assert await tasks[1] == "went"
    assert await go() == "went"
    async with line.turn("ann"):
        late = asyncio.create_task(go())
        await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, *tasks, return_exceptions=True)
    assert await go() == "went"


@pytest.mark.req("C5")
async def test_slot_that_comes_free_goes_to_who_waits() -> None:
    async with place(TIERS[0], sessions=1, line=1, wait_s=60.0) as sandbox:
        first, second, third = (Box(sandbox.stub, name) for name in "abc")
        await first.open()
        await first.attach("grant", run_id="run-1")
        waiting = asyncio.create_task(second.open())
        # the first in line has its turn; one waits behind it; one more is too many
        behind = asyncio.create_task(Box(sandbox.stub, "d").open())
        for _ in range(3):
            await first.run("1")
        with pytest.raises(RemoteFault) as told:
            await third.open()
        assert (told.value.reason, told.value.retry_after_s is not None) == ("TOO_BUSY", True)
        request = pb.DetachSourcesRequest(session_id=first.id, run_id="run-1")
        await calling(sandbox.stub.DetachSources(request))
        assert (await waiting).session_id != first.id
        assert (await behind).session_id


@pytest.mark.req("C5", "S8")
async def test_kernel_without_use_ends_and_its_session_stays() -> None:
    async with place(TIERS[0], kernel_idle_s=0.3) as sandbox, sandbox.box() as box:
        await box.run("x = 1\nopen('kept.txt', 'w').write('here')")
        async with asyncio.timeout(30):
            while True:
                await asyncio.sleep(1.0)
                ran = await box.run("print(open('kept.txt').read(), 'x' in globals())")
                if ran.out == "here False\n":
                    break
        assert "a fresh kernel" in ran.err
