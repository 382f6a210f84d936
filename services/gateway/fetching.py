"""The data of a run, brought into its workspace: selections of sources, and files of its owner."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import sandbox_pb2 as sandbox
from isobath.sandbox.v1.sandbox_pb2_grpc import SandboxServiceStub
from services.gateway import metrics, render
from services.gateway.chosen import Chosen, attached, data_file
from services.gateway.clients import call, stream
from services.gateway.files import FileStore
from services.gateway.live import Live
from services.gateway.prompt import DataFile
from services.gateway.spent import Spent

MAX_WORKSPACE_FILES = 200


@dataclass(frozen=True)
class Fetching:
    """Into one session. `file_ids` are uploads; `seconds` the longest that all selections together
    may take; `rows` the most of one that names no limit. What comes is told as events."""

    owner: str
    chosen: Sequence[Chosen]
    file_ids: Sequence[str]
    seconds: float
    rows: int
    session_id: str
    stub: SandboxServiceStub
    files: FileStore
    live: Live
    usage: Spent

    async def all(self) -> list[DataFile]:
        """What came, and what lay in the workspace before."""
        async with asyncio.TaskGroup() as group:
            uploads = [group.create_task(self._send(id)) for id in self.file_ids]
            imports = group.create_task(self._import())
        found = {file.path: file for file in await self._present()}
        found |= {each.result().path: each.result() for each in uploads}
        found |= {file.path: file for file in imports.result()}
        return list(found.values())

    async def _import(self) -> list[DataFile]:
        if not self._fetched:
            return []
        items = [self._item(self.chosen[number]) for number in self._fetched]
        request = sandbox.ImportRequest(session_id=self.session_id, items=items)
        found: list[DataFile] = []
        async with stream("sandbox", self.stub.Import(request, timeout=self.seconds)) as events:
            async for event in events:
                found.extend(self._imported(event))
        return found

    def _item(self, chosen: Chosen) -> sandbox.ImportItem:
        given = chosen.selection
        selected = connector.Selection()
        if given.sql:
            selected.query.CopyFrom(render.query(given.sql, given.parameters))
        else:
            selected.path = given.path
        selected.version = given.version
        return sandbox.ImportItem(
            source=attached(chosen),
            selection=selected,
            format=f"FORMAT_{(given.format or 'unspecified').upper()}",
            limits=render.limits(given, default_rows=self.rows),
            target=given.target,
        )

    @property
    def _fetched(self) -> list[int]:
        """The selections that are brought into the workspace, in the order of the import's items;
        the others are for code to query."""
        return [at for at, each in enumerate(self.chosen) if not each.selection.is_live]

    def _imported(self, event: sandbox.ImportResponse) -> list[DataFile]:
        number = self._fetched[event.item]
        source = self.chosen[number].source
        if event.HasField("progress"):
            told = event.progress
            total = told.total_bytes if told.HasField("total_bytes") else None
            self.live.emit(
                fetch_progress=analyst.FetchProgress(
                    selection=number,
                    source=source.name,
                    rows=told.rows,
                    bytes=told.bytes,
                    total_bytes=total,
                )
            )
        if not event.HasField("file"):
            return []
        file = event.file
        rows = file.rows if file.HasField("rows") else None
        self.usage.fetched_bytes += file.size_bytes
        self.usage.fetched_rows += rows or 0
        metrics.FETCHED_BYTES.labels(source.type, "run").inc(file.size_bytes)
        metrics.FETCHED_ROWS.labels(source.type, "run").inc(rows or 0)
        self.live.emit(
            file_ready=analyst.FileReady(
                selection=number,
                source=source.name,
                path=file.path,
                size_bytes=file.size_bytes,
                rows=rows,
                columns=file.columns,
                truncated=file.truncated,
                truncated_by=file.truncated_by,
            )
        )
        return [data_file(file, source, self.chosen[number].selection)]

    async def _send(self, file_id: str) -> DataFile:
        info = await self.files.get(self.owner, file_id)

        async def requests(chunks: AsyncIterator[bytes]) -> AsyncIterator[sandbox.WriteFileRequest]:
            start = sandbox.WriteFileStart(session_id=self.session_id, path=info.name)
            yield sandbox.WriteFileRequest(start=start)
            async for chunk in chunks:
                yield sandbox.WriteFileRequest(piece=chunk)

        async with self.files.reading(self.owner, file_id) as chunks:
            writing = self.stub.WriteFile(requests(chunks), timeout=300)
            written = await call("sandbox", writing)
        return DataFile(written.file.path, written.file.size_bytes, origin="uploaded")

    async def _present(self) -> list[DataFile]:
        request = sandbox.ListFilesRequest(
            session_id=self.session_id, page_size=MAX_WORKSPACE_FILES
        )
        listed = await call("sandbox", self.stub.ListFiles(request))
        return [DataFile(file.path, file.size_bytes) for file in listed.files]
