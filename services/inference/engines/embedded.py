"""An engine made of a pure function: the next turn of a conversation as one text, streamed."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence

from servicekit.limits import Limiter
from services.inference.engines.stops import StopFinder
from services.inference.models import (
    Completion,
    Delta,
    Event,
    Finish,
    Load,
    Message,
    Model,
    Request,
    TokenCount,
    Usage,
    estimated_prompt,
    estimated_tokens,
)

Respond = Callable[[Sequence[Message]], str]

_WORDS_PER_DELTA = 4
_PIECES = re.compile(rf"(?:\s*\S+){{1,{_WORDS_PER_DELTA}}}\s*|\s+")


class EmbeddedEngine:
    """`respond` runs in a thread of its own: a long history must not hold other streams up."""

    def __init__(self, respond: Respond, model: Model, threads: Limiter) -> None:
        self._respond = respond
        self._model = model
        self._threads = threads

    def models(self) -> Sequence[Model]:
        return (self._model,)

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        text = await self._threads.run(self._respond, tuple(request.messages))
        shown, completion = _ended(text, request)
        for piece in _PIECES.findall(shown):
            yield Delta(piece)
            await asyncio.sleep(0)
        yield completion

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return TokenCount(estimated_prompt(messages), estimated=True)

    def load(self) -> Load:
        return Load(running=0, waiting=0, slots=0)

    async def aclose(self) -> None:
        await self._threads.aclose()


def _ended(text: str, request: Request) -> tuple[str, Completion]:
    finder = StopFinder(request.stop, after_code=request.stop_after_code)
    found = finder.feed(text)
    shown = found.text if found.matched else found.text + finder.rest()
    shown, whole = _within(shown, request.sampling.max_tokens)
    usage = Usage(estimated_prompt(request.messages), estimated_tokens(shown), estimated=True)
    if not whole:
        return shown, Completion(Finish.LENGTH, usage=usage)
    return shown, Completion(Finish.STOP, found.matched, usage)


def _within(text: str, max_tokens: int | None) -> tuple[str, bool]:
    """As many whole words as the limit allows by the same estimate that is reported."""
    if max_tokens is None or estimated_tokens(text) <= max_tokens:
        return text, True
    end = 0
    for word in re.finditer(r"\s*\S+", text):
        if estimated_tokens(text[: word.end()]) > max_tokens:
            break
        end = word.end()
    return text[:end], False
