"""vLLM in this process: its scheduler and model run in a child of ours.

Facts this rests on (vLLM 0.33): `SamplingParams` gives cumulative text and 16 tokens unless told;
where the tags are special tokens, stop strings never fire, their ids do; leaving the loop over
`generate` without closing it leaves the request running."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servicekit import logs
from servicekit.limits import Limiter
from services.inference.engines.chat import Chat, chat
from services.inference.engines.stops import StopFinder
from services.inference.engines.vllm import checkpoint, lora
from services.inference.engines.vllm.checkpoint import Ends
from services.inference.engines.vllm.stats import Stats
from services.inference.errors import (
    AdapterConflict,
    AdapterUnfit,
    ContextTooLong,
    ModelNotFound,
    ModelUnavailable,
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
)
from services.inference.settings import Settings

_log = logs.get(__name__)

NAME = "vllm"
_DEFAULT_MAX_TOKENS = 32_768
_WATCH_S = 0.5
_FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH}


@dataclass(frozen=True)
class _Adapter:
    model: Model
    path: Path
    lora: Any
    chat: Chat


class VllmEngine:
    """An Engine, and Adapters. `dead` is called once when the child process is gone for good;
    `most_adapters` can be loaded at once, where that is bounded."""

    def __init__(
        self,
        engine: Any,
        tokenizer: Any,
        settings: Settings,
        stats: Stats,
        dead: Callable[[], None],
        *,
        most_adapters: int | None = None,
    ) -> None:
        self._engine = engine
        self._chat = chat(tokenizer, settings.protocol)
        self._stats = stats
        self._most_adapters = most_adapters
        self._largest_rank = settings.vllm_adapter_rank
        self._context = int(engine.model_config.max_model_len)
        described = f"{Path(settings.model).name} on vLLM"
        self._model = Model(settings.public_model, NAME, described, self._context)
        self._ends = checkpoint.ends(tokenizer)
        # one thread: the tokenizer may not be used by two at once
        self._threads = Limiter("tokenizer", 1)
        self._adapters: dict[str, _Adapter] = {}
        self._adapter_ids = itertools.count(1)
        self._changing = asyncio.Lock()
        self._in_use: Counter[str] = Counter()
        self._released = asyncio.Condition()
        self._watching = asyncio.create_task(self._watch(dead))
        _log.info(
            "engine_ready",
            model=self._model.id,
            context_tokens=self._context,
            code_end_token=self._ends.code_id,
            role_execute=self._chat.execute_role,
            asks_for_head=self._chat.asks_for_head,
        )

    def models(self) -> Sequence[Model]:
        return (self._model, *(adapter.model for adapter in self._adapters.values()))

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        adapter = self._adapter(request.model)
        self._in_use[request.model] += 1
        try:
            ids = await self._prompt(request.messages, adapter)
            if len(ids) >= self._context:
                raise ContextTooLong(tokens=len(ids), limit=self._context)
            async with aclosing(self._answer(request, ids, adapter)) as events:
                async for event in events:
                    yield event
        finally:
            await self._release(request.model)

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        ids = await self._prompt(messages, self._adapters.get(model))
        return TokenCount(len(ids), estimated=False)

    def load(self) -> Load:
        slots = int(self._engine.vllm_config.scheduler_config.max_num_seqs)
        stats = self._stats
        return Load(stats.running, stats.waiting, slots, stats.cache_used_fraction)

    async def aclose(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._engine.shutdown()
        await self._threads.aclose()

    async def load_adapter(self, name: str, path: Path) -> Model:
        async with self._changing:
            known = self._adapters.get(name)
            if known is not None and known.path == path:
                return known.model
            if known is not None or name == self._model.id:
                raise AdapterConflict(name)
            if self._most_adapters is not None and len(self._adapters) >= self._most_adapters:
                raise AdapterUnfit(
                    f"{self._most_adapters} are loaded, and on CPU no more can be",
                    path=str(path),
                    remedy="Unload one first, or start the inference service with a larger "
                    "VLLM_ADAPTERS.",
                )
            await self._threads.run(lora.check, path, largest_rank=self._largest_rank)
            template = await self._threads.run(lora.template, path)
            adapter = self._new_adapter(name, path, template)
            await self._added(adapter)
            self._adapters[name] = adapter
            return adapter.model

    async def unload_adapter(self, name: str) -> bool:
        async with self._changing:
            adapter = self._adapters.pop(name, None)
            if adapter is None:
                return False
            async with self._released:
                await self._released.wait_for(lambda: not self._in_use[name])
            await self._engine.remove_lora(adapter.lora.lora_int_id)
            return True

    async def _added(self, adapter: _Adapter) -> None:
        """What the check could not see vLLM refuses with words of its own."""
        try:
            await self._engine.add_lora(adapter.lora)
        except Exception as exc:
            if self._engine.errored:
                raise self._died(exc) from exc
            why = "the engine does not take it"
            raise AdapterUnfit(why, exc, path=str(adapter.path)) from exc

    def _new_adapter(self, name: str, path: Path, template: str | None) -> _Adapter:
        from vllm.lora.request import LoRARequest

        model = Model(name, NAME, f"adapter of {self._model.id}", self._context, self._model.id)
        number = next(self._adapter_ids)
        # vLLM's cache of prefixes tells adapters apart by this name and the path: one that was
        # replaced in its place must not be given what its predecessor computed
        request = LoRARequest(f"{name}#{number}", number, str(path))
        spoken = self._chat.under(template) if template else self._chat
        return _Adapter(model, path, request, spoken)

    def _adapter(self, model: str) -> _Adapter | None:
        if model in ("", self._model.id):
            return None
        if model not in self._adapters:
            raise ModelNotFound(model)
        return self._adapters[model]

    async def _release(self, model: str) -> None:
        self._in_use[model] -= 1
        async with self._released:
            self._released.notify_all()

    async def _prompt(self, messages: Sequence[Message], adapter: _Adapter | None) -> list[int]:
        spoken = adapter.chat if adapter else self._chat
        return await self._threads.run(spoken.tokens, messages)

    async def _answer(
        self, request: Request, ids: list[int], adapter: _Adapter | None
    ) -> AsyncGenerator[Event, None]:
        from vllm.v1.engine.exceptions import EngineDeadError

        answer = _Answer(request, self._ends)
        try:
            async with aclosing(self._outputs(request, ids, adapter)) as outputs:
                async for output in outputs:
                    if delta := answer.take(output):
                        yield delta
                    if answer.matched:
                        break
        except EngineDeadError as exc:
            raise self._died(exc) from exc
        if rest := answer.rest():
            yield Delta(rest)
        yield answer.completion(len(ids))

    def _died(self, exc: Exception) -> ModelUnavailable:
        return ModelUnavailable(
            "the engine's process has died", exc, model=self._model.id, engine=NAME
        )

    async def _watch(self, dead: Callable[[], None]) -> None:
        while not self._engine.errored:  # noqa: ASYNC110
            await asyncio.sleep(_WATCH_S)
        dead()

    def _outputs(
        self, request: Request, ids: list[int], adapter: _Adapter | None
    ) -> AsyncGenerator[Any, None]:
        from vllm.inputs import TokensPrompt

        prompt = TokensPrompt(prompt_token_ids=ids)
        if request.owner:
            prompt["cache_salt"] = request.owner
        outputs: AsyncGenerator[Any, None] = self._engine.generate(
            prompt,
            self._sampling(request, self._context - len(ids)),
            uuid.uuid4().hex,
            lora_request=adapter.lora if adapter else None,
            priority=request.priority,
            # vLLM makes spans of its own where it has a collector (--otlp-traces-endpoint)
            trace_headers=request.trace or None,
        )
        return outputs

    def _sampling(self, request: Request, room: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        code_id = self._ends.code_id if request.stop_after_code else None
        by_string = request.stop_after_code and code_id is None
        return SamplingParams(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=min(request.sampling.max_tokens or _DEFAULT_MAX_TOKENS, room),
            seed=request.sampling.seed,
            stop=[*request.stop, *([CODE_END] if by_string else [])],
            stop_token_ids=[] if code_id is None else [code_id],
            # both, or the tag that ended the answer is missing from it
            skip_special_tokens=False,
            include_stop_str_in_output=True,
            output_kind=RequestOutputKind.DELTA,
        )


class _Answer:
    """Puts one answer together from vLLM's outputs."""

    def __init__(self, request: Request, ends: Ends) -> None:
        stops = (*request.stop, *ends.turn)
        self._finder = StopFinder(stops, after_code=request.stop_after_code)
        self._turn = ends.turn
        self._tokens = 0
        self._cached = 0
        self._finish = Finish.STOP
        self.matched = ""

    def take(self, output: Any) -> Delta | None:
        part = output.outputs[0]
        self._tokens += len(part.token_ids)
        self._cached = output.num_cached_tokens or self._cached
        if part.finish_reason is not None:
            self._finish = _FINISHES.get(part.finish_reason, Finish.ABORT)
        found = self._finder.feed(part.text)
        self.matched = found.matched
        return Delta(found.text, len(part.token_ids)) if found.text else None

    def rest(self) -> str:
        return "" if self.matched else self._finder.rest()

    def completion(self, prompt_tokens: int) -> Completion:
        matched = "" if self.matched in self._turn else self.matched
        finish = Finish.STOP if self.matched else self._finish
        return Completion(finish, matched, Usage(prompt_tokens, self._tokens, self._cached))
