"""What was measured while a model was trained: a table, a picture. Pure but for `picture`."""

import csv
import importlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Point:
    """After so many seconds, steps and tokens. Losses are nats per token that the model wrote;
    None = not measured there. `checkpoint`: the folder that was kept, "" = none."""

    seconds: float
    step: int
    tokens: int
    rate: float
    train_loss: float
    kin_loss: float | None = None
    strange_loss: float | None = None
    checkpoint: str = ""


def write(points: Sequence[Point], path: Path) -> None:
    """As CSV; what was not measured is empty."""
    with path.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow([field.name for field in fields(Point)])
        writer.writerows(astuple(point) for point in points)


def read(path: Path) -> list[Point]:
    """What `write` wrote."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    with path.open(newline="") as source:
        return [
            Point(
                float(row["seconds"]), int(row["step"]), int(row["tokens"]), float(row["rate"]),
                float(row["train_loss"]), number(row["kin_loss"]), number(row["strange_loss"]),
                row["checkpoint"],
            )
            for row in csv.DictReader(source)
        ]  # fmt: skip


def picture(points: Sequence[Point], path: Path, title: str) -> None:
    """The losses over the minutes."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot([p.seconds / 60 for p in points], [p.train_loss for p in points], label="train", lw=1)
    for name in ("kin", "strange"):
        told = [(p.seconds / 60, getattr(p, f"{name}_loss")) for p in points]
        kept = [each for each in told if each[1] is not None]
        if kept:
            axes.plot(*zip(*kept, strict=True), marker="o", label=f"held out, {name} schemas")
    axes.set(title=title, xlabel="minutes", ylabel="nats per token", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
