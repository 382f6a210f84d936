"""The Responses API: bodies and events, then over HTTP with the official client."""

import asyncio
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField
from services.gateway.errors import UnsupportedField
from services.gateway.responses.rendering import Responding
from services.gateway.responses.request import chat_body
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform
from tests.gateway.doubles import HANG, PNG
from tests.gateway.test_openai import PNG as PICTURE
from tests.gateway.test_openai import USAGE, events

pytestmark = pytest.mark.req("C3")
ORDERS = {"source": "shop", "table": "public.orders"}
ANALYZE, PROGRAM, REPORT = (
    analyst.BLOCK_KIND_ANALYZE,
    analyst.BLOCK_KIND_CODE,
    analyst.BLOCK_KIND_ANSWER,
)
STARTED = {"started": analyst.RunStarted(thread_id="thread-1", model="m")}


def block(kind: analyst.BlockKind, *texts: str) -> list[dict[str, Any]]:
    said = [{"block_text": analyst.BlockText(kind=kind, text=text)} for text in texts]
    opened = {"block_opened": analyst.BlockOpened(kind=kind)}
    return [opened, *said, {"block_closed": analyst.BlockClosed(kind=kind)}]


def program(*outputs: str, outcome: str = "ok") -> list[dict[str, Any]]:
    told = [{"program_output": analyst.ProgramOutput(round=1, text=each)} for each in outputs]
    return [
        *block(PROGRAM, "```python\n", "x\n```"),
        {"program_started": analyst.ProgramStarted(round=1, code="x")},
        *told,
        {"program_finished": analyst.ProgramFinished(round=1, outcome=outcome)},
        *block(analyst.BLOCK_KIND_EXECUTE, *outputs),
    ]


def completed(answer: str = "so", finish: str = "answer", **more: Any) -> dict[str, Any]:
    return {"completed": analyst.RunCompleted(answer=answer, usage=USAGE, finish=finish, **more)}


def rendered(*kinds: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    responding = Responding("run-1", "m", created=1)
    told = [each for event in events(*kinds) for each in responding.of(event)]
    return told, responding.response


WHOLE = (
    STARTED,
    *block(ANALYZE, "\n", "first", " think \n"),
    {"block_text": analyst.BlockText(text="\n")},
    *program("1\n", "2\n"),
    *block(REPORT, "\nIt is", " 42.\n"),
    completed("It is 42.", files=[PICTURE]),
)


def test_run_becomes_reasoning_a_program_and_a_message_with_links() -> None:
    told, response = rendered(*WHOLE)
    reasoning, ran, message = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "first think"}]
    assert (ran["code"], ran["status"]) == ("x", "completed")
    assert ran["outputs"] == [{"type": "logs", "logs": "1\n2\n"}]
    part = message["content"][0]
    assert part["text"] == f"It is 42.\n\nFiles:\n- [a.png]({PICTURE.url})"
    (link,) = part["annotations"]
    assert part["text"][link["start_index"] : link["end_index"]] == f"[a.png]({PICTURE.url})"
    assert response["status"] == "completed" and response["usage"]["total_tokens"] == 15
    assert response["conversation"] == {"id": "thread-1"}
    assert [each["type"] for each in told][:3] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert told[-1]["type"] == "response.completed" and told[-1]["response"] == response


def test_events_and_responses_fit_the_official_types() -> None:
    told, response = rendered(*WHOLE)
    official: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for each in told:
        assert official.validate_python(each).type == each["type"]
    assert Response.model_validate(response).output_text.startswith("It is 42.")


