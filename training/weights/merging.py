"""A LoRA adapter added to the weights that it was trained beside, and whether that went well.

Needs torch, transformers and peft."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.unusable import Unusable
from training.weights import base

Message = dict[str, str]
Conversation = Sequence[Message]
Tell = Callable[[str], None]

# of each prompt: as many say how the weights differ as any number of them
PROMPT_TOKENS = 256
# A bf16 number has 8 bits: each of some hundred sums on the way to the logits is off by up to
# 2**-9 of its size, mostly in both directions.
TOLERANCES = {"bfloat16": 0.05, "float16": 0.01, "float32": 1e-4}
# what merging may change of what the adapter does, where that can be seen at all
_LOST_AT_MOST = 0.5
_SHARD = "5GB"
PROMPTS: Sequence[Conversation] = (
    [{"role": "user", "content": "# Instruction\nWhich region has the most orders?"}],
    [
        {"role": "user", "content": "# Instruction\nHow many rows are there?"},
        {"role": "assistant", "content": "<Code>\n```python\nprint(len(orders))\n```\n</Code>"},
        {"role": "execute", "content": "1200"},
    ],
    [
        {"role": "user", "content": "# Instruction\nWhat is the mean of amount?"},
        {"role": "assistant", "content": "<Analyze>The column amount is numeric.</Analyze>"},
    ],
)


@dataclass(frozen=True)
class Difference:
    """Of logits from those that they are to equal. `largest` and `mean` are absolute, `scale` is
    the largest of the reference; `agreeing`: the share of places with the same likeliest token."""

    largest: float
    mean: float
    scale: float
    agreeing: float

    @property
    def relative(self) -> float:
        return self.largest / self.scale if self.scale else self.largest


@dataclass(frozen=True)
class Check:
    """`merged`: against base and adapter, as they were loaded from the output; `adapter`: what the
    adapter makes of the base."""

    merged: Difference
    adapter: Difference
    tolerance: float

    def fault(self) -> str:
        """What is wrong, or ""."""
        if self.merged.relative > self.tolerance:
            return (
                f"the merged model's logits differ from those of base and adapter by up to "
                f"{self.merged.largest:.4g}, {self.merged.relative:.2%} of the largest, above "
                f"the tolerance of {self.tolerance:.2%}"
            )
        seen = self.adapter.relative > self.tolerance
        if seen and self.merged.mean > _LOST_AT_MOST * self.adapter.mean:
            return (
                f"merging loses what the adapter does: it moves logits by {self.adapter.mean:.4g} "
                f"in the mean, and {self.merged.mean:.4g} of that went in the rounding"
            )
        return ""

    def warning(self) -> str:
        """What may be meant otherwise, or ""."""
        if not self.adapter.largest:
            return "the adapter changes nothing on these prompts: was it trained at all?"
        return ""


def difference(reference: Sequence[Any], others: Sequence[Any]) -> Difference:
    """Of tensors [tokens, vocabulary]. Raises Unusable for what is no number."""
    torch = _library("torch")
    largest = scale = total = 0.0
    numbers = same = places = 0
    for one, other in zip(reference, others, strict=True):
        if not bool(torch.isfinite(other).all()):
            raise Unusable("the model gives NaN or infinite logits: its weights are broken")
        apart = (one - other).abs()
        largest = max(largest, float(apart.max()))
        scale = max(scale, float(one.abs().max()))
        total += float(apart.sum(dtype=torch.float64))
        numbers += apart.numel()
        same += int((one.argmax(-1) == other.argmax(-1)).sum())
        places += len(one)
    return Difference(largest, total / numbers, scale, same / places)


def merged(
    folder: Path, adapter: Path, output: Path, prompts: Sequence[Conversation],
    *, device: str, tolerance: float | None, tell: Tell,
) -> Check:  # fmt: skip
    """Writes the merged model to `output`, and compares what lies there with what base and adapter
    gave together. Raises Unusable before or after, with `output` of no use then."""
    dtype = base.dtype(base.config(folder))
    tokenizer = _tokenizer(folder, adapter)
    tell(f"loading the base, {dtype}")
    model = _loaded(folder, dtype, device)
    base.require_rows(tokenizer, model.get_input_embeddings().num_embeddings, folder)
    ids = [_ids(tokenizer, each) for each in prompts]
    tell("loading the adapter")
    model = _adapted(model, adapter)
    tell(f"asking base and adapter {len(ids)} prompts")
    reference = [_logits(model, each) for each in ids]
    with model.disable_adapter():
        effect = difference(reference, [_logits(model, each) for each in ids])
    tell("merging")
    model = _unloaded(model, adapter)
    tell("writing it")
    model.save_pretrained(output, max_shard_size=_SHARD)
    del model
    base.keep(folder, output)
    keep_template(adapter, output)
    tell("reading it again, and asking it the same")
    again = _loaded(output, dtype, device)
    _require_finite(again)
    base.require_tags(_library("transformers").AutoTokenizer.from_pretrained(output), output)
    found = difference(reference, [_logits(again, each) for each in ids])
    check = Check(found, effect, TOLERANCES[dtype] if tolerance is None else tolerance)
    if fault := check.fault():
        raise Unusable(fault)
    return check


def keep_template(adapter: Path, output: Path) -> None:
    """The template that it was trained with goes before the base's own."""
    if (adapter / base.TEMPLATE).is_file():
        (output / base.TEMPLATE).write_bytes((adapter / base.TEMPLATE).read_bytes())


