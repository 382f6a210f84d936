"""Opens the gate, and serves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from connectorkit.access import Gate
from connectorkit.callers import ALLOW
from connectorkit.files.servicing import Reading
from connectorkit.files.sql.pool import Processes
from connectorkit.files.sql.querying import Queries
from connectorkit.files.tables import Tables
from connectorkit.pieces import SERIALIZERS
from isobath.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
from servicekit.limits import Limiter
from servicekit.server import Server
from services.file_connector.describing import TYPE
from services.file_connector.opened import OpenedFile
from services.file_connector.paths import roots_of
from services.file_connector.servicer import SERVICE, STATUSES, FileServicer
from services.file_connector.settings import Settings


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        threads = await stack.enter_async_context(Limiter("files", settings.threads))
        gate = await stack.enter_async_context(
            Gate(settings.credentials, settings.token, TYPE, tls=server.tls)
        )
        processes = Processes(settings)
        stack.push_async_callback(processes.aclose)
        reading = Reading(
            gate=gate,
            threads=threads,
            tables=Tables(threads, OpenedFile),
            queries=Queries(processes, threads, settings.query_read_bytes),
            limits=settings,
            max_file_bytes=settings.max_file_bytes,
        )
        servicer = FileServicer(reading, roots_of(settings.roots), settings)
        server.register(
            SERVICE,
            lambda target: add_ConnectorServiceServicer_to_server(servicer, target),
            statuses=STATUSES,
            allow=ALLOW,
            serializers=SERIALIZERS,
        )
        yield
