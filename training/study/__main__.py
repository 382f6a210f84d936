"""The study, from seeds to figures, in one command."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dev.child import OUR_PACKAGES
from dev.ending import run as run_to_end
from dev.settings import Settings
from servicekit.settings import SettingsError, load
from training.data.building import STATISTICS, Options, build
from training.data.split import Shares
from training.study import points
from training.study.asking import Asker, held
from training.study.fit import CURVE, FIGURES, PARTS
from training.study.report import Scored, Study
from training.study.shape import counted


class StudyFailed(RuntimeError):
    """A step ended with an error, which it has told."""


@dataclass(frozen=True)
class Places:
    """Where what lies, and who runs what."""

    output: Path
    training_python: Path
    vllm_python: Path

    def records(self, part: str) -> Path:
        return self.output / "records" / f"{part}.jsonl"

    @property
    def data(self) -> Path:
        return self.output / "data"

    @property
    def model(self) -> Path:
        return self.output / "model"


@dataclass(frozen=True)
class Size:
    """How much there is of what; `held_out` of each part, to measure the loss with, and to ask."""

    parameters: str
    conversations: int
    held_out: int
    vocabulary: int
    batch: int
    checkpoints: int


GPU = Size("30M", 3000, 48, 8192, 16, 5)
CPU = Size("2M", 300, 12, 2048, 1, 3)


def study(
    output: Annotated[Path, typer.Option(help="The folder for all that is made.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Of training.")] = 20,
    parameters: Annotated[str, typer.Option(help="About so many; else 30M, on a CPU 2M.")] = "",
    conversations: Annotated[
        int, typer.Option(min=0, help="To train on; 0 = 3,000, on a CPU 300.")
    ] = 0,
    held_out: Annotated[
        int,
        typer.Option(
            min=0, help="Of each part, to measure the loss with, and to ask; 0 = 48, on a CPU 12."
        ),
    ] = 0,
    vocabulary: Annotated[
        int, typer.Option(min=0, help="Tokens but for whole lines; 0 = 8,192, on a CPU 2,048.")
    ] = 0,
    batch: Annotated[
        int, typer.Option(min=0, help="Conversations of a step; 0 = 16, on a CPU 1.")
    ] = 0,
    checkpoints: Annotated[
        int, typer.Option(min=0, help="That are measured and asked; 0 = 5, on a CPU 3.")
    ] = 0,
    rate: Annotated[float, typer.Option(help="The highest learning rate.")] = 1e-3,
    at_once: Annotated[int, typer.Option(min=1, help="Questions at a time.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of schemas and weights.")] = 1,
    training_python: Annotated[Path, typer.Option(help="Of dev/training_env.sh.")] = Path(
        ".venv-training/bin/python"
    ),
    vllm_python: Annotated[Path, typer.Option(help="Of dev/vllm_env.sh.")] = Path(
        ".venv-vllm/bin/python"
    ),
) -> None:
    """Generate conversations, build the data set, train a model from random weights, and ask its
    checkpoints and the rules engine of schemas that were not trained on.

    A GPU is used where there is one. Conversations that are there already of an earlier attempt
    are kept.
    """
    console = Console()
    places = Places(output, training_python, vllm_python)
    asked = Size(parameters, conversations, held_out, vocabulary, batch, checkpoints)
    try:
        settings = load(Settings, os.environ, prefix="ISOBATH_")
        size = sized(asked, GPU if _has_gpu(places) else CPU)
        for part in PARTS:
            count = size.conversations if part == "train" else size.held_out
            _generated(places, part, count, seed, at_once)
            _built(places, part, console)
        _fitted(places, size, minutes, rate, seed)
    except (SettingsError, StudyFailed, ValueError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    # asked are other schemas than those that the loss is measured with
    asker = Asker(held(seed + 1, size.held_out), settings, os.environ, at_once, console)
    raise typer.Exit(run_to_end(_asked(places, asker, console), console))


def sized(asked: Size, default: Size) -> Size:
    """What is asked for, and the rest by default."""
    told = {name: value for name, value in asdict(asked).items() if value}
    return replace(default, **told)


def _has_gpu(places: Places) -> bool:
    """Whether the environment of training sees one. Raises StudyFailed where there is none."""
    for python in (places.training_python, places.vllm_python):
        if not python.exists():
            raise StudyFailed(f"{python} is not there: `make study` makes both environments")
    program = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"
    command = [str(places.training_python.absolute()), "-c", program]
    code = subprocess.run(command, check=False).returncode  # noqa: S603
    if code not in (0, 3):
        raise StudyFailed(f"{places.training_python} has no PyTorch")
    return code == 0


def _generated(places: Places, part: str, count: int, seed: int, at_once: int) -> None:
    command = [
        "-m", "training.synthetic", "--part", part, "--conversations", str(count),
        "--seed", str(seed), "--at-once", str(at_once), "--output", str(places.records(part)),
        "--resume",
    ]  # fmt: skip
    _run(Path(sys.executable), command)


def _built(places: Places, part: str, console: Console) -> None:
    """All of a part into one file. Runs of the rules engine are alike, and no doubles for that."""
    made = places.output / "sets" / part
    options = Options(
        records=[places.records(part)], output=made, shares=Shares(1.0, 0.0, 0.0), near=1.0,
        overwrite=(made / STATISTICS).exists(),
    )  # fmt: skip
    statistics = build(options, lambda text: console.print(text, markup=False))
    console.print(f"{part}: {statistics.written} conversations of {statistics.read} records")
    places.data.mkdir(parents=True, exist_ok=True)
    (places.data / f"{part}.jsonl").write_bytes((made / "messages" / "train.jsonl").read_bytes())


def _fitted(places: Places, size: Size, minutes: float, rate: float, seed: int) -> None:
    given = {
        "data": places.data, "output": places.model, "minutes": minutes, "rate": rate, "seed": seed,
        "parameters": counted(size.parameters), "vocabulary": size.vocabulary, "batch": size.batch,
        "checkpoints": size.checkpoints, "held": size.held_out,
    }  # fmt: skip
    options = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    _run(places.training_python, ["-m", "training.study.fit", *options])


def _run(python: Path, arguments: Sequence[str]) -> None:
    """With what lies in the repository."""
    environ = {**os.environ, "PYTHONPATH": OUR_PACKAGES}
    command = [str(python.absolute()), *arguments]
    done = subprocess.run(command, env=environ, check=False)  # noqa: S603
    if done.returncode:
        raise StudyFailed(f"python {' '.join(arguments[:2])} ended with {done.returncode}")


async def _asked(places: Places, asker: Asker, console: Console) -> int:
    curve = points.read(places.model / CURVE)
    scored = [Scored("rules engine", None, await asker.rules(places.output / "asked" / "rules"))]
    for point in curve:
        if point.checkpoint:
            folder = places.model.absolute() / point.checkpoint
            answers = places.output / "asked" / point.checkpoint
            found = await asker.checkpoint(folder, places.vllm_python, answers)
            minutes = round(point.seconds / 60, 1)
            scored.append(Scored(f"after {minutes:g} min", minutes, found))
            _write(places, curve, scored)
    console.print((places.output / "study.md").read_text(), markup=False, highlight=False)
    return 0


def _write(places: Places, curve: Sequence[points.Point], scored: Sequence[Scored]) -> None:
    fit = json.loads((places.model / FIGURES).read_text())
    made = Study(fit, curve, scored)
    (places.output / "study.json").write_text(json.dumps(made.as_json(), indent=2) + "\n")
    (places.output / "study.md").write_text(made.as_markdown())


if __name__ == "__main__":
    typer.run(study)
