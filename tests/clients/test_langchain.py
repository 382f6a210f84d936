"""LangChain's ChatOpenAI, over chat completions and over responses."""

import asyncio
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from tests.clients.conftest import Server
from tests.clients.question import (
    DATA,
    MODEL,
    NO_SOURCE,
    QUESTION,
    WRONG_SQL,
    links,
    require_answer,
)

pytestmark = [pytest.mark.clients, pytest.mark.req("C3")]


def model(gateway: Server, **more: Any) -> ChatOpenAI:
    given = {"model": MODEL, "extra_body": DATA, "max_retries": 0, **more}
    return ChatOpenAI(base_url=gateway.base, api_key=gateway.key, **given)


def require_downloads(text: str) -> None:
    """It drops unknown fields: what a run leaves is found by the links of its text."""
    found = links(text)
    assert "report.md" in found and any(name.endswith(".csv") for name in found)
    for url in found.values():
        # no key: links work by themselves until they expire
        assert httpx.get(url, trust_env=False).raise_for_status().content


@pytest.mark.req("C6", "C9")
def test_invoke(gateway: Server) -> None:
    said = model(gateway).invoke(QUESTION)
    require_answer(said.text)
    require_downloads(said.text)
    assert said.usage_metadata and said.usage_metadata["total_tokens"] > 0
    assert said.response_metadata["finish_reason"] == "stop"
    assert said.response_metadata["model_name"] == MODEL


@pytest.mark.req("C6", "C9")
def test_stream(gateway: Server) -> None:
    whole = None
    for chunk in model(gateway, stream_usage=True).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    require_answer(whole.text)
    require_downloads(whole.text)
    assert whole.usage_metadata and whole.usage_metadata["output_tokens"] > 0
    assert whole.response_metadata["finish_reason"] == "stop"


def test_astream_and_batch(gateway: Server) -> None:
    async def streamed() -> str:
        return "".join([chunk.text async for chunk in model(gateway).astream(QUESTION)])

    require_answer(asyncio.run(streamed()))
    for said in model(gateway).batch([QUESTION, QUESTION]):
        require_answer(said.text)


def test_chain_of_a_prompt_and_a_parser(gateway: Server) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")])
    chain = prompt | model(gateway) | StrOutputParser()
    require_answer(chain.invoke({"question": QUESTION}))


def test_conversation_of_messages_and_of_a_thread(gateway: Server) -> None:
    asked = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    first = model(gateway).invoke(asked)
    called = AIMessage("", tool_calls=[{"name": "clock", "args": {}, "id": "c"}])
    replayed = [
        *asked,
        first,
        called,
        ToolMessage("noon", tool_call_id="c"),
        HumanMessage(QUESTION),
    ]
    require_answer(model(gateway).invoke(replayed).text)
    within = model(gateway, extra_body={**DATA, "thread_id": "of-langchain"})
    require_answer(within.invoke(QUESTION).text)
    require_answer(within.invoke(QUESTION).text)
    with gateway.http() as http:
        thread = http.get("/threads/of-langchain").raise_for_status().json()
    assert [each["role"] for each in thread["messages"]] == ["user", "assistant"] * 2


@pytest.mark.req("S6", "C2")
@pytest.mark.parametrize("streamed", [False, True])
def test_errors_are_the_sdks(gateway: Server, streamed: bool) -> None:
    def ask(**more: Any) -> None:
        asked = model(gateway, **more)
        list(asked.stream(QUESTION)) if streamed else asked.invoke(QUESTION)

    with pytest.raises(openai.UnprocessableEntityError, match="form"):
        ask(extra_body=WRONG_SQL)
    with pytest.raises(openai.NotFoundError, match="nowhere"):
        ask(extra_body=NO_SOURCE)
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(model="gpt-4o")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        ask(n=2)
    assert refused.value.param == "n"
    with pytest.raises(openai.BadRequestError) as hot:
        ask(temperature=2.5)
    assert hot.value.param == "temperature"


def test_tools_and_schemas_are_refused_by_name(gateway: Server) -> None:
    schema = {"title": "Answer", "type": "object", "properties": {"n": {"type": "integer"}}}
    with pytest.raises(openai.BadRequestError) as tools:
        model(gateway).bind_tools([schema]).invoke(QUESTION)
    assert tools.value.param == "tools"
    with pytest.raises(openai.BadRequestError) as form:
        model(gateway).with_structured_output(schema, method="json_schema").invoke(QUESTION)
    assert form.value.param == "response_format"


def test_plain_model_makes_a_title(gateway: Server) -> None:
    with gateway.http() as http:
        listed = [each["id"] for each in http.get("/models").json()["data"]]
    plain = next(id for id in listed if id.endswith(":plain"))
    said = model(gateway, model=plain, extra_body=None, stop=["\n"]).invoke("A title for this?")
    assert said.text.strip() and "<Code>" not in said.text


@pytest.mark.req("C6", "C9")
def test_responses_api(gateway: Server) -> None:
    asked = model(gateway, use_responses_api=True)
    said = asked.invoke(QUESTION)
    assert "completed" in said.text and "500" in said.text
    require_downloads(said.text)
    kinds = [block["type"] for block in said.content]
    assert {"reasoning", "code_interpreter_call", "text"} <= {*kinds}
    assert said.usage_metadata and said.usage_metadata["total_tokens"] > 0
    whole = None
    for chunk in asked.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None and "500" in whole.text
    require_downloads(whole.text)


def test_responses_api_goes_on(gateway: Server) -> None:
    asked = model(gateway, use_responses_api=True, use_previous_response_id=True)
    first = asked.invoke(QUESTION)
    second = asked.invoke([HumanMessage(QUESTION), first, HumanMessage(QUESTION)])
    assert "500" in second.text
    ids = [each.response_metadata["id"].removeprefix("resp_") for each in (first, second)]
    with gateway.http() as http:
        threads = [http.get(f"/runs/{id}").raise_for_status().json()["thread_id"] for id in ids]
    assert threads[0] == threads[1]
