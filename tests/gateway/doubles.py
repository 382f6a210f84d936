"""Stand-ins for a connector, the sandbox and the models, behind real gRPC and the real contracts.

They keep state and can be held up, but do not imitate: isolation, limits, SQL, the checking of
grants (they only write down which came), pages of lists.
"""

import asyncio
import contextlib
import hashlib
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pyarrow as pa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from isobath.connector.v1 import connector_pb2 as connector
from isobath.connector.v1 import connector_pb2_grpc as connector_rpc
from isobath.inference.v1 import inference_pb2 as inference
from isobath.inference.v1 import inference_pb2_grpc as inference_rpc
from isobath.sandbox.v1 import sandbox_pb2 as sandbox
from isobath.sandbox.v1 import sandbox_pb2_grpc as sandbox_rpc
from servicekit.status import Fault, Status, StatusTable

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
ORDERS = pa.table({"region": ["north", "south"], "count": [3, 4]})
CONFIG_SCHEMA = {
    "type": "object",
    "properties": {"host": {"type": "string"}, "port": {"type": "integer"}},
    "required": ["host"],
    "additionalProperties": False,
}
SECRETS_SCHEMA = {
    "type": "object",
    "properties": {"password": {"type": "string"}},
    "required": ["password"],
    "additionalProperties": False,
}


class NoSuchPath(Fault):
    def metadata(self) -> dict[str, str]:
        return {"path": self.args[1]}


class BadQuery(Fault):
    remedy = "Correct the query."

    def metadata(self) -> dict[str, str]:
        return {"sqlstate": "42601", "position": "8"}


class WrongPassword(Fault):
    pass


class NoSlot(Fault):
    pass


