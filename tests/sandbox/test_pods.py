"""Sessions in pods of their own: claimed from Kubernetes, driven over gRPC, with no way out but the
relay. Kubernetes' API is a double; pods, driver and everything between them are real."""

import asyncio
import inspect
import platform
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import relay_pb2
from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.channels import calling, faults, streaming
from servicekit.server import ServerSettings
from servicekit.settings import SettingsError, load
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from services.sandbox.app import mount
from services.sandbox.errors import OutOfReach, TierUnavailable
from services.sandbox.isolation import podvm
from services.sandbox.isolation.podvm import PodVm
from services.sandbox.isolation.port import Interpreter
from services.sandbox.kernel import confine
from services.sandbox.pods import claims, pods
from services.sandbox.pods.carrier import Carrier, Held
from services.sandbox.pods.relay import AHEAD, Relay, Relayed, RelayServicer
from services.sandbox.servicer import Servicer
from services.sandbox.settings import PodSettings, Settings
from tests.sandbox import test_approvals, test_execute, test_sources
from tests.sandbox.boxes import PODS, Box, Place, item, place
from tests.sandbox.kubernetes_double import POOL, kubernetes, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Place]:
    async with place(PODS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(sandbox: Place) -> AsyncIterator[Box]:
    """One pod for all that do not mind what others did in it."""
    async with sandbox.box() as opened:
        yield opened


@asynccontextmanager
async def another_driver(sandbox: Place, **changes: Any) -> AsyncIterator[rpc.SandboxServiceStub]:
    """Another replica of the driver, with the same Kubernetes."""
    assert sandbox.driver is not None
    settings = {**vars(sandbox.driver), **changes}
    async with running((mount, Settings(**settings))) as server, open_channel(server) as channel:
        yield rpc.SandboxServiceStub(channel)


def with_api(settings: PodSettings, **changes: Any) -> PodSettings:
    return PodSettings(**{**vars(settings), **changes})


def name_of(session_id: str) -> str:
    return session_id.partition(".")[0]


# -- what holds on a machine holds in a pod

_SOURCES = (
    *("query_gives_a_frame_under_the_runs_grant", "cut_is_a_warning_each_time"),
    *("many_rows_arrive_whole", "read_list_tables_schema_download_upload"),
    *("nothing_is_written_where_the_run_may_only_read", "what_is_not_there_is_not_found"),
    *("refused_query_tells_state_and_position", "interrupt_in_a_query_reaches_the_connector"),
    *("source_without_connector_is_refused", "connections_are_bounded"),
    *("grant_is_not_to_be_found_inside", "session_outlives_the_call_that_opened_it"),
)
_PROGRAMS = (
    *("state_is_kept_between_programs", "figure_is_shown_as_png"),
    *("files_that_are_new_or_changed_are_artifacts", "interrupt_stops_the_program"),
    *("cancelled_call_interrupts_the_program", "second_program_at_a_time_is_refused"),
    *("program_over_its_time_is_interrupted_and_state_kept", "usage_is_told"),
)
_APPROVALS = (
    *("statement_waits_and_is_then_run_once", "each_statement_is_asked_for"),
    *("refusal_is_a_permission_error_with_the_reason", "file_waits_before_a_byte_of_it_moves"),
    *("time_does_not_run_while_it_waits", "interrupt_ends_the_wait"),
)


@pytest.mark.req("X1", "X2", "X4", "X5", "C4")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        *((test_sources, name) for name in _SOURCES),
        *((test_execute, name) for name in _PROGRAMS),
        *((test_approvals, name) for name in _APPROVALS),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_as_on_a_machine(sandbox: Place, box: Box, module: ModuleType, name: str) -> None:
    test: Callable[..., Any] = getattr(module, f"test_{name}")
    given = {"sandbox": sandbox, "box": box}
    await test(**{each: given[each] for each in inspect.signature(test).parameters})


@pytest.mark.req("C1", "B3", "C6")
async def test_files_go_in_and_out(sandbox: Place) -> None:
    async with sandbox.box() as box:
        await test_sources.test_import_brings_files_and_tells_them(box)
        with pytest.raises(RemoteFault) as told:
            await box.load(item(path="torn.bin"))
        assert told.value.reason == "SOURCE_UNREACHABLE"
        await box.write("in/put.txt", b"x" * 3_000_000)
        assert await box.read("in/put.txt") == b"x" * 3_000_000


@pytest.mark.req("X2")
async def test_no_grant_goes_into_a_pod(sandbox: Place) -> None:
    """What the pod's service is told, and what its calls carry, is handles; connectors get grants."""
    inside = list[str]()
    attach, load = Servicer.AttachSources, Servicer.Import

    async def attached(own: Any, request: pb.AttachSourcesRequest, context: Any) -> Any:
        inside.extend((request.sources[0].grant, request.sources[0].write_grant))
        return await attach(own, request, context)

    def imported(own: Any, request: pb.ImportRequest, context: Any) -> Any:
        inside.extend((request.items[0].source.grant, request.items[0].source.write_grant))
        return load(own, request, context)

    wanted = item(path="web/a.csv", grant="read,planted")
    wanted.source.write_grant = "write,planted"
    with (
        mock.patch.object(Servicer, "AttachSources", attached),
        mock.patch.object(Servicer, "Import", imported),
    ):
        async with sandbox.box() as box:
            await box.attach("read,planted", writes="write,planted")
            await box.load(wanted)
            assert (await box.run("print(len(sources['shop'].query('ROWS 2')))")).out == "2\n"
    assert len(inside) == 4 and inside[3] == ""
    assert all(handle.startswith("carrier-") for handle in inside[:3])
    assert sandbox.seen.grants[-2:] == ["read,planted"] * 2


@pytest.mark.req("X5", "D3")
async def test_what_a_run_opened_ends_with_it(sandbox: Place, box: Box) -> None:
    await box.attach("read", run_id="ends")
    sandbox.seen.waiting.clear()
    sandbox.seen.cancelled.clear()
    async with streaming(box.call("sources['shop'].query('SLOW')")) as call, asyncio.timeout(20):
        told = asyncio.ensure_future(_all(call))
        await sandbox.seen.waiting.wait()
        await calling(
            box.stub.DetachSources(pb.DetachSourcesRequest(session_id=box.id, run_id="ends"))
        )
        await sandbox.seen.cancelled.wait()
        assert (await told)[-1].finished.outcome == pb.OUTCOME_ERROR


async def _all(call: Any) -> list[Any]:
    return [each async for each in faults(call)]


# -- claims


@pytest.mark.req("C5", "X6", "K3")
async def test_thread_keeps_its_pod_whichever_replica_is_asked(sandbox: Place, box: Box) -> None:
    await box.run("kept = 41")
    again = await calling(
        box.stub.OpenSession(pb.OpenSessionRequest(thread_id=box.thread, owner="ann"))
    )
    assert (again.session_id, again.tier, again.resumed) == (box.id, "pod-vm", True)
    async with another_driver(sandbox) as stub:
        there = Box(stub, box.thread)
        there.id = box.id
        assert (await there.run("print(kept + 1)")).out == "42\n"
        await there.attach("read", run_id="of another replica", name="other")
        assert (await there.run("print(len(sources['other'].query('ROWS 3')))")).out == "3\n"
    assert (await box.run("print(kept)")).out == "41\n"


@pytest.mark.req("K3", "X6")
async def test_pods_go_on_through_another_replica_when_theirs_stops(sandbox: Place) -> None:
    assert sandbox.driver is not None
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(AsyncExitStack())
        server = await own.enter_async_context(
            running((mount, sandbox.driver), server_settings=ServerSettings(drain_s=6.0))
        )
        stub = rpc.SandboxServiceStub(await stack.enter_async_context(open_channel(server)))
        idle, held = Box(stub, "idle"), Box(stub, "held")
        for each in (idle, held):
            await each.open()
            await each.run("kept = 41; open('f', 'w').write('x')")
        await held.attach("read", run_id="a run")
        told = await calling(stub.Load(pb.LoadRequest()))
        assert (told.slots, told.held, told.busy, told.draining) == (0, 2, 1, False)
        stopping = asyncio.create_task(own.aclose())
        await server.draining.wait()
        # what nobody holds is another's at once, with its kernel
        with pytest.raises(RemoteFault) as refused:
            await idle.open()
        assert (refused.value.reason, refused.value.fields["limit"]) == ("TOO_BUSY", "draining")
        there = Box(sandbox.stub, "idle")
        taken = pb.TakeWorkspaceRequest(thread_id="idle", owner="ann", origins=[server.address])
        assert (await calling(sandbox.stub.TakeWorkspace(taken))).found
        assert (await there.open()).resumed
        assert (await there.run("print(kept)")).out == "41\n"
        # a run stays for a while, and then goes on in the same pod
        assert (await held.open()).resumed and (await held.run("print(kept)")).out == "41\n"
        running_on = asyncio.create_task(held.run("import time; time.sleep(4); print(kept)"))
        async with asyncio.timeout(20):
            while True:
                try:
                    await held.open()
                except RemoteFault as fault:
                    assert fault.fields["limit"] == "draining"
                    break
                await asyncio.sleep(0.1)
        assert (await running_on).out == "41\n"
        moved = Box(sandbox.stub, "held")
        await moved.open()
        await moved.attach("read", run_id="a run")
        assert (
            await moved.run("print(kept, len(sources['shop'].query('ROWS 3')))")
        ).out == "41 3\n"
        await stopping
        for each in (there, moved):
            await each.close()
    request = pb.CloseSessionRequest(thread_id="idle", owner="ann", remove_workspace=True)
    assert not (await calling(sandbox.stub.CloseSession(request))).existed


@pytest.mark.req("X3", "S2")
async def test_threads_and_owners_have_pods_of_their_own(sandbox: Place, box: Box) -> None:
    other = Box(box.stub, box.thread)
    opened = await calling(
        other.stub.OpenSession(pb.OpenSessionRequest(thread_id=box.thread, owner="bob"))
    )
    other.id = opened.session_id
    assert name_of(other.id) != name_of(box.id) and sandbox.api is not None
    hosts = {sandbox.api.pods[name_of(each.id)].host for each in (box, other)}
    assert len(hosts) == 2
    assert await other.close()
    async with asyncio.timeout(20):
        while name_of(other.id) in sandbox.api.claims:
            await asyncio.sleep(0.02)
    assert not await other.close() and not await other.close(remove=False)
    with pytest.raises(RemoteFault) as gone:
        await other.run("1")
    assert gone.value.reason == "NOT_FOUND"


@pytest.mark.req("S8", "S5")
async def test_pod_that_died_is_told_and_replaced(sandbox: Place) -> None:
    assert sandbox.api is not None
    async with sandbox.box() as box:
        first = box.id
        assert (await box.run("print(1)")).out == "1\n"
        await sandbox.api.kill(name_of(first))
        with pytest.raises(RemoteFault) as told:
            await box.run("print(2)")
        assert told.value.reason == "SERVICE_UNAVAILABLE"
        with mock.patch.object(pods, "_ANSWER_S", 0.5):
            opened = await box.open()
        assert box.id != first and not opened.resumed
        assert (await box.run("print(3)")).out == "3\n"
        box.id = first
        with pytest.raises(RemoteFault) as gone:
            await box.files()
        assert gone.value.reason == "NOT_FOUND"
        box.id = opened.session_id


@pytest.mark.req("C5", "S8")
async def test_claim_lasts_as_long_as_it_is_used(sandbox: Place) -> None:
    assert sandbox.api is not None
    async with sandbox.box(idle=Duration(seconds=3)) as box:
        lifecycle = sandbox.api.claims[name_of(box.id)]["spec"]["lifecycle"]
        first = datetime.fromisoformat(lifecycle["shutdownTime"])
        await asyncio.sleep(1.2)
        await box.files()
        assert datetime.fromisoformat(lifecycle["shutdownTime"]) > first


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (403, "exceeded quota: pods", "TOO_BUSY"),
        (403, "sandboxclaims is forbidden: account cannot create", "TIER_UNAVAILABLE"),
        (404, "the server could not find the requested resource", "TIER_UNAVAILABLE"),
    ],
)
async def test_refusal_of_kubernetes_is_told(
    sandbox: Place, status: int, message: str, reason: str
) -> None:
    assert sandbox.api is not None
    sandbox.api.refuse = [problem(status, "Refused", message)]
    with pytest.raises(RemoteFault) as told:
        async with sandbox.box():
            pass
    assert told.value.reason == reason and told.value.metadata()


