"""What a run leaves beside the adapter: how it was made, so that it can be made again."""

import importlib.metadata
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.tuning import figures
from training.tuning.fitting import Fitted
from training.tuning.options import Options
from training.tuning.preparation import Prepared
from training.unusable import Unusable

RECORD = "training.json"
_CARD = """\
---
base_model: {base}
library_name: peft
tags: [lora, deepanalyze]
---
# LoRA adapter for {name}

Trained by `python -m training.{method}` on {conversations} conversations: {tokens[all]} tokens, of
which the loss counted the {tokens[trained]} that the model wrote. Rank {shape.rank}, alpha
{shape.alpha}, on {targets}. Kept is step {kept}; loss {losses}.

`training.json` has all arguments, versions and the digest of the data; `loss.csv` and `loss.png`
the losses. `chat_template.jinja` is what its prompts were rendered with.

Serve it without a restart with `python -m training.push`, or with vLLM as any LoRA adapter.
"""
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "unsloth")
# of which a run that is resumed may have others: they change nothing of what is computed
_FREE = {"resume", "output", "keep", "log_loss"}


def begun(options: Options, prepared: Prepared, *, method: str, backend: str) -> None:
    """Writes the record of a run that starts. Raises Unusable where another one is in the way."""
    path = options.output / RECORD
    told = {
        "method": method,
        "state": "running",
        "backend": backend,
        "arguments": _arguments(options),
        "data_digest": prepared.digest,
        "tokens": {"all": prepared.train.tokens, "trained": prepared.train.trained},
        "conversations": {
            "train": len(prepared.train.examples),
            "held_out": len(prepared.held.examples),
            "too_long": len(prepared.train.too_long),
            "shortened": len(prepared.train.shortened),
        },
        "straddling_tokens": prepared.train.straddling,
        "versions": _versions(),
        "revision": _revision(),
    }
    if options.resume:
        _same_run(_read(path), told)
    elif path.exists() or options.checkpoints.exists():
        raise Unusable(
            f"{options.output} holds a run already: go on with --resume, or name another."
        )
    options.output.mkdir(parents=True, exist_ok=True)
    _write(path, told)


def ended(options: Options, fitted: Fitted, state: str) -> None:
    """Completes the record; writes the losses and their picture."""
    path = options.output / RECORD
    losses = [p.train_loss for p in fitted.points if p.train_loss is not None]
    held = {p.step: p.eval_loss for p in fitted.points if p.eval_loss is not None}
    told = _read(path) | {
        "state": state,
        "steps": fitted.step,
        "best_step": fitted.best_step or fitted.step,
        "final": {
            "train_loss": losses[-1] if losses else None,
            "eval_loss": held.get(fitted.best_step or fitted.step),
        },
    }
    _write(path, told)
    figures.table(fitted.points, options.output / "loss.csv")
    title = f"{told['method']} on {Path(options.model).name}"
    figures.picture(
        fitted.points,
        options.output / "loss.png",
        title=title,
        log=options.log_loss,
        best=fitted.best_step,
    )


def saved(options: Options, prepared: Prepared, fitted: Fitted) -> None:
    """The adapter with all that belongs to it."""
    # where it was trained from, whatever folder a hub's cache had it in
    for config in fitted.model.peft_config.values():
        config.base_model_name_or_path = options.model
    fitted.model.save_pretrained(options.output)
    prepared.tokenizer.save_pretrained(options.output)
    ended(options, fitted, "completed")
    card(options)


def card(options: Options) -> None:
    """README.md of the adapter, from its record. PEFT leaves one with blanks to fill in."""
    told = _read(options.output / RECORD)
    final, tokens, shape = told["final"], told["tokens"], options.lora
    measured = "" if final["eval_loss"] is None else f", held out {final['eval_loss']:.4f}"
    text = _CARD.format(
        method=told["method"],
        base=options.model,
        name=Path(options.model).name,
        conversations=told["conversations"]["train"],
        tokens=tokens,
        shape=shape,
        targets=", ".join(shape.targets),
        kept=f"{told['best_step']} of {told['steps']}",
        losses=f"{final['train_loss']:.4f}{measured}",
    )
    (options.output / "README.md").write_text(text)


def _same_run(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Going on with other settings would give what neither run describes."""
    other = [
        name
        for name, value in now["arguments"].items()
        if name not in _FREE and before["arguments"].get(name) != value
    ]
    if before["data_digest"] != now["data_digest"]:
        other.append("data (its content)")
    if other:
        raise Unusable(f"--resume goes on with the run as it began; other now: {', '.join(other)}.")


def _arguments(options: Options) -> dict[str, Any]:
    arguments: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    return arguments


def _read(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise Unusable(f"{path} cannot be read: {exc}") from exc
    return told


def _write(path: Path, told: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(told, indent=1) + "\n")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _revision() -> str:
    """Of this code; "" outside of a repository."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
