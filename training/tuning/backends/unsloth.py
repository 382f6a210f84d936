"""Unsloth: the same adapter with less memory and in less time, on a GPU.

The arguments are those of `FastLanguageModel` in unsloth's `models/loader.py` and
`models/llama.py` of August 2026. Its own tokenizer is not used: it may mend the chat template.
"""

import importlib
from typing import Any

from training.tuning.options import Options


class Unsloth:
    """A Backend, made before TRL, transformers and PEFT are imported: it patches them."""

    name = "unsloth"

    def __init__(self) -> None:
        self._fast = importlib.import_module("unsloth").FastLanguageModel

    def model(self, options: Options) -> Any:
        base, _ = self._fast.from_pretrained(
            model_name=options.model,
            max_seq_length=options.context,
            dtype=None,
            load_in_4bit=options.load_in_4bit,
            # not one of Unsloth's own uploads in its place: the adapter is served on this one
            use_exact_model_name=True,
            random_state=options.seed,
            max_lora_rank=options.lora.rank,
        )
        return self._fast.get_peft_model(
            base,
            r=options.lora.rank,
            target_modules=list(options.lora.targets),
            lora_alpha=options.lora.alpha,
            lora_dropout=options.lora.dropout,
            bias="none",
            use_gradient_checkpointing="unsloth" if options.gradient_checkpointing else False,
            random_state=options.seed,
            use_rslora=options.lora.rslora,
        )

    def arguments(self, options: Options) -> dict[str, Any]:
        # its own checkpointing is part of the model
        return {"bf16": True, "gradient_checkpointing": False}