@pytest.mark.req("S5")
async def test_kubernetes_that_stumbles_is_asked_again(sandbox: Place) -> None:
    assert sandbox.api is not None
    sandbox.api.refuse = [problem(500, "InternalError", ""), problem(429, "TooManyRequests", "")]
    async with sandbox.box() as box:
        assert (await box.run("print(1)")).out == "1\n"


async def test_no_pod_in_time_is_told_and_its_claim_taken_back(sandbox: Place) -> None:
    assert sandbox.api is not None and sandbox.driver is not None
    hasty = with_api(sandbox.driver.pods, ready_s=0.3)
    sandbox.api.pods_left, before = 0, set(sandbox.api.claims)
    try:
        async with another_driver(sandbox, pods=hasty) as stub:
            with pytest.raises(RemoteFault) as told:
                await Box(stub, "nowhere").open()
    finally:
        sandbox.api.pods_left = 100
    assert told.value.reason == "TOO_BUSY" and told.value.retry_after_s
    async with asyncio.timeout(20):
        while set(sandbox.api.claims) - before:
            await asyncio.sleep(0.02)


@pytest.mark.req("X3")
async def test_pods_of_another_tier_are_refused(tmp_path: Path) -> None:
    async with kubernetes(tmp_path, tier="none") as (api, settings):
        driver = Settings(driver="pods", pods=settings, connectors=())
        async with running((mount, driver)) as server, open_channel(server) as channel:
            with pytest.raises(RemoteFault) as told:
                await Box(rpc.SandboxServiceStub(channel), "t").open()
        assert told.value.reason == "TIER_UNAVAILABLE" and POOL in told.value.message
        async with asyncio.timeout(20):
            while api.claims:
                await asyncio.sleep(0.02)


