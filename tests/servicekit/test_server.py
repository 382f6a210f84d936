"""The life of a server: ready, draining, gone; and of a process that runs one."""

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.addresses import CannotListen
from servicekit.channels import calling, channel, streaming
from servicekit.health import NotReady, wait_ready
from servicekit.ports import free_port
from servicekit.server import Server, ServerSettings, serving
from servicekit.settings import SettingsError
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from tests.servicekit.probe import NAME, Probe, method, mount

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.req("S7")
async def test_drain_tells_not_serving_and_lets_the_running_call_finish(no_leaks):
    probe = Probe()
    async with channel_after(probe) as (opened, leave):
        watch = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        call = method(opened, "Unary")(b"wait")
        await asyncio.wait_for(probe.started.wait(), 5)
        leaving = asyncio.create_task(leave())
        assert (await watch.read()).status == NOT_SERVING
        assert not leaving.done()
        probe.finish.set()
        assert await call == b"wait"
        await asyncio.wait_for(leaving, 5)
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.req("S7", "K1")
async def test_probes_hear_of_starting_serving_and_draining_on_a_port_of_their_own(no_leaks):
    probe = Probe()
    asked = health_pb2.HealthCheckRequest()
    settings = ServerSettings(drain_s=60.0, health_bind=f"127.0.0.1:{free_port()}")
    opening, told_before = asyncio.Event(), []

    @asynccontextmanager
    async def slow(server: Server, _: None) -> AsyncIterator[None]:
        async with channel(settings.health_bind) as early:
            told_before.append(
                (await health_pb2_grpc.HealthStub(early).Check(asked, timeout=5)).status
            )
        opening.set()
        async with mount(server, probe):
            yield

    running_server = serving(slow, None, settings)
    server = await running_server.__aenter__()
    assert opening.is_set() and told_before == [NOT_SERVING]
    async with open_channel(server) as opened, channel(settings.health_bind) as probes:
        watch = health_pb2_grpc.HealthStub(probes).Watch(asked)
        assert (await watch.read()).status == SERVING
        call = method(opened, "Unary")(b"wait")
        await asyncio.wait_for(probe.started.wait(), 5)
        leaving = asyncio.create_task(running_server.__aexit__(None, None, None))
        assert (await watch.read()).status == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(probes, "Unary")(b"wait")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        probe.finish.set()
        assert await call == b"wait"
        await asyncio.wait_for(leaving, 5)


async def test_port_for_probes_that_is_taken_is_named(no_leaks):
    async with running((mount, Probe())) as first:
        taken = ServerSettings(health_bind=f"127.0.0.1:{first.port}")
        with pytest.raises(CannotListen, match=str(first.port)):
            async with running((mount, Probe()), server_settings=taken):
                pass


@asynccontextmanager
async def channel_after(probe: Probe, drain_s: float = 60.0):
    """An open channel, and a coroutine function that ends the server."""
    running_server = running((mount, probe), server_settings=ServerSettings(drain_s=drain_s))
    server = await running_server.__aenter__()
    async with open_channel(server) as opened:
        yield opened, lambda: running_server.__aexit__(None, None, None)


@pytest.mark.req("K3")
async def test_drain_takes_new_calls_while_it_lingers(no_leaks):
    probe = Probe()
    async with (
        serving(mount, probe, ServerSettings(linger_s=60, drain_s=60)) as server,
        open_channel(server) as opened,
    ):
        stopping = asyncio.create_task(server.stop())
        await server.draining.wait()
        watch = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == NOT_SERVING
        assert await method(opened, "Unary")(b"late") == b"late"
        assert not server.closing.is_set() and not stopping.done()
        server.hurry()
        await asyncio.wait_for(stopping, 10)
        assert server.closing.is_set()


@pytest.mark.req("K3")
async def test_connections_that_are_told_to_open_anew_fail_no_call(no_leaks):
    probe, aged = Probe(), ServerSettings(connection_age_s=0.05)
    async with (
        running((mount, probe), server_settings=aged) as server,
        open_channel(server) as opened,
    ):
        peers = set[int]()
        async with asyncio.timeout(20):
            while len(peers) < 3:
                assert await method(opened, "Unary")(b"x") == b"x"
                peers |= connected_to(server.port)


def connected_to(port: int) -> set[int]:
    """The ports of this process that are connected to that one."""
    lines = psutil.Process().net_connections()
    return {line.laddr.port for line in lines if line.raddr and line.raddr.port == port}


async def test_drain_over_its_time_cancels_the_running_call(no_leaks):
    probe = Probe()
    async with channel_after(probe, drain_s=0.05) as (opened, leave):
        call = method(opened, "Unary")(b"wait")
        await asyncio.wait_for(probe.started.wait(), 5)
        await leave()
        assert probe.ended.is_set()
        with pytest.raises(RemoteFault):
            await calling(call)