STATUSES: StatusTable = {
    NoSlot: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    NoSuchPath: Status(grpc.StatusCode.NOT_FOUND, "PATH_NOT_FOUND"),
    BadQuery: Status(grpc.StatusCode.FAILED_PRECONDITION, "QUERY_FAILED"),
    WrongPassword: Status(grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_AUTHENTICATION_FAILED"),
}


class Held:
    """A place where a call waits until it is let go, and what became of it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.stopped = asyncio.Event()

    async def wait(self) -> None:
        self.reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


def table_of(selection: connector.Selection) -> pa.Table:
    if selection.HasField("query"):
        if "FORM" in selection.query.sql:
            raise BadQuery("syntax error at or near FORM")
        bound = [p.text or p.integer for p in selection.query.parameters]
        return pa.table({"sql": [selection.query.sql], "bound": [str(bound)]})
    if selection.path != "public.orders":
        raise NoSuchPath(f"there is no {selection.path}", selection.path)
    return ORDERS


def encoded(table: pa.Table, format: int) -> bytes:
    sink = io.BytesIO()
    if format == connector.FORMAT_ARROW:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()
    lines = [",".join(table.column_names)]
    lines += [",".join(str(v) for v in row.values()) for row in table.to_pylist()]
    return ("\n".join(lines) + "\n").encode()


class Connector(connector_rpc.ConnectorServiceServicer):
    """Type "double": the table public.orders, the blob notes.txt, and queries that echo."""

    NAME = "isobath.connector.v1.ConnectorService"
    BLOB = b"0123456789"

    def __init__(self) -> None:
        self.grants: list[str] = []
        self.held = Held()
        self.refuses_password = False
        self.last_limits = connector.Limits()

    async def Describe(self, request: Any, context: Any) -> connector.DescribeResponse:
        example = {"name": "shop", "type": "double", "config": {"host": "db"}}
        return connector.DescribeResponse(
            type="double",
            title="Double",
            config_schema=ParseDict(CONFIG_SCHEMA, Struct()),
            secrets_schema=ParseDict(SECRETS_SCHEMA, Struct()),
            templates=[connector.Template(title="t", example=ParseDict(example, Struct()))],
            takes_queries=True,
            takes_paths=True,
            code_notes='Read with sources["name"].query(sql).',
        )

    async def Check(self, request: Any, context: Any) -> connector.CheckResponse:
        self.grants.append(request.grant)
        steps = [connector.CheckStep(name="reach", passed=True)]
        failed = connector.CheckStep(
            name="authenticate", reason="SOURCE_AUTHENTICATION_FAILED", message="wrong password"
        )
        passed = connector.CheckStep(name="authenticate", passed=True)
        steps.append(failed if self.refuses_password else passed)
        return connector.CheckResponse(
            steps=steps, latency=Duration(nanos=5_000_000), writable=True
        )

    async def Browse(self, request: Any, context: Any) -> connector.BrowseResponse:
        if request.page_token:
            return connector.BrowseResponse()
        entry = connector.Entry(
            path="public.orders",
            name="orders",
            kind=connector.ENTRY_KIND_TABLE,
            row_estimate=2,
            readable=True,
        )
        return connector.BrowseResponse(entries=[entry], next_page_token="more")

    async def Inspect(self, request: Any, context: Any) -> connector.InspectResponse:
        if request.path != "public.orders":
            raise NoSuchPath(f"there is no {request.path}", request.path)
        columns = [connector.Column(name=n, type="text") for n in ORDERS.column_names]
        return connector.InspectResponse(columns=columns, rows=2)

    async def Preview(self, request: Any, context: Any) -> connector.PreviewResponse:
        table = table_of(request.selection).slice(0, request.rows or 10)
        arrow = encoded(table, connector.FORMAT_ARROW)
        return connector.PreviewResponse(arrow=arrow, truncated=request.rows == 1)

    async def Profile(self, request: Any, context: Any) -> connector.ProfileResponse:
        column = connector.ColumnProfile(name="count", null_fraction=0, mean=3.5)
        return connector.ProfileResponse(rows=2, basis="exact", columns=[column])

    async def Fetch(self, request: Any, context: Any) -> AsyncIterator[connector.FetchResponse]:
        self.grants.append(request.grant)
        self.last_limits = request.limits
        if request.selection.path == "notes.txt":
            data, rows = self._blob(request), None
        else:
            if "SLOW" in request.selection.query.sql:
                await self.held.wait()
            table = table_of(request.selection)
            cut = request.limits.max_rows or table.num_rows
            table = table.slice(0, cut)
            data, rows = encoded(table, request.format), table.num_rows
        header = connector.Header(name="x", size_bytes=len(self.BLOB), content_type="text/plain")
        yield connector.FetchResponse(header=header)
        for at in range(0, len(data), 64):
            yield connector.FetchResponse(piece=data[at : at + 64])
        summary = connector.Summary(bytes=len(data), rows=rows, truncated=rows == 1)
        yield connector.FetchResponse(summary=summary)
        yield connector.FetchResponse(complete=connector.Complete(items=1, bytes=len(data)))

    def _blob(self, request: connector.FetchRequest) -> bytes:
        end = request.offset_bytes + request.length_bytes if request.length_bytes else None
        return self.BLOB[request.offset_bytes : end]


class Sandbox(sandbox_rpc.SandboxServiceServicer):
    """Workspaces in memory; programs run in this process, so only tests' own ones may."""

    NAME = "isobath.sandbox.v1.SandboxService"

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.attached: dict[tuple[str, str], list[sandbox.Source]] = {}
        self.detached: list[str] = []
        self.variables: dict[str, dict[str, Any]] = {}
        self.held = Held()
        self.import_held = Held()
        self.room = sandbox.LoadResponse(slots=16)
        self.opened: list[str] = []
        self.removed: list[str] = []
        self.import_items: list[sandbox.ImportItem] = []
        self.decisions: dict[str, asyncio.Future[sandbox.DecideApprovalRequest]] = {}

    async def OpenSession(self, request: Any, context: Any) -> sandbox.OpenSessionResponse:
        if self.room.slots == self.room.busy:
            raise NoSlot("all slots for sessions are taken", retry_after_s=5.0)
        resumed = request.thread_id in self.files
        self.opened.append(request.thread_id)
        self.files.setdefault(request.thread_id, {})
        self.variables.setdefault(request.thread_id, {})
        return sandbox.OpenSessionResponse(
            session_id=request.thread_id, tier="none", resumed=resumed, fresh=not resumed
        )

    async def AttachSources(self, request: Any, context: Any) -> sandbox.AttachSourcesResponse:
        self.attached[request.session_id, request.run_id] = list(request.sources)
        return sandbox.AttachSourcesResponse()

    async def DetachSources(self, request: Any, context: Any) -> sandbox.DetachSourcesResponse:
        self.detached.append(request.run_id)
        return sandbox.DetachSourcesResponse()

    async def Import(self, request: Any, context: Any) -> AsyncIterator[sandbox.ImportResponse]:
        self.import_items = list(request.items)
        for number, item in enumerate(request.items):
            progress = sandbox.ImportProgress(rows=1, bytes=10)
            yield sandbox.ImportResponse(item=number, progress=progress)
            if "SLOW" in item.selection.query.sql:
                await self.import_held.wait()
            if "DENIED" in item.selection.query.sql:
                raise WrongPassword("the source refused the password of analyst")
            table = table_of(item.selection)
            data = encoded(table, connector.FORMAT_CSV)
            path = f"{item.target or 'orders'}.csv"
            self.files[request.session_id][path] = data
            file = sandbox.ImportedFile(
                path=path,
                size_bytes=len(data),
                rows=table.num_rows,
                columns=[connector.Column(name=n, type="text") for n in table.column_names],
                sha256=hashlib.sha256(data).hexdigest(),
            )
            yield sandbox.ImportResponse(item=number, file=file)
            yield sandbox.ImportResponse(item=number, done=sandbox.ImportDone(files=1))

    async def Execute(self, request: Any, context: Any) -> AsyncIterator[sandbox.ExecuteResponse]:
        if "wait_for_ever()" in request.code:
            yield _said("waiting\n")
            await self.held.wait()
        decided = []
        for number, (kind, what) in enumerate(_WISHED.findall(request.code)):
            approval = _approval(f"{request.program_id}-{number}", kind, what)
            waiting = self.decisions[approval.approval_id] = asyncio.Future()
            yield sandbox.ExecuteResponse(approval=approval)
            decided.append(await waiting)
        printed, files, shown = io.StringIO(), dict[str, bytes](), list[bytes]()
        names = self.variables[request.session_id]
        names |= {"decided": decided, "wishes": lambda kind, what: None}
        names |= {"save": files.__setitem__, "show": shown.append}
        outcome, name, text = sandbox.OUTCOME_OK, "", ""
        try:
            with contextlib.redirect_stdout(printed):
                exec(request.code, names)
        except Exception as error:
            outcome, name, text = sandbox.OUTCOME_ERROR, type(error).__name__, str(error)
        if printed.getvalue():
            yield _said(printed.getvalue())
        if name:
            yield _said(f"{name}: {text}\n", sandbox.STREAM_TRACEBACK)
        for each in shown:
            display = sandbox.Display(data={"image/png": each})
            yield sandbox.ExecuteResponse(display=display)
        for path, data in files.items():
            self.files[request.session_id][path] = data
            artifact = sandbox.Artifact(path=path, size_bytes=len(data), media_type="text/csv")
            yield sandbox.ExecuteResponse(artifact=artifact)
        finished = sandbox.Finished(outcome=outcome, error_name=name, error_text=text)
        yield sandbox.ExecuteResponse(finished=finished)

    async def DecideApproval(self, request: Any, context: Any) -> sandbox.DecideApprovalResponse:
        self.decisions[request.approval_id].set_result(request)
        return sandbox.DecideApprovalResponse()

    async def ListFiles(self, request: Any, context: Any) -> sandbox.ListFilesResponse:
        files = self.files[request.session_id].items()
        listed = [sandbox.WorkspaceFile(path=p, size_bytes=len(d)) for p, d in sorted(files)]
        return sandbox.ListFilesResponse(files=listed)

    async def ReadFile(self, request: Any, context: Any) -> AsyncIterator[sandbox.ReadFileResponse]:
        data = self.files[request.session_id][request.path]
        header = sandbox.WorkspaceFile(path=request.path, size_bytes=len(data))
        yield sandbox.ReadFileResponse(header=header)
        yield sandbox.ReadFileResponse(piece=data)

    async def WriteFile(self, requests: Any, context: Any) -> sandbox.WriteFileResponse:
        start, data = sandbox.WriteFileStart(), b""
        async for request in requests:
            if request.HasField("start"):
                start = request.start
            data += request.piece
        self.files[start.session_id][start.path] = data
        file = sandbox.WorkspaceFile(path=start.path, size_bytes=len(data))
        return sandbox.WriteFileResponse(file=file)

    async def CloseSession(self, request: Any, context: Any) -> sandbox.CloseSessionResponse:
        # sessions are called as their threads
        thread = request.session_id or request.thread_id
        if request.remove_workspace:
            self.removed.append(thread)
            self.files.pop(thread, None)
        return sandbox.CloseSessionResponse(existed=True)

    async def TakeWorkspace(self, request: Any, context: Any) -> sandbox.TakeWorkspaceResponse:
        """Nothing moves between doubles."""
        return sandbox.TakeWorkspaceResponse(found=request.thread_id in self.files)

    async def Load(self, request: Any, context: Any) -> sandbox.LoadResponse:
        return self.room


# of a program: it says beforehand what it waits for, and finds the answers in `decided`
_WISHED = re.compile(r"wishes\('(query|write)', '(.*?)'\)")


def _approval(id: str, kind: str, what: str) -> sandbox.ApprovalRequest:
    approval = sandbox.ApprovalRequest(approval_id=id, source="shop", source_id="ds-shop")
    if kind == "query":
        approval.operation = sandbox.GUARDED_OPERATION_QUERY
        parameter = connector.Parameter(integer=7)
        approval.query.CopyFrom(connector.Query(sql=what, parameters=[parameter]))
    else:
        approval.operation = sandbox.GUARDED_OPERATION_WRITE
        approval.path = what
    return approval


def _said(text: str, stream: sandbox.Stream = sandbox.STREAM_STDOUT) -> sandbox.ExecuteResponse:
    return sandbox.ExecuteResponse(output=sandbox.Output(stream=stream, text=text))


HANG = "…hang"


class Models(inference_rpc.InferenceServiceServicer):
    """One model, which says what `turns` hold, some characters at a time; HANG in a turn waits."""

    NAME = "isobath.inference.v1.InferenceService"

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.requests: list[inference.GenerateRequest] = []
        self.adapters: list[str] = []
        self.held = Held()

    async def ListModels(self, request: Any, context: Any) -> inference.ListModelsResponse:
        model = inference.Model(id="tiny", engine="openai", is_default=True, description="a double")
        adapters = [
            inference.Model(id=name, engine="openai", is_adapter=True, base_model="tiny")
            for name in self.adapters
        ]
        return inference.ListModelsResponse(models=[model, *adapters])

    async def Generate(
        self, request: inference.GenerateRequest, context: Any
    ) -> AsyncIterator[inference.GenerateResponse]:
        async for delta in self._say(request):
            yield inference.GenerateResponse(delta=inference.Delta(text=delta, tokens=1))
        yield inference.GenerateResponse(completion=self._completion())

    async def GenerateMany(
        self, requests: Any, context: Any
    ) -> AsyncIterator[inference.GenerateManyResponse]:
        out: asyncio.Queue[inference.NumberedEvent] = asyncio.Queue()
        running: dict[int, asyncio.Task[None]] = {}

        async def one(number: int, request: inference.GenerateRequest) -> None:
            async for delta in self._say(request):
                told = inference.Delta(text=delta, tokens=1)
                out.put_nowait(inference.NumberedEvent(number=number, delta=told))
            out.put_nowait(inference.NumberedEvent(number=number, completion=self._completion()))

        async def read() -> None:
            async for request in requests:
                if request.HasField("start"):
                    running[request.number] = asyncio.create_task(
                        one(request.number, request.start)
                    )
                else:
                    running[request.number].cancel()

        reading = asyncio.create_task(read())
        try:
            while True:
                yield inference.GenerateManyResponse(events=[await out.get()])
        finally:
            for task in (reading, *running.values()):
                task.cancel()
            await asyncio.gather(reading, *running.values(), return_exceptions=True)

    async def _say(self, request: inference.GenerateRequest) -> AsyncIterator[str]:
        self.requests.append(request)
        turn = self.turns.pop(0) if self.turns else "<Answer>nothing left to say</Answer>"
        text, hangs, _ = turn.partition(HANG)
        for at in range(0, len(text), 5):
            yield text[at : at + 5]
            await asyncio.sleep(0)
        if hangs:
            await self.held.wait()

    def _completion(self) -> inference.Completion:
        usage = inference.Usage(prompt_tokens=100, completion_tokens=10)
        return inference.Completion(finish_reason=inference.FINISH_REASON_STOP, usage=usage)
