"""The vLLM engine itself, on CPU, with random tiny models: `make test-vllm`.

Starting an engine takes most of a minute, so that the tests of one model share one."""

import asyncio
import gc
import importlib.util
import os
import signal
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import psutil
import pytest
import pytest_asyncio

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.channels import channel, faults, streaming
from servicekit.health import wait_ready
from servicekit.ports import free_port
from servicekit.settings import SettingsError
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from services.gateway.asking import Asking
from services.gateway.conversation import Generate, Message, Sampling
from services.gateway.models import Models, reaching
from services.inference.app import mount
from services.inference.settings import Settings
from tests.inference import tiny_model
from tests.inference.test_process import launched
from training.serving import placing, replicas
from training.serving.operator import Operator

T = TypeVar("T", bound=Callable[..., Any])
INSTALLED = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not INSTALLED, reason="vllm is not in this environment")

SLOTS, QUEUE = 32, 4
SETTINGS = Settings(
    engine="vllm", protocol="native", vllm_enforce_eager=True, vllm_adapter_rank=8,
    vllm_adapters=2, vllm_dtype="float32", vllm_gpu_memory_fraction=0.05,
    slots=SLOTS, queue=QUEUE,
)  # fmt: skip
# as Qwen3's own, it has no words for a role that it does not know
WITHOUT_EXECUTE = (
    "{% for m in messages %}{% if m.role in ('user', 'assistant', 'system') %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
)


@pytest.mark.req("S6")
@pytest.mark.skipif(INSTALLED, reason="vllm is in this environment")
async def test_engine_not_installed_is_a_clear_settings_error(no_leaks):
    with pytest.raises(SettingsError, match="needs the package vllm"):
        async with running((mount, SETTINGS)):
            pass


@dataclass
class Service:
    stub: rpc.InferenceServiceStub
    # as the gateway asks it: all answers over one call
    models: Models
    folder: Path
    address: str

    @property
    def adapters(self) -> Path:
        """That it follows."""
        return self.folder / "adapters"

    async def load(self) -> pb.LoadResponse:
        return await self.stub.Load(pb.LoadRequest())

    async def idle(self) -> None:
        """Waits until the engine itself has nothing to do."""
        async with asyncio.timeout(20):
            while (load := await self.load()).running or load.waiting:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def service(settings: Settings, folder: Path):
    async with (
        running((mount, settings)) as server,
        open_channel(server) as opened,
        reaching([server.address], None, None) as models,
    ):
        yield Service(rpc.InferenceServiceStub(opened), models, folder, server.address)


def asking(text: str = "count the orders", **fields) -> pb.GenerateRequest:
    fields.setdefault("sampling", pb.Sampling(max_tokens=24, temperature=0))
    messages = fields.pop("messages", [pb.Message(role=pb.ROLE_USER, content=text)])
    return pb.GenerateRequest(messages=messages, **fields)


def long(tokens: int = 1500) -> pb.Sampling:
    return pb.Sampling(max_tokens=tokens, temperature=0)


async def answer(stub, request: pb.GenerateRequest) -> tuple[str, int, pb.Completion]:
    text, deltas, completion = "", 0, None
    async for event in faults(stub.Generate(request, timeout=120)):
        if event.WhichOneof("event") == "delta":
            text, deltas = text + event.delta.text, deltas + 1
        else:
            completion = event.completion
    assert completion is not None
    return text, deltas, completion


async def many(models: Models, request: pb.GenerateRequest) -> pb.Completion:
    completion = None
    async for event in models.generate(request, key="thread", seconds=120):
        if event.HasField("completion"):
            completion = event.completion
    assert completion is not None
    return completion


