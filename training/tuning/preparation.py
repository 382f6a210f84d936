"""All that comes before the first step: data, template, labels, and their check."""

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.conversation import Conversation, read
from training.tuning import collating, tags, template
from training.tuning.examples import Made, Maker
from training.tuning.options import Options
from training.tuning.parting import parted
from training.tuning.template import Template
from training.unusable import Unusable


@dataclass(frozen=True)
class Prepared:
    """What is trained on, checked. `held` is empty where nothing is evaluated; `digest` is of the
    files of data."""

    tokenizer: Any
    template: Template
    train: Made
    held: Made
    digest: str

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"head of the model's turn {self.template.head}; what programs print "
            f"{self.template.execute}",
            *_statistics("train", self.train),
        ]
        return [*told, *_statistics("held out", self.held)] if self.held.examples else told


def prepared(options: Options) -> Prepared:
    """Raises Unusable, audit.Mislabelled."""
    tokenizer = tokenizer_of(options.model)
    tags.check(tokenizer, options.model)
    made = template.chosen(tokenizer, options.template)
    train, held = _split(options)
    maker = Maker(tokenizer, made, options.context, options.long)
    found = Prepared(
        tokenizer,
        made,
        maker.made(train),
        maker.made(held) if held else Made(),
        digest([path for path in (options.data, options.eval_data) if path]),
    )
    for examples in (found.train.examples, found.held.examples):
        collating.check(examples, tokenizer, batch=options.batch, ends=made.ends)
    return found


def tokenizer_of(model: str) -> Any:
    """Raises Unusable."""
    transformers = importlib.import_module("transformers")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as exc:
        raise Unusable(
            f"{model} is no folder with a tokenizer, nor a model that can be fetched: {exc}"
        ) from exc
    if not tokenizer.is_fast:
        raise Unusable(f"{model} has a slow tokenizer, which does not tell where its tokens lie.")
    return tokenizer


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 of the files, one after the other."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()


def _split(options: Options) -> tuple[list[Conversation], list[Conversation]]:
    data = read(options.data)
    if options.eval_data is not None:
        return data, read(options.eval_data)
    return parted(data, options.held_out, options.seed)


def _statistics(name: str, made: Made) -> list[str]:
    lengths = sorted(len(example.input_ids) for example in made.examples)
    told = [
        f"{name}: {len(lengths)} conversations, {made.tokens} tokens, {made.trained} of them the "
        f"model's own ({made.trained / made.tokens:.0%}); length median "
        f"{lengths[len(lengths) // 2]}, longest {lengths[-1]}"
    ]
    if made.straddling:
        told.append(f"{name}: {made.straddling} tokens lie across a border and do not count")
    if made.too_long:
        told.append(f"{name}: {len(made.too_long)} too long, left out: {_some(made.too_long)}")
    if made.shortened:
        told.append(f"{name}: {len(made.shortened)} shortened: {_some(made.shortened)}")
    if made.silent:
        told.append(f"{name}: {len(made.silent)} without a trained message: {_some(made.silent)}")
    return told


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")
