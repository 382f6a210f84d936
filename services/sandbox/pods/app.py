"""Puts the driver of pods together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.server import Server
from services.sandbox import metrics
from services.sandbox.connectors import Connectors
from services.sandbox.pods.claims import Claims
from services.sandbox.pods.pods import TIER, Pods, Reach
from services.sandbox.pods.servicer import PodServicer
from services.sandbox.servicer import ALLOW, NAME, STATUSES
from services.sandbox.settings import Settings


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        claims = await stack.enter_async_context(Claims(settings.pods))
        await claims.require()
        connectors = await stack.enter_async_context(
            Connectors(settings.connectors, settings.token, server.tls)
        )
        reach = Reach(connectors, settings.token, server.tls)
        idle = timedelta(seconds=settings.idle_s)
        pods = await stack.enter_async_context(Pods(claims, settings.pods, reach, idle))
        server.stay(pods.linger)
        servicer = PodServicer(pods, connectors, server.draining)
        server.register(
            NAME,
            lambda grpc_server: rpc.add_SandboxServiceServicer_to_server(servicer, grpc_server),
            statuses=STATUSES,
            allow=ALLOW,
        )
        metrics.tell_tier(TIER, {})
        server.set_serving(True, f"{NAME}/{TIER}")
        yield