@pytest.mark.parametrize(
    ("ending", "status", "kind"),
    [
        (completed(finish="tokens"), "incomplete", "response.incomplete"),
        ({"failed": analyst.RunFailed(reason="KERNEL_DIED", message="m")}, "failed", None),
        ({"cancelled": analyst.RunCancelled()}, "cancelled", "response.incomplete"),
    ],
)
@pytest.mark.parametrize("until", range(1, len(WHOLE)))
def test_run_that_ends_at_any_point_leaves_no_item_open(
    ending: dict[str, Any], status: str, kind: str | None, until: int
) -> None:
    if "completed" in ending and "program_started" in str(WHOLE[:until][-1:]):
        return  # a program ends before a run completes
    told, response = rendered(*WHOLE[:until], ending)
    assert response["status"] == status
    assert told[-1]["type"] == (kind or f"response.{status}")
    added = [each["item"]["id"] for each in told if each["type"].endswith("item.added")]
    done = [each["item"]["id"] for each in told if each["type"].endswith("item.done")]
    if "completed" not in ending:
        assert added == done
        assert not [each for each in response["output"] if each["status"] == "in_progress"]


TEXTS = st.text("a \n", max_size=4)
STEPS = st.one_of(
    st.builds(
        lambda kind, texts: block(kind, *texts),
        st.sampled_from([ANALYZE, REPORT]),
        st.lists(TEXTS, max_size=3),
    ),
    st.builds(lambda texts: program(*texts), st.lists(TEXTS, max_size=3)),
    st.builds(lambda text: [{"block_text": analyst.BlockText(text=text)}], TEXTS),
)
ENDS = st.sampled_from(
    [
        completed(),
        completed("", files=[PICTURE]),
        {"failed": analyst.RunFailed(reason="KERNEL_DIED")},
        {"cancelled": analyst.RunCancelled()},
    ]
)


@given(st.lists(STEPS, max_size=6), ENDS)
def test_response_is_the_sum_of_its_events(
    steps: list[list[dict[str, Any]]], ending: dict[str, Any]
) -> None:
    told, response = rendered(STARTED, *(each for step in steps for each in step), ending)
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    items: dict[str, dict[str, Any]] = {}
    deltas: dict[str, str] = {}
    for each in told:
        if each["type"] == "response.output_item.added":
            assert each["output_index"] == len(items)
            items[each["item"]["id"]] = each["item"]
        elif each["type"].endswith(".delta"):
            deltas[each["item_id"]] = deltas.get(each["item_id"], "") + each["delta"]
        elif each["type"].endswith(("text.done", "code.done")):
            assert deltas.get(each["item_id"], "") == each.get("text", each.get("code"))
        elif each["type"] == "response.output_item.done":
            items[each["item"]["id"]] = each["item"]
    assert list(items.values()) == response["output"] == told[-1]["response"]["output"]
    for text in deltas.values():
        assert text == text.strip()


# Bodies


@pytest.mark.parametrize(
    ("body", "chat"),
    [
        ({"input": "a"}, {"messages": [{"role": "user", "content": "a"}]}),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
            {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
        ),
        (
            {"instructions": "be brief", "input": "a", "max_output_tokens": 5},
            {
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": "a"},
                ],
                "max_completion_tokens": 5,
            },
        ),
        (
            {
                "input": [
                    {"type": "reasoning", "summary": []},
                    {"type": "message", "role": "user", "content": "a"},
                ],
                "conversation": {"id": "t"},
                "max_tool_calls": 3,
                "data_sources": [ORDERS],
                "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}],
                "store": False,
                "include": [],
            },
            {
                "messages": [{"type": "message", "role": "user", "content": "a"}],
                "thread_id": "t",
                "max_rounds": 3,
                "data_sources": [ORDERS],
            },
        ),
    ],
)
def test_body_becomes_a_chats(body: dict[str, Any], chat: dict[str, Any]) -> None:
    assert chat_body(body) == {"file_ids": [], **chat}


