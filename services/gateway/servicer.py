"""isobath.analyst.v1 over the gateway: decode, one call, encode."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from isobath.analyst.v1 import access_pb2_grpc as access
from isobath.analyst.v1 import analyst_pb2 as pb
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from isobath.connector.v1 import connector_pb2 as connector
from servicekit.server import Server
from servicekit.status import InvalidField, RemoteFault
from services.gateway import exports
from services.gateway.access.scopes import Scope
from services.gateway.access.servicer import AccessServicer
from services.gateway.approvals import Decision
from services.gateway.authenticated import Authenticated, Context
from services.gateway.conversation import Bounds, Message, Sampling
from services.gateway.feedback import Opinion
from services.gateway.files import PIECE_BYTES, UPLOAD
from services.gateway.gateway import Gateway
from services.gateway.guards import guarded
from services.gateway.guide import Guide, guide_of
from services.gateway.history import ROLES
from services.gateway.plan import (
    FORMATS,
    ArtifactsTo,
    Plan,
    Selection,
    artifacts_to,
    require_something,
)
from services.gateway.source import Change, Draft, Source
from services.gateway.statuses import STATUSES

_FORMATS = {connector.Format.Value(f"FORMAT_{name.upper()}"): name for name in FORMATS}
_EXPORTERS = {
    pb.EXPORT_FORMAT_NOTEBOOK: exports.notebook,
    pb.EXPORT_FORMAT_HTML: exports.page,
}
_ENDS = frozenset({"completed", "failed", "cancelled"})


def register(server: Server, gateway: Gateway) -> None:
    """Adds the public services."""
    services = (
        ("AnalystService", AnalystServicer(gateway), rpc.add_AnalystServiceServicer_to_server),
        (
            "DataSourceService",
            DataSourceServicer(gateway),
            rpc.add_DataSourceServiceServicer_to_server,
        ),
        ("FileService", FileServicer(gateway), rpc.add_FileServiceServicer_to_server),
        ("AccessService", AccessServicer(gateway), access.add_AccessServiceServicer_to_server),
    )
    for name, servicer, add in services:
        server.register(
            f"isobath.analyst.v1.{name}",
            lambda target, servicer=servicer, add=add: add(servicer, target),  # type: ignore[misc]
            statuses=STATUSES,
            endless=frozenset({"WatchRun", "Chat"}),
            begins_traces=True,
        )


def _as_fault(failed: pb.RunFailed) -> RemoteFault:
    """A failure before the model's first word, as the error of the call."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    return RemoteFault(
        failed.message,
        code=codes.get(failed.code, grpc.StatusCode.INTERNAL),
        reason=failed.reason,
        remedy=failed.remedy,
        fields=failed.metadata,
    )


