"""gRPC health: what a server tells, and waiting until another one is ready."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from servicekit import metrics
from servicekit.addresses import CannotListen
from servicekit.channels import channel
from servicekit.secrets import Secret
from servicekit.tls import Tls

SERVICE = str(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
_POLL_S = 0.05
_ASK_S = 2.0


class Health:
    """`set` may be called from anywhere in the loop; changes are told in their order."""

    def __init__(self) -> None:
        self._servicer = HealthServicer()
        self._pending: set[asyncio.Task[None]] = set()
        self._names: set[str] = {""}

    def add_to(self, server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def set(self, serving: bool, full_name: str = "") -> None:
        self._names.add(full_name)
        told = health_pb2.HealthCheckResponse
        status = told.SERVING if serving else told.NOT_SERVING
        if not full_name:
            metrics.SERVING.set(serving)
        task = asyncio.ensure_future(self._servicer.set(full_name, status))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    def set_all(self, serving: bool, *, but: Collection[str] = ()) -> None:
        for name in tuple(self._names):
            if name not in but:
                self.set(serving, name)

    async def told(self) -> None:
        if self._pending:
            await asyncio.wait(tuple(self._pending))


@asynccontextmanager
async def listening(told: Health, bind: str) -> AsyncIterator[int]:
    """Tells health to whoever asks at host:port, and serves nothing else; gives the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    told.add_to(server)
    told.set(False)
    await told.told()
    try:
        port = server.add_insecure_port(bind)
    except RuntimeError as exc:
        raise CannotListen(bind) from exc
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def state(opened: grpc.aio.Channel, service: str = "") -> str:
    """What a server says of itself, or of one service: SERVING, NOT_SERVING, …; UNREACHABLE where
    it says nothing."""
    request = health_pb2.HealthCheckRequest(service=service)
    try:
        told = await health_pb2_grpc.HealthStub(opened).Check(request, timeout=_ASK_S)
    except grpc.aio.AioRpcError:
        return "UNREACHABLE"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(told.status))


class NotReady(Exception):
    """The service did not become ready in time; the text has the last thing heard of it."""


async def wait_ready(
    address: str,
    timeout_s: float,
    token: Secret | None = None,
    *,
    tls: Tls | None = None,
    service: str = "",
) -> None:
    """Polls the service's health until it serves. Raises NotReady."""
    async with channel(address, token=token, tls=tls) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        last = ["no answer"]
        try:
            async with asyncio.timeout(timeout_s):
                while not await _serves(stub, service, last):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NotReady(f"{address} is not ready after {timeout_s:g} s: {last[0]}") from None


async def _serves(stub: Any, service: str, last: list[str]) -> bool:
    request = health_pb2.HealthCheckRequest(service=service)
    try:
        answer = await stub.Check(request, timeout=_ASK_S)
    except grpc.aio.AioRpcError as exc:
        last[0] = f"{exc.code().name} {exc.details()}"
        return False
    last[0] = str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