async def test_drain_ends_endless_streams_at_once_and_says_why(no_leaks):
    probe = Probe()
    async with (
        channel_after(probe) as (opened, leave),
        streaming(method(opened, "Watch")(b"wait")) as call,
    ):
        assert await call.read() == b"first"
        await probe.started.wait()
        await asyncio.wait_for(leave(), 10)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert probe.ended.is_set()


@pytest.mark.req("K3", "S7")
async def test_what_stays_is_served_until_it_is_over(no_leaks):
    probe, over = Probe(), asyncio.Event()
    given: list[float] = []

    async def until(seconds: float) -> None:
        given.append(seconds)
        await over.wait()

    async with (
        serving(mount, probe, ServerSettings(drain_s=60)) as server,
        open_channel(server) as opened,
    ):
        server.stay(until)
        stopping = asyncio.create_task(server.stop())
        await asyncio.wait_for(server.draining.wait(), 5)
        for _ in range(3):
            assert await method(opened, "Unary")(b"new call") == b"new call"
        assert not stopping.done()
        over.set()
        await asyncio.wait_for(stopping, 20)
    assert given == [60]


@pytest.mark.parametrize("how", ["hurried", "fails"])
async def test_what_stays_ends_when_it_fails_or_is_hurried(no_leaks, how):
    async def until(_: float) -> None:
        if how == "fails":
            raise OSError("the disk is gone")
        await asyncio.Event().wait()

    async with serving(mount, Probe(), ServerSettings(drain_s=60)) as server:
        server.stay(until)
        stopping = asyncio.create_task(server.stop())
        await asyncio.wait_for(server.draining.wait(), 5)
        if how == "hurried":
            server.hurry()
        await asyncio.wait_for(stopping, 20)


async def test_drain_hurried_cancels_what_runs(no_leaks):
    probe = Probe()
    async with (
        serving(mount, probe, ServerSettings(drain_s=60)) as server,
        open_channel(server) as opened,
    ):
        call = method(opened, "Unary")(b"wait")
        await asyncio.wait_for(probe.started.wait(), 5)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        server.hurry()
        await asyncio.wait_for(stopping, 10)
        assert probe.ended.is_set()
        with pytest.raises(RemoteFault):
            await calling(call)


async def test_mount_is_left_after_the_last_call_ended(no_leaks):
    order: list[str] = []
    probe = Probe()

    @asynccontextmanager
    async def outer(server: Server, settings: Probe):
        async with mount(server, settings):
            yield
        order.append("ended first" if probe.ended.is_set() else "mount left too early")

    async with (
        serving(outer, probe, ServerSettings(drain_s=0.01)) as server,
        open_channel(server) as opened,
    ):
        call = method(opened, "Unary")(b"wait")
        await asyncio.wait_for(probe.started.wait(), 5)
    assert order == ["ended first"]
    call.cancel()


async def test_mount_that_fails_leaves_nothing(no_leaks):
    @asynccontextmanager
    async def failing(server: Server, _: None):
        raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="no database"):
        async with serving(failing, None, ServerSettings()):
            pass


async def test_bind_taken_is_told_plainly(no_leaks):
    async with running((mount, Probe())) as first:
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{first.port}"):
            async with serving(mount, Probe(), ServerSettings(bind=first.address)):
                pass


async def test_bind_unix_socket_serves(no_leaks, tmp_path: Path):
    settings = ServerSettings(bind=f"unix:{tmp_path}/s.sock")
    async with running((mount, Probe()), server_settings=settings) as server:
        await wait_ready(server.address, 5, service=NAME)
        async with open_channel(server) as opened:
            assert await method(opened, "Unary")(b"x") == b"x"


@pytest.mark.req("S3")
@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", "10.1.2.3:80", "somewhere:80"])
async def test_bind_beyond_the_machine_without_callers_is_refused(bind: str):
    with pytest.raises(SettingsError, match="TLS_CERT_FILE"):
        async with serving(mount, Probe(), ServerSettings(bind=bind)):
            pass


@pytest.mark.req("S7")
async def test_health_of_one_service_can_be_withdrawn():
    async with running((mount, Probe())) as server, open_channel(server) as opened:
        server.set_serving(False, NAME)
        stub = health_pb2_grpc.HealthStub(opened)
        one = await stub.Check(health_pb2.HealthCheckRequest(service=NAME))
        whole = await stub.Check(health_pb2.HealthCheckRequest())
    assert (one.status, whole.status) == (NOT_SERVING, SERVING)


async def test_wait_ready_without_a_server_tells_what_it_heard(no_leaks):
    with pytest.raises(NotReady, match=r"not ready after 0\.2 s: UNAVAILABLE"):
        await wait_ready(f"127.0.0.1:{free_port()}", 0.2)


