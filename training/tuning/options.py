"""What a run of training is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.tuning.examples import Long
from training.tuning.template import Source

BackendName = Literal["auto", "trl", "unsloth"]
# all linear layers of a Qwen3 but the one that gives the logits
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Lora:
    """The adapter's shape. `alpha` over `rank` scales it; over its root with `rslora`."""

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.0
    targets: tuple[str, ...] = TARGETS
    rslora: bool = False


@dataclass(frozen=True)
class Options:
    """Of `training.lora`. A step is batch × accumulation conversations."""

    model: str
    data: Path
    output: Path
    epochs: float = 3.0
    backend: BackendName = "auto"
    template: Source = "model"
    context: int = 16_384
    long: Long = "drop"
    lora: Lora = Lora()
    batch: int = 1
    accumulation: int = 8
    learning_rate: float = 1e-4
    scheduler: str = "cosine"
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_steps: int = 0
    seed: int = 7
    bf16: bool = False
    load_in_4bit: bool = False
    gradient_checkpointing: bool = True
    eval_data: Path | None = None
    held_out: float = 0.0
    # steps between evaluations, and between checkpoints; 0 = once an epoch
    every: int = 0
    patience: int = 0
    keep: int = 2
    resume: bool = False
    log_loss: bool = False

    @property
    def checkpoints(self) -> Path:
        return self.output / "checkpoints"
