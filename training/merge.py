"""Add a LoRA adapter to the weights of its base: one model, for servers that take no adapters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from training.data.conversation import read
from training.serving import placing
from training.serving.placing import CannotPlace
from training.unusable import Unusable
from training.weights import base, merging, output
from training.weights.merging import Check, Conversation
from training.weights.output import CannotWrite

_FORMAT = "isobath.merge/1"
_NOTES = "merge.json"
# beside the weights: tokenizer, configs
_BESIDES_BYTES = 64 * 2**20
# while it loads and merges, a little more than the weights is held
_HELD = 1.1


def merge(
    model: Annotated[
        str, typer.Option(help="The base: a folder, or a name of the hub. bf16, not quantized.")
    ],
    adapter: Annotated[Path, typer.Option(help="The adapter's folder.")],
    output_: Annotated[
        Path, typer.Option("--output", help="The folder to write; not there, or empty.")
    ],
    revision: Annotated[str, typer.Option(help="Of a base on the hub: a commit.")] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(help="Conversations (JSONL) to compare on, instead of three short ones."),
    ] = None,
    most_prompts: Annotated[int, typer.Option(help="Of these, as many.", min=1)] = 4,
    device: Annotated[str, typer.Option(help="cpu, or cuda where the model fits.")] = "cpu",
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="How far logits may be off, as a share of the largest; else by the number format."
        ),
    ] = None,
) -> None:
    """Add a LoRA adapter to the weights of its base, and check what was written.

    What was written is read again and has to give the logits of base and adapter.

    Else nothing is left. merge.json tells what it was made from, with digests and versions.
    """
    console = Console(soft_wrap=True, highlight=False)
    try:
        folder = base.located(model, revision)
        check = _merged(
            folder, adapter, output_, conversations(prompts, most_prompts), console,
            model=model, revision=revision, device=device, tolerance=tolerance,
        )  # fmt: skip
    except (Unusable, CannotWrite, CannotPlace, OSError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    found = check.merged
    console.print(
        f"{output_}: the largest difference of logits is {found.largest:.4g} "
        f"({found.relative:.3%} of the largest; {check.tolerance:.3%} are allowed), the likeliest "
        f"token is the same at {found.agreeing:.1%} of places; the adapter itself moves them by "
        f"up to {check.adapter.largest:.4g}"
    )
    if warning := check.warning():
        console.print(warning, style="yellow")


def conversations(path: Path | None, most: int) -> list[Conversation]:
    """The first of a file, or our own. Raises Unusable, without showing a line; OSError."""
    if path is None:
        return list(merging.PROMPTS)
    return [
        [{"role": turn.role, "content": turn.content} for turn in each.turns]
        for each in read(path, most)
    ]


def _merged(
    folder: Path, adapter: Path, to: Path, prompts: list[Conversation], console: Console,
    *, model: str, revision: str, device: str, tolerance: float | None,
) -> Check:  # fmt: skip
    placing.check(adapter)
    base.dtype(base.config(folder))
    size = output.weights_bytes(folder)
    if not size:
        raise Unusable(f"{folder} has no *.safetensors: fetch the model in that format")
    output.require_room(to, size + _BESIDES_BYTES)
    _tell_of_memory(size, device, console)
    with output.whole(to) as made:
        check = merging.merged(
            folder, adapter, made, prompts, device=device, tolerance=tolerance, tell=console.print
        )
        console.print("taking digests")
        notes = _notes(folder, adapter, made, check, model, revision)
        (made / _NOTES).write_text(json.dumps(notes, indent=1) + "\n")
        (made / "README.md").write_text(card(notes))
    return check


def _tell_of_memory(size: int, device: str, console: Console) -> None:
    free = output.available_memory_bytes(Path("/proc/meminfo").read_text())
    if device == "cpu" and free and free < size * _HELD:
        console.print(
            f"{free / output.GIB:.1f} GiB of memory are free, and merging holds about "
            f"{size * _HELD / output.GIB:.1f} GiB: it may be ended by the system",
            style="yellow",
        )


def _notes(
    folder: Path, adapter: Path, made: Path, check: Check, model: str, revision: str
) -> dict[str, Any]:
    found = check.merged
    return {
        "format": _FORMAT,
        "base": {
            # of a folder the name, not where it lies on this machine
            "model": folder.resolve().name if Path(model).expanduser().is_dir() else model,
            "revision": revision,
            "sha256": output.digests(folder),
        },
        "adapter": {"name": adapter.resolve().name, "sha256": placing.digests(adapter)},
        "output": {"sha256": output.digests(made)},
        "check": {
            "largest_difference": found.largest,
            "mean_difference": found.mean,
            "relative_difference": found.relative,
            "tolerance": check.tolerance,
            "same_likeliest_token": found.agreeing,
            "adapter_largest": check.adapter.largest,
            "adapter_mean": check.adapter.mean,
        },
        "versions": dict(output.versions("torch", "transformers", "peft", "safetensors")),
    }


def card(notes: Mapping[str, Any]) -> str:
    """README.md, with the front matter that the hub reads."""
    told, check = notes["base"], notes["check"]
    return f"""---
base_model: {told["model"]}
library_name: transformers
pipeline_tag: text-generation
tags: [merge, lora]
---

# {notes["adapter"]["name"]}, merged

The LoRA adapter `{notes["adapter"]["name"]}` added to the weights of `{told["model"]}`. Its logits
differ from those of base and adapter by {check["largest_difference"]:.4g} at most
({check["relative_difference"]:.3%} of the largest). What it was made from, with digests and
versions, stands in `{_NOTES}`.

    ISOBATH_ENGINE=vllm ISOBATH_MODEL=THIS_FOLDER ISOBATH_INFERENCE_PROTOCOL=native make up
"""


if __name__ == "__main__":
    typer.run(merge)
