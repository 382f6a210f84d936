"""The openai engine through the whole service, against a model server over a socket."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.channels import faults, streaming
from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from services.inference.app import mount
from services.inference.settings import Settings
from tests.inference import model_server
from tests.inference.model_server import ModelServer, drops, refuses

KEY = "sk-planted-key-31337"
QUESTION = [pb.Message(role=pb.ROLE_USER, content="# Instruction\nHow many?")]


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    async with model_server.serving() as server:
        yield server


@pytest.fixture
def settings(upstream: ModelServer) -> Settings:
    return Settings(
        engine="openai",
        model="their-name",
        openai_base_url=upstream.url,
        openai_api_key=Secret(KEY),
        openai_retries=2,
    )


@pytest.fixture
async def stub(settings: Settings):
    async with service(settings) as opened:
        yield opened


@asynccontextmanager
async def service(settings: Settings):
    async with running((mount, settings)) as server, open_channel(server) as channel:
        yield rpc.InferenceServiceStub(channel)


async def generated(stub, **request) -> tuple[str, pb.Completion]:
    request.setdefault("messages", QUESTION)
    text, completion = "", None
    async for event in faults(stub.Generate(pb.GenerateRequest(**request), timeout=30)):
        assert completion is None, "something came after the completion"
        if event.WhichOneof("event") == "delta":
            text += event.delta.text
        else:
            completion = event.completion
    assert completion is not None
    return text, completion


async def refused(stub, **request) -> RemoteFault:
    with pytest.raises(RemoteFault) as fault:
        await generated(stub, **request)
    return fault.value


async def test_answer_streams_and_ends_with_usage(no_leaks, upstream, stub):
    text, completion = await generated(stub)
    assert text == "<Analyze>a</Analyze>"
    assert completion.finish_reason == pb.FINISH_REASON_STOP and not completion.matched_stop
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (11, 7, 5)
    assert not usage.estimated
    assert upstream.asked[0]["model"] == "their-name" and upstream.asked[0]["stream"] is True
    assert upstream.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_usage_not_told_is_estimated(upstream, stub):
    upstream.tells_usage = False
    _, completion = await generated(stub)
    assert completion.usage.estimated and completion.usage.prompt_tokens > 0


async def test_sampling_reaches_the_server(upstream, stub):
    sampling = pb.Sampling(temperature=0.0, top_p=0.5, max_tokens=77, seed=5)
    await generated(stub, sampling=sampling, stop=["END"])
    asked = upstream.asked[0]
    assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (0.0, 0.5, 77)
    assert asked["seed"] == 5 and asked["stop"] == ["END"]
    await generated(stub)
    assert upstream.asked[1]["temperature"] == 0.4 and "max_tokens" not in upstream.asked[1]


@pytest.mark.parametrize("told", [True, False])
async def test_code_end_swallowed_by_the_server_is_given_back(upstream, stub, told):
    upstream.script = ["<Code>\nprint(1)", "\n</Co", "de>\n# never"]
    upstream.tells_stop_reason = told
    text, completion = await generated(stub, stop_after_code=True)
    assert text == "<Code>\nprint(1)\n</Code>"
    assert completion.matched_stop == "</Code>"
    assert upstream.asked[0]["stop"] == ["</Code>"]


async def test_code_end_is_not_added_to_an_answer_that_speaks_of_code(upstream, stub):
    upstream.script = ["<Answer>use `<Code>`</Answer>"]
    text, completion = await generated(stub, stop_after_code=True)
    assert text == "<Answer>use `<Code>`</Answer>" and completion.matched_stop == ""


async def test_server_that_ignores_stops_is_cut_off(no_leaks, upstream, stub):
    upstream.heeds_stops = False
    upstream.script = ["<Code>1</Code>", " and ", "on " * 5, "and on"]
    upstream.hold_after = 2
    text, completion = await generated(stub, stop_after_code=True)
    assert text == "<Code>1</Code>" and completion.matched_stop == "</Code>"
    await asyncio.wait_for(upstream.reader_gone.wait(), 5)


async def test_server_that_keeps_the_code_end_still_tells_its_usage(upstream, stub):
    upstream.heeds_stops = False
    upstream.script = ["<Code>1", "</Code>"]
    text, completion = await generated(stub, stop_after_code=True)
    assert text == "<Code>1</Code>" and completion.matched_stop == "</Code>"
    assert completion.usage.completion_tokens == 7


async def test_stop_string_told_by_the_server_is_matched(upstream, stub):
    upstream.script, upstream.tells_stop_reason = ["abc END def"], True
    text, completion = await generated(stub, stop=["END"])
    assert text == "abc " and completion.matched_stop == "END"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("length", pb.FINISH_REASON_LENGTH),
        ("content_filter", pb.FINISH_REASON_ABORT),
        ("stop", pb.FINISH_REASON_STOP),
    ],
)
async def test_finish_reason_is_mapped(upstream, stub, told, expected):
    upstream.finish = told
    _, completion = await generated(stub)
    assert completion.finish_reason == expected


async def test_taught_protocol_explains_tags_and_sends_results_as_user(upstream, stub):
    history = [
        pb.Message(role=pb.ROLE_SYSTEM, content="Be brief."),
        *QUESTION,
        pb.Message(role=pb.ROLE_ASSISTANT, content="<Code>print(3)</Code>"),
        pb.Message(role=pb.ROLE_EXECUTE, content="3"),
    ]
    await generated(stub, messages=history)
    system, user, assistant, result = upstream.asked[0]["messages"]
    assert "<Answer>" in system["content"] and system["content"].endswith("Be brief.")
    assert user["role"] == "user" and assistant["role"] == "assistant"
    assert result == {"role": "user", "content": "# Execute Result\n3"}
    assert "add_generation_prompt" not in upstream.asked[0]


async def test_taught_protocol_after_an_intermediate_turn_asks_to_go_on(upstream, stub):
    history = [*QUESTION, pb.Message(role=pb.ROLE_ASSISTANT, content="<Analyze>x</Analyze>")]
    await generated(stub, messages=history)
    assert upstream.asked[0]["messages"][-1]["role"] == "user"


async def test_native_protocol_keeps_execute_and_asks_for_no_generation_prompt(upstream, settings):
    async with service(replace(settings, protocol="native")) as stub:
        history = [*QUESTION, pb.Message(role=pb.ROLE_EXECUTE, content="3")]
        await generated(stub, messages=history, stop_after_code=True)
    asked = upstream.asked[0]
    assert [message["role"] for message in asked["messages"]] == ["user", "execute"]
    assert asked["add_generation_prompt"] is False and asked["skip_special_tokens"] is False
    assert asked["stop_token_ids"] == [151645, 151676]


@pytest.mark.req("S5")
@pytest.mark.parametrize("failure", [refuses(503), refuses(429), refuses(500), drops])
async def test_failure_before_the_first_token_is_retried(upstream, stub, failure):
    upstream.failures = [failure, failure]
    text, _ = await generated(stub)
    assert text == "<Analyze>a</Analyze>" and len(upstream.asked) == 3


@pytest.mark.req("S5")
async def test_failure_after_the_first_token_is_not_retried(no_leaks, upstream, stub):
    upstream.script, upstream.break_after = ["one ", "two ", "three"], 2
    events = faults(stub.Generate(pb.GenerateRequest(messages=QUESTION)))
    assert (await anext(events)).delta.text == "one "
    with pytest.raises(RemoteFault) as fault:
        async for _ in events:
            pass
    assert fault.value.reason == "MODEL_UNAVAILABLE" and "broke" in fault.value.message
    assert len(upstream.asked) == 1


@pytest.mark.req("S6")
async def test_model_server_down_is_a_clear_error_with_a_remedy(settings):
    down = replace(settings, openai_base_url=f"http://127.0.0.1:{free_port()}/v1", openai_retries=1)
    async with service(down) as stub:
        fault = await refused(stub)
    assert fault.code is grpc.StatusCode.UNAVAILABLE and fault.reason == "MODEL_UNAVAILABLE"
    assert fault.message == "the model server does not answer"
    assert "Start the model server" in fault.remedy
    assert fault.fields["model"] == "DeepAnalyze-8B" and fault.fields["engine"] == "openai"


@pytest.mark.req("S6")
@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (refuses(401), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (refuses(404), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (refuses(400, "odd"), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (
            refuses(
                400,
                "This model's maximum context length is 4096 tokens. However, your messages "
                "resulted in 5000 tokens.",
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "CONTEXT_TOO_LONG",
        ),
    ],
)
async def test_refusal_is_mapped_and_not_retried(upstream, stub, failure, code, reason):
    upstream.failures = [failure]
    fault = await refused(stub)
    assert (fault.code, fault.reason) == (code, reason)
    assert fault.remedy and len(upstream.asked) == 1 and KEY not in repr(fault)
    if reason == "CONTEXT_TOO_LONG":
        assert (fault.fields["limit"], fault.fields["tokens"]) == ("4096", "5000")


@pytest.mark.req("S5")
async def test_busy_for_long_is_told_with_the_servers_wait(upstream, stub):
    upstream.failures = [refuses(429, retry_after="120")]
    fault = await refused(stub)
    assert fault.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert fault.reason == "TOO_BUSY" and fault.retry_after_s == 120
    assert len(upstream.asked) == 1


async def test_error_within_the_stream_is_told(upstream, stub):
    async def send_error(response, choice, usage=None):
        await response.write(b'data: {"error": {"message": "CUDA error", "code": 500}}\n\n')

    upstream._send = send_error
    fault = await refused(stub)
    assert fault.reason == "MODEL_UNAVAILABLE" and "CUDA" not in fault.message


@pytest.mark.req("C7")
async def test_cancel_frees_the_model_server_at_once(no_leaks, upstream, stub):
    upstream.script, upstream.hold_after = ["one ", "two "], 1
    async with streaming(stub.Generate(pb.GenerateRequest(messages=QUESTION))) as call:
        assert (await call.read()).delta.text == "one "
    began = time.monotonic()
    await asyncio.wait_for(upstream.reader_gone.wait(), 5)
    print("freed after", time.monotonic() - began)


@pytest.mark.req("C7")
async def test_deadline_frees_the_model_server(no_leaks, upstream, stub):
    upstream.hold_after = 0
    with pytest.raises(RemoteFault) as fault:
        async for _ in faults(stub.Generate(pb.GenerateRequest(messages=QUESTION), timeout=0.3)):
            pass
    assert fault.value.reason == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(upstream.reader_gone.wait(), 5)


async def test_cancel_while_waiting_to_retry_ends_at_once(no_leaks, upstream, stub):
    upstream.failures = [refuses(503, retry_after="20")]
    call = stub.Generate(pb.GenerateRequest(messages=QUESTION))
    while not upstream.asked:
        await asyncio.sleep(0.01)
    call.cancel()


async def test_silent_server_is_given_up(upstream, settings):
    upstream.hold_after = 0
    async with service(replace(settings, stall_timeout_s=0.2)) as stub:
        fault = await refused(stub)
    assert fault.reason == "MODEL_UNAVAILABLE"


async def test_queue_full_is_told_with_retry(no_leaks, upstream, settings):
    upstream.hold_after = 0
    async with service(replace(settings, slots=1, queue=1)) as stub:
        first = asyncio.create_task(generated(stub))
        await upstream.held.wait()
        second = asyncio.create_task(generated(stub))
        while (await stub.Load(pb.LoadRequest())).waiting != 1:
            await asyncio.sleep(0.01)
        fault = await refused(stub)
        assert fault.reason == "TOO_BUSY" and fault.retry_after_s
        load = await stub.Load(pb.LoadRequest())
        assert (load.running, load.waiting, load.slots) == (1, 1, 1)
        upstream.go_on.set()
        await asyncio.gather(first, second)
        assert (await stub.Load(pb.LoadRequest())).running == 0


async def test_list_models_names_what_is_served(stub):
    (model,) = (await stub.ListModels(pb.ListModelsRequest())).models
    assert (model.id, model.engine, model.is_default) == ("DeepAnalyze-8B", "openai", True)


async def test_unknown_model_is_not_found(upstream, stub):
    fault = await refused(stub, model="gpt-99")
    assert fault.code is grpc.StatusCode.NOT_FOUND and fault.fields["id"] == "gpt-99"
    assert not upstream.asked


async def test_key_is_in_no_log(upstream, settings, capfd):
    async with service(settings) as stub:
        upstream.failures = [refuses(401, f"Incorrect API key provided: {KEY}")]
        fault = await refused(stub)
    out, err = capfd.readouterr()
    assert KEY not in out + err + repr(fault) + str(dict(fault.fields))
