"""isobath.connector.v1.ConnectorService for PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from connectorkit.pieces import Event
from connectorkit.refusals import STATUSES as REFUSALS
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.status import Status, StatusTable, outcome
from services.pg_connector import errors
from services.pg_connector.describing import describe
from services.pg_connector.reader import Reader

NAME = "isobath.connector.v1.ConnectorService"

_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
_UNREACHABLE = Status(grpc.StatusCode.UNAVAILABLE, "SOURCE_UNREACHABLE")
STATUSES: StatusTable = {
    **REFUSALS,
    errors.PgFault: Status(grpc.StatusCode.INTERNAL, "INTERNAL"),
    errors.SourceUnreachable: _UNREACHABLE,
    errors.TooManyConnections: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.AuthenticationFailed: Status(_PRECONDITION, "SOURCE_AUTHENTICATION_FAILED"),
    errors.SourceForbidden: Status(grpc.StatusCode.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
    errors.AddressNotAllowed: Status(_PRECONDITION, "ADDRESS_NOT_ALLOWED"),
    errors.PoolBusy: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.PathNotFound: Status(grpc.StatusCode.NOT_FOUND, "PATH_NOT_FOUND"),
    errors.QueryFailed: Status(_PRECONDITION, "QUERY_FAILED"),
    errors.QueryNotReadOnly: Status(_PRECONDITION, "QUERY_NOT_READ_ONLY"),
    errors.QueryTimeout: Status(grpc.StatusCode.DEADLINE_EXCEEDED, "QUERY_TIMEOUT"),
    errors.ValueUnfit: Status(_PRECONDITION, "UNREADABLE_FORMAT"),
}


def reason_of(fault: errors.PgFault) -> str:
    return outcome(fault, STATUSES, "").reason


class ConnectorServicer(rpc.ConnectorServiceServicer):
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        return describe()

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        return await self._reader.check(request, reason_of)

    async def Browse(self, request: pb.BrowseRequest, context: Any) -> pb.BrowseResponse:
        return await self._reader.browse(request)

    async def Inspect(self, request: pb.InspectRequest, context: Any) -> pb.InspectResponse:
        return await self._reader.inspect(request)

    async def Preview(self, request: pb.PreviewRequest, context: Any) -> pb.PreviewResponse:
        return await self._reader.preview(request)

    async def Profile(self, request: pb.ProfileRequest, context: Any) -> pb.ProfileResponse:
        return await self._reader.profile(request)

    async def Fetch(self, request: pb.FetchRequest, context: Any) -> AsyncIterator[Event]:
        async with aclosing(self._reader.fetch(request)) as events:
            async for event in events:
                yield event

    async def Store(
        self, request_iterator: AsyncIterator[pb.StoreRequest], context: Any
    ) -> pb.StoreResponse:
        return await self._reader.store(request_iterator)

    async def Disconnect(
        self, request: pb.DisconnectRequest, context: Any
    ) -> pb.DisconnectResponse:
        return await self._reader.disconnect(request)