async def test_driver_does_not_start_without_kubernetes(sandbox: Place, tmp_path: Path) -> None:
    assert sandbox.api is not None and sandbox.driver is not None
    sandbox.api.refuse = [problem(403, "Forbidden", "no list for you")]
    with pytest.raises(SettingsError, match="403 to a claim on a pod · no list for you"):
        async with another_driver(sandbox):
            pass
    nobody = with_api(sandbox.driver.pods, kubeconfig=None)
    with pytest.raises(SettingsError, match="service account or PODS_KUBECONFIG"):
        async with another_driver(sandbox, pods=nobody):
            pass
    assert sandbox.driver.pods.kubeconfig is not None
    text = sandbox.driver.pods.kubeconfig.read_text()
    (tmp_path / "kubeconfig").write_text(text.replace("http://127.0.0.1:", "http://127.0.0.1:1"))
    away = with_api(sandbox.driver.pods, kubeconfig=tmp_path / "kubeconfig")
    with (
        mock.patch.object(claims, "_LOOK_S", 0.001),
        pytest.raises(SettingsError, match="the Kubernetes API does not answer"),
    ):
        async with another_driver(sandbox, pods=away):
            pass


# -- the relay


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Relay, Any]]:
    relay = Relay()

    @asynccontextmanager
    async def serve(server: Any, _: None) -> AsyncIterator[None]:
        from isobath.sandbox.v1.relay_pb2_grpc import add_RelayServiceServicer_to_server as add

        server.register("isobath.sandbox.v1.RelayService", lambda to: add(RelayServicer(relay), to))
        yield

    from isobath.sandbox.v1.relay_pb2_grpc import RelayServiceStub

    async with running((serve, None)) as server, open_channel(server) as channel:
        yield relay, RelayServiceStub(channel)


