"""The client: one connection, and the calls of the public services on it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.json_format import ParseDict

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.analyst.v1 import analyst_pb2_grpc as stubs
from isobath.analyst.v1.access_pb2 import Teams
from isobath.analyst.v1.access_pb2_grpc import AccessServiceStub
from isobath.connector.v1 import connector_pb2 as connector
from isobath_client.access import Access
from isobath_client.calls import RUN_TIMEOUT_S, Calls
from isobath_client.errors import translated
from isobath_client.selections import selection

PIECE_BYTES = 512 * 1024
RECEIVE_BYTES = 64 * 1024 * 1024


class Isobath:
    """A connection to a gateway. Use it as a context manager; leaving closes the channel.

    Every call raises `IsobathError` when it is refused. `channel` may be given, to use TLS or
    interceptors of one's own; it is then not closed here.
    """

    def __init__(self, address: str, *, api_key: str, channel: grpc.Channel | None = None) -> None:
        self._owned = channel is None
        self._channel = channel or grpc.insecure_channel(
            address, options=[("grpc.max_receive_message_length", RECEIVE_BYTES)]
        )
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._calls = Calls(self._metadata)
        self._analyst = stubs.AnalystServiceStub(self._channel)
        self._sources = stubs.DataSourceServiceStub(self._channel)
        self._files = stubs.FileServiceStub(self._channel)
        # keys, quotas and usage
        self.access = Access(AccessServiceStub(self._channel), self._calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._owned:
            self._channel.close()

    # Questions

    def ask(
        self,
        question: str,
        *,
        data: Iterable[str | messages.DataSelection] = (),
        files: Iterable[str] = (),
        thread: str = "",
        model: str = "",
        max_rows: int | None = None,
    ) -> Iterator[messages.Event]:
        """Ask, and give each event as it happens; the last is completed, failed or cancelled.

        `data` holds selections (see `selection`), `files` ids of uploaded files, `thread` the
        thread to go on with. `max_rows` bounds each selection that is given as text: 0 = all rows,
        None = the service's own limit. Closing the iterator early cancels the run.
        """
        request = _asked(question, data, files, thread, model, max_rows)
        return self._calls.stream(self._analyst.Chat, request, messages.Event)

    def start(
        self,
        question: str,
        *,
        data: Iterable[str | messages.DataSelection] = (),
        files: Iterable[str] = (),
        thread: str = "",
        model: str = "",
        max_rows: int | None = None,
        idempotency_key: str = "",
    ) -> messages.Run:
        """Ask as `ask` does, and give the run at once: it goes on by itself, for `watch` to follow.

        The same `idempotency_key` within a day gives the run that it gave before.
        """
        request = _asked(question, data, files, thread, model, max_rows)
        request.idempotency_key = idempotency_key
        return self._calls.one(
            self._analyst.StartRun,
            messages.StartRunRequest(question=request),
            messages.StartRunResponse,
        ).run

    def watch(self, run_id: str, *, after: int = 0) -> Iterator[messages.Event]:
        """Give a run's events with a sequence number above `after`, and follow it to its end."""
        request = messages.WatchRunRequest(run_id=run_id, from_sequence=after + 1)
        return self._calls.stream(self._analyst.WatchRun, request, messages.Event)

    def cancel(self, run_id: str) -> messages.Run:
        """Stop a run."""
        return self._calls.one(
            self._analyst.CancelRun,
            messages.CancelRunRequest(run_id=run_id),
            messages.CancelRunResponse,
        ).run

    def export(self, run_id: str, into: Path, *, format: str = "notebook") -> Path:
        """Write a run that has ended to `into`, a folder or a path, as "notebook" or "html"."""
        kind = f"EXPORT_FORMAT_{format.upper()}"
        request = messages.ExportRunRequest(run_id=run_id, format=kind)
        call = self._analyst.ExportRun(request, metadata=self._metadata, timeout=RUN_TIMEOUT_S)
        return _written(call, into)

    def run(self, run_id: str) -> messages.Run:
        """How a run stands."""
        return self._calls.one(
            self._analyst.GetRun, messages.GetRunRequest(run_id=run_id), messages.GetRunResponse
        ).run

    def runs(self, *, thread: str = "") -> Iterator[messages.Run]:
        """All runs, newest first."""
        request = messages.ListRunsRequest(thread_id=thread)
        return self._calls.pages(
            self._analyst.ListRuns, request, messages.ListRunsResponse, lambda page: page.runs
        )

    def threads(self) -> Iterator[messages.Thread]:
        """All threads, newest first."""
        return self._calls.pages(
            self._analyst.ListThreads,
            messages.ListThreadsRequest(),
            messages.ListThreadsResponse,
            lambda page: page.threads,
        )

    def thread(self, thread_id: str) -> messages.GetThreadResponse:
        """A thread, what was said in it, and the files of its runs."""
        return self._calls.one(
            self._analyst.GetThread,
            messages.GetThreadRequest(thread_id=thread_id),
            messages.GetThreadResponse,
        )

    def remove_thread(self, thread_id: str) -> None:
        """Delete a thread with its workspace, its runs and their files."""
        self._calls.one(
            self._analyst.DeleteThread,
            messages.DeleteThreadRequest(thread_id=thread_id),
            messages.DeleteThreadResponse,
        )

    def question(self, run: messages.Run) -> str:
        """The words that a run answered: the last user message of its thread before it ended."""
        request = messages.GetThreadRequest(thread_id=run.thread_id)
        told = self._calls.one(
            self._analyst.GetThread, request, messages.GetThreadResponse
        ).messages
        return next((str(m.content) for m in reversed(told) if m.role == "user"), "")

    def status(self) -> messages.GetStatusResponse:
        """How the platform stands: each service's own word, and the sandbox's tier."""
        return self._calls.one(
            self._analyst.GetStatus, messages.GetStatusRequest(), messages.GetStatusResponse
        )

    def models(self) -> list[messages.ChatModel]:
        """The models that `ask` takes."""
        return list(
            self._calls.one(
                self._analyst.ListModels, messages.ListModelsRequest(), messages.ListModelsResponse
            ).models
        )

    # Data sources

    def sources(self) -> Iterator[messages.DataSource]:
        """All data sources, by name."""
        request = messages.ListDataSourcesRequest()
        return self._calls.pages(
            self._sources.ListDataSources,
            request,
            messages.ListDataSourcesResponse,
            lambda page: page.data_sources,
        )

    def add_source(
        self,
        name: str,
        type: str,
        *,
        config: Mapping[str, object],
        secrets: Mapping[str, str],
        description: str = "",
        teams: Sequence[str] = (),
        guide: Mapping[str, Any] | None = None,
    ) -> messages.DataSource:
        """Register a data source; its secrets go to the credential service and never come back.
        Members of `teams` may see and ask it. `guide` is what the model is told beyond the schema:
        `{"notes": {path: text}, "queries": [{"question", "sql"}]}`."""
        request = messages.CreateDataSourceRequest(
            name=name,
            type=type,
            description=description,
            config_json=json.dumps(config),
            secrets=secrets,
            teams=teams,
            guide=ParseDict(dict(guide or {}), messages.Guide()),
        )
        return self._calls.one(
            self._sources.CreateDataSource, request, messages.CreateDataSourceResponse
        ).data_source

    def share_source(self, source: str, teams: Sequence[str]) -> messages.DataSource:
        """Share with these teams and no others; "*" is everybody."""
        request = messages.UpdateDataSourceRequest(id=source, teams=Teams(names=teams))
        return self._calls.one(
            self._sources.UpdateDataSource, request, messages.UpdateDataSourceResponse
        ).data_source

    def guide_source(self, source: str, guide: Mapping[str, Any]) -> messages.DataSource:
        """Replace what the model is told of a source beyond its schema, as `add_source` has it."""
        told = ParseDict(dict(guide), messages.Guide())
        return self._calls.one(
            self._sources.UpdateDataSource,
            messages.UpdateDataSourceRequest(id=source, guide=told),
            messages.UpdateDataSourceResponse,
        ).data_source

    def remove_source(self, source: str) -> None:
        """Delete a source with its secret and its live connections."""
        self._calls.one(
            self._sources.DeleteDataSource,
            messages.DeleteDataSourceRequest(id=source),
            messages.DeleteDataSourceResponse,
        )

    def check_source(self, source: str) -> messages.CheckDataSourceResponse:
        """Try a source: `ok`, and each step."""
        return self._calls.one(
            self._sources.CheckDataSource,
            messages.CheckDataSourceRequest(id=source),
            messages.CheckDataSourceResponse,
        )

    def browse(
        self, source: str, path: str = "", *, glob: str = "", include: Sequence[str] = ()
    ) -> Iterator[connector.Entry]:
        """What lies in a source, one level under `path` or by `glob`; with a glob also, where the
        source keeps such, "snapshots", "versions" and "deleted"; "tags" also without. Raises
        ValueError for others."""
        request = messages.BrowseDataSourceRequest(
            id=source,
            path=path,
            glob=glob,
            include=[f"INCLUDE_{each.upper()}" for each in include],
        )
        return self._calls.pages(
            self._sources.BrowseDataSource,
            request,
            messages.BrowseDataSourceResponse,
            lambda page: page.entries,
        )

    def schema(self, source: str, path: str) -> connector.InspectResponse:
        """Columns, keys and sizes of a relation, a blob, or a glob as one table."""
        request = messages.InspectDataSourceRequest(id=source, path=path)
        return self._calls.one(
            self._sources.InspectDataSource, request, messages.InspectDataSourceResponse
        ).schema

    def preview(self, source: str, path: str, *, rows: int = 10) -> connector.PreviewResponse:
        """The first rows, as an Arrow IPC stream in `arrow`."""
        request = messages.PreviewDataSourceRequest(
            id=source, selection=connector.Selection(path=path), rows=rows
        )
        return self._calls.one(
            self._sources.PreviewDataSource, request, messages.PreviewDataSourceResponse
        ).preview

    def fetch(
        self, chosen: messages.DataSelection, *, format: str = "csv", max_rows: int | None = None
    ) -> Iterator[connector.FetchResponse]:
        """Stream a table, a query's result or a blob; `format` is csv, parquet, arrow, raw or
        unpacked."""
        request = messages.FetchDataSourceRequest(
            id=chosen.source,
            format=f"FORMAT_{format.upper()}",
            limits=connector.Limits(max_rows=max_rows),
        )
        if chosen.HasField("query"):
            request.selection.query.CopyFrom(chosen.query)
        else:
            request.selection.path = chosen.path or chosen.table
            request.selection.version = chosen.version
        return self._calls.stream(self._sources.FetchDataSource, request, connector.FetchResponse)

    def types(self) -> list[connector.DescribeResponse]:
        """The types of source that are served, with their settings and examples."""
        return list(
            self._calls.one(
                self._sources.ListTemplates,
                messages.ListTemplatesRequest(),
                messages.ListTemplatesResponse,
            ).types
        )

    # Files

    def upload(self, path: Path) -> messages.FileInfo:
        """Send a file; its `id` goes into `ask(files=…)`."""
        with translated():
            response: messages.UploadFileResponse = self._files.UploadFile(
                _pieces(path), metadata=self._metadata, timeout=RUN_TIMEOUT_S
            )
        return response.file

    def download(self, file_id: str, into: Path) -> Path:
        """Write a file or artifact to `into`, a folder or a path: whole or not at all."""
        request = messages.DownloadFileRequest(id=file_id)
        call = self._files.DownloadFile(request, metadata=self._metadata, timeout=RUN_TIMEOUT_S)
        return _written(call, into)

    def files(self) -> Iterator[messages.FileInfo]:
        """Uploads and artifacts, newest first."""
        return self._calls.pages(
            self._files.ListFiles,
            messages.ListFilesRequest(),
            messages.ListFilesResponse,
            lambda page: page.files,
        )


def _asked(
    question: str,
    data: Iterable[str | messages.DataSelection],
    files: Iterable[str],
    thread: str,
    model: str,
    max_rows: int | None,
) -> messages.ChatRequest:
    chosen = [
        selection(each, max_rows=max_rows) if isinstance(each, str) else each for each in data
    ]
    return messages.ChatRequest(
        model=model,
        messages=[messages.ChatMessage(role="user", content=question)],
        data_sources=chosen,
        file_ids=files,
        thread_id=thread,
    )


def _pieces(path: Path) -> Iterator[messages.UploadFileRequest]:
    start = messages.UploadFileStart(name=path.name, purpose="user_data")
    yield messages.UploadFileRequest(start=start)
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield messages.UploadFileRequest(piece=piece)


def _written(call: Any, into: Path) -> Path:
    """A header's file with the pieces behind it: whole or not at all."""
    with translated():
        name = Path(next(iter(call)).header.name).name
        target = into / name if into.is_dir() else into
        part = target.with_name(target.name + ".part")
        try:
            with part.open("wb") as file:
                file.writelines(response.piece for response in call)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
            call.cancel()
    return target
