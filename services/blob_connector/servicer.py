"""isobath.connector.v1 over Azure Blob Storage: decode, one call, encode."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from connectorkit.access import STATUSES as GRANT_STATUSES
from connectorkit.files.errors import STATUSES as FILE_STATUSES
from connectorkit.files.sending import Events, Work
from connectorkit.files.servicing import Context, FilesServicer, Reading
from grants.claims import Grant
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import Status, StatusTable, outcome
from services.blob_connector import errors, fetching, storing
from services.blob_connector.accounts import Accounts
from services.blob_connector.azure import Blob, Container
from services.blob_connector.checking import check
from services.blob_connector.describing import described
from services.blob_connector.downloads import Window
from services.blob_connector.listing import browse, entry_of
from services.blob_connector.members import members, require_online

SERVICE = str(pb.DESCRIPTOR.services_by_name["ConnectorService"].full_name)
_Code = grpc.StatusCode
STATUSES: StatusTable = {
    **GRANT_STATUSES,
    **FILE_STATUSES,
    errors.BadConfig: Status(_Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.AddressNotAllowed: Status(_Code.FAILED_PRECONDITION, "ADDRESS_NOT_ALLOWED"),
    errors.AuthenticationFailed: Status(_Code.FAILED_PRECONDITION, "SOURCE_AUTHENTICATION_FAILED"),
    errors.Forbidden: Status(_Code.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
    errors.Unreachable: Status(_Code.UNAVAILABLE, "SOURCE_UNREACHABLE"),
    errors.BlobNotFound: Status(_Code.NOT_FOUND, "PATH_NOT_FOUND"),
    errors.Archived: Status(_Code.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
    errors.Changed: Status(_Code.ABORTED, "CHANGED_MEANWHILE"),
    errors.Torn: Status(_Code.DATA_LOSS, "CHECKSUM_MISMATCH"),
    errors.Exists: Status(_Code.ALREADY_EXISTS, "ALREADY_EXISTS"),
}


class BlobServicer(FilesServicer[Container, Blob]):
    """All calls of the contract."""

    def __init__(
        self, reading: Reading[Container, Blob], accounts: Accounts, window: Window
    ) -> None:
        super().__init__(reading)
        self._accounts = accounts
        self._window = window

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        return described()

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        grant = self._gate.admit(request.grant, "list")
        return await check(
            self.held(grant, "list"), lambda fault: outcome(fault, STATUSES, "").reason
        )

    async def Disconnect(
        self, request: pb.DisconnectRequest, context: Context
    ) -> pb.DisconnectResponse:
        grant = self._gate.admit(request.grant, "list")
        return pb.DisconnectResponse(closed=await self._accounts.disconnect(grant.source_id))

    # For the calls that all files have in common

    @asynccontextmanager
    async def held(self, grant: Grant, operation: str) -> AsyncIterator[Container]:
        try:
            async with self._accounts.held(grant) as container:
                yield container
        except Exception:
            # of a source that was revoked meanwhile the connections are closed under the call
            self._gate.check(grant, operation)
            raise

    async def members(self, store: Container, path: str, version: str) -> list[Blob]:
        return await members(store, path, version)

    async def listed(
        self, store: Container, request: pb.BrowseRequest, shown: Callable[[str], bool]
    ) -> pb.BrowseResponse:
        return await browse(store, request, shown)

    async def stored(
        self,
        store: Container,
        start: pb.StoreStart,
        requests: AsyncIterator[pb.StoreRequest],
        *,
        config: Mapping[str, Any],
        max_bytes: int,
        is_gone: Callable[[], bool],
    ) -> pb.StoreResponse:
        return await storing.store(
            store, start, requests, config=config, max_bytes=max_bytes, is_gone=is_gone
        )

    def entry(self, member: Blob) -> pb.Entry:
        return entry_of(member)

    def raw(self, work: Work[Container, Blob]) -> Events:
        return fetching.raw(work, self._window, self._threads)

    def require_readable(self, store: Container, found: Sequence[Blob]) -> None:
        require_online(store, found)
