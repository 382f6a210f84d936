"""Opens the gate and the pools, and serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from connectorkit.access import Gate
from connectorkit.callers import ALLOW
from connectorkit.pieces import SERIALIZERS
from isobath.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
from servicekit.limits import Limiter
from servicekit.server import Server
from servicekit.shares import Replicas
from services.pg_connector.describing import TYPE
from services.pg_connector.kept import Kept
from services.pg_connector.pools import Pools
from services.pg_connector.reader import Reader
from services.pg_connector.servicer import NAME, STATUSES, ConnectorServicer
from services.pg_connector.settings import Settings


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        gate = await stack.enter_async_context(
            Gate(settings.credentials, settings.token, TYPE, tls=server.tls)
        )
        threads = await stack.enter_async_context(Limiter("encode", settings.threads))
        pools = await stack.enter_async_context(Pools(gate, settings))
        counting = asyncio.create_task(
            Replicas(settings.replicas, server.tls).follow(pools.share), name="count replicas"
        )
        stack.push_async_callback(_stopped, counting)
        kept = Kept[object](settings.metadata_ttl_s, asyncio.get_running_loop().time)
        gate.on_close(lambda source_id: kept.drop(lambda key: source_id in key))
        servicer = ConnectorServicer(Reader(gate, pools, threads, settings, kept))
        server.register(
            NAME,
            lambda to: add_ConnectorServiceServicer_to_server(servicer, to),
            statuses=STATUSES,
            allow=ALLOW,
            serializers=SERIALIZERS,
        )
        yield


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
