"""What a run will take, told before weights are loaded: an estimate of the parts that are known,
and of the activations that checkpointing keeps."""

import importlib
from dataclasses import dataclass
from typing import Any

from training.tuning.options import Options
from training.tuning.preparation import Prepared
from training.unusable import Unusable

_GIB = 2**30
# of an adapter's number: itself, its gradient, Adam's two moments, all float32
_TRAINED_BYTES = 4 * 4
# NF4 with doubly quantized constants: 4.127 bits (https://arxiv.org/abs/2305.14314)
_FOUR_BITS = 4.127 / 8
# of a layer's width for each token, while it is computed: attention, both halves of the MLP, norms
_WIDTHS_INSIDE = 34


@dataclass(frozen=True)
class Size:
    """Of a model with an adapter: numbers in all and in the adapter, layers, width."""

    weights: int
    adapter: int
    layers: int
    width: int


def estimate(size: Size, tokens: int, *, weight_bytes: float, checkpointing: bool) -> int:
    """Bytes for batches of so many tokens."""
    number = 4 if weight_bytes == 4 else 2
    layers = size.layers if not checkpointing else 1
    kept = size.layers * size.width * number if checkpointing else 0
    activations = tokens * (kept + layers * _WIDTHS_INSIDE * size.width * number)
    return int(size.weights * weight_bytes + size.adapter * _TRAINED_BYTES + activations)


def lines(options: Options, prepared: Prepared) -> list[str]:
    """For people. Raises Unusable where the targets are none of the model's modules."""
    size = _size(options)
    longest = max(len(example.input_ids) for example in prepared.train.examples) * options.batch
    gpu = bool(importlib.import_module("torch").cuda.is_available())
    each = _FOUR_BITS if options.load_in_4bit else 2.0 if gpu or options.bf16 else 4.0
    total = estimate(size, longest, weight_bytes=each, checkpointing=options.gradient_checkpointing)
    return [
        f"model: {size.weights / 1e9:.3g}e9 weights, adapter {size.adapter / 1e6:.3g}e6 "
        f"({size.adapter / size.weights:.2%}); memory about {total / _GIB:.2g} GiB"
    ]


def _size(options: Options) -> Size:
    transformers, torch = importlib.import_module("transformers"), importlib.import_module("torch")
    config: Any = transformers.AutoConfig.from_pretrained(options.model)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    linear = [
        (name.rpartition(".")[2], module.in_features + module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    known = {name for name, _ in linear}
    if missing := [target for target in options.lora.targets if target not in known]:
        raise Unusable(
            f"--targets: the model has no {', '.join(missing)}; it has {', '.join(sorted(known))}"
        )
    adapter = sum(
        options.lora.rank * sides for name, sides in linear if name in options.lora.targets
    )
    weights = sum(weight.numel() for weight in model.parameters())
    return Size(weights, adapter, config.num_hidden_layers, config.hidden_size)