@asynccontextmanager
async def watching(relay: Relay, stub: Any) -> AsyncIterator[Any]:
    async with streaming(stub.WatchCalls(relay_pb2.WatchCallsRequest(carrier="c"))) as watch:
        async with asyncio.timeout(20):
            while not relay._carriers:
                await asyncio.sleep(0.01)
        yield watch


@pytest.mark.req("S5")
async def test_call_that_nobody_carries_fails() -> None:
    async with relayed() as (relay, stub):
        with pytest.raises(RemoteFault) as away:
            await Relayed(relay).of_type("double")
        assert away.value.reason == "SERVICE_UNAVAILABLE"
        async with watching(relay, stub) as watch:
            asking = asyncio.create_task(Relayed(relay).of_type("double"))
            wanted = await watch.read()
            assert (wanted.source_type, wanted.method) == ("double", "Describe")
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        carried = stub.CarryCall(iter([relay_pb2.CarryCallRequest(call_id=wanted.call_id)]))
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await carried.read()
        assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_carrier_that_leaves_in_the_middle_is_noticed() -> None:
    async with relayed() as (relay, stub), watching(relay, stub) as watch:
        asking = asyncio.create_task(Relayed(relay).of_type("double"))
        wanted = await watch.read()
        first = relay_pb2.CarryCallRequest(call_id=wanted.call_id)
        async with streaming(stub.CarryCall(iter([first]))) as carried:
            assert (await carried.read()).WhichOneof("event") == "message"
        with pytest.raises(RemoteFault) as told:
            await asking
        assert told.value.reason == "SERVICE_UNAVAILABLE"


