"""Weights in fewer bits, in a form that vLLM reads: compressed-tensors, made by llm-compressor.

Needs torch, transformers and llmcompressor: an environment of its own (dev/quantize_env.sh)."""

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from training.unusable import Unusable
from training.weights import base, output
from training.weights.calibration import Tokens

Tell = Callable[[str], None]
_SHARD = "5GB"
# of SmoothQuant: how much of what makes activations hard goes over to the weights
_SMOOTHING = 0.8


class Scheme(StrEnum):
    """W8A8: weights and activations as 8-bit integers, on any GPU since Turing, and on CPU; FP8:
    the same as 8-bit floats, on Ada, Hopper and later; W4A16: weights in 4 bits, which takes a
    quarter of the memory, computed as bf16."""

    W8A8 = "w8a8"
    FP8 = "fp8"
    W4A16 = "w4a16"


DEFAULTS = {8: Scheme.W8A8, 4: Scheme.W4A16}
BITS = {Scheme.W8A8: 8, Scheme.FP8: 8, Scheme.W4A16: 4}
CALIBRATED = frozenset({Scheme.W8A8, Scheme.W4A16})


@dataclass(frozen=True)
class Measured:
    """Loss is in nats for each token that was counted; bytes are those of the weights' files."""

    loss_before: float
    loss_after: float
    tokens: int
    bytes_before: int
    bytes_after: int

    @property
    def perplexities(self) -> tuple[float, float]:
        return math.exp(self.loss_before), math.exp(self.loss_after)


def quantized(
    folder: Path, to: Path, scheme: Scheme,
    *, calibrating: Sequence[Tokens], measuring: Sequence[Tokens], group: int, tell: Tell,
) -> Measured:  # fmt: skip
    """Writes the model to `to`, reads it again from there, and measures. Raises Unusable."""
    dtype = base.dtype(base.config(folder))
    tell(f"loading the model, {dtype}")
    model = _loaded(folder, dtype)
    require_groups(_inputs(model), scheme, group)
    tell(f"loss on {len(measuring)} conversations")
    before, counted = loss(model, measuring)
    tell(f"{scheme.value}, with {len(calibrating)} conversations")
    _compress(model, scheme, calibrating, group)
    tell("writing it")
    model.save_pretrained(to, save_compressed=True, max_shard_size=_SHARD)
    del model
    base.keep(folder, to)
    tell("reading it again, and its loss on the same")
    after, _ = loss(_loaded(to, dtype), measuring)
    return Measured(before, after, counted, output.weights_bytes(folder), output.weights_bytes(to))


def tokenizer(folder: Path) -> Any:
    """Raises Unusable for one without the tags, or without a template."""
    found = _library("transformers").AutoTokenizer.from_pretrained(folder)
    base.require_tags(found, folder)
    if found.chat_template is None:
        raise Unusable(f"{folder} has no chat template: conversations cannot be laid out")
    return found


def require_groups(inputs: dict[str, int], scheme: Scheme, group: int) -> None:
    """Raises Unusable for layers whose inputs are no whole number of groups."""
    if scheme is not Scheme.W4A16:
        return
    if odd := [name for name, width in inputs.items() if width % group]:
        fitting = [each for each in (128, 64, 32) if all(w % each == 0 for w in inputs.values())]
        way = f"choose --group {fitting[0]}" if fitting else "choose another scheme"
        raise Unusable(
            f"{odd[0]} and {len(odd) - 1} more have inputs that are no multiple of {group}: {way}"
        )


def loss(model: Any, conversations: Sequence[Tokens]) -> tuple[float, int]:
    """The mean over all counted tokens, and how many they are. Raises Unusable where there is none,
    or what is no number."""
    torch = _library("torch")
    total, counted = 0.0, 0
    for each in conversations:
        wanted = torch.tensor(each.counted[1:], dtype=torch.bool)
        if not bool(wanted.any()):
            continue
        ids = torch.tensor([each.ids], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1].float().cpu()
        told = torch.nn.functional.cross_entropy(
            logits[wanted], ids[0, 1:].cpu()[wanted], reduction="sum"
        )
        total, counted = total + float(told), counted + int(wanted.sum())
    if not counted:
        raise Unusable("nothing of the held-out conversations was written by the model")
    if not math.isfinite(total):
        raise Unusable("the loss is no finite number: the weights are broken")
    return total / counted, counted


def _loaded(folder: Path, dtype: str) -> Any:
    torch, transformers = _library("torch"), _library("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), local_files_only=True
    )
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _inputs(model: Any) -> dict[str, int]:
    """Of each layer that is quantized: how wide what it takes is."""
    linear = _library("torch").nn.Linear
    return {
        name: each.in_features
        for name, each in model.named_modules()
        if isinstance(each, linear) and not name.endswith("lm_head")
    }


def _compress(model: Any, scheme: Scheme, calibrating: Sequence[Tokens], group: int) -> None:
    given: dict[str, Any] = {"model": model, "recipe": _recipe(scheme, group)}
    if scheme in CALIBRATED:
        rows = [{"input_ids": list(t.ids), "attention_mask": [1] * len(t.ids)} for t in calibrating]
        given |= {
            "dataset": _library("datasets").Dataset.from_list(rows),
            "num_calibration_samples": len(rows),
            "max_seq_length": max(len(each.ids) for each in calibrating),
            # layer by layer: only one is on the GPU at a time
            "pipeline": "sequential",
        }
    _library("llmcompressor").oneshot(**given)


def _recipe(scheme: Scheme, group: int) -> list[Any]:
    """The head stays as it is: it is small, and what it rounds shows in every token."""
    common = {"targets": "Linear", "ignore": ["lm_head"]}
    if scheme is Scheme.FP8:
        modifier = _library("llmcompressor.modifiers.quantization").QuantizationModifier
        return [modifier(scheme="FP8_DYNAMIC", **common)]
    gptq = _library("llmcompressor.modifiers.gptq").GPTQModifier
    if scheme is Scheme.W8A8:
        smooth = _library("llmcompressor.modifiers.transform.smoothquant").SmoothQuantModifier
        return [smooth(smoothing_strength=_SMOOTHING), gptq(scheme="W8A8", **common)]
    told = _library("compressed_tensors.quantization")
    weights = told.QuantizationArgs(
        num_bits=4, type="int", symmetric=True, strategy="group", group_size=group
    )
    wanted = told.QuantizationScheme(targets=["Linear"], weights=weights)
    return [gptq(config_groups={"group_0": wanted}, ignore=["lm_head"])]


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise Unusable(
            f"{name} is not in this environment: bash dev/quantize_env.sh makes one ({exc})"
        ) from exc
