"""PEFT on whatever PyTorch runs on."""

import importlib
from typing import Any

from training.tuning.options import Options


class Trl:
    """A Backend. On CPU all is float32 unless bf16 is asked for."""

    name = "trl"

    def __init__(self, *, gpu: bool) -> None:
        self._gpu = gpu

    def model(self, options: Options) -> Any:
        peft = importlib.import_module("peft")
        torch, transformers = (
            importlib.import_module("torch"),
            importlib.import_module("transformers"),
        )
        transformers.set_seed(options.seed)
        half = self._gpu or options.bf16
        base = transformers.AutoModelForCausalLM.from_pretrained(
            options.model,
            dtype=torch.bfloat16 if half else torch.float32,
            quantization_config=_four_bits() if options.load_in_4bit else None,
            device_map={"": torch.cuda.current_device()} if options.load_in_4bit else None,
        )
        if options.load_in_4bit:
            base = peft.prepare_model_for_kbit_training(
                base, use_gradient_checkpointing=options.gradient_checkpointing
            )
        return peft.get_peft_model(base, _config(peft, options))

    def arguments(self, options: Options) -> dict[str, Any]:
        return {
            "bf16": self._gpu or options.bf16,
            "use_cpu": not self._gpu,
            "gradient_checkpointing": options.gradient_checkpointing,
        }


def _config(peft: Any, options: Options) -> Any:
    shape = options.lora
    return peft.LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=list(shape.targets),
        use_rslora=shape.rslora,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _four_bits() -> Any:
    """QLoRA's: https://arxiv.org/abs/2305.14314"""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