class AnalystServicer(Authenticated, rpc.AnalystServiceServicer):
    """Questions and runs."""

    async def Chat(
        self, request: pb.ChatRequest, context: Context
    ) -> AsyncIterator[pb.ChatResponse]:
        caller = await self.caller(context, Scope.ANALYST)
        run_id = await self.gateway.runs.start(caller, self._plan(request))
        with self.gateway.runs.attended(run_id) as is_last:
            ended = spoken = False
            try:
                async with aclosing(self.gateway.runs.watch(caller.owner, run_id)) as events:
                    async for event in events:
                        ended = event.WhichOneof("event") in _ENDS
                        spoken = spoken or event.HasField("block_opened")
                        if event.HasField("failed") and not spoken:
                            raise _as_fault(event.failed)
                        yield pb.ChatResponse(event=event)
            finally:
                if not ended and not request.detach and is_last():
                    await self.gateway.runs.cancel(caller.owner, run_id)

    def _plan(self, request: pb.ChatRequest) -> Plan:
        messages = tuple(_message(each) for each in request.messages)
        if not messages or messages[-1].role != "user":
            raise InvalidField("messages", "messages must end with one of role user")
        return Plan(
            messages=messages,
            selections=tuple(_selection(each, i) for i, each in enumerate(request.data_sources)),
            file_ids=tuple(dict.fromkeys(request.file_ids)),
            thread_id=request.thread_id,
            model=request.model,
            sampling=Sampling(request.temperature if request.HasField("temperature") else None),
            bounds=_bounds(request.bounds, self.gateway.settings.bounds),
            idempotency_key=request.idempotency_key,
            artifacts_to=_artifacts_to(request),
            approval=guarded(request.approval),
        )

    async def StartRun(self, request: pb.StartRunRequest, context: Context) -> pb.StartRunResponse:
        caller = await self.caller(context, Scope.ANALYST)
        run_id = await self.gateway.runs.start(caller, self._plan(request.question))
        return pb.StartRunResponse(run=await self.gateway.runs.get(caller.owner, run_id))

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: Context
    ) -> AsyncIterator[pb.WatchRunResponse]:
        caller = await self.caller(context, Scope.READ_ONLY)
        after = max(0, request.from_sequence - 1)
        async with aclosing(self.gateway.runs.watch(caller.owner, request.run_id, after)) as events:
            async for event in events:
                yield pb.WatchRunResponse(event=event)

    async def CancelRun(
        self, request: pb.CancelRunRequest, context: Context
    ) -> pb.CancelRunResponse:
        caller = await self.caller(context, Scope.ANALYST)
        run = await self.gateway.runs.cancel(caller.owner, request.run_id)
        return pb.CancelRunResponse(run=run)

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: Context
    ) -> pb.ListApprovalsResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        found = await self.gateway.runs.approvals(caller.owner, request.run_id)
        return pb.ListApprovalsResponse(approvals=found)

    async def DecideApproval(
        self, request: pb.DecideApprovalRequest, context: Context
    ) -> pb.DecideApprovalResponse:
        caller = await self.caller(context, Scope.ANALYST)
        decision = Decision(request.approved, request.comment, request.rest_of_run)
        decided = await self.gateway.runs.decide(
            caller, request.run_id, request.approval_id, decision
        )
        return pb.DecideApprovalResponse(approval=decided)

    async def ExportRun(
        self, request: pb.ExportRunRequest, context: Context
    ) -> AsyncIterator[pb.ExportRunResponse]:
        caller = await self.caller(context, Scope.READ_ONLY)
        make = _EXPORTERS.get(request.format)
        if make is None:
            raise InvalidField("format", "the request does not say as what")
        document = await self.gateway.runs.export(caller.owner, request.run_id, make)
        content = document.content
        yield pb.ExportRunResponse(
            header=pb.ExportHeader(
                name=document.name, media_type=document.media_type, size_bytes=len(content)
            )
        )
        for at in range(0, len(content), PIECE_BYTES):
            yield pb.ExportRunResponse(piece=content[at : at + PIECE_BYTES])

    async def GetConversation(
        self, request: pb.GetConversationRequest, context: Context
    ) -> pb.GetConversationResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        found = await self.gateway.runs.conversation(caller.owner, request.run_id)
        return pb.GetConversationResponse(record=found)

    async def PutFeedback(
        self, request: pb.PutFeedbackRequest, context: Context
    ) -> pb.PutFeedbackResponse:
        caller = await self.caller(context, Scope.ANALYST)
        opinion = Opinion(request.rating, request.comment, request.correction)
        put = await self.gateway.feedback.put(caller, request.run_id, opinion)
        return pb.PutFeedbackResponse(feedback=put)

    async def ListFeedback(
        self, request: pb.ListFeedbackRequest, context: Context
    ) -> pb.ListFeedbackResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        found = await self.gateway.feedback.of(caller.owner, request.run_id)
        return pb.ListFeedbackResponse(feedback=found)

    async def DeleteFeedback(
        self, request: pb.DeleteFeedbackRequest, context: Context
    ) -> pb.DeleteFeedbackResponse:
        caller = await self.caller(context, Scope.ANALYST)
        await self.gateway.feedback.delete(caller, request.run_id)
        return pb.DeleteFeedbackResponse()

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        await self.caller(context, Scope.READ_ONLY)
        states = await self.gateway.health()
        services = [pb.ServiceStatus(name=name, state=state) for name, state in states.items()]
        told = self.gateway.readiness.verdict()
        return pb.GetStatusResponse(
            services=services,
            tier=await self.gateway.tier(),
            readiness=told.status,
            reason=told.reason,
        )

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        return pb.GetRunResponse(run=await self.gateway.runs.get(caller.owner, request.run_id))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        page = await self.gateway.runs.page(
            caller.owner, request.thread_id, request.page_size, request.page_token
        )
        return pb.ListRunsResponse(runs=page.items, next_page_token=page.next_page_token)

    async def ListThreads(
        self, request: pb.ListThreadsRequest, context: Context
    ) -> pb.ListThreadsResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        page = await self.gateway.threads.page(caller.owner, request.page_size, request.page_token)
        return pb.ListThreadsResponse(threads=page.items, next_page_token=page.next_page_token)

    async def GetThread(
        self, request: pb.GetThreadRequest, context: Context
    ) -> pb.GetThreadResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        thread, said = await self.gateway.threads.get(caller.owner, request.thread_id)
        files = await self.gateway.files.of_thread(request.thread_id)
        return pb.GetThreadResponse(thread=thread, messages=said, files=files)

    async def DeleteThread(
        self, request: pb.DeleteThreadRequest, context: Context
    ) -> pb.DeleteThreadResponse:
        caller = await self.caller(context, Scope.ANALYST)
        await self.gateway.threads.delete(caller.owner, request.thread_id)
        return pb.DeleteThreadResponse()

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        await self.caller(context, Scope.READ_ONLY)
        return pb.ListModelsResponse(models=await self.gateway.runs.models())