def _tokenizer(folder: Path, adapter: Path) -> Any:
    """With the template that the output will have. Raises Unusable."""
    tokenizer = _library("transformers").AutoTokenizer.from_pretrained(folder)
    base.require_tags(tokenizer, folder)
    if (adapter / base.TEMPLATE).is_file():
        tokenizer.chat_template = (adapter / base.TEMPLATE).read_text()
    if tokenizer.chat_template is None:
        raise Unusable(
            f"neither {folder} nor {adapter} has a chat template: no server could use it"
        )
    return tokenizer


def _loaded(folder: Path, dtype: str, device: str) -> Any:
    """Weights go to their place one after the other: never two copies of the model."""
    torch, transformers = _library("torch"), _library("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), low_cpu_mem_usage=True, local_files_only=True
    )
    return model.to(device).eval()


def _adapted(model: Any, adapter: Path) -> Any:
    peft, torn = _library("peft"), _library("safetensors").SafetensorError
    try:
        return peft.PeftModel.from_pretrained(model, str(adapter)).eval()
    # of shapes that do not fit, keys that are missing, a config that is none: as peft words it
    except (RuntimeError, ValueError, KeyError, TypeError, torn) as exc:
        raise Unusable(f"the adapter in {adapter} is torn, or not of this base: {exc}") from exc


def _unloaded(model: Any, adapter: Path) -> Any:
    try:
        return model.merge_and_unload(progressbar=True, safe_merge=True)
    except ValueError as exc:
        raise Unusable(f"the adapter in {adapter} is broken: {exc}") from exc


def _ids(tokenizer: Any, conversation: Conversation) -> list[int]:
    found = tokenizer.apply_chat_template(list(conversation), tokenize=True, return_dict=False)
    return list(found)[:PROMPT_TOKENS]


def _logits(model: Any, ids: list[int]) -> Any:
    """[tokens, vocabulary], as float32 on the CPU."""
    torch = _library("torch")
    with torch.inference_mode():
        given = torch.tensor([ids], device=model.device)
        return model(input_ids=given).logits[0].float().cpu()


def _require_finite(model: Any) -> None:
    torch = _library("torch")
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise Unusable(f"{name} holds NaN or infinite numbers after merging")


def _library(name: str) -> Any:
    """Of the environment for training; that of the services has none of them."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise Unusable(f"{name} is not in this environment: see docs/training.md ({exc})") from exc
