"""LiteLLM: as a library, and as a proxy in front of the gateway."""

import asyncio
import json
from typing import Any

import litellm
import openai
import pytest

from tests.clients.conftest import Server
from tests.clients.question import (
    DATA,
    MESSAGES,
    MODEL,
    NO_SOURCE,
    WRONG_SQL,
    links,
    require_answer,
)

pytestmark = [pytest.mark.clients, pytest.mark.req("C3")]


def ask(gateway: Server, **more: Any) -> dict[str, Any]:
    return {
        "model": f"openai/{MODEL}",
        "messages": MESSAGES,
        "api_base": gateway.base,
        "api_key": gateway.key,
        "max_retries": 0,
        **DATA,
        **more,
    }


def test_library(gateway: Server) -> None:
    said = litellm.completion(**ask(gateway))
    require_answer(said.choices[0].message.content)
    assert said.usage.total_tokens > 0 and said.choices[0].finish_reason == "stop"
    assert "report.md" in links(said.choices[0].message.content)
    chunks = list(litellm.completion(**ask(gateway, stream=True)))
    require_answer("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_library_asynchronous(gateway: Server) -> None:
    async def streamed() -> str:
        answer = await litellm.acompletion(**ask(gateway, stream=True))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    require_answer(asyncio.run(streamed()))


@pytest.mark.req("S6", "C2")
@pytest.mark.parametrize("stream", [False, True])
def test_librarys_errors(gateway: Server, stream: bool) -> None:
    for more, kind, word in (
        (WRONG_SQL, litellm.BadRequestError, "form"),
        (NO_SOURCE, litellm.NotFoundError, "nowhere"),
        ({"api_key": "wrong"}, litellm.AuthenticationError, "key"),
        ({"n": 2}, litellm.BadRequestError, "n must be 1"),
    ):
        with pytest.raises(kind, match=word):
            list(litellm.completion(**ask(gateway, stream=stream, **more)))


def test_proxy_by_the_sdk(proxy: Server) -> None:
    with openai.OpenAI(base_url=proxy.base, api_key=proxy.key, max_retries=0) as client:
        create: Any = client.chat.completions.create
        assert [each.id for each in client.models.list()] == ["analyst"]
        said = create(model="analyst", messages=MESSAGES, extra_body=DATA)
        require_answer(said.choices[0].message.content)
        assert said.usage.total_tokens > 0
        # its own fields pass too
        assert said.model_extra["generated_files"] and said.model_extra["thread_id"]
        stream = create(
            model="analyst",
            messages=MESSAGES,
            extra_body=DATA,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        require_answer(text)
        # of a stream the last chunk's fields are dropped: the links of the text are there
        assert "report.md" in links(text)
        assert chunks[-1].usage and chunks[-1].usage.total_tokens > 0
        for more in (WRONG_SQL, NO_SOURCE):
            for streamed in (False, True):
                with pytest.raises(openai.APIStatusError) as raised:
                    create(model="analyst", messages=MESSAGES, extra_body=more, stream=streamed)
                assert raised.value.status_code in (404, 422)
        # nobody else is shut out by that
        require_answer(
            create(model="analyst", messages=MESSAGES, extra_body=DATA).choices[0].message.content
        )


def test_proxy_by_a_raw_client(proxy: Server) -> None:
    body = {"model": "analyst", "messages": MESSAGES, "stream": True, **DATA}
    with proxy.http() as http, http.stream("POST", "/chat/completions", json=body) as response:
        assert response.status_code == 200
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    said = [choice["delta"].get("content") or "" for c in chunks for choice in c["choices"]]
    require_answer("".join(said))


def test_proxy_refuses_what_the_gateway_refuses(proxy: Server) -> None:
    with proxy.http() as http:
        for more, word in (
            ({"n": 2}, "n must be 1"),
            ({"stop": ["x"]}, "stop"),
            ({"temperature": 2.5}, "temperature"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
        ):
            body = {"model": "analyst", "messages": MESSAGES, **more}
            refused = http.post("/chat/completions", json=body)
            assert refused.status_code == 400, refused.text
            assert word in refused.json()["error"]["message"]


def test_proxy_passes_responses(proxy: Server) -> None:
    # of this API it drops fields of the body that it does not know, and none of an input's
    asked: Any = {"model": "analyst", "input": [{**MESSAGES[0], **DATA}]}
    with openai.OpenAI(base_url=proxy.base, api_key=proxy.key, max_retries=0) as client:
        said = client.responses.create(**asked)
        assert "500" in said.output_text and said.status == "completed"
        told = list(client.responses.create(**asked, stream=True))
        assert told[-1].type == "response.completed"
        assert "500" in "".join(e.delta for e in told if e.type == "response.output_text.delta")