class DataSourceServicer(Authenticated, rpc.DataSourceServiceServicer):
    """The registry, and what lies in each source."""

    async def CreateDataSource(
        self, request: pb.CreateDataSourceRequest, context: Context
    ) -> pb.CreateDataSourceResponse:
        caller = await self.caller(context, Scope.ANALYST)
        draft = Draft(
            name=request.name,
            type=request.type,
            description=request.description,
            config=_config(request.config_json),
            secrets=dict(request.secrets),
            teams=tuple(request.teams),
            guide=_guide(request.guide),
            approval=guarded(request.approval),
        )
        made = await self.gateway.registry.create(caller, draft)
        return pb.CreateDataSourceResponse(data_source=_source(made))

    async def ListDataSources(
        self, request: pb.ListDataSourcesRequest, context: Context
    ) -> pb.ListDataSourcesResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        page = await self.gateway.registry.page(caller, request.page_size, request.page_token)
        return pb.ListDataSourcesResponse(
            data_sources=[_source(each) for each in page.items],
            next_page_token=page.next_page_token,
        )

    async def GetDataSource(
        self, request: pb.GetDataSourceRequest, context: Context
    ) -> pb.GetDataSourceResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        found = await self.gateway.registry.get(caller, request.id)
        return pb.GetDataSourceResponse(data_source=_source(found))

    async def UpdateDataSource(
        self, request: pb.UpdateDataSourceRequest, context: Context
    ) -> pb.UpdateDataSourceResponse:
        caller = await self.caller(context, Scope.ANALYST)
        change = Change(
            name=request.name if request.HasField("name") else None,
            description=request.description if request.HasField("description") else None,
            config=_config(request.config_json) if request.HasField("config_json") else None,
            secrets=dict(request.secrets),
            clear_secrets=tuple(request.clear_secrets),
            teams=tuple(request.teams.names) if request.HasField("teams") else None,
            guide=_guide(request.guide) if request.HasField("guide") else None,
            approval=(
                guarded(request.approval.operations) if request.HasField("approval") else None
            ),
        )
        changed = await self.gateway.registry.update(caller, request.id, change)
        return pb.UpdateDataSourceResponse(data_source=_source(changed))

    async def DeleteDataSource(
        self, request: pb.DeleteDataSourceRequest, context: Context
    ) -> pb.DeleteDataSourceResponse:
        caller = await self.caller(context, Scope.ANALYST)
        await self.gateway.registry.delete(caller, request.id)
        return pb.DeleteDataSourceResponse()

    async def CheckDataSource(
        self, request: pb.CheckDataSourceRequest, context: Context
    ) -> pb.CheckDataSourceResponse:
        found = await self.gateway.data.check(
            await self.caller(context, Scope.READ_ONLY), request.id
        )
        ok = bool(found.steps) and all(step.passed for step in found.steps)
        return pb.CheckDataSourceResponse(ok=ok, check=found)

    async def BrowseDataSource(
        self, request: pb.BrowseDataSourceRequest, context: Context
    ) -> pb.BrowseDataSourceResponse:
        asked = connector.BrowseRequest(
            path=request.path,
            glob=request.glob,
            page_size=request.page_size,
            page_token=request.page_token,
            refresh=request.refresh,
            include=request.include,
        )
        found = await self.gateway.data.browse(
            await self.caller(context, Scope.READ_ONLY), request.id, asked
        )
        return pb.BrowseDataSourceResponse(
            entries=found.entries, next_page_token=found.next_page_token
        )

    async def InspectDataSource(
        self, request: pb.InspectDataSourceRequest, context: Context
    ) -> pb.InspectDataSourceResponse:
        asked = connector.InspectRequest(
            path=request.path, refresh=request.refresh, version=request.version
        )
        found = await self.gateway.data.inspect(
            await self.caller(context, Scope.READ_ONLY), request.id, asked
        )
        return pb.InspectDataSourceResponse(schema=found)

    async def PreviewDataSource(
        self, request: pb.PreviewDataSourceRequest, context: Context
    ) -> pb.PreviewDataSourceResponse:
        asked = connector.PreviewRequest(selection=request.selection, rows=request.rows)
        found = await self.gateway.data.preview(
            await self.caller(context, Scope.READ_ONLY), request.id, asked
        )
        return pb.PreviewDataSourceResponse(preview=found)

    async def ProfileDataSource(
        self, request: pb.ProfileDataSourceRequest, context: Context
    ) -> pb.ProfileDataSourceResponse:
        asked = connector.ProfileRequest(path=request.path, refresh=request.refresh)
        found = await self.gateway.data.profile(
            await self.caller(context, Scope.READ_ONLY), request.id, asked
        )
        return pb.ProfileDataSourceResponse(profile=found)

    async def FetchDataSource(
        self, request: pb.FetchDataSourceRequest, context: Context
    ) -> AsyncIterator[pb.FetchDataSourceResponse]:
        asked = connector.FetchRequest(
            selection=request.selection, format=request.format, limits=request.limits
        )
        caller = await self.caller(context, Scope.READ_ONLY)
        async with self.gateway.data.fetch(caller, request.id, asked) as events:
            async for event in events:
                yield pb.FetchDataSourceResponse(event=event)

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: Context
    ) -> pb.ListTemplatesResponse:
        await self.caller(context, Scope.READ_ONLY)
        return pb.ListTemplatesResponse(types=await self.gateway.registry.types())


