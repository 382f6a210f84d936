"""The public contract over gRPC."""

import asyncio
import json

import grpc
import pytest

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from isobath.connector.v1 import connector_pb2 as connector
from servicekit.secrets import Secret
from servicekit.status import decode
from tests.gateway.conftest import ANSWER, CODE, Platform
from tests.gateway.doubles import HANG

ORDERS = analyst.DataSelection(source="shop", table="public.orders")


def asked(*data: analyst.DataSelection, **more: object) -> analyst.ChatRequest:
    messages = [analyst.ChatMessage(role="user", content="How many?")]
    return analyst.ChatRequest(messages=messages, data_sources=data, **more)  # type: ignore[arg-type]


def kinds(events: list[analyst.Event]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


@pytest.mark.req("C1", "C4", "C8")
async def test_chat_gives_the_events_that_http_gives(platform: Platform) -> None:
    await platform.source()
    turns = [CODE.format("print(1)"), ANSWER.format("one")]
    stub = rpc.AnalystServiceStub(platform.grpc)
    platform.models.turns = list(turns)
    events = [each.event async for each in stub.Chat(asked(ORDERS))]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].completed.answer == "one"
    platform.models.turns = list(turns)
    chunks = await platform.stream({"source": "shop", "table": "public.orders"})
    over_http = [
        next(key for key in chunk["isobath"] if key not in ("run_id", "sequence", "at"))
        for chunk in chunks
    ]
    assert over_http == kinds(events)
    watched = stub.WatchRun(
        analyst.WatchRunRequest(run_id=events[0].run_id, from_sequence=len(events) - 1)
    )
    assert [each.event async for each in watched] == events[-2:]
    run = (await stub.GetRun(analyst.GetRunRequest(run_id=events[0].run_id))).run
    assert run.state == analyst.RUN_STATE_COMPLETED
    assert run.usage.rounds == 1


@pytest.mark.req("C8")
async def test_started_run_goes_on_by_itself(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format("print(1)"), ANSWER.format("one")]
    stub = rpc.AnalystServiceStub(platform.grpc)
    started = analyst.StartRunRequest(question=asked(ORDERS, idempotency_key="k"))
    run = (await stub.StartRun(started)).run
    assert run.run_id and run.thread_id
    watched = stub.WatchRun(analyst.WatchRunRequest(run_id=run.run_id, from_sequence=1))
    events = [each.event async for each in watched]
    assert events[-1].completed.answer == "one"
    assert (await stub.StartRun(started)).run.run_id == run.run_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.StartRun(analyst.StartRunRequest())
    assert decode(refused.value).reason == "INVALID_FIELD"


@pytest.mark.req("C2", "S6")
@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (asked(analyst.DataSelection(source="x", path="y")), "NOT_FOUND", "SOURCE_NOT_FOUND"),
        (
            asked(analyst.DataSelection(source="shop", target="x")),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
        ),
        (analyst.ChatRequest(), "INVALID_ARGUMENT", "INVALID_FIELD"),
        (asked(model="nope"), "NOT_FOUND", "NOT_FOUND"),
    ],
)
async def test_request_that_cannot_run_is_an_error_of_the_call(
    platform: Platform, request_: analyst.ChatRequest, code: str, reason: str
) -> None:
    await platform.source()
    stub = rpc.AnalystServiceStub(platform.grpc)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in stub.Chat(request_):
            pass
    fault = decode(refused.value)
    assert (fault.code.name, fault.reason) == (code, reason)


@pytest.mark.req("C2", "P5")
async def test_fetch_fault_ends_the_call_with_that_error(platform: Platform) -> None:
    await platform.source()
    stub = rpc.AnalystServiceStub(platform.grpc)
    typo = analyst.DataSelection(source="shop", query=connector.Query(sql="SELECT FORM"))
    events: list[analyst.Event] = []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for each in stub.Chat(asked(typo)):
            events.append(each.event)
    fault = decode(refused.value)
    assert fault.reason == "QUERY_FAILED" and fault.fields["position"] == "8"
    assert "block_opened" not in kinds(events)
    assert not platform.models.requests


@pytest.mark.req("C7")
async def test_cancelling_the_call_cancels_the_run(platform: Platform) -> None:
    platform.models.turns = [CODE.format("wait_for_ever()")]
    stub = rpc.AnalystServiceStub(platform.grpc)
    call = stub.Chat(asked())
    run_id = (await call.read()).event.run_id
    await platform.sandbox.held.reached.wait()
    call.cancel()
    async with asyncio.timeout(30):
        await platform.sandbox.held.stopped.wait()
    watched = stub.WatchRun(analyst.WatchRunRequest(run_id=run_id))
    async with asyncio.timeout(30):
        events = [each.event async for each in watched]
    assert kinds(events)[-1] == "cancelled"
    run = (await stub.GetRun(analyst.GetRunRequest(run_id=run_id))).run
    assert run.state == analyst.RUN_STATE_CANCELLED


@pytest.mark.req("C8")
async def test_detached_run_goes_on_and_is_cancelled_by_name(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]
    stub = rpc.AnalystServiceStub(platform.grpc)
    call = stub.Chat(asked(detach=True))
    run_id = (await call.read()).event.run_id
    await platform.models.held.reached.wait()
    call.cancel()
    await asyncio.sleep(0.1)
    run = (await stub.GetRun(analyst.GetRunRequest(run_id=run_id))).run
    assert run.state == analyst.RUN_STATE_WORKING
    run = (await stub.CancelRun(analyst.CancelRunRequest(run_id=run_id))).run
    assert run.state == analyst.RUN_STATE_CANCELLED


