"""A random model to begin from: a Qwen3 of two layers that an adapter alone can teach.

Run in the environment of training."""

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from training.data.conversation import read
from training.study.shape import Shape
from training.study.vocabulary import learned

_VOCABULARY, _CONTEXT = 3000, 4096
_SHAPE = Shape(width=128, layers=2, vocabulary=_VOCABULARY)
# An adapter changes no embeddings and no output weights. Those that a model is born with are so
# small that what the layers add to the one, and what they tell the other, would hardly show.
_EMBEDDINGS, _OUTPUT = 50.0, 25.0


def make(
    data: Annotated[Path, typer.Option(help="Conversations that it has to have words for.")],
    output: Annotated[Path, typer.Option(help="The folder to write.")],
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 7,
) -> None:
    """Write a random model, with a tokenizer that is learned from the conversations."""
    tokenizer = learned(read(data), _VOCABULARY)
    model = _random(tokenizer, seed)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer):,} tokens")


def _random(tokenizer: Any, seed: int) -> Any:
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    torch.manual_seed(seed)
    config = transformers.Qwen3Config(
        **_SHAPE.config(_CONTEXT)
        | {"vocab_size": len(tokenizer), "tie_word_embeddings": False}
        | {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
        | {"pad_token_id": tokenizer.pad_token_id},
    )
    model = transformers.Qwen3ForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(_EMBEDDINGS)
        model.lm_head.weight.mul_(_OUTPUT)
    return model


if __name__ == "__main__":
    typer.run(make)
