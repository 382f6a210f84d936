"""What a person has to approve waits for it, and is then done once; the program's time rests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import pytest

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling, faults, streaming
from servicekit.status import RemoteFault
from services.sandbox.approvals import Wish, wished
from services.sandbox.errors import NotApproved
from services.sandbox.execution import Timer
from services.sandbox.pods.carrier import Carrier, Held
from tests.sandbox.boxes import Box, Place, Ran

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("C4", "X4")]
QUERY, WRITE = pb.GUARDED_OPERATION_QUERY, pb.GUARDED_OPERATION_WRITE
ASKED = "print(len(sources['shop'].query('ROWS 3', [7])))"


@asynccontextmanager
async def asked(
    box: Box, code: str, timeout_s: float | None = None
) -> AsyncIterator[tuple[Any, Ran, pb.ApprovalRequest]]:
    """A program that has come to its first approval, and what it told until then."""
    ran = Ran()
    async with streaming(box.call(code, timeout_s)) as call:
        events = aiter(faults(call))
        async for event in events:
            ran.take(event)
            if event.HasField("approval"):
                yield events, ran, event.approval
                return
        raise AssertionError(f"it asked for nothing: {ran.text}")


async def decide(box: Box, approval_id: str, approved: bool, comment: str = "") -> None:
    request = pb.DecideApprovalRequest(
        session_id=box.id, approval_id=approval_id, approved=approved, comment=comment
    )
    await calling(box.stub.DecideApproval(request))


async def rest(events: Any, ran: Ran, box: Box | None = None) -> int:
    """To the end; what is asked meanwhile is approved where a box is given. How many that were."""
    count = 0
    async for event in events:
        ran.take(event)
        if event.HasField("approval"):
            count += 1
            assert box is not None
            await decide(box, event.approval.approval_id, True)
    return count


async def test_statement_waits_and_is_then_run_once(sandbox: Place, box: Box) -> None:
    await box.attach("read", guarded=[QUERY])
    seen = len(sandbox.seen.queries)
    async with asked(box, ASKED) as (events, ran, approval):
        assert (approval.source, approval.source_id) == ("shop", "ds-1")
        assert approval.operation == QUERY
        assert approval.query.sql == "ROWS 3" and approval.query.parameters[0].integer == 7
        assert len(sandbox.seen.queries) == seen
        await decide(box, approval.approval_id, True)
        assert await rest(events, ran) == 0
    assert ran.out == "3\n" and len(sandbox.seen.queries) == seen + 1
    with pytest.raises(RemoteFault) as over:
        await decide(box, approval.approval_id, True)
    assert over.value.reason == "NOT_FOUND"


async def test_each_statement_is_asked_for(box: Box) -> None:
    await box.attach("read", guarded=[QUERY])
    async with asked(box, f"{ASKED}\n{ASKED}") as (events, ran, approval):
        await decide(box, approval.approval_id, True)
        assert await rest(events, ran, box) == 1
    assert ran.out == "3\n3\n"


async def test_refusal_is_a_permission_error_with_the_reason(sandbox: Place, box: Box) -> None:
    await box.attach("read", guarded=[QUERY])
    seen = len(sandbox.seen.queries)
    code = f"try:\n    {ASKED}\nexcept PermissionError as refused:\n    print(refused)"
    async with asked(box, code) as (events, ran, approval):
        await decide(box, approval.approval_id, False, "not that table.")
        await rest(events, ran)
    assert ran.out == (
        "this statement on shop was not approved: not that table. "
        "Go on without it, or ask for less.\n"
    )
    assert len(sandbox.seen.queries) == seen


async def test_file_waits_before_a_byte_of_it_moves(sandbox: Place, box: Box) -> None:
    await box.attach("read", writes="write", guarded=[WRITE])
    code = (
        "open('big.bin', 'wb').write(b'x' * 4_000_000)\n"
        "print(sources['shop'].upload('big.bin', 'out/big.bin', overwrite=True)['size_bytes'])"
    )
    async with asked(box, code) as (events, ran, approval):
        assert (approval.operation, approval.path) == (WRITE, "out/big.bin")
        assert approval.overwrite and not approval.HasField("query")
        assert "out/big.bin" not in sandbox.seen.stored
        await decide(box, approval.approval_id, True)
        await rest(events, ran)
    assert ran.out == "4000000\n" and len(sandbox.seen.stored["out/big.bin"]) == 4_000_000
    async with asked(box, code.replace("out/big", "out/other")) as (events, ran, approval):
        await decide(box, approval.approval_id, False)
        await rest(events, ran)
    assert ran.finished.error_name == "PermissionError"
    assert "out/other.bin" not in sandbox.seen.stored


async def test_what_is_not_guarded_does_not_wait(box: Box) -> None:
    await box.attach("read,list", guarded=[WRITE])
    assert (await box.run(ASKED)).out == "3\n"
    await box.attach("read,list", guarded=[QUERY])
    ran = await box.run(
        "print(len(sources['shop'].read('web/a.csv')), len(sources['shop'].list()))"
    )
    assert ran.out == "1 1\n"


async def test_time_does_not_run_while_it_waits(box: Box) -> None:
    await box.attach("read", guarded=[QUERY])
    async with asked(box, ASKED, timeout_s=2.0) as (events, ran, approval):
        await asyncio.sleep(3.0)
        await decide(box, approval.approval_id, True)
        await rest(events, ran)
    assert ran.out == "3\n" and ran.finished.outcome == pb.OUTCOME_OK
    # and runs on afterwards
    endless = f"{ASKED}\nimport time\nwhile True: time.sleep(0.1)"
    async with asked(box, endless, timeout_s=1.0) as (events, ran, approval):
        await decide(box, approval.approval_id, True)
        await rest(events, ran)
    assert ran.finished.outcome == pb.OUTCOME_TIMEOUT


async def test_interrupt_ends_the_wait(box: Box) -> None:
    await box.attach("read", guarded=[QUERY])
    async with asked(box, ASKED) as (events, ran, approval):
        await calling(box.stub.Interrupt(pb.InterruptRequest(session_id=box.id)))
        await rest(events, ran)
    assert ran.finished.outcome == pb.OUTCOME_INTERRUPTED
    with pytest.raises(RemoteFault) as over:
        await decide(box, approval.approval_id, True)
    assert over.value.reason == "NOT_FOUND"
    assert (await box.run("print('goes on')")).out == "goes on\n"


async def test_leaving_ends_the_wait(sandbox: Place, box: Box) -> None:
    await box.attach("read", guarded=[QUERY])
    seen = len(sandbox.seen.queries)
    async with asked(box, ASKED):
        pass
    assert (await box.run("print('goes on')")).out == "goes on\n"
    assert len(sandbox.seen.queries) == seen


async def test_thread_left_behind_gets_nothing(sandbox: Place, box: Box) -> None:
    """A program that ended asks for nothing any more: there is nobody to ask."""
    await box.attach("read", guarded=[QUERY])
    seen = len(sandbox.seen.queries)
    begun = await box.run(
        "import threading, time\n"
        "said = []\n"
        "def later():\n"
        "    time.sleep(0.5)\n"
        "    try:\n"
        "        sources['shop'].query('ROWS 1')\n"
        "    except PermissionError as refused:\n"
        "        said.append(str(refused))\n"
        "thread = threading.Thread(target=later)\n"
        "thread.start()"
    )
    assert begun.finished.outcome == pb.OUTCOME_OK
    await asyncio.sleep(1.0)
    ran = await box.run("thread.join()\nprint(said)")
    assert "the program that asked has ended" in ran.out
    assert len(sandbox.seen.queries) == seen


# -- cores


async def test_wish_is_what_the_connector_gets() -> None:
    query = connector.Query(sql="SELECT 1", parameters=[connector.Parameter(integer=1)])
    fetch = connector.FetchRequest(grant="g", selection=connector.Selection(query=query))
    shown = pb.ApprovalRequest(source_id="ds-1", operation=QUERY, query=query)
    assert wished("ds-1", fetch) == Wish.of(shown)
    assert wished("ds-2", fetch) != Wish.of(shown)
    fetch.selection.query.parameters[0].integer = 2
    assert wished("ds-1", fetch) != Wish.of(shown)
    path = connector.FetchRequest(selection=connector.Selection(path="a.csv"))
    assert wished("ds-1", path) is None
    start = connector.StoreRequest(start=connector.StoreStart(path="a", overwrite=True))
    assert wished("ds-1", start) != Wish("ds-1", WRITE, path="a")
    assert wished("ds-1", start) == Wish("ds-1", WRITE, path="a", overwrite=True)


async def test_pod_cannot_do_what_nobody_was_shown() -> None:
    carrier = Carrier("carrier-1", mock.Mock(), mock.Mock())
    handle = carrier.handle(Held("grant", "shop", "ds-1", frozenset({QUERY, WRITE})))
    selection = connector.Selection(query=connector.Query(sql="SELECT 1"))
    fetch = connector.FetchRequest(grant=handle, selection=selection)
    store = connector.StoreRequest(start=connector.StoreStart(grant=handle, path="a"))
    for method, request in (("Fetch", fetch), ("Store", store)):
        raw, wish = request.SerializeToString(), wished("ds-1", request)
        assert wish is not None
        with pytest.raises(NotApproved):
            carrier._granted(method, raw)
        carrier.approve(wish)
        carrier._granted(method, raw)
        with pytest.raises(NotApproved):
            carrier._granted(method, raw)
        carrier.approve(wish)
        carrier.forget_approvals()
        with pytest.raises(NotApproved):
            carrier._granted(method, raw)
    path = connector.FetchRequest(grant=handle, selection=connector.Selection(path="a.csv"))
    carrier._granted("Fetch", path.SerializeToString())


async def test_timer_rests_as_long_as_somebody_asks_it_to() -> None:
    rung = asyncio.Event()
    timer = Timer(0.2, rung.set)
    with timer.resting():
        with timer.resting():
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        assert not rung.is_set()
    await asyncio.wait_for(rung.wait(), 5)
    silent = Timer(0.01, rung.clear)
    with silent.resting():
        silent.cancel()
    await asyncio.sleep(0.05)
    assert rung.is_set()