@pytest.mark.req("S2")
@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer isb-wrong"),)])
async def test_without_a_known_key_nothing_is_told(
    platform: Platform, metadata: tuple[tuple[str, str], ...]
) -> None:
    address = platform.grpc_address
    async with grpc.aio.insecure_channel(address) as channel:
        for call in (
            rpc.AnalystServiceStub(channel).ListRuns(analyst.ListRunsRequest(), metadata=metadata),
            rpc.FileServiceStub(channel).ListFiles(analyst.ListFilesRequest(), metadata=metadata),
            rpc.DataSourceServiceStub(channel).ListTemplates(
                analyst.ListTemplatesRequest(), metadata=metadata
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.req("D1", "D2", "D4", "D10")
async def test_data_sources_from_making_to_deleting(platform: Platform) -> None:
    stub = rpc.DataSourceServiceStub(platform.grpc)
    request = analyst.CreateDataSourceRequest(
        name="shop",
        type="double",
        config_json=json.dumps({"host": "db"}),
        secrets={"password": Secret("p" * 9).reveal()},
    )
    made = (await stub.CreateDataSource(request)).data_source
    assert made.secrets_set == ["password"] and json.loads(made.config_json) == {"host": "db"}
    listed = await stub.ListDataSources(analyst.ListDataSourcesRequest())
    assert list(listed.data_sources) == [made]
    checked = await stub.CheckDataSource(analyst.CheckDataSourceRequest(id="shop"))
    assert checked.ok and checked.check.writable
    browsed = await stub.BrowseDataSource(analyst.BrowseDataSourceRequest(id=made.id))
    assert browsed.entries[0].path == "public.orders"
    schema = await stub.InspectDataSource(
        analyst.InspectDataSourceRequest(id="shop", path="public.orders")
    )
    assert schema.schema.rows == 2
    fetch = analyst.FetchDataSourceRequest(
        id="shop",
        selection=connector.Selection(path="public.orders"),
        format=connector.FORMAT_CSV,
    )
    events = [each.event async for each in stub.FetchDataSource(fetch)]
    assert b"".join(event.piece for event in events) == b"region,count\nnorth,3\nsouth,4\n"
    changed = analyst.UpdateDataSourceRequest(id="shop", description="new")
    assert (await stub.UpdateDataSource(changed)).data_source.version == 1
    await stub.DeleteDataSource(analyst.DeleteDataSourceRequest(id="shop"))
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await stub.GetDataSource(analyst.GetDataSourceRequest(id="shop"))
    assert decode(gone.value).reason == "SOURCE_NOT_FOUND"


async def test_config_that_is_no_json_names_its_field(platform: Platform) -> None:
    stub = rpc.DataSourceServiceStub(platform.grpc)
    request = analyst.CreateDataSourceRequest(name="x", type="double", config_json="{")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.CreateDataSource(request)
    assert decode(refused.value).fields["field"] == "config_json"


async def test_files_go_up_and_down(platform: Platform) -> None:
    stub = rpc.FileServiceStub(platform.grpc)

    async def pieces() -> object:
        yield analyst.UploadFileRequest(start=analyst.UploadFileStart(name="a.csv"))
        yield analyst.UploadFileRequest(piece=b"a,b\n")
        yield analyst.UploadFileRequest(piece=b"1,2\n")

    info = (await stub.UploadFile(pieces())).file
    assert info.size_bytes == 8 and info.purpose == "user_data"
    down = [each async for each in stub.DownloadFile(analyst.DownloadFileRequest(id=info.id))]
    assert (down[0].header.id, down[0].header.size_bytes) == (info.id, 8)
    assert b"".join(each.piece for each in down[1:]) == b"a,b\n1,2\n"
    listed = await stub.ListFiles(analyst.ListFilesRequest())
    assert [(each.id, each.name) for each in listed.files] == [(info.id, "a.csv")]
    await stub.DeleteFile(analyst.DeleteFileRequest(id=info.id))
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await stub.GetFile(analyst.GetFileRequest(id=info.id))
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.req("C5")
async def test_threads_are_listed_read_and_deleted(platform: Platform) -> None:
    platform.models.turns = [ANSWER.format("done")]
    stub = rpc.AnalystServiceStub(platform.grpc)
    events = [each.event async for each in stub.Chat(asked())]
    id = events[0].started.thread_id
    (thread,) = (await stub.ListThreads(analyst.ListThreadsRequest())).threads
    assert thread.thread_id == id and thread.title == "How many?"
    read = await stub.GetThread(analyst.GetThreadRequest(thread_id=id))
    assert [message.role for message in read.messages] == ["user", "assistant"]
    assert [file.name for file in read.files] == ["report.md", "report.html"]
    await stub.DeleteThread(analyst.DeleteThreadRequest(thread_id=id))
    assert not (await stub.ListRuns(analyst.ListRunsRequest())).runs
    models = (await stub.ListModels(analyst.ListModelsRequest())).models
    assert models[0].id == "DeepAnalyze-8B" and models[0].is_agent