class FileServicer(Authenticated, rpc.FileServiceServicer):
    """Uploads and artifacts."""

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context
    ) -> pb.UploadFileResponse:
        caller = await self.caller(context, Scope.ANALYST)
        first = await anext(aiter(request_iterator), pb.UploadFileRequest())
        if not first.HasField("start") or not first.start.name:
            raise InvalidField("start.name", "the first message must be start, with a name")
        info = await self.gateway.files.put(
            caller.owner,
            first.start.name,
            _pieces(request_iterator),
            purpose=first.start.purpose or UPLOAD,
        )
        return pb.UploadFileResponse(file=info)

    async def ListFiles(
        self, request: pb.ListFilesRequest, context: Context
    ) -> pb.ListFilesResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        page = await self.gateway.files.page(caller.owner, request.page_size, request.page_token)
        return pb.ListFilesResponse(files=page.items, next_page_token=page.next_page_token)

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> pb.GetFileResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        return pb.GetFileResponse(file=await self.gateway.files.get(caller.owner, request.id))

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Context
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        caller = await self.caller(context, Scope.READ_ONLY)
        info = await self.gateway.files.get(caller.owner, request.id)
        yield pb.DownloadFileResponse(header=info)
        async for piece in await self.gateway.files.open(caller.owner, request.id):
            yield pb.DownloadFileResponse(piece=piece)

    async def DeleteFile(
        self, request: pb.DeleteFileRequest, context: Context
    ) -> pb.DeleteFileResponse:
        caller = await self.caller(context, Scope.ANALYST)
        await self.gateway.files.delete(caller.owner, request.id)
        return pb.DeleteFileResponse()