def test_file_in_the_input_is_a_file_of_the_question() -> None:
    parts = [{"type": "input_file", "file_id": "file-1"}, {"type": "input_text", "text": "a"}]
    chat = chat_body({"input": [{"role": "user", "content": parts}], "file_ids": ["file-0"]})
    assert chat["file_ids"] == ["file-0", "file-1"]
    assert chat["messages"][0]["content"] == parts[1:]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a"]}, "input[0]"),
        ({"input": [{"type": "function_call_output"}]}, "input[0].type"),
        ({"input": "a", "tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"input": "a", "text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"input": "a", "instructions": ["x"]}, "instructions"),
        ({"input": "a", "prompt": {"id": "x"}}, "prompt"),
        ({"input": "a", "tool_choice": "required"}, "tool_choice"),
        ({"input": "a", "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"input": "a", "top_logprobs": 3}, "top_logprobs"),
        ({"input": "a", "conversation": 5}, "conversation"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
            "input[0].content",
        ),
    ],
)
def test_body_that_means_something_else_is_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises((InvalidField, UnsupportedField)) as refused:
        chat_body(body)
    assert refused.value.metadata()["field"] == field


# Over HTTP


def sdk(platform: Platform) -> openai.AsyncOpenAI:
    base = f"http://{platform.settings.http_bind}/v1"
    return openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0)


def turns() -> list[Any]:
    code = f"print(6 * 7)\nshow({PNG!r})\nsave('out.csv', b'a,b')"
    return [CODE.format(code), ANSWER.format("It is 42.")]


@pytest.mark.req("C1", "C4", "C6", "C9")
async def test_official_client_asks_and_goes_on(platform: Platform) -> None:
    await platform.source()
    async with sdk(platform) as client:
        platform.models.turns = turns()
        first = await client.responses.create(
            model="DeepAnalyze-8B",
            input="How many?",
            metadata={"mine": "1"},
            extra_body={"data_sources": [ORDERS]},
        )
        assert first.status == "completed" and first.output_text.startswith("It is 42.")
        assert "[report.md](/v1/files/" in first.output_text
        kinds = [item.type for item in first.output]
        assert kinds == ["reasoning", "code_interpreter_call", "reasoning", "message"]
        ran = first.output[1]
        assert ran.type == "code_interpreter_call" and ran.outputs
        assert [each.type for each in ran.outputs] == ["logs", "image"]
        assert first.usage and first.usage.output_tokens == 20
        assert first.metadata == {"mine": "1"}
        platform.models.turns = [ANSWER.format("As I said.")]
        second = await client.responses.create(input="And?", previous_response_id=first.id)
        assert second.conversation and first.conversation
        assert second.conversation.id == first.conversation.id
        said = platform.models.requests[-1].messages
        assert any("It is 42." in message.content for message in said)
        again = await client.responses.retrieve(first.id)
        assert again.output == first.output and again.status == "completed"


@pytest.mark.req("C4", "C8")
async def test_official_client_streams_and_resumes(platform: Platform) -> None:
    platform.models.turns = turns()
    async with sdk(platform) as client:
        stream = await client.responses.create(input="How many?", stream=True)
        told = [event async for event in stream]
        assert [event.sequence_number for event in told] == list(range(len(told)))
        deltas = [e.delta for e in told if e.type == "response.output_text.delta"]
        assert "".join(deltas).startswith("It is 42.")
        last = told[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == "".join(deltas)
        resumed = await client.responses.retrieve(
            last.response.id, stream=True, starting_after=told[4].sequence_number
        )
        assert [event async for event in resumed] == told[5:]
        platform.models.turns = turns()
        async with client.responses.stream(input="How many?", model="DeepAnalyze-8B") as manager:
            async for _ in manager:
                pass
            whole = await manager.get_final_response()
        assert whole.output_text.startswith("It is 42.")


async def test_official_client_reads_what_it_asked_with(platform: Platform) -> None:
    parts: Any = [{"type": "input_text", "text": "How many?"}]
    asked: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "Ask me."},
        {"type": "message", "role": "user", "content": parts},
    ]
    async with sdk(platform) as client:
        made = await client.responses.create(
            input=asked, instructions="In English.", metadata={"mine": "1"}, top_p=0.5
        )
        again = await client.responses.retrieve(made.id)
        assert again.instructions == "In English." and again.metadata == {"mine": "1"}
        assert again.top_p == 0.5
        listed = client.responses.input_items.list(made.id, order="asc", limit=2)
        items = [item.to_dict() async for item in listed]
        assert [item["role"] for item in items] == ["developer", "assistant", "user"]
        assert items[2]["content"] == parts
        assert items[1]["content"] == [
            {"type": "output_text", "text": "Ask me.", "annotations": []}
        ]
        newest = await client.responses.input_items.list(made.id)
        assert [item.to_dict() for item in newest.data] == items[::-1]
        behind = await client.responses.input_items.list(made.id, after=str(items[2]["id"]))
        assert [item.to_dict() for item in behind.data] == items[1::-1]
        for query in ({"order": "up"}, {"limit": "101"}):
            with pytest.raises(openai.BadRequestError):
                await client.responses.input_items.list(made.id, extra_query=query)
        with pytest.raises(openai.NotFoundError):
            await client.responses.input_items.list(made.id, after="msg_none")
        # a run that another API began is a response too
        run_id = (await platform.chat()).json()["run_id"]
        (other,) = (await client.responses.input_items.list(f"resp_{run_id}")).data
        assert other.to_dict()["content"] == parts


