"""Fine-tune a model with LoRA on conversations of the platform."""

# Run by its path, this folder would come before the standard library, which has names of its
# modules too. `sys` and `os` are imported by then, whatever lies here.
import os
import sys

if not __package__:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

from pathlib import Path
from typing import Annotated

import typer

from training import adapter
from training.tuning import backends, memory, outcome
from training.tuning.audit import Mislabelled
from training.tuning.backends.port import Backend
from training.tuning.examples import Long
from training.tuning.fitting import fitted
from training.tuning.options import TARGETS, BackendName, Lora, Options
from training.tuning.preparation import Prepared, prepared
from training.tuning.template import Source
from training.tuning.watching import Teller
from training.unusable import Unusable


def lora(
    model: Annotated[str, typer.Option(help="A folder, or a name of the model hub.")],
    data: Annotated[
        Path, typer.Option(help="Conversations, as `python -m training.data` writes them.")
    ],
    output: Annotated[Path, typer.Option(help="The folder for the adapter.")],
    epochs: Annotated[float, typer.Option(min=0.0, help="Times over the data.")] = 3.0,
    backend: Annotated[
        BackendName, typer.Option(help="auto: unsloth where there are it and a GPU.")
    ] = "auto",
    template: Annotated[
        Source, typer.Option(help="The model's chat template, or training/chat_template.jinja.")
    ] = "model",
    context: Annotated[
        int, typer.Option(min=16, help="Tokens of a conversation at most.")
    ] = 16_384,
    long: Annotated[
        Long, typer.Option(help="Of one that is longer: drop it, or leave off its last turns.")
    ] = "drop",
    rank: Annotated[int, typer.Option(min=1)] = 32,
    alpha: Annotated[int, typer.Option(min=1, help="The adapter's weight is alpha / rank.")] = 64,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9)] = 0.0,
    targets: Annotated[str, typer.Option(help="Modules that get an adapter.")] = ",".join(TARGETS),
    rslora: Annotated[bool, typer.Option(help="Its weight is alpha / √rank.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Conversations at once.")] = 1,
    accumulation: Annotated[int, typer.Option(min=1, help="Batches before a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 1e-4,
    scheduler: Annotated[str, typer.Option(help="cosine, linear, constant …")] = "cosine",
    warmup: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the steps.")] = 0.03,
    weight_decay: Annotated[float, typer.Option(min=0.0)] = 0.0,
    max_steps: Annotated[int, typer.Option(min=0, help="0 = as many as the epochs have.")] = 0,
    seed: Annotated[int, typer.Option()] = 7,
    bf16: Annotated[bool, typer.Option(help="On CPU too; a GPU always has it.")] = False,
    load_in_4bit: Annotated[bool, typer.Option(help="QLoRA; GPU only.")] = False,
    gradient_checkpointing: Annotated[bool, typer.Option(help="Less memory, more time.")] = True,
    eval_data: Annotated[Path | None, typer.Option(help="Conversations to measure with.")] = None,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of the data to measure with, by source.")
    ] = 0.0,
    every: Annotated[int, typer.Option(min=0, help="Steps between checkpoints; 0 = an epoch.")] = 0,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many measurements that are no better.")
    ] = 0,
    keep: Annotated[int, typer.Option(min=1, help="Checkpoints to keep.")] = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    log_loss: Annotated[bool, typer.Option("--log-loss", help="Loss on a log scale.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the data and the labels, and train nothing.")
    ] = False,
) -> None:
    """Train an adapter. The loss counts what the model wrote, and the token that ends its turn."""
    shape = Lora(rank, alpha, dropout, tuple(t.strip() for t in targets.split(",")), rslora)
    options = Options(
        model=model, data=data, output=output, epochs=epochs, backend=backend, template=template,
        context=context, long=long, lora=shape, batch=batch, accumulation=accumulation,
        learning_rate=learning_rate, scheduler=scheduler, warmup=warmup, weight_decay=weight_decay,
        max_steps=max_steps, seed=seed, bf16=bf16, load_in_4bit=load_in_4bit,
        gradient_checkpointing=gradient_checkpointing, eval_data=eval_data, held_out=held_out,
        every=every, patience=patience, keep=keep, resume=resume, log_loss=log_loss,
    )  # fmt: skip
    try:
        code = run(options, dry_run=dry_run)
    except (Unusable, Mislabelled) as exc:
        print(exc, file=sys.stderr)
        raise typer.Exit(2) from exc
    raise typer.Exit(code)


def run(options: Options, *, dry_run: bool) -> int:
    """The exit status. Raises Unusable, Mislabelled."""
    check(options)
    using = backends.chosen(options)
    made = prepared(options)
    print("\n".join([*made.lines(), *memory.lines(options, made)]), flush=True)
    if dry_run:
        print("labels checked; nothing was trained (--dry-run)")
        return 0
    return trained(options, made, using)


def trained(options: Options, made: Prepared, using: Backend) -> int:
    """Trains and saves; 128 + the signal where one came."""
    outcome.begun(options, made, method="lora", backend=using.name)
    done = fitted(made, using, options, Teller())
    if done.signal:
        outcome.ended(options, done, "stopped")
        print(f"stopped at step {done.step}, with a checkpoint: the same with --resume goes on")
        return 128 + done.signal
    outcome.saved(options, made, done)
    if found := adapter.faults(options.output, largest_rank=adapter.RANKS[-1]):
        raise Unusable(f"vLLM will not serve the adapter in {options.output}: {'; '.join(found)}")
    print(f"adapter in {options.output}: step {done.best_step or done.step} of {done.step}")
    return 0


def check(options: Options) -> None:
    """Raises Unusable for options that contradict each other."""
    if options.patience and not (options.held_out or options.eval_data):
        raise Unusable("--patience needs something to measure with: --held-out or --eval-data.")
    if options.held_out and options.eval_data:
        raise Unusable("--held-out and --eval-data both say what to measure with: give one.")


if __name__ == "__main__":
    typer.run(lora)