async def _pieces(requests: AsyncIterator[pb.UploadFileRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.piece


def _message(given: pb.ChatMessage) -> Message:
    if given.role not in ROLES:
        raise InvalidField("messages.role", f"role must be one of {', '.join(ROLES)}")
    return Message(ROLES[given.role], given.content)


def _selection(given: pb.DataSelection, number: int) -> Selection:
    where = f"data_sources[{number}]"
    if not given.source:
        raise InvalidField(f"{where}.source", f"{where} needs source, a name or an id")
    bounds = given.limits
    found = Selection(
        source=given.source,
        type=given.type,
        path=given.path or given.table,
        version=given.version,
        sql=given.query.sql,
        parameters=tuple(_value(each) for each in given.query.parameters),
        format=_FORMATS.get(given.format, ""),  # type: ignore[arg-type]
        target=given.target,
        max_rows=bounds.max_rows if bounds.HasField("max_rows") else None,
        max_bytes=bounds.max_bytes if bounds.HasField("max_bytes") else None,
        timeout_s=bounds.timeout.ToTimedelta().total_seconds() or None,
    )
    require_something(found, where)
    return found


def _artifacts_to(request: pb.ChatRequest) -> ArtifactsTo | None:
    if not request.HasField("artifacts_to"):
        return None
    given = request.artifacts_to
    return artifacts_to(given.source, given.prefix, overwrite=given.overwrite)


def _value(parameter: connector.Parameter) -> Any:
    kind = parameter.WhichOneof("value")
    return getattr(parameter, kind) if kind else None


def _bounds(given: pb.RunBounds, bounds: Bounds) -> Bounds:
    seconds = given.time.ToTimedelta().total_seconds() or bounds.seconds
    program = given.program_time.ToTimedelta().total_seconds() or bounds.program_seconds
    return Bounds(
        rounds=min(given.rounds or bounds.rounds, bounds.rounds),
        tokens=min(given.tokens or bounds.tokens, bounds.tokens),
        seconds=min(seconds, bounds.seconds),
        program_seconds=min(program, bounds.program_seconds),
        idle_turns=bounds.idle_turns,
    )


def _guide(given: pb.Guide) -> Guide:
    queries = [{"question": each.question, "sql": each.sql} for each in given.queries]
    return guide_of({"notes": dict(given.notes), "queries": queries})


def _config(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text or "{}")
    except json.JSONDecodeError as torn:
        raise InvalidField("config_json", f"config_json is not JSON: {torn}") from torn
    if not isinstance(config, dict):
        raise InvalidField("config_json", "config_json must be an object")
    return config


def _source(source: Source) -> pb.DataSource:
    created, updated = Timestamp(), Timestamp()
    created.FromMilliseconds(source.created_ms)
    updated.FromMilliseconds(source.updated_ms)
    return pb.DataSource(
        id=source.id,
        name=source.name,
        type=source.type,
        description=source.description,
        config_json=json.dumps(dict(source.config)),
        secrets_set=source.secrets_set,
        owner=source.owner,
        teams=source.teams,
        guide=pb.Guide(**source.guide.as_dict()),
        approval=sorted(source.approval),
        version=source.version,
        created_at=created,
        updated_at=updated,
    )