async def test_wait_ready_waits_for_a_server_that_comes_later(no_leaks):
    address = f"127.0.0.1:{free_port()}"
    waiting = asyncio.create_task(wait_ready(address, 10))
    await asyncio.sleep(0.2)
    async with running((mount, Probe()), server_settings=ServerSettings(bind=address)):
        await waiting


@pytest.mark.req("S7")
async def test_metrics_listener_serves_and_ends(no_leaks):
    settings = ServerSettings(metrics_bind="127.0.0.1:0")
    async with running((mount, Probe()), server_settings=settings) as server:
        async with open_channel(server) as opened:
            await method(opened, "Unary")(b"x")
        url = f"http://127.0.0.1:{server.metrics_port}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    assert f'isobath_rpc_handled_total{{code="OK",method="/{NAME}/Unary"}}' in text


async def test_message_over_the_limit_is_refused():
    settings = ServerSettings(max_message_bytes=1000)
    async with (
        running((mount, Probe()), server_settings=settings) as server,
        open_channel(server) as opened,
    ):
        with pytest.raises(RemoteFault) as refused:
            await calling(method(opened, "Unary")(b"x" * 2000))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


# a whole process

PROGRAM = """
import asyncio, ctypes, resource, sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from servicekit.server import ServerSettings, main
from tests.servicekit.probe import Probe, mount as mount_probe

@dataclass(frozen=True)
class Settings:
    needed: int
    server: ServerSettings = field(default_factory=ServerSettings)

@asynccontextmanager
async def mount(server, settings):
    if settings.needed == 13:
        raise RuntimeError("the dependency is not there")
    if settings.needed == 3:
        print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
    async with mount_probe(server, Probe()):
        if settings.needed == 7:
            asyncio.get_running_loop().call_later(1, server.give_up, "the engine has died")
        yield

main("probe", Settings, mount, prefix="T_")
"""


async def launched(**environ: str) -> asyncio.subprocess.Process:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("T_")}
    path = os.pathsep.join(part for part in sys.path if part)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env={**clean, "PYTHONPATH": path, **environ},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_signalled_ends_clean(no_leaks, number):
    address = f"127.0.0.1:{free_port()}"
    process = await launched(T_NEEDED="1", T_SERVER_BIND=address)
    await wait_ready(address, 20)
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, err.decode()
    assert b'"event": "stopped"' in err and b"Traceback" not in err and not out


@pytest.mark.req("D2", "X2")
async def test_memory_of_a_process_is_in_no_core_file_and_closed_to_others_of_its_user(no_leaks):
    """PR_GET_DUMPABLE (3) says 0: /proc/PID/mem, maps, environ are root's, and nobody attaches."""
    address = f"127.0.0.1:{free_port()}"
    process = await launched(T_NEEDED="3", T_SERVER_BIND=address)
    await wait_ready(address, 20)
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, err.decode()
    assert out == b"0 (0, 0)\n"


async def test_process_signalled_twice_does_not_wait_for_what_runs(no_leaks):
    address = f"127.0.0.1:{free_port()}"
    process = await launched(T_NEEDED="1", T_SERVER_BIND=address, T_SERVER_DRAIN_S="600")
    await wait_ready(address, 20)
    async with channel(address) as opened:
        call = method(opened, "ServerStream")(b"wait", timeout=60)
        await call.read()
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        while b"draining" not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 20)
        call.cancel()
    assert process.returncode == 0 and b"Traceback" not in err


async def test_process_with_wrong_settings_says_so_plainly(no_leaks):
    process = await launched(T_NEEDED="many", T_SERVER_BIND="nowhere")
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"T_NEEDED expects a whole number" in err
    assert b"'nowhere' is not host:port" in err and b"Traceback" not in err


async def test_process_bound_beyond_the_machine_without_callers_refuses(no_leaks):
    process = await launched(T_NEEDED="1", T_SERVER_BIND="0.0.0.0:0")
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2 and b"TLS_CERT_FILE" in err and b"Traceback" not in err


async def test_process_whose_mount_fails_ends_with_one(no_leaks):
    process = await launched(T_NEEDED="13")
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1 and b"the dependency is not there" in err


@pytest.mark.req("S7")
async def test_process_that_gives_up_is_not_serving_and_ends_with_one(no_leaks):
    address = f"127.0.0.1:{free_port()}"
    process = await launched(T_NEEDED="7", T_SERVER_BIND=address)
    await wait_ready(address, 20)
    async with channel(address) as opened:
        watch = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        assert (await watch.read()).status == NOT_SERVING
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1 and b"the engine has died" in err


async def test_process_with_an_unknown_log_level_says_so_plainly(no_leaks):
    process = await launched(T_NEEDED="1", ISOBATH_LOG_LEVEL="LOUD")
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2 and b"ISOBATH_LOG_LEVEL expects one of DEBUG" in err
