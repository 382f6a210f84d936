"""Write `training/variants/*.yaml`: training/axolotl.yaml with what differs for other machines.

Axolotl's files cannot include one another; a test holds that these are up to date.

    python -m training.axolotl_variants
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent
BASE = FOLDER / "axolotl.yaml"
# relative to the root of the repository, as every path in the files
_DEEPSPEED = "training/deepspeed"
_FSDP = ("fsdp_version", "fsdp_config")


@dataclass(frozen=True)
class Variant:
    """`why` stands at the top of the file; `without` are keys of the base that it does not have."""

    why: str
    without: tuple[str, ...]
    settings: Mapping[str, object]


class _Plain(yaml.SafeDumper):
    """Says what the base names twice as often as it is meant, without anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


VARIANTS = {
    "zero2": Variant(
        """DeepSpeed ZeRO-2: gradients and the optimizer's state are split over the GPUs, no
weights.
Less traffic than FSDP2 and ZeRO-3, and more memory: of each of 8.2e9 parameters every GPU has
2 bytes, and its share of 14: 16 GB + 115 GB / 8 = about 31 GB on 8 GPUs, 45 GB on 4; with what is
kept for the backward pass about 45 and 60 GB.""",
        _FSDP,
        {"deepspeed": f"{_DEEPSPEED}/zero2.json", "output_dir": "checkpoints/axolotl-zero2"},
    ),
    "zero3": Variant(
        """DeepSpeed ZeRO-3: weights, gradients and the optimizer's state are split over GPUs, as by
FSDP2: 16 bytes x 8.2e9 parameters = 131 GB, about 16 GB on each of 8 GPUs; in all about 30 GB.""",
        _FSDP,
        {"deepspeed": f"{_DEEPSPEED}/zero3.json", "output_dir": "checkpoints/axolotl-zero3"},
    ),
    "qlora": Variant(
        """QLoRA, for one GPU of 24 GB: no full fine-tuning, an adapter on layers of 4 bits.
6.9e9 parameters of layers x 0.55 bytes = 3.8 GB; embedding and head in bf16, 1.2 GB each; 0.17e9
parameters of the adapter at 10 bytes (fp32 weights and gradients, two moments of 8 bits) = 1.7 GB;
36 layers x 8,192 tokens x 4,096 x 2 bytes = 2.4 GB kept for the backward pass, a layer at work
about 3 GB: in all about 14 GB. Rank 64 is one of those that vLLM serves without a merge.
Tokens a step = 1 GPU x 1 row x 16 steps of accumulation x 8,192 = 131,072.""",
        _FSDP,
        {
            "adapter": "qlora",
            "load_in_4bit": True,
            "lora_r": 64,
            "lora_alpha": 64,
            "lora_dropout": 0.0,
            "lora_target_linear": True,
            "learning_rate": 0.0001,
            "weight_decay": 0.0,
            "sequence_len": 8192,
            "gradient_accumulation_steps": 16,
            "optimizer": "paged_adamw_8bit",
            "output_dir": "checkpoints/axolotl-qlora",
        },
    ),
}


def text(name: str) -> str:
    """What the file of a variant says."""
    variant = VARIANTS[name]
    base: dict[str, object] = yaml.safe_load(BASE.read_text())
    kept = {key: value for key, value in base.items() if key not in variant.without}
    about = "\n".join(f"# {line}" for line in variant.why.splitlines())
    return (
        f"{about}\n#\n# Made of training/axolotl.yaml, where the reasons are, by "
        "`python -m training.axolotl_variants`: edit those.\n\n"
        + yaml.dump({**kept, **variant.settings}, Dumper=_Plain, sort_keys=False, width=100)
    )


def path(name: str) -> Path:
    """Where that file is."""
    return FOLDER / "variants" / f"{name}.yaml"


if __name__ == "__main__":
    for each in VARIANTS:
        path(each).write_text(text(each))
