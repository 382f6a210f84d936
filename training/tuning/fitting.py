"""From prepared examples to an adapter: TRL's SFTTrainer, on our labels.

Of TRL it takes what plain transformers lacks: log-probabilities from the last layer without the
logits of all tokens, which for a vocabulary of 150,000 and 16,000 tokens would be 10 GB. It is
given tokens and labels, and neither renders, masks, cuts nor packs anything itself.
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.tuning.backends.port import Backend
from training.tuning.collating import Collator, rows
from training.tuning.examples import Example
from training.tuning.options import Options
from training.tuning.preparation import Prepared
from training.tuning.watching import Point, Stopping, Teller, callback, points
from training.unusable import Unusable


@dataclass(frozen=True)
class Fitted:
    """What a run came to. `best_step` is 0 where nothing was held out: then the last one counts."""

    model: Any
    points: list[Point]
    step: int
    best_step: int
    signal: int


def steps_per_epoch(examples: int, options: Options) -> int:
    """Updates of the weights in one epoch."""
    return max(1, math.ceil(math.ceil(examples / options.batch) / options.accumulation))


def arguments(options: Options, backend: Backend, *, train: int, held: bool) -> dict[str, Any]:
    """Of TRL's configurations; for both of its trainers, in the versions of Unsloth too."""
    per_epoch = steps_per_epoch(train, options)
    steps = options.max_steps or math.ceil(per_epoch * options.epochs)
    every = options.every or per_epoch
    return {
        "output_dir": str(options.checkpoints),
        "num_train_epochs": options.epochs,
        "max_steps": options.max_steps or -1,
        "per_device_train_batch_size": options.batch,
        "per_device_eval_batch_size": options.batch,
        "gradient_accumulation_steps": options.accumulation,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": options.scheduler,
        "warmup_steps": math.ceil(steps * options.warmup),
        "weight_decay": options.weight_decay,
        "seed": options.seed,
        "data_seed": options.seed,
        "max_length": None,
        "remove_unused_columns": False,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": options.keep,
        "eval_strategy": "steps" if held else "no",
        "eval_steps": every if held else None,
        "load_best_model_at_end": held,
        "metric_for_best_model": "eval_loss" if held else None,
        "greater_is_better": False if held else None,
        "disable_tqdm": True,
        "report_to": "none",
        **backend.arguments(options),
    }


def fitted(prepared: Prepared, backend: Backend, options: Options, teller: Teller) -> Fitted:
    """Trains, or goes on from the last checkpoint."""
    model = backend.model(options)
    trl, datasets = importlib.import_module("trl"), importlib.import_module("datasets")
    held = prepared.held.examples
    made = arguments(options, backend, train=len(prepared.train.examples), held=bool(held))
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(
            dataset_kwargs={"skip_prepare_dataset": True}, padding_free=False, packing=False, **made
        ),
        data_collator=Collator(prepared.tokenizer),
        train_dataset=_dataset(datasets, prepared.train.examples),
        eval_dataset=_dataset(datasets, held) if held else None,
        processing_class=prepared.tokenizer,
    )
    return watched(trainer, options, teller)


def watched(trainer: Any, options: Options, teller: Teller) -> Fitted:
    """Runs a trainer of TRL to its end, or to a signal."""
    transformers = importlib.import_module("transformers")
    stopping = Stopping()
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(callback(teller, stopping))
    if options.patience:
        trainer.add_callback(transformers.EarlyStoppingCallback(options.patience))
    with stopping.listening():
        trainer.train(resume_from_checkpoint=str(last(options)) if options.resume else None)
    state = trainer.state
    best = int(state.best_global_step or 0) if not stopping.signal else 0
    return Fitted(
        trainer.model, points(state.log_history), state.global_step, best, stopping.signal
    )


def last(options: Options) -> Path:
    """The newest checkpoint. Raises Unusable."""
    found = sorted(
        options.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1])
    )
    if not found:
        raise Unusable(f"{options.checkpoints} holds no checkpoint to resume from.")
    return found[-1]


def _dataset(datasets: Any, examples: Sequence[Example]) -> Any:
    return datasets.Dataset.from_list(rows(examples))
