"""Trains all weights of a random Qwen3 for so many minutes. Of the environment of training.

python -m training.study.fit --data study/data --output study/model --minutes 20
"""

import importlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from training.data.conversation import read
from training.study import pace, points
from training.study.points import Point
from training.study.shape import Shape, counted, shape
from training.study.vocabulary import learned
from training.tuning import collating
from training.tuning.audit import Mislabelled
from training.tuning.collating import Collator
from training.tuning.examples import Example, Made, Maker
from training.tuning.template import Template
from training.unusable import Unusable

PARTS = ("train", "kin", "strange")
FIGURES, CURVE, PICTURE = "fit.json", "curve.csv", "curve.png"
_TELL_S = 15.0


@dataclass(frozen=True)
class Fitting:
    """`batch` conversations make a step; `held`: at most so many of each part are measured."""

    minutes: float
    parameters: int
    vocabulary: int
    context: int
    batch: int
    rate: float
    checkpoints: int
    held: int
    seed: int


@dataclass(frozen=True)
class Prepared:
    """Tokens and labels of each part, by its name."""

    tokenizer: Any
    shape: Shape
    parts: Mapping[str, Made]


def prepared(data: Path, fitting: Fitting) -> Prepared:
    """`data` holds a file of conversations for each part. Raises Unusable, audit.Mislabelled."""
    held = {name: read(data / f"{name}.jsonl") for name in PARTS}
    tokenizer = learned(held["train"], fitting.vocabulary)
    template = Template(tokenizer)
    maker = Maker(tokenizer, template, fitting.context, "drop")
    parts = {name: maker.made(each) for name, each in held.items()}
    for made in parts.values():
        collating.check(made.examples, tokenizer, batch=8, ends=template.ends)
    return Prepared(tokenizer, shape(fitting.parameters, len(tokenizer)), parts)


