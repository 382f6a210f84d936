"""The contract on any engine."""

import grpc
import pytest

from isobath.errors.v1 import errors_pb2
from isobath.inference.v1 import inference_pb2 as pb
from servicekit.channels import calling, faults
from servicekit.status import OWN_STATUSES, RemoteFault, Unsupported
from services.inference import errors
from services.inference.models import Load
from services.inference.servicer import STATUSES
from tests.inference.scripted import Scripted, serving


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


@pytest.fixture
async def stub(engine: Scripted):
    async with serving(engine) as opened:
        yield opened


def asking(text: str, **fields) -> pb.GenerateRequest:
    return pb.GenerateRequest(messages=[pb.Message(role=pb.ROLE_USER, content=text)], **fields)


async def refused(awaitable) -> RemoteFault:
    with pytest.raises(RemoteFault) as fault:
        await calling(awaitable)
    return fault.value


async def events(stub, request):
    return [event async for event in faults(stub.Generate(request))]


async def test_generate_sends_deltas_then_one_completion(no_leaks, engine, stub):
    first, second, last = await events(stub, asking("a b", owner="me", priority=3))
    assert (first.delta.text, second.delta.text) == ("a ", "b ") and first.delta.tokens == 1
    assert last.completion.finish_reason == pb.FINISH_REASON_STOP
    assert (engine.seen[0].owner, engine.seen[0].priority) == ("me", 3)


@pytest.mark.req("S6")
@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GenerateRequest(), "messages"),
        (pb.GenerateRequest(messages=[pb.Message(content="x")]), "messages[0].role"),
        (asking("x", sampling=pb.Sampling(temperature=3)), "sampling.temperature"),
        (asking("x", sampling=pb.Sampling(top_p=0)), "sampling.top_p"),
        (asking("x", sampling=pb.Sampling(max_tokens=0)), "sampling.max_tokens"),
    ],
)
async def test_generate_invalid_field_is_named(engine, stub, request_, field):
    with pytest.raises(RemoteFault) as fault:
        await events(stub, request_)
    assert fault.value.reason == "INVALID_FIELD" and fault.value.fields["field"] == field
    assert not engine.seen


@pytest.mark.req("S6")
async def test_generate_engine_crash_is_sanitised(stub):
    with pytest.raises(RemoteFault) as fault:
        await events(stub, asking("crash"))
    assert fault.value.reason == "INTERNAL" and "hidden" not in fault.value.message


async def test_count_tokens_asks_the_engine(stub):
    messages = [pb.Message(role=pb.ROLE_USER, content="four")]
    counted = await stub.CountTokens(pb.CountTokensRequest(messages=messages))
    assert counted.tokens == 4 and not counted.estimated
    fault = await refused(stub.CountTokens(pb.CountTokensRequest(model="x", messages=messages)))
    assert fault.reason == "NOT_FOUND"


async def test_load_tells_the_engine_s_own(stub, engine):
    engine.told = Load(3, 2, 8, 0.25)
    load = await stub.Load(pb.LoadRequest())
    assert (load.running, load.waiting, load.slots) == (3, 2, 8)
    assert load.cache_used_fraction == 0.25


@pytest.mark.req("T4")
async def test_adapter_is_listed_once_loaded_and_gone_once_unloaded(stub, tmp_path):
    request = pb.LoadAdapterRequest(name="ours", path=str(tmp_path))
    for _ in range(2):
        model = (await stub.LoadAdapter(request)).model
        assert model.is_adapter and model.base_model == "base"
    listed = (await stub.ListModels(pb.ListModelsRequest())).models
    assert [(m.id, m.is_default) for m in listed] == [("base", True), ("ours", False)]
    assert await events(stub, asking("x", model="ours"))
    assert (await stub.UnloadAdapter(pb.UnloadAdapterRequest(name="ours"))).existed
    assert not (await stub.UnloadAdapter(pb.UnloadAdapterRequest(name="ours"))).existed


async def test_adapter_missing_or_in_conflict_is_told(stub, tmp_path):
    missing = await refused(stub.LoadAdapter(pb.LoadAdapterRequest(name="a", path="/nowhere")))
    assert missing.reason == "PATH_NOT_FOUND" and missing.fields["path"] == "/nowhere"
    (tmp_path / "other").mkdir()
    await stub.LoadAdapter(pb.LoadAdapterRequest(name="a", path=str(tmp_path)))
    other = pb.LoadAdapterRequest(name="a", path=str(tmp_path / "other"))
    assert (await refused(stub.LoadAdapter(other))).reason == "CONFLICT"


async def test_adapters_of_an_engine_without_them_are_unimplemented(engine):
    async with serving(engine, adapters=False) as stub:
        load = await refused(stub.LoadAdapter(pb.LoadAdapterRequest(name="a", path="/x")))
        unload = await refused(stub.UnloadAdapter(pb.UnloadAdapterRequest(name="a")))
    for fault in (load, unload):
        assert fault.code is grpc.StatusCode.UNIMPLEMENTED and fault.reason == "UNSUPPORTED"
        assert fault.fields["ability"] == "adapters" and "vllm" in fault.remedy


def descendants(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(descendants(child) for child in kind.__subclasses__()))


def test_every_fault_is_mapped_to_a_reason_of_the_contract():
    own = descendants(errors.InferenceFault) - {errors.InferenceFault}
    mapped = {*STATUSES, *OWN_STATUSES}
    assert own <= mapped
    assert issubclass(errors.AdaptersUnsupported, Unsupported)
    reasons = {value.removeprefix("ERROR_REASON_") for value in errors_pb2.ErrorReason.keys()}  # noqa: SIM118
    assert {status.reason for status in STATUSES.values()} <= reasons
