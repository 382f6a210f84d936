"""What a run leaves, written to a source at its end (`artifacts_to`)."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector
from servicekit import context, logs
from servicekit.status import InvalidField, StatusTable, outcome
from services.gateway.audit import Audit
from services.gateway.callers import Caller
from services.gateway.clients import Services, call
from services.gateway.data import CALL_GRANT_S, SERVICE_OF, Grants
from services.gateway.errors import WrittenDiffers
from services.gateway.files import FileStore
from services.gateway.plan import ArtifactsTo
from services.gateway.registry import Registry
from services.gateway.source import Source

FILE_S = 300.0
_log = logs.get(__name__)


@dataclass(frozen=True)
class Target:
    """A folder of a source, and the grant that reaches it and nothing else."""

    source: Source
    folder: str
    grant: str


class Writeback:
    """Writes files of runs into sources whose connector stores."""

    def __init__(
        self,
        services: Services,
        registry: Registry,
        files: FileStore,
        audit: Audit,
        statuses: StatusTable,
    ) -> None:
        self._connectors = services.connectors
        self._registry = registry
        self._grants = Grants(services)
        self._files = files
        self._audit = audit
        self._statuses = statuses

    async def require(self, caller: Caller, wanted: ArtifactsTo) -> None:
        """Told before a run begins. Raises `SourceNotFound`, `NotAllowed` for another's,
        `InvalidField`, `ServiceLost`."""
        source = await self._registry.own(caller, wanted.source)
        if not (await self._connectors.describe(source.type)).stores:
            raise InvalidField(
                "artifacts_to.source",
                f"{source.name} is of type {source.type}, which takes no files",
                remedy="Name a source whose type does, such as azure_blob.",
            )

    async def granted(
        self,
        caller: Caller,
        wanted: ArtifactsTo,
        *,
        run_id: str,
        thread_id: str,
        lifetime_s: float = CALL_GRANT_S,
    ) -> Target:
        """Leave to write into the folder, and nowhere else. Raises `SourceNotFound`, `NotAllowed`,
        `ServiceLost`."""
        source = await self._registry.own(caller, wanted.source)
        folder = folder_of(wanted, run_id, thread_id)
        grant = await self._grants.mint(
            caller,
            source,
            ("write", "overwrite") if wanted.overwrite else ("write",),
            scopes=(folder,),
            run_id=run_id,
            thread_id=thread_id,
            lifetime_s=lifetime_s,
        )
        return Target(source, folder, grant)

    async def write(
        self,
        caller: Caller,
        wanted: ArtifactsTo,
        files: Sequence[analyst.FileInfo],
        *,
        run_id: str,
        thread_id: str,
    ) -> list[analyst.WrittenArtifact]:
        """Each file with where it is now, or why it is not: a file's fault is an answer here."""
        folder = folder_of(wanted, run_id, thread_id)
        paths = [folder + name for name in distinct([each.name for each in files])]
        try:
            target = await self.granted(caller, wanted, run_id=run_id, thread_id=thread_id)
        except Exception as failed:
            return self.refused(wanted, files, run_id=run_id, thread_id=thread_id, why=failed)
        return [
            await self._one(caller, target, file, path, overwrite=wanted.overwrite)
            for file, path in zip(files, paths, strict=True)
        ]

    def refused(
        self,
        wanted: ArtifactsTo,
        files: Sequence[analyst.FileInfo],
        *,
        run_id: str,
        thread_id: str,
        why: Exception,
    ) -> list[analyst.WrittenArtifact]:
        """Each file with why it was not written."""
        folder = folder_of(wanted, run_id, thread_id)
        paths = [folder + name for name in distinct([each.name for each in files])]
        return [
            self._failed(file, wanted.source, path, why)
            for file, path in zip(files, paths, strict=True)
        ]

    async def _one(
        self,
        caller: Caller,
        target: Target,
        file: analyst.FileInfo,
        path: str,
        *,
        overwrite: bool,
    ) -> analyst.WrittenArtifact:
        source = target.source
        start = connector.StoreStart(
            grant=target.grant, path=path, content_type=file.media_type, overwrite=overwrite
        )
        try:
            await self._audit.write(caller, "store", source.id, path)
            stored = await self._stored(caller, source, start, file)
        except Exception as failed:
            return self._failed(file, source.name, path, failed)
        return analyst.WrittenArtifact(
            file_id=file.id,
            source=source.name,
            path=stored.path,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
        )

    async def _stored(
        self,
        caller: Caller,
        source: Source,
        start: connector.StoreStart,
        file: analyst.FileInfo,
    ) -> connector.StoreResponse:
        digest = hashlib.md5(usedforsecurity=False)

        async def requests(pieces: AsyncIterator[bytes]) -> AsyncIterator[connector.StoreRequest]:
            yield connector.StoreRequest(start=start)
            async for piece in pieces:
                digest.update(piece)
                yield connector.StoreRequest(piece=piece)

        stub = await self._connectors.stub(source.type)
        service = SERVICE_OF.format(source.type)
        async with self._files.reading(caller.owner, file.id) as pieces:
            storing = stub.Store(requests(pieces), timeout=FILE_S)
            stored: connector.StoreResponse = await call(service, storing)
        if stored.size_bytes != file.size_bytes or stored.md5 not in ("", digest.hexdigest()):
            raise WrittenDiffers(start.path)
        return stored

    def _failed(
        self, file: analyst.FileInfo, source: str, path: str, failed: Exception
    ) -> analyst.WrittenArtifact:
        told = outcome(failed, self._statuses, context.request_id())
        if not told.known:
            _log.exception("artifact_not_written", file_id=file.id, path=path)
        return analyst.WrittenArtifact(
            file_id=file.id,
            source=source,
            path=path,
            reason=told.reason,
            message=told.message,
            remedy=told.fields.get("remedy", ""),
        )


def folder_of(wanted: ArtifactsTo, run_id: str, thread_id: str) -> str:
    """The folder of this run."""
    return wanted.prefix.replace("{run_id}", run_id).replace("{thread_id}", thread_id)


def distinct(names: Sequence[str]) -> list[str]:
    """The names in their order; one that was there before gets the next free number: a.csv,
    a-2.csv."""
    taken = set(names)
    found: list[str] = []
    for name in names:
        chosen, number = name, 2
        while chosen in found or (chosen != name and chosen in taken):
            pure = PurePosixPath(name)
            chosen, number = f"{pure.stem}-{number}{pure.suffix}", number + 1
        found.append(chosen)
    return found


def notice_of(written: Sequence[analyst.WrittenArtifact]) -> str:
    """A notice of what was not written; "" where all was."""
    failed = [each for each in written if each.reason]
    if not failed:
        return ""
    first = failed[0]
    return (
        f"{len(failed)} of {len(written)} files were not written to {first.source}: "
        f"{first.path}: {first.message}. {first.remedy}"
    ).rstrip()
