"""Any server that speaks OpenAI's chat protocol: vllm serve, Azure OpenAI, Ollama and the like."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

from servicekit import logs
from services.inference.engines import wording
from services.inference.engines.backoff import delays
from services.inference.engines.stops import StopFinder, open_tag
from services.inference.engines.tools import Tagged
from services.inference.errors import (
    ContextTooLong,
    InferenceFault,
    ModelRefused,
    ModelUnavailable,
    TooBusy,
)
from services.inference.models import (
    CODE_END,
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

_log = logs.get(__name__)

NAME = "openai"
Stream = AsyncStream[ChatCompletionChunk]

_FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "abort": Finish.ABORT,
    # the provider's filter took the answer away
    "content_filter": Finish.ABORT,
    # a server that reads tool calls into plain text: the turn is over all the same
    "tool_calls": Finish.STOP,
    "function_call": Finish.STOP,
}
_BUSY = frozenset({429})
_AGAIN = frozenset({408, 409, 429})
_DEFAULT_RETRY_AFTER_S = 5.0
_LONGEST_WAIT_S = 30.0


class OpenAIEngine:
    """`upstream` is the model's name there, `model.id` its name here; `aclose` ends the client."""

    def __init__(
        self,
        client: AsyncOpenAI,
        model: Model,
        *,
        upstream: str,
        protocol: wording.Protocol,
        retries: int = 4,
    ) -> None:
        self._client = client
        self._model = model
        self._upstream = upstream
        self._protocol: wording.Protocol = protocol
        self._retries = retries

    def models(self) -> Sequence[Model]:
        return (self._model,)

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        calls = wording.calls_tools(request, self._protocol)
        answer = _CallingAnswer(request) if calls else _Answer(request)
        arguments = {
            "model": self._upstream,
            "messages": wording.messages(request, self._protocol),
            **wording.parameters(request, self._protocol, answer.finder),
        }
        if request.trace:
            arguments["extra_headers"] = dict(request.trace)
        async with self._translated(answer), self._opened(arguments) as stream:
            async for chunk in stream:
                if text := answer.take(chunk):
                    yield Delta(text)
                if answer.overrun:
                    break
            if not answer.ended:
                raise self._unavailable("the model server broke the answer off")
        if text := answer.rest():
            yield Delta(text)
        yield answer.completion()

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return TokenCount(estimated_prompt(messages), estimated=True)

    def load(self) -> Load:
        return Load(running=0, waiting=0, slots=0)

    async def aclose(self) -> None:
        await self._client.close()

    @asynccontextmanager
    async def _opened(self, arguments: dict[str, Any]) -> AsyncIterator[Stream]:
        """Closing the stream closes its connection; by that the server notices."""
        stream = await self._first_answer(arguments)
        try:
            yield stream
        finally:
            await stream.close()

    async def _first_answer(self, arguments: dict[str, Any]) -> Stream:
        """Tried again only here, before anything was given out."""
        for delay_s in delays(self._retries):
            try:
                return await self._ask(arguments)
            except openai.APIError as exc:
                wait_s = _wait_s(exc, delay_s)
                if wait_s is None:
                    raise
                _log.warning(
                    "model_server_retry", error=type(exc).__name__, wait_s=round(wait_s, 2)
                )
                await asyncio.sleep(wait_s)
        return await self._ask(arguments)

    async def _ask(self, arguments: dict[str, Any]) -> Stream:
        stream: Stream = await self._client.chat.completions.create(
            stream=True, stream_options={"include_usage": True}, **arguments
        )
        return stream

    @asynccontextmanager
    async def _translated(self, answer: "_Answer") -> AsyncIterator[None]:
        try:
            yield
        except (openai.APIError, httpx2.HTTPError) as exc:
            raise self._fault(exc, answer) from exc

    def _fault(self, exc: Exception, answer: "_Answer") -> InferenceFault:
        if isinstance(exc, openai.APIStatusError):
            return self._refusal(exc)
        if isinstance(exc, openai.APIConnectionError) and not answer.begun:
            return self._unavailable("the model server does not answer", exc.__cause__ or exc)
        return self._unavailable("the model server broke the answer off", exc)

    def _unavailable(self, message: str, *detail: object) -> ModelUnavailable:
        return ModelUnavailable(message, *detail, model=self._model.id, engine=NAME)

    def _refusal(self, exc: openai.APIStatusError) -> InferenceFault:
        status = exc.status_code
        if status in _BUSY:
            return TooBusy(exc, limit="model server", retry_after_s=_retry_after_s(exc))
        if status >= 500:
            return self._unavailable(f"the model server fails with status {status}", exc)
        if status in (400, 413) and (sizes := _context_sizes(exc.message)):
            return ContextTooLong(exc, tokens=sizes[1], limit=sizes[0])
        message, remedy = _REFUSALS.get(status, ("the model server refused the request", None))
        return ModelRefused(message, exc, model=self._model.id, status=status, remedy=remedy)


_REFUSALS: dict[int, tuple[str, str | None]] = {
    401: (
        "the model server does not accept the API key",
        "Put a key that the model server knows where ISOBATH_CREDENTIALS_MODEL_KEY says, or into "
        "the file that ISOBATH_INFERENCE_OPENAI_API_KEY_FILE names.",
    ),
    403: (
        "the API key may not use this model",
        "Give the key the right, or set ISOBATH_INFERENCE_MODEL to a model it may use.",
    ),
    404: (
        "the model server does not serve this model",
        "Set ISOBATH_INFERENCE_MODEL to a name that its /models lists, and check that "
        "ISOBATH_INFERENCE_OPENAI_BASE_URL ends with /v1.",
    ),
}


