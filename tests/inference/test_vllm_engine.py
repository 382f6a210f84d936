"""The vLLM engine itself, on CPU, with a random tiny model: `make test-vllm`."""

import asyncio
import gc
import importlib.util
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.channels import faults, streaming
from servicekit.settings import SettingsError
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from services.inference.app import mount
from services.inference.settings import Settings
from tests.inference import tiny_model

INSTALLED = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not INSTALLED, reason="vllm is not in this environment")

SETTINGS = Settings(
    engine="vllm", protocol="native", vllm_enforce_eager=True, vllm_adapter_rank=8,
    vllm_adapters=1, vllm_dtype="float32", vllm_gpu_memory_fraction=0.05,
)  # fmt: skip


@pytest.mark.req("S6")
@pytest.mark.skipif(INSTALLED, reason="vllm is in this environment")
async def test_engine_not_installed_is_a_clear_settings_error(no_leaks):
    with pytest.raises(SettingsError, match="needs the package vllm"):
        async with running((mount, SETTINGS)):
            pass


@asynccontextmanager
async def service(settings: Settings):
    async with running((mount, settings)) as server, open_channel(server) as channel:
        yield rpc.InferenceServiceStub(channel)


def asking(text: str = "count the orders", **fields) -> pb.GenerateRequest:
    fields.setdefault("sampling", pb.Sampling(max_tokens=24, temperature=0))
    return pb.GenerateRequest(messages=[pb.Message(role=pb.ROLE_USER, content=text)], **fields)


async def answer(stub, request: pb.GenerateRequest) -> tuple[str, int, pb.Completion]:
    text, deltas, completion = "", 0, None
    async for event in faults(stub.Generate(request, timeout=120)):
        if event.WhichOneof("event") == "delta":
            text, deltas = text + event.delta.text, deltas + 1
        else:
            completion = event.completion
    assert completion is not None
    return text, deltas, completion


# vLLM leaves a context of ZeroMQ to the garbage collector, which then warns
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning")


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    gc.collect()


@pytest.mark.vllm
@pytest.mark.slow
@needs_vllm
@pytest.mark.timeout(400)
@pytest.mark.req("T4", "C7")
async def test_random_model_generates_cancels_counts_and_serves_an_adapter(tmp_path: Path):
    base = tiny_model.make(tmp_path / "base")
    adapter = tiny_model.make_adapter(tmp_path / "adapter", base)
    async with service(replace(SETTINGS, model=str(base))) as stub:
        first, deltas, completion = await answer(stub, asking())
        assert completion.finish_reason == pb.FINISH_REASON_LENGTH and deltas > 1
        assert completion.usage.completion_tokens == 24 and not completion.usage.estimated
        again, _, _ = await answer(stub, asking(owner="somebody else"))
        assert again == first

        counted = await stub.CountTokens(
            pb.CountTokensRequest(messages=asking().messages), timeout=30
        )
        assert counted.tokens == completion.usage.prompt_tokens > 0

        await shows_cancel_frees(stub)
        await shows_context_too_long(stub)
        await shows_adapter(stub, adapter, first)


async def shows_cancel_frees(stub) -> None:
    request = asking(sampling=pb.Sampling(max_tokens=480, temperature=0))
    async with streaming(stub.Generate(request, timeout=60)) as call:
        await call.read()
        assert (await stub.Load(pb.LoadRequest())).running == 1
    async with asyncio.timeout(10):
        while (await stub.Load(pb.LoadRequest())).running:
            await asyncio.sleep(0.02)


async def shows_context_too_long(stub) -> None:
    with pytest.raises(RemoteFault) as fault:
        await answer(stub, asking("region " * 600))
    assert fault.value.reason == "CONTEXT_TOO_LONG" and fault.value.fields["limit"] == "512"


async def shows_adapter(stub, adapter: Path, plain: str) -> None:
    loaded = await stub.LoadAdapter(pb.LoadAdapterRequest(name="ours", path=str(adapter)))
    assert loaded.model.base_model == "DeepAnalyze-8B"
    changed, _, _ = await answer(stub, asking(model="ours"))
    assert changed != plain
    assert (await stub.UnloadAdapter(pb.UnloadAdapterRequest(name="ours"))).existed
    with pytest.raises(RemoteFault) as fault:
        await answer(stub, asking(model="ours"))
    assert fault.value.reason == "NOT_FOUND"


@pytest.mark.vllm
@pytest.mark.slow
@needs_vllm
@pytest.mark.timeout(400)
@pytest.mark.req("C4")
async def test_code_end_token_stops_and_is_kept(tmp_path: Path):
    base = tiny_model.make(tmp_path / "base", favour="</Code>")
    async with service(replace(SETTINGS, model=str(base), vllm_adapters=0)) as stub:
        text, _, completion = await answer(stub, asking(stop_after_code=True))
        assert text == "</Code>" and completion.matched_stop == "</Code>"
        text, _, completion = await answer(stub, asking())
        assert text == "</Code>" * 24
        assert completion.finish_reason == pb.FINISH_REASON_LENGTH


@pytest.mark.vllm
@pytest.mark.slow
@needs_vllm
@pytest.mark.timeout(400)
async def test_end_of_turn_is_not_shown(tmp_path: Path):
    base = tiny_model.make(tmp_path / "base", favour="<|im_end|>")
    async with service(replace(SETTINGS, model=str(base), vllm_adapters=0)) as stub:
        text, _, completion = await answer(stub, asking(stop_after_code=True))
    assert text == "" and completion.matched_stop == ""
    assert completion.finish_reason == pb.FINISH_REASON_STOP