async def test_official_client_deletes_what_has_ended(platform: Platform) -> None:
    platform.models.turns = [ANSWER.format("so"), HANG]
    async with sdk(platform) as client:
        made = await client.responses.create(input="How many?")
        assert made.conversation
        await client.responses.delete(made.id)
        for call in (client.responses.retrieve, client.responses.delete):
            with pytest.raises(openai.NotFoundError):
                await call(made.id)
        thread = await platform.http.get(f"/v1/threads/{made.conversation.id}")
        assert [each["role"] for each in thread.json()["messages"]] == ["user", "assistant"]
        begun = await client.responses.create(input="How many?", background=True)
        with pytest.raises(openai.ConflictError):
            await client.responses.delete(begun.id)
        await client.responses.cancel(begun.id)
        await client.responses.delete(begun.id)


@pytest.mark.req("C7", "C8")
async def test_response_in_the_background_is_cancelled(platform: Platform) -> None:
    platform.models.turns = [HANG]
    async with sdk(platform) as client:
        begun = await client.responses.create(input="How many?", background=True)
        assert begun.status in ("queued", "in_progress") and begun.background
        while (await client.responses.retrieve(begun.id)).status == "queued":
            await asyncio.sleep(0.01)
        ended = await client.responses.cancel(begun.id)
        assert ended.status == "cancelled"
        assert (await client.responses.retrieve(begun.id)).status == "cancelled"


@pytest.mark.req("C2", "S6")
async def test_faults_are_errors_before_a_word_is_said(platform: Platform) -> None:
    await platform.source()
    async with sdk(platform) as client:
        for stream in (False, True):
            bad = {"data_sources": [{"source": "shop", "table": "public.nothing"}]}
            with pytest.raises(openai.UnprocessableEntityError):
                await client.responses.create(input="a", stream=stream, extra_body=bad)
        with pytest.raises(openai.NotFoundError) as missing:
            await client.responses.create(input="a", previous_response_id="resp_run-none")
        assert missing.value.param == "previous_response_id"
        with pytest.raises(openai.BadRequestError):
            await client.responses.create(input="a", previous_response_id="x")
        for id in ("resp_run-none", "x"):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(id)
    assert platform.models.requests == []


async def test_plain_model_answers_without_programs(platform: Platform) -> None:
    platform.models.turns = ["Small talk"]
    async with sdk(platform) as client:
        (plain, *_) = [m.id async for m in client.models.list() if m.id.endswith(":plain")]
        said = await client.responses.create(input="Hello", model=plain)
    assert [item.type for item in said.output] == ["message"]
    assert said.output_text == "Small talk"