class Fit:
    """One model. `device` is "cuda" or "cpu"; on a GPU products are in bfloat16."""

    def __init__(self, prepared: Prepared, fitting: Fitting, output: Path) -> None:
        self._torch = torch = importlib.import_module("torch")
        transformers = importlib.import_module("transformers")
        self._prepared, self._fitting, self._output = prepared, fitting, output
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(fitting.seed)
        tokenizer = prepared.tokenizer
        config = transformers.Qwen3Config(
            **prepared.shape.config(fitting.context),
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            pad_token_id=tokenizer.pad_token_id,
        )
        self.model = transformers.Qwen3ForCausalLM(config).to(self.device)
        self._collate = Collator(tokenizer)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=fitting.rate, betas=(0.9, 0.95), weight_decay=0.1
        )

    def run(self) -> list[Point]:
        """Trains until the time is over; measuring and keeping the model is not counted."""
        fitting, found = self._fitting, list[Point]()
        moments = pace.moments(fitting.checkpoints)
        spent, tokens, told = 0.0, 0, time.monotonic()
        for step, batch in enumerate(self._batches(), 1):
            begun = time.monotonic()
            rate = pace.rate(fitting.rate, spent / (fitting.minutes * 60))
            loss = self._step(batch, rate)
            spent += time.monotonic() - begun
            tokens += sum(len(each.input_ids) for each in batch)
            point = Point(round(spent, 2), step, tokens, rate, round(loss, 5))
            if spent >= moments[0] * fitting.minutes * 60:
                point = self._kept(point)
                moments.pop(0)
            found.append(point)
            if point.checkpoint or time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                _tell(point, fitting)
            if not moments:
                return found
        raise AssertionError("batches never end")

    def _batches(self) -> Iterator[list[Example]]:
        """For ever: each round in an order of its own, conversations of one batch alike in length
        where there are several, so that little of it is padding."""
        rng, size = Random(self._fitting.seed), self._fitting.batch  # noqa: S311
        examples = list(self._prepared.parts["train"].examples)
        while True:
            rng.shuffle(examples)
            if size > 1:
                examples.sort(key=lambda each: len(each.input_ids) + rng.uniform(0, 200))
            batches = [examples[at : at + size] for at in range(0, len(examples), size)]
            rng.shuffle(batches)
            yield from batches

    def _step(self, batch: Sequence[Example], rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(batch)
        loss.backward()
        self._torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _loss(self, batch: Sequence[Example]) -> Any:
        """The mean over the tokens that count."""
        made = self._collate(collating.rows(batch))
        tensors = {name: tensor.to(self.device) for name, tensor in made.items()}
        half = self._torch.autocast(
            self.device, dtype=self._torch.bfloat16, enabled=self.device == "cuda"
        )
        with half:
            return self.model(**tensors, use_cache=False).loss

    def measured(self, part: str) -> float:
        """The loss of what is held out."""
        examples = self._prepared.parts[part].examples[: self._fitting.held]
        total = count = 0.0
        self.model.eval()
        with self._torch.no_grad():
            for each in examples:
                total += float(self._loss([each])) * each.trained
                count += each.trained
        self.model.train()
        return round(total / count, 5)

    def _kept(self, point: Point) -> Point:
        name = f"checkpoint-{point.step}"
        self.model.save_pretrained(self._output / name)
        self._prepared.tokenizer.save_pretrained(self._output / name)
        measured = {f"{part}_loss": self.measured(part) for part in PARTS[1:]}
        return Point(**{**asdict(point), **measured, "checkpoint": name})


def _tell(point: Point, fitting: Fitting) -> None:
    told = f"{point.seconds / 60:.1f} of {fitting.minutes:g} min, step {point.step}, "
    told += f"{point.tokens:,} tokens, loss {point.train_loss:.3f}"
    if point.checkpoint:
        told += f"; held out: kin {point.kin_loss:.3f}, strange {point.strange_loss:.3f}"
    print(told, flush=True)


def _figures(fit: Fit, prepared: Prepared, fitting: Fitting, found: list[Point]) -> dict[str, Any]:
    examples = {name: made.examples for name, made in prepared.parts.items()}
    return {
        **asdict(fitting),
        "device": fit.device,
        "parameters": prepared.shape.parameters,
        "width": prepared.shape.width,
        "layers": prepared.shape.layers,
        "vocabulary": prepared.shape.vocabulary,
        "conversations": {name: len(each) for name, each in examples.items()},
        "tokens": {name: made.tokens for name, made in prepared.parts.items()},
        "trained_tokens": {name: made.trained for name, made in prepared.parts.items()},
        "too_long": {name: len(made.too_long) for name, made in prepared.parts.items()},
        "steps": found[-1].step,
        "tokens_seen": found[-1].tokens,
        "tokens_per_second": round(found[-1].tokens / found[-1].seconds, 1),
        "epochs": round(found[-1].step * fitting.batch / len(examples["train"]), 2),
    }


def main(
    data: Annotated[Path, typer.Option(help="train.jsonl, kin.jsonl and strange.jsonl.")],
    output: Annotated[Path, typer.Option(help="The folder for checkpoints and figures.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Of training.")] = 20,
    parameters: Annotated[str, typer.Option(help="About so many, such as 30M.")] = "30M",
    vocabulary: Annotated[int, typer.Option(min=300, help="Tokens but for the phrases.")] = 8192,
    context: Annotated[int, typer.Option(min=64, help="Longer conversations are left out.")] = 8192,
    batch: Annotated[int, typer.Option(min=1, help="Conversations of a step.")] = 16,
    rate: Annotated[float, typer.Option(help="The highest learning rate.")] = 1e-3,
    checkpoints: Annotated[int, typer.Option(min=1, help="That are measured and kept.")] = 5,
    held: Annotated[int, typer.Option(min=1, help="Of each part, to measure the loss with.")] = 24,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Learn a vocabulary from the conversations, make a random model, and train it."""
    fitting = Fitting(
        minutes, counted(parameters), vocabulary, context, batch, rate, checkpoints, held, seed
    )
    output.mkdir(parents=True, exist_ok=True)
    try:
        ready = prepared(data, fitting)
    except (Unusable, Mislabelled) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    fit = Fit(ready, fitting, output)
    print(
        f"{ready.shape.parameters:,} parameters on {fit.device}: width {ready.shape.width}, "
        f"{ready.shape.layers} layers, {ready.shape.vocabulary} tokens; "
        f"{len(ready.parts['train'].examples)} conversations of "
        f"{ready.parts['train'].tokens // len(ready.parts['train'].examples)} tokens",
        flush=True,
    )
    found = fit.run()
    points.write(found, output / CURVE)
    points.picture(found, output / PICTURE, f"{ready.shape.parameters / 1e6:.1f}M parameters")
    figures = _figures(fit, ready, fitting, found)
    (output / FIGURES).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
