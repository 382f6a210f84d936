"""isobath.connector.v1 over folders of this machine: decode, one call, encode."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc

from connectorkit.access import STATUSES as GRANT_STATUSES
from connectorkit.bounds import effective
from connectorkit.files.errors import STATUSES as FILE_STATUSES
from connectorkit.files.receiving import heard_out
from connectorkit.files.sending import Events, Work
from connectorkit.files.servicing import Context, FilesServicer, Reading
from grants.claims import Grant
from grants.scope import permits, reaches
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField, Status, StatusTable, outcome
from services.file_connector import errors, fetching
from services.file_connector.checking import check
from services.file_connector.describing import described
from services.file_connector.folders import File, Folder
from services.file_connector.listing import browse, entry_of, members
from services.file_connector.settings import Settings
from services.file_connector.storing import store

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

    async def Browse(self, request: pb.BrowseRequest, context: Context) -> pb.BrowseResponse:
        grant = self._gate.admit(request.grant, "list")

        def shown(name: str) -> bool:
            if name.endswith("/"):
                return reaches(grant, name)
            return permits(grant, "list", name)

        async with self.held(grant, "list") as folder:
            return await browse(folder, request, shown)

    async def Store(
        self, request_iterator: AsyncIterator[pb.StoreRequest], context: Context
    ) -> pb.StoreResponse:
        async with heard_out(request_iterator):
            return await self._store(request_iterator, context)

    async def _store(
        self, requests: AsyncIterator[pb.StoreRequest], context: Context
    ) -> pb.StoreResponse:
        first = await anext(aiter(requests), pb.StoreRequest())
        if not first.HasField("start"):
            raise InvalidField("start", "the first message must be start")
        grant = self._gate.admit(first.start.grant, "write", first.start.path or None)
        if first.start.overwrite:
            self._gate.check(grant, "overwrite", first.start.path or None)
        limits = effective(pb.Limits(), grant, ceiling=self.ceiling)
        async with self.held(grant, "write") as folder:
            return await store(
                folder,
                first.start,
                requests,
                config=grant.config,
                max_bytes=limits.max_bytes,
                is_gone=lambda: context.cancelled(),
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

    def entry(self, member: File) -> pb.Entry:
        return entry_of(member)

    def raw(self, work: Work[Folder, File]) -> Events:
        return fetching.raw(work, self._threads)