pytestmark = [
    # vLLM leaves a context of ZeroMQ to the garbage collector, which then warns
    pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning"),
    pytest.mark.timeout(400),
]
vllm = [pytest.mark.vllm, pytest.mark.slow, needs_vllm]
on_shared = [*vllm, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module", autouse=True)
def on_cpu():
    patch = pytest.MonkeyPatch()
    patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    patch.setenv("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield
    patch.undo()
    gc.collect()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def random_model(tmp_path_factory):
    """It writes nonsense, as long as it may."""
    folder = tmp_path_factory.mktemp("random")
    base = tiny_model.make(folder / "base")
    tiny_model.make_adapter(folder / "adapters" / "first", base)
    settings = replace(
        SETTINGS, model=str(base), vllm_adapters_folder=folder / "adapters",
        vllm_adapters_watch_s=0.2,
    )  # fmt: skip
    async with service(settings, folder) as found:
        # there before it was ready
        listed = (await found.stub.ListModels(pb.ListModelsRequest())).models
        assert [each.id for each in listed] == ["DeepAnalyze-8B", "first"]
        placing.remove(folder / "adapters", "first")
        async with replicas.reached(Operator(found.address)) as reached:
            await replicas.followed(reached, "first", there=False, seconds=30)
        yield found


def each(*marks: Any) -> Callable[[T], T]:
    def decorate(test: T) -> T:
        for mark in marks:
            test = cast(T, mark(test))
        return test

    return decorate


@each(*on_shared)
@pytest.mark.req("C4", "C7")
async def test_answer_streams_and_is_counted(random_model: Service):
    first, deltas, completion = await answer(random_model.stub, asking())
    assert completion.finish_reason == pb.FINISH_REASON_LENGTH and deltas > 1
    assert completion.usage.completion_tokens == 24 and not completion.usage.estimated
    again, _, _ = await answer(random_model.stub, asking(owner="somebody else"))
    assert again == first
    messages = asking().messages
    counted = await random_model.stub.CountTokens(pb.CountTokensRequest(messages=messages))
    assert counted.tokens == completion.usage.prompt_tokens > 0 and not counted.estimated


@each(*on_shared)
@pytest.mark.req("C7")
async def test_rounds_of_a_thread_reuse_the_prefix_of_their_owner_only(random_model: Service):
    messages = [pb.Message(role=pb.ROLE_USER, content="count the orders by region " * 40)]
    cached = []
    for _ in range(3):
        request = asking(messages=messages, owner="ada")
        text, _, completion = await answer(random_model.stub, request)
        cached.append(completion.usage.cached_tokens)
        messages += [
            pb.Message(role=pb.ROLE_ASSISTANT, content=text),
            pb.Message(role=pb.ROLE_EXECUTE, content="region 1 2 3 " * 60),
        ]
    assert cached[0] == 0 < cached[1] < cached[2], cached
    _, _, completion = await answer(random_model.stub, asking(messages=messages, owner="bob"))
    assert completion.usage.cached_tokens == 0, "what one owner asked must not show in another's"


@each(*on_shared)
@pytest.mark.req("C7")
async def test_thirty_two_at_once(random_model: Service):
    requests = [asking(f"question {n}", sampling=long(200)) for n in range(SLOTS)]
    tasks = [asyncio.create_task(many(random_model.models, request)) for request in requests]
    most = 0
    while not all(task.done() for task in tasks):
        most = max(most, (await random_model.load()).running)
        await asyncio.sleep(0.02)
    ended = [await task for task in tasks]
    # random as it is, it ends some of them by itself
    lengths = [each.usage.completion_tokens for each in ended]
    assert min(lengths) > 0 and max(lengths) == 200 and sum(lengths) > 100 * SLOTS
    assert most > SLOTS // 2, "the engine works on them together"
    await random_model.idle()


@each(*on_shared)
@pytest.mark.req("C5")
async def test_cancel_and_deadline_free_the_engine(random_model: Service):
    async with streaming(random_model.stub.Generate(asking(sampling=long()), timeout=60)) as call:
        await call.read()
        assert (await random_model.load()).running == 1
    await random_model.idle()
    with pytest.raises(RemoteFault) as fault:
        await random_model.stub.Generate(asking(sampling=long()), timeout=0.3).read()
        async for _ in faults(random_model.stub.Generate(asking(sampling=long()), timeout=0.3)):
            pass
    assert fault.value.reason == "DEADLINE_EXCEEDED"
    await random_model.idle()
    events = random_model.models.generate(asking(sampling=long()), key="t", seconds=60)
    await anext(events)
    await events.aclose()
    await random_model.idle()


@each(*on_shared)
@pytest.mark.req("C8")
async def test_one_more_than_the_queue_holds_is_refused_with_when_to_come_again(
    random_model: Service,
):
    async with asyncio.TaskGroup() as group:
        request = asking(sampling=long(700))
        going = [
            group.create_task(many(random_model.models, request)) for _ in range(SLOTS + QUEUE)
        ]
        async with asyncio.timeout(30):
            while (load := await random_model.load()).running + load.waiting < SLOTS + QUEUE:
                await asyncio.sleep(0.02)
        assert load.waiting >= QUEUE and load.slots == SLOTS
        with pytest.raises(RemoteFault) as fault:
            await answer(random_model.stub, asking())
        assert fault.value.reason == "TOO_BUSY" and fault.value.retry_after_s
        for task in going:
            task.cancel()
    await random_model.idle()
    assert (await answer(random_model.stub, asking()))[0]


@each(*on_shared)
async def test_context_too_long_tells_both_numbers(random_model: Service):
    with pytest.raises(RemoteFault) as fault:
        await answer(random_model.stub, asking("region " * 2400))
    assert fault.value.reason == "CONTEXT_TOO_LONG" and fault.value.fields["limit"] == "2048"
    assert int(fault.value.fields["tokens"]) > 2048


@each(*on_shared)
@pytest.mark.req("C4")
async def test_a_run_that_outgrows_the_context_is_cut_to_it(random_model: Service):
    told: list[str] = []
    asking_it = Asking(
        models=random_model.models, model="", owner="eve", key="k", sampling=Sampling(0.0),
        tell=told.append,
    )  # fmt: skip
    messages = [Message("user", "count the orders")]
    for number in range(6):
        messages += [
            Message("assistant", "<Code>\n```python\nprint(1)\n```\n</Code>"),
            Message("execute", f"{number} " + "region month " * 150),
        ]
        ended = None
        turn = asking_it.turn(Generate(tuple(messages), 16), seconds=60)
        async for event in turn:
            ended = event
        assert ended is not None and ended.completion.usage.prompt_tokens < 2048
    assert len(told) == 1


@each(*on_shared)
@pytest.mark.req("T4")
async def test_adapters_come_and_go_while_it_serves(random_model: Service):
    stub, base = random_model.stub, random_model.folder / "base"
    one = tiny_model.make_adapter(random_model.folder / "one", base)
    large = tiny_model.make_adapter(random_model.folder / "large", base, rank=16)
    plain, _, _ = await answer(stub, asking())
    loaded = await stub.LoadAdapter(pb.LoadAdapterRequest(name="ours", path=str(one)))
    assert loaded.model.base_model == "DeepAnalyze-8B" and loaded.model.is_adapter
    both = await asyncio.gather(answer(stub, asking(model="ours")), answer(stub, asking()))
    assert both[0][0] != plain and both[1][0] == plain
    listed = (await stub.ListModels(pb.ListModelsRequest())).models
    assert [each.id for each in listed] == ["DeepAnalyze-8B", "ours"]

    # as many as are served at once, beside the model without any
    await stub.LoadAdapter(pb.LoadAdapterRequest(name="theirs", path=str(one)))
    asked = [answer(stub, asking(model=name)) for name in ("ours", "", "theirs", "", "ours")]
    texts = [text for text, _, _ in await asyncio.gather(*asked)]
    assert texts == [both[0][0], plain, both[0][0], plain, both[0][0]]
    await refused(stub, "third", one, "ADAPTER_UNFIT")
    await stub.UnloadAdapter(pb.UnloadAdapterRequest(name="theirs"))

    await refused(stub, "ours", large, "CONFLICT")
    await refused(stub, "large", large, "ADAPTER_UNFIT")
    await refused(stub, "none", random_model.folder / "none", "PATH_NOT_FOUND")

    assert (await stub.UnloadAdapter(pb.UnloadAdapterRequest(name="ours"))).existed
    assert not (await stub.UnloadAdapter(pb.UnloadAdapterRequest(name="ours"))).existed
    with pytest.raises(RemoteFault) as fault:
        await answer(stub, asking(model="ours"))
    assert fault.value.reason == "NOT_FOUND"


@each(*on_shared)
@pytest.mark.req("T4")
async def test_adapters_of_a_folder_are_pushed_replaced_and_gone(random_model: Service):
    """As `python -m training.push --folder` does it, while answers go on."""
    base = random_model.folder / "base"
    one = tiny_model.make_adapter(random_model.folder / "v1", base)
    other = tiny_model.make_adapter(random_model.folder / "v2", base, seed=12)
    plain, _, _ = await answer(random_model.stub, asking())
    # long enough for its prefix to be kept
    question = "count the orders by region " * 40
    async with replicas.reached(Operator(random_model.address)) as reached:
        placing.place(one, random_model.adapters, "ours")
        await replicas.followed(reached, "ours", there=True, seconds=30)
        await replicas.verify(reached, "ours", seconds=60)
        first, _, _ = await answer(random_model.stub, asking(model="ours"))
        old, _, _ = await answer(random_model.stub, asking(question, model="ours"))
        assert first != plain

        # loaded by a call from elsewhere, it tells what the replaced one has to answer
        await replicas.load(reached, "theirs", str(other), seconds=60)
        expected, _, _ = await answer(random_model.stub, asking(question, model="theirs"))
        assert expected != old
        for file in placing.files(other):
            (random_model.adapters / "ours" / file.name).write_bytes(file.read_bytes())
        async with asyncio.timeout(30):
            while (await answer(random_model.stub, asking(question, model="ours")))[0] != expected:
                await asyncio.sleep(0.2)
        await replicas.unload(reached, "theirs", seconds=60)

        placing.remove(random_model.adapters, "ours")
        await replicas.followed(reached, "ours", there=False, seconds=30)
    again, _, _ = await answer(random_model.stub, asking())
    assert again == plain


async def refused(stub, name: str, path: Path, reason: str) -> None:
    with pytest.raises(RemoteFault) as fault:
        request = pb.LoadAdapterRequest(name=name, path=str(path))
        await anext(aiter(faults(_once(stub.LoadAdapter(request)))))
    assert fault.value.reason == reason and fault.value.remedy


async def _once(call):
    yield await call


@each(*vllm)
@pytest.mark.req("C4", "S7", "S8")
async def test_process_stops_at_code_drains_and_dies_with_its_engine(tmp_path: Path):
    """As it is started in earnest, with a model that writes a program and knows no execute."""
    base = tiny_model.make(
        tmp_path / "base", chain=("<Code>", "1", "</Code>", "<|im_end|>"), template=WITHOUT_EXECUTE
    )
    address = f"127.0.0.1:{free_port()}"
    environ = {
        "ENGINE": "vllm", "MODEL": str(base), "PROTOCOL": "native", "SERVER_BIND": address,
        "VLLM_ENFORCE_EAGER": "true", "VLLM_DTYPE": "float32", "VLLM_ADAPTERS": "0",
        "VLLM_GPU_MEMORY_FRACTION": "0.05",
    }  # fmt: skip
    process = await launched(**environ)
    said = asyncio.create_task(process.communicate())
    try:
        await wait_ready(address, 150)
        async with channel(address) as opened:
            stub = rpc.InferenceServiceStub(opened)
            await shows_stops(stub)
            await shows_execute_as_user(stub)
            engine = psutil.Process(process.pid).children(recursive=True)
            for child in engine:
                if "resource_tracker" not in " ".join(child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)
            _, err = await asyncio.wait_for(asyncio.shield(said), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await said
    assert process.returncode == 1
    assert b'"event": "engine_loading"' in err and b"vLLM's process has died" in err


async def shows_stops(stub) -> None:
    text, _, completion = await answer(stub, asking(stop_after_code=True))
    assert text == "<Code>1</Code>" and completion.matched_stop == "</Code>"
    text, _, completion = await answer(stub, asking())
    assert text == "<Code>1</Code>", "the end of the turn is not shown"
    assert completion.matched_stop == "" and completion.finish_reason == pb.FINISH_REASON_STOP


async def shows_execute_as_user(stub) -> None:
    async def tokens(role: "pb.Role", text: str) -> int:
        counted = await stub.CountTokens(
            pb.CountTokensRequest(messages=[pb.Message(role=role, content=text)])
        )
        return counted.tokens

    heading = "# Execute Result\n"
    assert await tokens(pb.ROLE_EXECUTE, "42") == await tokens(pb.ROLE_USER, heading + "42")


@each(*vllm)
async def test_model_without_the_tags_is_refused_before_it_serves(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tiny_model, "SPECIAL", tiny_model.SPECIAL[:5])
    base = tiny_model.make(tmp_path / "base")
    with pytest.raises(SettingsError, match="PROTOCOL=taught"):
        async with service(replace(SETTINGS, model=str(base), vllm_adapters=0), tmp_path):
            pass