def _wait_s(exc: openai.APIError, delay_s: float) -> float | None:
    """How long to wait before asking again; None where that would not help."""
    if isinstance(exc, openai.APIStatusError):
        if exc.status_code not in _AGAIN and exc.status_code < 500:
            return None
        told_s = _told_s(exc)
        if told_s is None:
            return delay_s
        return None if told_s > _LONGEST_WAIT_S else max(told_s, delay_s)
    return delay_s if isinstance(exc, openai.APIConnectionError) else None


def _told_s(exc: openai.APIStatusError) -> float | None:
    try:
        return float(exc.response.headers.get("retry-after", ""))
    except ValueError:
        return None


def _retry_after_s(exc: openai.APIStatusError) -> float:
    told_s = _told_s(exc)
    return _DEFAULT_RETRY_AFTER_S if told_s is None else told_s


_CONTEXT_LIMIT = re.compile(r"(?i)(?:context (?:length|window|size)|model_len)\D{0,40}?(\d[\d,]*)")
_CONTEXT_ASKED = re.compile(
    r"(?i)(?:resulted in|requested|have|contains at least|(?:prompt|input)\D{0,30}?)\s*(\d[\d,]*)"
)


def _context_sizes(message: str) -> tuple[int, int] | None:
    """(limit, asked for), where the refusal is about the context; zero for a number not told."""
    if not re.search(r"(?i)context[ _](length|window|size)|model_len", message):
        return None
    limit, asked = _CONTEXT_LIMIT.search(message), _CONTEXT_ASKED.search(message)
    return _number(limit), _number(asked)


def _number(match: re.Match[str] | None) -> int:
    return int(match[1].replace(",", "")) if match else 0


class _Answer:
    """Puts one answer together from its chunks."""

    def __init__(self, request: Request) -> None:
        self.finder = StopFinder(request.stop, after_code=request.stop_after_code)
        self._request = request
        self._text: list[str] = []
        self._matched = ""
        # the server writes on behind a stop: it did not heed it, and what follows is not wanted
        self.overrun = False
        self._finish: str | None = None
        # what vLLM tells in its field `stop_reason`; absent elsewhere
        self._reason: object = _NOT_TOLD
        self._usage: CompletionUsage | None = None

    @property
    def begun(self) -> bool:
        return bool(self._text)

    @property
    def ended(self) -> bool:
        return bool(self._matched) or self._finish is not None

    def take(self, chunk: ChatCompletionChunk) -> str:
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        if choice.finish_reason is not None:
            self._finish = choice.finish_reason
            self._reason = (choice.model_extra or {}).get("stop_reason", _NOT_TOLD)
        return self._found((choice.delta.content if choice.delta else "") or "")

    def _found(self, piece: str) -> str:
        if self._matched:
            self.overrun = self.overrun or bool(piece.strip())
            return ""
        found = self.finder.feed(piece)
        self._matched, self.overrun = found.matched, found.overrun
        self._text.append(found.text)
        return found.text

    def rest(self) -> str:
        """The end of the text: what was held back, and `</Code>` where the server swallowed it."""
        if self._matched:
            return ""
        rest = self.finder.rest()
        self._text.append(rest)
        if self._swallowed_code_end():
            self._matched = CODE_END
            self._text.append(CODE_END)
            return rest + CODE_END
        if isinstance(self._reason, str) and self._reason in self.finder.stops:
            self._matched = self._reason
        return rest

    def _swallowed_code_end(self) -> bool:
        if not self._request.stop_after_code or self._finish != "stop":
            return False
        if self._reason in (CODE_END, wording.CODE_END_TOKEN):
            return True
        return open_tag("".join(self._text)) == "Code"

    def completion(self) -> Completion:
        finish = _FINISHES.get(self._finish or "stop", Finish.STOP)
        return Completion(finish, self._matched, self._usage_told())

    def _usage_told(self) -> Usage:
        told = self._usage
        if told is None:
            text = "".join(self._text)
            prompt = estimated_prompt(self._request.messages)
            return Usage(prompt, estimated_tokens(text), estimated=True)
        cached = told.prompt_tokens_details.cached_tokens if told.prompt_tokens_details else 0
        return Usage(told.prompt_tokens, told.completion_tokens, cached or 0)


class _CallingAnswer(_Answer):
    """Of a model that calls tools: its turn in tags."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._turn = Tagged()

    def take(self, chunk: ChatCompletionChunk) -> str:
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._finish = choice.finish_reason or self._finish
        pieces = [self._turn.say((choice.delta.content if choice.delta else "") or "")]
        for call in (choice.delta.tool_calls if choice.delta else None) or []:
            function = call.function
            name, arguments = (function.name, function.arguments) if function else ("", "")
            pieces.append(self._turn.call(call.index, name or "", arguments or ""))
        self.overrun = self._turn.overrun
        text = "".join(pieces)
        self._text.append(text)
        return text

    @property
    def ended(self) -> bool:
        return self.overrun or super().ended

    def rest(self) -> str:
        # a call that was cut short is no program
        if self._finish == "length":
            return ""
        rest = self._turn.end()
        self._matched = CODE_END if self._turn.ran else ""
        self._text.append(rest)
        return rest


_NOT_TOLD = object()
