"""Tokens per second of an 8B model on a GPU: vLLM's engine alone, and this inference service around
it, at 1, 8, 64 and 256 streams. Weights are random (`load_format=dummy`): speed does not depend on
them, and nothing is downloaded.

    python -m bench.inference_gpu

It needs a CUDA GPU with 24 GB or more and `pip install vllm`; without, it says so and ends."""

import argparse
import asyncio
import importlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.inference import Answer, Ask, Seen, measured, request, service, told, versions
from tests.inference import tiny_model

_VOCABULARY = 151_936
_CONTEXT = 8_192
# Qwen3-8B, which DeepAnalyze-8B is made from
SHAPE = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 4096,
    "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": _VOCABULARY,
    "max_position_embeddings": 131_072, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000,
    "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
ENGINE = "vLLM's engine alone"


def gpu() -> str:
    """The card's name; empty where there is none."""
    try:
        cuda = importlib.import_module("torch").cuda
    except ImportError:
        return ""
    return str(cuda.get_device_name(0)) if cuda.is_available() else ""


def make(folder: Path) -> Path:
    """The 8B model without weights: its shape, and a tokenizer with as many tokens as it has rows,
    so that whatever it writes is text."""
    tokenizer = tiny_model.byte_tokenizer(tiny_model.TEMPLATE)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer.json"
    saved = json.loads(path.read_text())
    known = saved["model"]["vocab"]
    known |= {f"w{number}Ġ": number for number in range(len(tokenizer), _VOCABULARY)}
    path.write_text(json.dumps(saved))
    (folder / "config.json").write_text(json.dumps(SHAPE))
    return folder


@asynccontextmanager
async def engine_alone(model: Path, slots: int) -> AsyncIterator[Ask]:
    """In this process, with nothing of ours around it."""
    arg_utils = importlib.import_module("vllm.engine.arg_utils")
    llm = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM
    vllm = importlib.import_module("vllm")
    kinds = importlib.import_module("vllm.sampling_params")
    arguments = arg_utils.AsyncEngineArgs(
        model=str(model), load_format="dummy", max_model_len=_CONTEXT, max_num_seqs=slots,
        dtype="bfloat16",
    )  # fmt: skip
    engine = llm.from_engine_args(arguments)
    tokenizer = await _awaited(engine.get_tokenizer())

    async def ask(number: int, tokens: int) -> Answer:
        answer = Answer(time.perf_counter())
        messages = [{"role": "user", "content": request(number, tokens).messages[0].content}]
        ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
        sampling = vllm.SamplingParams(
            temperature=0, max_tokens=tokens, output_kind=kinds.RequestOutputKind.DELTA
        )
        prompt = {"prompt_token_ids": list(ids)}
        async for output in engine.generate(prompt, sampling, uuid.uuid4().hex):
            answer.tokens += len(output.outputs[0].token_ids)
            answer.piece()
        return answer

    try:
        yield ask
    finally:
        engine.shutdown()


async def _awaited(found: Any) -> Any:
    return await found if asyncio.iscoroutine(found) else found


async def bench(streams: Sequence[int], tokens: int, rounds: int) -> str:
    """One after the other: the card holds one of them at a time."""
    slots = max(streams)
    os.environ.update(HF_HUB_OFFLINE="1", VLLM_WORKER_MULTIPROCESSING_METHOD="spawn")
    found: dict[tuple[int, str], Seen] = {}
    with TemporaryDirectory(prefix="isobath-bench-") as folder:
        model = await asyncio.to_thread(make, Path(folder))
        async with engine_alone(model, slots) as ask:
            found |= await measured({ENGINE: ask}, streams, tokens, rounds)
        settings = {
            "VLLM_LOAD_FORMAT": "dummy", "VLLM_DTYPE": "bfloat16", "CONTEXT_TOKENS": str(_CONTEXT),
        }  # fmt: skip
        async with service(model, slots=slots, **settings) as ways:
            found |= await measured(ways, streams, tokens, rounds)
    ordered = {key: found[key] for key in sorted(found, key=lambda key: key[0])}
    head = f"{gpu()}; {versions()}; {tokens} tokens each, {rounds} rounds"
    return f"{head}\n{told(ordered, ENGINE)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.inference_gpu")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if not gpu():
        print("no CUDA GPU here, or no PyTorch that sees it: nothing was measured")
        return
    print(asyncio.run(bench(given.streams, given.tokens, given.rounds)))


if __name__ == "__main__":
    main()
