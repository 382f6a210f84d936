"""A run's turns against a model whose context is short."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from isobath.inference.v1 import inference_pb2 as pb
from servicekit.status import RemoteFault
from services.gateway.asking import Asking
from services.gateway.conversation import Generate, Message, Sampling

CHARS_PER_TOKEN = 4


class ShortModel:
    """Counts four characters to a token and refuses what is longer than its context, as servers
    do; `says` = what it lets others know of that."""

    def __init__(self, context: int, *, listed: bool, counts: bool, says: bool) -> None:
        self._context, self._listed, self._counts, self._says = context, listed, counts, says
        self.asked: list[pb.GenerateRequest] = []
        self.refused = 0

    async def list_models(self) -> list[pb.Model]:
        return [pb.Model(id="short", context_tokens=self._context if self._listed else 0)]

    async def count_tokens(self, request: pb.CountTokensRequest) -> pb.CountTokensResponse:
        tokens = sum(len(each.content) for each in request.messages) // CHARS_PER_TOKEN
        return pb.CountTokensResponse(tokens=tokens, estimated=not self._counts)

    async def generate(
        self, request: pb.GenerateRequest, **_: Any
    ) -> AsyncGenerator[pb.NumberedEvent, None]:
        tokens = sum(len(each.content) for each in request.messages) // CHARS_PER_TOKEN
        if tokens >= self._context:
            self.refused += 1
            told = {"tokens": str(tokens), "limit": str(self._context)} if self._says else {}
            code = grpc.StatusCode.INVALID_ARGUMENT
            raise RemoteFault("too long", code=code, reason="CONTEXT_TOO_LONG", fields=told)
        self.asked.append(request)
        yield pb.NumberedEvent(delta=pb.Delta(text="so"))
        usage = pb.Usage(prompt_tokens=tokens, completion_tokens=1, estimated=not self._counts)
        yield pb.NumberedEvent(completion=pb.Completion(usage=usage))


def asking(models: Any) -> tuple[Asking, list[str]]:
    told: list[str] = []
    made = Asking(
        models=models, model="", owner="ada", key="k", sampling=Sampling(0.4), tell=told.append
    )  # fmt: skip
    return made, told


async def turn(made: Asking, messages: list[Message], max_tokens: int = 4096) -> str:
    said = []
    async with aclosing(made.turn(Generate(tuple(messages), max_tokens), seconds=10)) as events:
        async for event in events:
            said.append(event.delta.text)
    return "".join(said)


def rounds(count: int) -> list[Message]:
    messages = [Message("system", "Be brief."), Message("user", "Count the orders.")]
    for number in range(count):
        code = f"```python\ncounted_{number} = {number}\n```"
        messages.append(Message("assistant", f"<Code>\n{code}\n</Code>"))
        messages.append(Message("execute", f"output {number} " + "9" * 3000))
    return messages


@pytest.mark.req("C4", "C8")
@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("listed", [True, False])
async def test_a_long_run_goes_on_whatever_the_model_lets_know(listed, counts, says):
    model = ShortModel(2000, listed=listed, counts=counts, says=says)
    made, told = asking(model)
    for count in range(1, 8):
        assert await turn(made, rounds(count)) == "so"
        sent = model.asked[-1].messages
        assert sent[0].content == "Be brief." and sent[1].content == "Count the orders."
        assert sent[-1].content.startswith(f"output {count - 1} ")
    assert len(told) == 1 and "tokens" in told[0]
    if listed and counts:
        assert model.refused == 0
    # what was learnt is kept
    assert model.refused <= 6


async def test_room_is_left_for_the_answer():
    model = ShortModel(2000, listed=True, counts=True, says=True)
    made, _ = asking(model)
    await turn(made, rounds(1))
    await turn(made, rounds(1))
    prompt = sum(len(each.content) for each in model.asked[-1].messages) // CHARS_PER_TOKEN
    assert 500 <= model.asked[-1].sampling.max_tokens <= 2000 - prompt


async def test_a_question_that_is_too_long_by_itself_says_so():
    model = ShortModel(100, listed=True, counts=True, says=True)
    made, _ = asking(model)
    with pytest.raises(RemoteFault) as fault:
        await turn(made, [Message("user", "word " * 1000)])
    assert fault.value.reason == "CONTEXT_TOO_LONG"
    assert model.refused == 1


async def test_a_model_without_bounds_is_asked_as_it_is():
    model = ShortModel(10**9, listed=False, counts=False, says=False)
    made, told = asking(model)
    await turn(made, rounds(7))
    assert [each.content for each in model.asked[0].messages] == [m.content for m in rounds(7)]
    assert model.asked[0].sampling.max_tokens == 4096 and not told
