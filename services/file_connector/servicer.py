"""isobath.connector.v1 over folders of this machine: decode, one call, encode."""

from collections.abc import AsyncIterator, Callable, Mapping
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
from services.file_connector import errors, fetching, storing
from services.file_connector.checking import check
from services.file_connector.describing import described
from services.file_connector.folders import File, Folder
from services.file_connector.listing import browse, entry_of, members
from services.file_connector.settings import Settings

SERVICE = str(pb.DESCRIPTOR.services_by_name["ConnectorService"].full_name)
_Code = grpc.StatusCode
STATUSES: StatusTable = {
    **GRANT_STATUSES,
    **FILE_STATUSES,
    errors.BadConfig: Status(_Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.RootNotAllowed: Status(_Code.FAILED_PRECONDITION, "ADDRESS_NOT_ALLOWED"),
    errors.Unreachable: Status(_Code.UNAVAILABLE, "SOURCE_UNREACHABLE"),
    errors.Forbidden: Status(_Code.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
    errors.NoSuchFile: Status(_Code.NOT_FOUND, "PATH_NOT_FOUND"),
    errors.Changed: Status(_Code.ABORTED, "CHANGED_MEANWHILE"),
    errors.Exists: Status(_Code.ALREADY_EXISTS, "ALREADY_EXISTS"),
    errors.NoRoom: Status(_Code.OUT_OF_RANGE, "TOO_LARGE"),
}


class FileServicer(FilesServicer[Folder, File]):
    """All calls of the contract. `roots` = the operator's paths, by name."""

    def __init__(
        self, reading: Reading[Folder, File], roots: Mapping[str, str], settings: Settings
    ) -> None:
        super().__init__(reading)
        self._roots = roots
        self._settings = settings

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        return described(tuple(self._roots))

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        grant = self._gate.admit(request.grant, "list")
        return await check(
            self.held(grant, "list"), lambda fault: outcome(fault, STATUSES, "").reason
        )

    async def Disconnect(
        self, request: pb.DisconnectRequest, context: Context
    ) -> pb.DisconnectResponse:
        # nothing is kept open between two calls
        self._gate.admit(request.grant, "list")
        return pb.DisconnectResponse(closed=0)

    # For the calls that all files have in common

    @asynccontextmanager
    async def held(self, grant: Grant, operation: str) -> AsyncIterator[Folder]:
        # there is no secret to be had: the credential service tells whether the source is as the
        # grant has it, and keeps in its audit that it was opened
        await self._gate.secrets(grant)
        yield Folder.of(grant.config, self._roots, self._settings, self._threads)

    async def members(self, store: Folder, path: str, version: str) -> list[File]:
        return await members(store, path, version)

    async def listed(
        self, store: Folder, request: pb.BrowseRequest, shown: Callable[[str], bool]
    ) -> pb.BrowseResponse:
        return await browse(store, request, shown)

    async def stored(
        self,
        store: Folder,
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

    def entry(self, member: File) -> pb.Entry:
        return entry_of(member)

    def raw(self, work: Work[Folder, File]) -> Events:
        return fetching.raw(work, self._threads)
