"""A merged model in 8 or 4 bits, in a form that vLLM serves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from training.data.conversation import Conversation, read
from training.unusable import Unusable
from training.weights import base, calibration, output, quantizing
from training.weights.calibration import Tokens
from training.weights.output import CannotWrite
from training.weights.quantizing import BITS, CALIBRATED, DEFAULTS, Measured, Scheme

_FORMAT = "isobath.quantize/1"
_NOTES = "quantize.json"
# of what the weights take now: the head and the embeddings keep all of theirs
_AT_MOST = {8: 0.75, 4: 0.6}


def quantize(
    model: Annotated[Path, typer.Option(help="The model's folder: bf16, merged.")],
    output_: Annotated[
        Path, typer.Option("--output", help="The folder to write; not there, or empty.")
    ],
    data: Annotated[
        Path, typer.Option(help="Conversations to calibrate with: messages.jsonl of a data set.")
    ],
    held_out: Annotated[
        Path, typer.Option(help="Others to measure on: those of the split that nothing saw.")
    ],
    bits: Annotated[int, typer.Option(help="8 or 4.")] = 8,
    scheme: Annotated[
        Scheme | None,
        typer.Option(
            help="w8a8: integers, any GPU since Turing, and CPU; fp8: Ada, Hopper and later; "
            "w4a16: the only one in 4 bits. Else w8a8 or w4a16, by --bits."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Conversations to calibrate with.", min=1)] = 256,
    measured: Annotated[int, typer.Option(help="Conversations to measure on.", min=1)] = 64,
    length: Annotated[int, typer.Option(help="Tokens of each at most.", min=16)] = 4096,
    group: Annotated[
        int, typer.Option(help="w4a16: weights that share a scale, 128, 64 or 32.", min=32)
    ] = 128,
    most: Annotated[
        float | None,
        typer.Option(help="Leave nothing if the loss rises by more than this, in nats a token."),
    ] = None,
) -> None:
    """Put a model into 8 or 4 bits (compressed-tensors), and tell what that costs.

    Rounding follows your conversations (GPTQ; SmoothQuant before w8a8). The loss counts what the
    model wrote, in conversations that were not calibrated with, before and after.
    """
    console = Console(soft_wrap=True, highlight=False)
    try:
        chosen = scheme_of(bits, scheme)
        base.dtype(base.config(model))
        size = output.weights_bytes(model)
        output.require_room(output_, int(size * _AT_MOST[BITS[chosen]]))
        sets = read(data, samples), read(held_out, measured)
        calibration.require_apart(*sets)
        told = _quantized(model, output_, chosen, sets, length, group, most, console)
    except (Unusable, CannotWrite, OSError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    console.print(summary(told), markup=False)


def scheme_of(bits: int, scheme: Scheme | None) -> Scheme:
    """Raises Unusable for two that contradict each other."""
    if bits not in DEFAULTS:
        raise Unusable("--bits is 8 or 4")
    if scheme is not None and BITS[scheme] != bits:
        raise Unusable(
            f"--scheme {scheme.value} has {BITS[scheme]} bits: say --bits {BITS[scheme]}"
        )
    return scheme or DEFAULTS[bits]


def _quantized(
    model: Path, to: Path, scheme: Scheme,
    sets: tuple[Sequence[Conversation], Sequence[Conversation]],
    length: int, group: int, most: float | None, console: Console,
) -> Measured:  # fmt: skip
    tokenizer = quantizing.tokenizer(model)
    calibrating, measuring = (
        [calibration.tokens(tokenizer, each.turns, length) for each in part] for part in sets
    )
    with output.whole(to) as made:
        told = quantizing.quantized(
            model, made, scheme,
            calibrating=calibrating, measuring=measuring, group=group, tell=console.print,
        )  # fmt: skip
        if most is not None and told.loss_after - told.loss_before > most:
            raise Unusable(
                f"{summary(told)}\nthat is more than --most {most:g}: nothing was written"
            )
        used = calibrating if scheme in CALIBRATED else []
        notes = _notes(model, made, scheme, told, used, group)
        (made / _NOTES).write_text(json.dumps(notes, indent=1) + "\n")
        (made / "README.md").write_text(card(notes))
    return told


def summary(told: Measured) -> str:
    before, after = told.perplexities
    return (
        f"{told.bytes_before / output.GIB:.2f} GiB of weights became "
        f"{told.bytes_after / output.GIB:.2f} GiB ({told.bytes_after / told.bytes_before:.0%}); "
        f"loss {told.loss_before:.4f} → {told.loss_after:.4f}, perplexity {before:.3f} → "
        f"{after:.3f}, on {told.tokens:,} tokens that the model wrote"
    )


def _notes(
    model: Path, made: Path, scheme: Scheme, told: Measured, used: Sequence[Tokens], group: int
) -> dict[str, Any]:
    before, after = told.perplexities
    return {
        "format": _FORMAT,
        "model": {"name": model.resolve().name, "sha256": output.digests(model)},
        "scheme": scheme.value,
        "group": group if scheme is Scheme.W4A16 else None,
        "calibrated_with": {
            "conversations": len(used),
            "tokens": sum(len(each.ids) for each in used),
        },
        "measured": {
            "tokens": told.tokens,
            "loss_before": told.loss_before,
            "loss_after": told.loss_after,
            "perplexity_before": before,
            "perplexity_after": after,
            "bytes_before": told.bytes_before,
            "bytes_after": told.bytes_after,
        },
        "output": {"sha256": output.digests(made)},
        "versions": dict(
            output.versions("torch", "transformers", "llmcompressor", "compressed-tensors")
        ),
    }


def card(notes: Mapping[str, Any]) -> str:
    """README.md, with the front matter that the hub reads."""
    told = notes["measured"]
    return f"""---
base_model: {notes["model"]["name"]}
base_model_relation: quantized
library_name: transformers
pipeline_tag: text-generation
tags: [compressed-tensors, {notes["scheme"]}]
---

# {notes["model"]["name"]}, {notes["scheme"]}

Of {notes["model"]["name"]}, by llm-compressor; vLLM reads how from its config.

| | before | after |
| --- | --- | --- |
| weights, bytes | {told["bytes_before"]} | {told["bytes_after"]} |
| perplexity | {told["perplexity_before"]:.3f} | {told["perplexity_after"]:.3f} |

On {told["tokens"]} tokens of held-out conversations. Digests and versions: `{_NOTES}`.

    ISOBATH_ENGINE=vllm ISOBATH_MODEL=THIS_FOLDER ISOBATH_INFERENCE_PROTOCOL=native make up
"""


if __name__ == "__main__":
    typer.run(quantize)