@pytest.mark.req("S5", "D3")
@pytest.mark.parametrize("waiting", [0, AHEAD])
async def test_who_waits_for_an_answer_is_told_that_its_carrier_has_gone(waiting: int) -> None:
    """However far it is: a carrier that is cancelled says nothing, and its call just ends."""
    relay = Relay()

    async def coming() -> AsyncIterator[relay_pb2.CarryCallRequest]:
        yield relay_pb2.CarryCallRequest(call_id=call.call_id)
        for _ in range(waiting):
            yield relay_pb2.CarryCallRequest(message=b"answer")
        await asyncio.Event().wait()

    async def carry() -> None:
        async for _ in RelayServicer(relay).CarryCall(coming(), None):
            pass

    watch = relay.watch("c")
    wanted = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    call = relay.call(relay_pb2.WatchCallsResponse(method="Fetch"), "c", _nothing())
    await wanted
    carrying = asyncio.create_task(carry())
    async with asyncio.timeout(20):
        while call.answers.qsize() < waiting or not call.taken.is_set():
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
        with pytest.raises(RemoteFault) as told:
            while await call.read() is not None:
                pass
    assert told.value.reason == "SERVICE_UNAVAILABLE"


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


@pytest.mark.parametrize("name", ["", "a.b", "x" * 65])
async def test_name_of_a_carrier_is_checked(name: str) -> None:
    async with relayed() as (_, stub):
        with pytest.raises(RemoteFault) as told:
            await _all(stub.WatchCalls(relay_pb2.WatchCallsRequest(carrier=name)))
        assert told.value.reason == "INVALID_FIELD"


@pytest.mark.req("X4")
async def test_pod_gets_no_further_than_its_handles() -> None:
    carrier = Carrier("carrier-1", mock.Mock(), mock.Mock())
    handle = carrier.handle(Held("grant", "shop", "ds-1"))
    request = connector.FetchRequest(grant=handle).SerializeToString()
    granted, used = carrier._granted("Fetch", request)
    assert connector.FetchRequest.FromString(granted).grant == "grant" and used == handle
    start = connector.StoreRequest(start=connector.StoreStart(grant=handle))
    granted, _ = carrier._granted("Store", start.SerializeToString())
    assert connector.StoreRequest.FromString(granted).start.grant == "grant"
    assert carrier.handle(Held("", "shop", "ds-1")) == ""
    for method, message in (
        ("Check", b""),
        ("Fetch", b""),
        ("Fetch", connector.FetchRequest(grant="grant").SerializeToString()),
        ("Browse", connector.BrowseRequest(grant="carrier-1.0").SerializeToString()),
    ):
        with pytest.raises(RemoteFault) as refused:
            carrier._granted(method, message)
        assert refused.value.reason == "GRANT_REVOKED"
    await carrier.forget([handle])
    with pytest.raises(RemoteFault):
        carrier._granted("Fetch", request)


# -- the tier


async def test_tier_needs_a_machine_around_the_pod(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert podvm.machine() == ""
    python = Interpreter(tmp_path, (), ())
    with pytest.raises(TierUnavailable, match="neither gVisor's kernel nor a guest of Kata"):
        PodVm(python, tmp_path).require()
    monkeypatch.setattr(platform, "release", lambda: "4.19.0-gvisor")
    assert podvm.machine() == "gVisor"
    monkeypatch.setattr(platform, "release", lambda: "4.4.0")
    monkeypatch.setattr(platform, "version", lambda: "#1 SMP Sun Jan 10 15:06:54 PST 2016")
    tier = PodVm(python, tmp_path)
    tier.require()
    assert tier.enforcement()["machine"] == "gVisor"
    with mock.patch.object(confine, "landlock_abi", lambda: 0):
        bare = PodVm(python, tmp_path)
    assert bare.rules(mock.Mock()) is None and "outside file" in bare.open_inside
    assert bare.enforcement()["files"] == "gVisor" and "landlock" in tier.enforcement()["files"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"TIER": "pod-vm"}, "TIER=pod-vm needs SESSIONS=1"),
        ({"DRIVER": "pods", "RELAYED": "true"}, "the two ends of one thing"),
    ],
)
async def test_settings_that_contradict_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(Settings, {f"X_{name}": value for name, value in given.items()}, prefix="X_")


async def test_unreadable_end_of_a_claim_is_far_away() -> None:
    found = {"metadata": {"name": "n", "uid": "u"}, "status": {"conditions": []}}
    claim = claims._claim(found)
    assert (claim.host, claim.gone, claim.ends.year) == ("", False, 9999)
    assert OutOfReach("x").metadata() == {"service": "sandbox"}
