"""The sandbox's RPCs: decode, one call, encode."""

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.limits import Limiter
from servicekit.status import InvalidField, Status, StatusTable
from services.sandbox import errors
from services.sandbox.approvals import Decision
from services.sandbox.broker import Attached
from services.sandbox.connectors import Reaching
from services.sandbox.execution import Asked, Ended, Made, Said, Shown
from services.sandbox.importer import Done, Import, Imported, Progress, Step, Wanted
from services.sandbox.isolation.port import Bounds, Isolation
from services.sandbox.moves import Moves
from services.sandbox.outputs import Text
from services.sandbox.sessions import Sessions, key_of
from services.sandbox.settings import Settings
from services.sandbox.workspace import FileInfo, Writing

NAME = "isobath.sandbox.v1.SandboxService"

_Code = grpc.StatusCode
STATUSES: StatusTable = {
    errors.SandboxFault: Status(_Code.INTERNAL, "INTERNAL"),
    errors.TierUnavailable: Status(_Code.FAILED_PRECONDITION, "TIER_UNAVAILABLE"),
    errors.UnknownSession: Status(_Code.NOT_FOUND, "NOT_FOUND"),
    errors.SessionBusy: Status(_Code.ABORTED, "CONFLICT"),
    errors.NoSlot: Status(_Code.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.Draining: Status(_Code.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.NoWorkspace: Status(_Code.NOT_FOUND, "NOT_FOUND"),
    errors.WorkspaceElsewhere: Status(_Code.ABORTED, "CONFLICT"),
    errors.WorkspaceBusy: Status(_Code.ABORTED, "CONFLICT"),
    errors.UnsafePath: Status(_Code.FAILED_PRECONDITION, "UNSAFE_PATH"),
    errors.NoSuchFile: Status(_Code.NOT_FOUND, "PATH_NOT_FOUND"),
    errors.WorkspaceFull: Status(_Code.RESOURCE_EXHAUSTED, "WORKSPACE_FULL"),
    errors.KernelFailed: Status(_Code.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.NoPod: Status(_Code.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.ClaimRefused: Status(_Code.FAILED_PRECONDITION, "TIER_UNAVAILABLE"),
    errors.OutOfReach: Status(_Code.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.UnknownSourceType: Status(_Code.UNIMPLEMENTED, "UNSUPPORTED"),
    errors.BrokenTransfer: Status(_Code.DATA_LOSS, "CHECKSUM_MISMATCH"),
    errors.NoSuchSource: Status(_Code.NOT_FOUND, "SOURCE_NOT_FOUND"),
    errors.NotApproved: Status(_Code.PERMISSION_DENIED, "NOT_APPROVED"),
    errors.UnknownApproval: Status(_Code.NOT_FOUND, "NOT_FOUND"),
}

_PIECE = 1024 * 1024
_PAGE, _LONGEST_PAGE = 100, 1_000
# what a message of a display may hold: below the 4 MiB that clients take by default
_DISPLAY_BYTES = 3 * 1024 * 1024
_CALLERS = frozenset({"gateway"})
_METHODS = (
    *("OpenSession", "AttachSources", "DetachSources", "Import", "Execute", "Interrupt"),
    *("DecideApproval", "ListFiles", "ReadFile", "WriteFile", "CloseSession", "Load"),
)
_PEERS = dict.fromkeys(("ExportWorkspace", "ForgetWorkspace"), frozenset({"sandbox"}))
ALLOW: Mapping[str, frozenset[str]] = {
    **dict.fromkeys((*_METHODS, "TakeWorkspace"), _CALLERS),
    **_PEERS,
}
# in a pod that another sandbox service drives
ALLOW_DRIVER: Mapping[str, frozenset[str]] = dict.fromkeys(_METHODS, frozenset({"sandbox"}))

_STREAMS = {
    "stdout": pb.STREAM_STDOUT,
    "stderr": pb.STREAM_STDERR,
    "result": pb.STREAM_RESULT,
    "traceback": pb.STREAM_TRACEBACK,
}
_OUTCOMES = {
    "ok": pb.OUTCOME_OK,
    "error": pb.OUTCOME_ERROR,
    "timeout": pb.OUTCOME_TIMEOUT,
    "interrupted": pb.OUTCOME_INTERRUPTED,
    "died": pb.OUTCOME_DIED,
}


class Servicer(rpc.SandboxServiceServicer):
    def __init__(
        self,
        settings: Settings,
        bounds: Bounds,
        isolation: Isolation,
        sessions: Sessions,
        connectors: Reaching,
        threads: Limiter,
        moves: Moves,
        draining: asyncio.Event,
    ) -> None:
        self._moves, self._draining = moves, draining
        self._settings, self._bounds, self._isolation = settings, bounds, isolation
        self._sessions, self._connectors, self._threads = sessions, connectors, threads

    async def OpenSession(self, request: pb.OpenSessionRequest, _: Any) -> pb.OpenSessionResponse:
        if not request.thread_id:
            raise InvalidField("thread_id", "a thread id is needed")
        limits = request.limits
        opened = await self._sessions.open(
            request.owner,
            request.thread_id,
            narrowed(self._bounds, limits),
            limits.idle.ToTimedelta().total_seconds() if limits.HasField("idle") else 0.0,
        )
        response = pb.OpenSessionResponse(
            session_id=opened.session.session_id,
            tier=self._isolation.name,
            enforcement=self._isolation.enforcement(),
            resumed=opened.resumed,
            fresh=opened.fresh,
            moved_without=opened.moved_without,
        )
        response.expires_at.FromDatetime(datetime.now(UTC) + timedelta(seconds=opened.expires_in_s))
        return response

    async def AttachSources(
        self, request: pb.AttachSourcesRequest, _: Any
    ) -> pb.AttachSourcesResponse:
        for kind in sorted({source.type for source in request.sources}):
            await self._connectors.of_type(kind)
        # the run holds it from here on: nothing comes between that could put it away
        session = self._sessions.get(request.session_id)
        session.sources.attach(request.run_id, [_attached(source) for source in request.sources])
        return pb.AttachSourcesResponse()

    async def DetachSources(
        self, request: pb.DetachSourcesRequest, _: Any
    ) -> pb.DetachSourcesResponse:
        await self._sessions.get(request.session_id).detach(request.run_id)
        return pb.DetachSourcesResponse()

    async def Import(self, request: pb.ImportRequest, _: Any) -> AsyncIterator[pb.ImportResponse]:
        session = self._sessions.get(request.session_id)
        items = [_wanted(number, item) for number, item in enumerate(request.items)]
        with session.called() as workspace:
            work = Import(self._connectors, workspace, self._threads, self._settings.imports)
            async with aclosing(work.steps(items)) as steps:
                async for step in steps:
                    session.touch()
                    yield _step(step)

    async def Execute(
        self, request: pb.ExecuteRequest, _: Any
    ) -> AsyncIterator[pb.ExecuteResponse]:
        session = self._sessions.for_program(request.session_id)
        async with aclosing(session.execute(request.code, self._timeout_s(request))) as said:
            async for each in said:
                for response in _said(each):
                    yield response

    def _timeout_s(self, request: pb.ExecuteRequest) -> float:
        if not request.HasField("timeout"):
            return self._settings.timeout_s
        wanted = request.timeout.ToTimedelta().total_seconds()
        if wanted <= 0:
            raise InvalidField("timeout", "a timeout is longer than nothing")
        return min(wanted, self._settings.longest_timeout_s)

    async def Interrupt(self, request: pb.InterruptRequest, _: Any) -> pb.InterruptResponse:
        return pb.InterruptResponse(was_running=self._sessions.get(request.session_id).interrupt())

    async def DecideApproval(
        self, request: pb.DecideApprovalRequest, _: Any
    ) -> pb.DecideApprovalResponse:
        session = self._sessions.get(request.session_id)
        decision = Decision(request.approved, request.comment)
        session.approvals.decide(request.approval_id, decision)
        return pb.DecideApprovalResponse()

    async def ListFiles(self, request: pb.ListFilesRequest, _: Any) -> pb.ListFilesResponse:
        session = self._sessions.get(request.session_id)
        start = _after(request.page_token)
        size = min(request.page_size or _PAGE, _LONGEST_PAGE)
        files = await self._threads.run(session.workspace.files)
        rest = [info for info in files if info.path > start]
        token = _token(rest[size - 1].path) if len(rest) > size else ""
        return pb.ListFilesResponse(files=map(_file, rest[:size]), next_page_token=token)

    async def ReadFile(
        self, request: pb.ReadFileRequest, _: Any
    ) -> AsyncIterator[pb.ReadFileResponse]:
        session = self._sessions.get(request.session_id)
        with session.called() as workspace:
            file, info = await self._threads.run(workspace.open_file, request.path)
        # who has it open can read on, wherever the workspace goes
        with file:
            yield pb.ReadFileResponse(header=_file(info))
            # no more than the header says: a program may go on writing for ever
            left = info.size_bytes
            while left and (piece := await self._threads.run(file.read, min(_PIECE, left))):
                left -= len(piece)
                yield pb.ReadFileResponse(piece=piece)

    async def WriteFile(
        self, requests: AsyncIterator[pb.WriteFileRequest], _: Any
    ) -> pb.WriteFileResponse:
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("event") != "start":
            raise InvalidField("start", "the first message is `start`")
        session = self._sessions.get(first.start.session_id)
        with session.called() as workspace:
            room = await self._threads.run(workspace.room_bytes)
            writing = workspace.writing(first.start.path, room_bytes=room)
            info = await self._written(writing, requests)
        return pb.WriteFileResponse(file=_file(info))

    async def _written(
        self, writing: Writing, requests: AsyncIterator[pb.WriteFileRequest]
    ) -> FileInfo:
        async with writing.opened(self._threads):
            async for request in requests:
                if request.WhichOneof("event") != "piece":
                    raise InvalidField("piece", "after `start` come pieces")
                await self._threads.run(writing.write, request.piece)
            return await self._threads.run(writing.commit)

    async def CloseSession(
        self, request: pb.CloseSessionRequest, _: Any
    ) -> pb.CloseSessionResponse:
        remove = request.remove_workspace
        if request.session_id or not request.thread_id:
            existed = await self._sessions.close(request.session_id, remove_workspace=remove)
        else:
            key = key_of(request.owner, request.thread_id)
            existed = await self._sessions.close_thread(key, remove_workspace=remove)
        return pb.CloseSessionResponse(existed=existed)

    async def TakeWorkspace(
        self, request: pb.TakeWorkspaceRequest, _: Any
    ) -> pb.TakeWorkspaceResponse:
        return await self._moves.take(request.owner, request.thread_id, request.origins)

    async def ExportWorkspace(
        self, request: pb.ExportWorkspaceRequest, _: Any
    ) -> AsyncIterator[pb.ExportWorkspaceResponse]:
        exporting = self._moves.export(request.owner, request.thread_id)
        async with aclosing(exporting) as messages:
            async for message in messages:
                yield message

    async def ForgetWorkspace(
        self, request: pb.ForgetWorkspaceRequest, _: Any
    ) -> pb.ForgetWorkspaceResponse:
        await self._moves.forget(request.owner, request.thread_id, request.export_id)
        return pb.ForgetWorkspaceResponse()

    async def Load(self, request: pb.LoadRequest, _: Any) -> pb.LoadResponse:
        sessions = self._sessions
        sessions.asked_at = time.monotonic()
        return pb.LoadResponse(
            slots=self._settings.sessions,
            held=sessions.held,
            busy=sessions.busy,
            waiting=sessions.waiting,
            draining=self._draining.is_set(),
        )


def narrowed(bounds: Bounds, limits: pb.SessionLimits) -> Bounds:
    """Limits of a request can only be below the service's own. Raises InvalidField."""
    for name in ("memory_bytes", "workspace_bytes", "processes"):
        if limits.HasField(name):
            wanted = getattr(limits, name)
            if wanted <= 0:
                raise InvalidField(f"limits.{name}", f"{name} is more than nothing")
            bounds = replace(bounds, **{name: min(wanted, getattr(bounds, name))})
    return bounds


def _attached(source: pb.Source) -> Attached:
    if not source.name:
        raise InvalidField("sources.name", "a source needs the name it has in code")
    return Attached(
        source.name,
        source.source_id,
        source.type,
        source.grant,
        source.write_grant,
        source.write_prefix,
        frozenset(source.guarded),
    )


def _wanted(number: int, item: pb.ImportItem) -> Wanted:
    if item.selection.WhichOneof("what") is None:
        raise InvalidField(f"items[{number}].selection", "a path or a query is needed")
    return Wanted(
        number=number,
        source_name=item.source.name,
        source_type=item.source.type,
        grant=item.source.grant,
        selection=item.selection,
        format=item.format,
        limits=item.limits if item.HasField("limits") else None,
        target=item.target,
    )


def _step(step: Step) -> pb.ImportResponse:
    match step:
        case Progress():
            told = pb.ImportProgress(rows=step.rows, bytes=step.bytes, total_bytes=step.total_bytes)
            return pb.ImportResponse(item=step.item, progress=told)
        case Imported():
            return pb.ImportResponse(item=step.item, file=_imported(step))
        case Done():
            done = pb.ImportDone(files=step.files, bytes=step.bytes)
            done.elapsed.FromTimedelta(timedelta(seconds=step.elapsed_s))
            return pb.ImportResponse(item=step.item, done=done)


def _imported(step: Imported) -> pb.ImportedFile:
    return pb.ImportedFile(
        path=step.file.path,
        source_path=step.source_path,
        size_bytes=step.file.size_bytes,
        rows=step.rows,
        columns=step.columns,
        sha256=step.sha256,
        truncated=step.truncated,
        truncated_by=step.truncated_by,
    )


def _said(said: Said) -> list[pb.ExecuteResponse]:
    match said:
        case Text():
            output = pb.Output(stream=_STREAMS[said.stream], text=said.text)
            return [pb.ExecuteResponse(output=output)]
        case Shown():
            return _shown(said)
        case Made():
            artifact = pb.Artifact(
                path=said.file.path,
                size_bytes=said.file.size_bytes,
                media_type=said.file.media_type,
                sha256=said.sha256,
            )
            return [pb.ExecuteResponse(artifact=artifact)]
        case Asked():
            return [pb.ExecuteResponse(approval=said.request)]
        case Ended():
            return [pb.ExecuteResponse(finished=_finished(said))]


def _shown(shown: Shown) -> list[pb.ExecuteResponse]:
    """What is too large for a message is said to be."""
    data, size = {}, 0
    for kind, raw in shown.data.items():
        if size + len(raw) <= _DISPLAY_BYTES:
            data[kind] = raw
            size += len(raw)
    if data:
        return [pb.ExecuteResponse(display=pb.Display(data=data))]
    text = f"[not shown, too large: {', '.join(shown.data)}]\n"
    return [pb.ExecuteResponse(output=pb.Output(stream=pb.STREAM_STDERR, text=text))]


def _finished(ended: Ended) -> pb.Finished:
    finished = pb.Finished(
        outcome=_OUTCOMES[ended.outcome],
        error_name=ended.error_name,
        error_text=ended.error_text,
        cause=ended.cause,
        exit_code=ended.exit_code,
        signal=ended.signal,
        output_bytes_cut=ended.cut_bytes,
        usage=pb.ProgramUsage(peak_memory_bytes=ended.peak_bytes),
    )
    finished.elapsed.FromTimedelta(timedelta(seconds=ended.elapsed_s))
    finished.usage.cpu.FromTimedelta(timedelta(seconds=min(ended.cpu_s, 1e9)))
    return finished


def _file(info: FileInfo) -> pb.WorkspaceFile:
    file = pb.WorkspaceFile(path=info.path, size_bytes=info.size_bytes, media_type=info.media_type)
    # a program may set any time; a Timestamp ends with the year 9999
    file.modified_at.FromNanoseconds(min(max(info.modified_ns, 0), 253_402_300_799 * 10**9))
    return file


def _token(path: str) -> str:
    return base64.urlsafe_b64encode(path.encode()).decode()


def _after(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeError) as exc:
        raise InvalidField("page_token", "the page token is not one of this list") from exc
